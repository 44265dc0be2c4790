/* An epidemic in a closed group: susceptible, infected, recovered (Kermack and McKendrick, 1927), compared with counts.
 *
 *     ./sir parameters.txt cases.csv
 *
 * parameters.txt has lines KEY = VALUE: beta and gamma (per day), population, infected (on day 0). cases.csv has the columns
 * day,in_bed. Integrates with Runge and Kutta's method of fourth order, writes curve.csv (day, counted, infected) and fit.txt:
 * error (root of the mean squared difference, in persons), peak (persons), peak_day, reproduction (beta / gamma).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_A_DAY = 200, MOST_DAYS = 1000 };

struct model {
    double beta, gamma, population, infected;
};

struct state {
    double s, i;
};

static void fail(const char *what, const char *which) {
    fprintf(stderr, "sir: %s %s\n", what, which);
    exit(2);
}

static struct model read_model(const char *path) {
    struct model m = {-1, -1, -1, -1};
    const struct { const char *name; double *place; } keys[] = {
        {"beta", &m.beta}, {"gamma", &m.gamma}, {"population", &m.population}, {"infected", &m.infected},
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
        if (!(value >= 0)) fail("must not be negative:", key);
        *keys[k].place = value;
    }
    fclose(file);
    for (size_t k = 0; k < n_keys; k++) {
        if (*keys[k].place < 0) fail("parameters lack", keys[k].name);
    }
    if (m.infected > m.population) fail("more are infected than there are:", path);
    return m;
}

static struct state slope(const struct model *m, struct state x) {
    const double caught = m->beta * x.s * x.i / m->population;
    return (struct state){-caught, caught - m->gamma * x.i};
}

static struct state along(struct state x, struct state k, double h) {
    return (struct state){x.s + h * k.s, x.i + h * k.i};
}

static struct state step(const struct model *m, struct state x, double h) {
    const struct state a = slope(m, x), b = slope(m, along(x, a, h / 2)), c = slope(m, along(x, b, h / 2)),
                       d = slope(m, along(x, c, h));
    return (struct state){x.s + h / 6 * (a.s + 2 * b.s + 2 * c.s + d.s), x.i + h / 6 * (a.i + 2 * b.i + 2 * c.i + d.i)};
}

int main(int argc, char **argv) {
    if (argc != 3) fail("usage:", "sir PARAMETERS.TXT CASES.CSV");
    const struct model m = read_model(argv[1]);
    struct state x = {m.population - m.infected, m.infected};
    double squares = 0, peak = x.i, peak_day = 0, counted;
    long at = 0, days = 0;
    int day;
    char line[256];
    FILE *cases = fopen(argv[2], "r"), *curve = fopen("curve.csv", "w"), *fit = fopen("fit.txt", "w");
    if (cases == NULL) fail("cannot read", argv[2]);
    if (curve == NULL || fit == NULL) fail("cannot write", "curve.csv or fit.txt");
    fprintf(curve, "day,counted,infected\n");
    if (fgets(line, sizeof line, cases) == NULL || strncmp(line, "day,in_bed", 10) != 0) fail("expected day,in_bed in", argv[2]);
    while (fgets(line, sizeof line, cases) != NULL) {
        if (sscanf(line, "%d,%lf", &day, &counted) != 2) fail("no day and count:", line);
        if (day > MOST_DAYS || (long)day * STEPS_A_DAY < at) fail("days must rise, up to 1000:", line);
        while (at < (long)day * STEPS_A_DAY) {
            x = step(&m, x, 1.0 / STEPS_A_DAY);
            at++;
            if (x.i > peak) {
                peak = x.i;
                peak_day = (double)at / STEPS_A_DAY;
            }
        }
        squares += (x.i - counted) * (x.i - counted);
        days++;
        fprintf(curve, "%d,%g,%.4f\n", day, counted, x.i);
    }
    if (days == 0) fail("no days in", argv[2]);
    fprintf(fit, "error = %.6f\npeak = %.3f\npeak_day = %.3f\n", sqrt(squares / days), peak, peak_day);
    if (m.gamma > 0) fprintf(fit, "reproduction = %.6f\n", m.beta / m.gamma);
    if (fclose(curve) != 0 || fclose(fit) != 0) fail("cannot write", "curve.csv or fit.txt");
    fclose(cases);
    return 0;
}
