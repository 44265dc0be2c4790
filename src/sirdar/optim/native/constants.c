/* Problems without variables (all are fixed, or none is used): constants alone decide. AMPL's library ends the program over
 * them, so that the file is read here. What writes .nl files has worked out all expressions of constants: each is a number.
 *
 * optim/constants.py does the same for the other commands, in the same words.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipopt_driver.h"

enum { HEADER_LINES = 10, LINE_ROOM = 512, MOST_OPTIONS = 16, VTOL_FOLLOWS = 3, REAL_SUFFIX = 4 };

static const double NEAR = 1e-6; /* values that a solver found and somebody fixed meet their constraints as nearly as this */

struct constants {
    FILE *file;
    bool binary, failed;
    int rows, objectives;
    char first[LINE_ROOM];
    double objective, *values, *lower, *upper;
};

/* --- Reading --------------------------------------------------------------------------------------------------------- */

static bool read_header(struct constants *nl, int *variables) {
    char line[LINE_ROOM];
    int logical = 0, equations = 0, ranges = 0;

    if (!fgets(nl->first, sizeof nl->first, nl->file) || !fgets(line, sizeof line, nl->file))
        return false;
    if ((*nl->first != 'g' && *nl->first != 'b') ||
        sscanf(line, "%d %d %d %d %d %d", variables, &nl->rows, &nl->objectives, &ranges, &equations, &logical) < 3)
        return false;
    nl->binary = *nl->first == 'b';
    nl->failed = logical > 0 || nl->rows < 0;
    for (int i = 2; i < HEADER_LINES; i++)
        if (!fgets(line, sizeof line, nl->file))
            return false;
    return true;
}

static FILE *open_nl(const char *stub) {
    char *path = malloc(strlen(stub) + 4);
    FILE *file = path ? fopen(strcat(strcpy(path, stub), ".nl"), "rb") : NULL;

    free(path);
    return file;
}

bool has_no_variables(const char *stub) {
    struct constants nl = {.file = open_nl(stub)};
    int variables = -1;
    bool none = nl.file && read_header(&nl, &variables) && variables == 0;

    if (nl.file)
        fclose(nl.file);
    return none;
}

static void skip_remark(FILE *file) {
    for (int next = getc(file); next != '\n' && next != EOF;)
        next = getc(file);
}

/* The next letter; 0 at the end. */
static int read_letter(struct constants *nl) {
    int next = getc(nl->file);

    while (!nl->binary && (next == ' ' || next == '\t' || next == '\r' || next == '\n' || next == '#')) {
        if (next == '#')
            skip_remark(nl->file);
        next = getc(nl->file);
    }
    return next == EOF ? 0 : next;
}

static int read_integer(struct constants *nl) {
    int32_t number = 0;

    if (nl->binary ? fread(&number, sizeof number, 1, nl->file) != 1 : fscanf(nl->file, "%d", &number) != 1)
        nl->failed = true;
    return number;
}

static double read_number(struct constants *nl) {
    double number = 0;

    if (nl->binary ? fread(&number, sizeof number, 1, nl->file) != 1 : fscanf(nl->file, "%lf", &number) != 1)
        nl->failed = true;
    return number;
}

static double read_constant(struct constants *nl) {
    int16_t small = 0;

    switch (read_letter(nl)) {
    case 'n': return read_number(nl);
    case 'l': return read_integer(nl);
    case 's':
        if (!nl->binary)
            return read_integer(nl);
        nl->failed = nl->failed || fread(&small, sizeof small, 1, nl->file) != 1;
        return small;
    default: nl->failed = true; return 0;
    }
}

static void read_row(struct constants *nl) {
    int row = read_integer(nl);
    double value = read_constant(nl);

    if (row < 0 || row >= nl->rows)
        nl->failed = true;
    else
        nl->values[row] = value;
}

static void read_ranges(struct constants *nl) {
    for (int i = 0; i < nl->rows && !nl->failed; i++)
        switch (read_letter(nl)) {
        case '0':
            nl->lower[i] = read_number(nl);
            nl->upper[i] = read_number(nl);
            break;
        case '1': nl->upper[i] = read_number(nl); break;
        case '2': nl->lower[i] = read_number(nl); break;
        case '3': break;
        case '4': nl->lower[i] = nl->upper[i] = read_number(nl); break;
        default: nl->failed = true;
        }
}

static void skip_pairs(struct constants *nl, int count, bool whole) {
    for (int i = 0; i < count && !nl->failed; i++) {
        read_integer(nl);
        if (whole)
            read_integer(nl);
        else
            read_number(nl);
    }
}

static void skip_suffix(struct constants *nl) {
    int kind = read_integer(nl), count = read_integer(nl);
    char name[LINE_ROOM];

    if (!nl->binary)
        nl->failed = nl->failed || fscanf(nl->file, "%511s", name) != 1;
    else
        for (int length = read_integer(nl); length > 0 && !nl->failed; length--)
            nl->failed = getc(nl->file) == EOF;
    skip_pairs(nl, count, !(kind & REAL_SUFFIX));
}

static void read_segments(struct constants *nl) {
    for (int letter; !nl->failed && (letter = read_letter(nl));)
        switch (letter) {
        case 'C': read_row(nl); break;
        case 'O':
            read_integer(nl), read_integer(nl);
            nl->objective = read_constant(nl);
            break;
        case 'r': read_ranges(nl); break;
        case 'x':
        case 'd': skip_pairs(nl, read_integer(nl), false); break;
        case 'S': skip_suffix(nl); break;
        case 'b': break; /* one for each variable */
        case 'k': read_integer(nl); break;
        default: nl->failed = true;
        }
}

/* --- Answering ------------------------------------------------------------------------------------------------------- */

/* The code; the words go into ``words``. */
static int judge(const struct constants *nl, char *words, size_t room) {
    for (int i = 0; i < nl->rows; i++) {
        double below = nl->lower[i] - nl->values[i], above = nl->values[i] - nl->upper[i];
        double missed = below > above ? below : above;
        if (!(missed <= NEAR)) {
            snprintf(words, room, "infeasible problem: it has no variables, and constraint %d is missed by %.15g", i, missed);
            return 200;
        }
    }
    if (!isfinite(nl->objective)) {
        snprintf(words, room, "the objective is no finite number, and the problem has no variables");
        return 500;
    }
    snprintf(words, room, "optimal solution; objective %.15g (the problem has no variables)", nl->objective);
    return 0;
}

/* The options of the first line stand in the solution again; with a tolerance behind them where the second is 3. */
static void write_options(FILE *sol, const struct constants *nl, int duals) {
    char line[LINE_ROOM], *words[MOST_OPTIONS + 1], *rest = NULL, *word;
    int count, found = 0;

    strcpy(line, nl->first + 1);
    line[strcspn(line, "#")] = 0;
    word = strtok_r(line, " \t\r\n", &rest);
    count = word ? atoi(word) : 0;
    while (found <= MOST_OPTIONS && found <= count && (word = strtok_r(NULL, " \t\r\n", &rest)))
        words[found++] = word;
    count = count < found ? count : found;
    fprintf(sol, "Options\n%d\n", count);
    for (int i = 0; i < count; i++)
        fprintf(sol, "%s\n", words[i]);
    fprintf(sol, "%d\n%d\n0\n0\n", nl->rows, duals);
    if (count > 1 && atoi(words[1]) == VTOL_FOLLOWS && found > count)
        fprintf(sol, "%s\n", words[count]);
}

static bool write_solution(const struct constants *nl, const char *stub, const char *message, int code) {
    char *path = malloc(strlen(stub) + 5);
    FILE *sol = path ? fopen(strcat(strcpy(path, stub), ".sol"), "w") : NULL;
    int duals = code ? 0 : nl->rows;
    bool written;

    free(path);
    if (!sol)
        return false;
    fprintf(sol, "%s\n\n", message);
    write_options(sol, nl, duals);
    for (int i = 0; i < duals; i++)
        fputs("0.0\n", sol);
    fprintf(sol, "objno 0 %d\n", code);
    written = !ferror(sol);
    return !fclose(sol) && written;
}

static bool answer(const struct ipopt_library *ipopt, const struct constants *nl, const char *stub, bool writes_sol) {
    char words[200], message[280];
    int code = judge(nl, words, sizeof words);

    snprintf(message, sizeof message, "Ipopt %s: %s", ipopt->version, words);
    puts(message);
    if (writes_sol && !write_solution(nl, stub, message, code)) {
        fprintf(stderr, "ipopt: can't write %s.sol\n", stub);
        return false;
    }
    return true;
}

bool decide_by_constants(const struct ipopt_library *ipopt, const char *stub, bool writes_sol) {
    struct constants nl = {.file = open_nl(stub)};
    int variables = 0;
    bool done = false;

    if (!nl.file || !read_header(&nl, &variables) || nl.failed || nl.objectives > 1) {
        fputs(nl.objectives > 1 ? "ipopt: There is more than one objective function: deactivate all but one in the model.\n"
                                : "ipopt: corrupt .nl file\n",
              stderr);
    } else {
        size_t room = (size_t)nl.rows + 1;
        nl.values = calloc(room, sizeof *nl.values);
        nl.lower = malloc(room * sizeof *nl.lower);
        nl.upper = malloc(room * sizeof *nl.upper);
        nl.failed = !nl.values || !nl.lower || !nl.upper;
        for (int i = 0; i < nl.rows && !nl.failed; i++)
            nl.lower[i] = -INFINITY, nl.upper[i] = INFINITY;
        read_segments(&nl);
        if (nl.failed)
            fputs("ipopt: the problem has no variables, and its constants cannot be read\n", stderr);
        else
            done = answer(ipopt, &nl, stub, writes_sol);
        free(nl.values), free(nl.lower), free(nl.upper);
    }
    if (nl.file)
        fclose(nl.file);
    return done;
}
