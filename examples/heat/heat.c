/* Heat in a square plate: explicit finite differences on an N x N grid with fixed temperatures on the four edges.
 *
 *     ./heat plate.txt
 *
 * plate.txt has lines KEY = VALUE: grid, steps, diffusivity, top, bottom, left, right, start. Writes the final
 * temperatures as a picture (plate.pgm, 256 greys) and prints KEY = VALUE lines about them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plate {
    double grid, steps, diffusivity, top, bottom, left, right, start;
};

static void fail(const char *what, const char *which) {
    fprintf(stderr, "heat: %s %s\n", what, which);
    exit(2);
}

/* Reads KEY = VALUE lines into the struct; empty lines and those that begin with # are skipped. */
static struct plate read_plate(const char *path) {
    struct plate p = {64, 2000, 0.2, 100, 0, 0, 0, 0};
    const struct { const char *name; double *place; } keys[] = {
        {"grid", &p.grid}, {"steps", &p.steps}, {"diffusivity", &p.diffusivity}, {"top", &p.top},
        {"bottom", &p.bottom}, {"left", &p.left}, {"right", &p.right}, {"start", &p.start},
    };
    const size_t n_keys = sizeof keys / sizeof keys[0];
    char line[256], key[64];
    double value;
    FILE *file = fopen(path, "r");
    if (file == NULL) fail("cannot read", path);
    while (fgets(line, sizeof line, file) != NULL) {
        size_t k = 0;
        if (line[0] == '#' || line[strspn(line, " \t\r\n")] == '\0') continue;
        if (sscanf(line, " %63[a-z] = %lf", key, &value) != 2) fail("not of the form KEY = VALUE:", line);
        while (k < n_keys && strcmp(keys[k].name, key) != 0) k++;
        if (k == n_keys) fail("unknown key", key);
        *keys[k].place = value;
    }
    fclose(file);
    if (p.grid < 3 || p.grid > 4096) fail("grid must lie between 3 and 4096 in", path);
    if (p.steps < 0 || p.steps > 1e8) fail("steps must lie between 0 and 1e8 in", path);
    if (p.diffusivity <= 0 || p.diffusivity > 0.25) fail("diffusivity must lie in (0, 0.25], or the scheme is unstable:", path);
    return p;
}

static void set_edges(double *t, int n, const struct plate *p) {
    for (int i = 0; i < n; i++) {
        t[i * n] = p->left;
        t[i * n + n - 1] = p->right;
    }
    for (int j = 0; j < n; j++) {
        t[j] = p->top;
        t[(n - 1) * n + j] = p->bottom;
    }
}

/* One step from t to next; returns the largest change. */
static double step(const double *t, double *next, int n, double diffusivity) {
    double largest = 0;
    for (int i = 1; i < n - 1; i++) {
        for (int j = 1; j < n - 1; j++) {
            const int at = i * n + j;
            const double change = diffusivity * (t[at - n] + t[at + n] + t[at - 1] + t[at + 1] - 4 * t[at]);
            next[at] = t[at] + change;
            if (fabs(change) > largest) largest = fabs(change);
        }
    }
    return largest;
}

static void write_picture(const char *path, const double *t, int n) {
    double low = t[0], high = t[0];
    FILE *file = fopen(path, "wb");
    if (file == NULL) fail("cannot write", path);
    for (int at = 0; at < n * n; at++) {
        if (t[at] < low) low = t[at];
        if (t[at] > high) high = t[at];
    }
    fprintf(file, "P5\n%d %d\n255\n", n, n);
    for (int at = 0; at < n * n; at++) fputc(high > low ? (int)(255 * (t[at] - low) / (high - low)) : 0, file);
    if (fclose(file) != 0) fail("cannot write", path);
}

int main(int argc, char **argv) {
    if (argc != 2) fail("usage:", "heat PLATE.TXT");
    const struct plate p = read_plate(argv[1]);
    const int n = (int)p.grid;
    const long steps = (long)p.steps;
    double *t = malloc(sizeof *t * n * n), *next = malloc(sizeof *next * n * n), sum = 0, change = 0;
    if (t == NULL || next == NULL) fail("out of memory for the grid of", argv[1]);
    for (int at = 0; at < n * n; at++) t[at] = p.start;
    set_edges(t, n, &p);
    memcpy(next, t, sizeof *t * n * n);
    for (long done = 1; done <= steps; done++) {
        double *swap = t;
        change = step(t, next, n, p.diffusivity);
        t = next;
        next = swap;
        if (steps >= 10 && done % (steps / 10) == 0) {
            fprintf(stderr, "step %ld of %ld, largest change %.3g\n", done, steps, change);
        }
    }
    for (int at = 0; at < n * n; at++) sum += t[at];
    write_picture("plate.pgm", t, n);
    printf("centre = %.6f\n", t[(n / 2) * n + n / 2]);
    printf("mean = %.6f\n", sum / ((double)n * n));
    printf("change = %.3e\n", change);
    free(t);
    free(next);
    return 0;
}
