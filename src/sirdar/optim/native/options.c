/* The options of the command: all that Ipopt's library registers, and four words of AMPL drivers.
 *
 * Their order of force is that of Ipopt's own command: ipopt_options in the environment, then the command line over it, and
 * the options file (which the library reads itself) over both.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asl.h"
#include "getstub.h"
#undef exit

#include "ipopt_driver.h"

struct registered {
    const char *keyword, *name;
    enum option_kind kind;
    const char *description;
};

/* Written by the build from the library's own list. */
static const struct registered REGISTERED[] = {
#include "ipopt_options.inc"
    {"maxit", "max_iter", OPTION_INTEGER, "Maximum number of iterations (same as max_iter)."},
    {"outlev", "print_level", OPTION_INTEGER, "Output verbosity level (same as print_level)."},
};
enum { REGISTERED_COUNT = sizeof REGISTERED / sizeof *REGISTERED, OWN_COUNT = 2 };

static struct asked *asked; /* ASL's keyword functions are given no room for it */
static char solver_name[48];

static struct option_setting *add_setting(const struct registered *option) {
    struct option_setting *setting = calloc(1, sizeof *setting);
    setting->name = option->name;
    setting->kind = option->kind;
    *asked->end = setting;
    asked->end = &setting->next;
    return setting;
}

/* What is refused is said in the last line on stderr: that line is what becomes of it in a job's message. */
static void refuse_value(const char *name, const char *value) {
    fprintf(stderr, "ipopt: the option %s does not take the value \"%.*s\"\n", name, (int)strcspn(value, " \t\r\n"), value);
}

/* Reads one value with ASL's reader of the option's type, which reports what is malformed. */
static char *read_setting(Option_Info *oi, keyword *kw, char *value) {
    const struct registered *option = kw->info;
    int bad_before = oi->n_badopts;
    struct option_setting read = {0}, *setting;
    keyword typed = *kw;
    char *rest;

    typed.info = option->kind == OPTION_INTEGER  ? (void *)&read.integer
                 : option->kind == OPTION_NUMBER ? (void *)&read.number
                                                 : (void *)&read.string;
    rest = option->kind == OPTION_INTEGER  ? I_val(oi, &typed, value)
           : option->kind == OPTION_NUMBER ? D_val(oi, &typed, value)
                                           : C_val(oi, &typed, value);
    if (oi->n_badopts > bad_before) {
        refuse_value(kw->name, value);
        return rest;
    }
    setting = add_setting(option);
    setting->integer = read.integer;
    setting->number = read.number;
    setting->string = read.string;
    return rest;
}

static char *read_halt(Option_Info *oi, keyword *kw, char *value) {
    char *word = NULL, *rest;
    keyword typed = *kw;

    typed.info = &word;
    rest = C_val(oi, &typed, value);
    if (word && !strcmp(word, "yes"))
        asked->halt_on_evaluation_error = true;
    else if (word && !strcmp(word, "no"))
        asked->halt_on_evaluation_error = false;
    else {
        badopt_ASL(oi);
        fprintf(stderr, "ipopt: the option halt_on_ampl_error must be yes or no\n");
    }
    return rest;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const keyword *)a)->name, ((const keyword *)b)->name);
}

static keyword *list_keywords(void) {
    keyword *keywords = calloc(REGISTERED_COUNT + OWN_COUNT, sizeof *keywords), *next = keywords;

    for (int i = 0; i < REGISTERED_COUNT; i++)
        *next++ = (keyword){(char *)REGISTERED[i].keyword, read_setting, (void *)&REGISTERED[i],
                            (char *)REGISTERED[i].description};
    *next++ = (keyword){"halt_on_ampl_error", read_halt, NULL, "Exit with a message on an evaluation error (yes, no)."};
    *next++ = (keyword){"wantsol", WS_val, NULL,
                        "Without -AMPL, the sum of 1: write a .sol file; 2: print the variables; 4: print the "
                        "multipliers; 8: print no message."};
    qsort(keywords, REGISTERED_COUNT + OWN_COUNT, sizeof *keywords, by_name);
    return keywords;
}

/* The description is made anew for each problem: ASL keeps state of one problem in it. */
struct Option_Info *describe_options(const struct ipopt_library *ipopt, struct asked *into) {
    static Option_Info description;
    static keyword *keywords;

    if (!keywords)
        keywords = list_keywords();
    memset(&description, 0, sizeof description);
    asked = into;
    asked->end = &asked->first;
    snprintf(solver_name, sizeof solver_name, "Ipopt %s", ipopt->version);
    description.sname = "ipopt";
    description.bsname = solver_name;
    description.opname = "ipopt_options";
    description.version = solver_name;
    description.keywds = keywords;
    description.n_keywds = REGISTERED_COUNT + OWN_COUNT;
    return &description;
}

static bool apply_option(const struct ipopt_library *ipopt, IpoptProblem problem, const struct option_setting *setting) {
    switch (setting->kind) {
    case OPTION_INTEGER: return ipopt->set_integer(problem, (char *)setting->name, setting->integer);
    case OPTION_NUMBER: return ipopt->set_number(problem, (char *)setting->name, setting->number);
    default: return ipopt->set_string(problem, (char *)setting->name, setting->string);
    }
}

static void tell_value(const struct option_setting *setting) {
    char number[32];

    snprintf(number, sizeof number, setting->kind == OPTION_INTEGER ? "%.0f" : "%g",
             setting->kind == OPTION_INTEGER ? setting->integer : setting->number);
    refuse_value(setting->name, setting->kind == OPTION_STRING ? setting->string : number);
}

bool apply_options(const struct ipopt_library *ipopt, IpoptProblem problem, const struct asked *given) {
    for (const struct option_setting *setting = given->first; setting; setting = setting->next)
        if (!apply_option(ipopt, problem, setting)) {
            tell_value(setting);
            return false;
        }
    return true;
}

void forget_options(struct asked *given) {
    for (struct option_setting *setting = given->first, *next; setting; setting = next) {
        next = setting->next;
        free(setting);
    }
}

static bool no_value(ipindex n, ipnumber *x, bool new_x, ipnumber *value, UserDataPtr data) {
    (void)n, (void)x, (void)new_x, (void)value, (void)data;
    return false;
}

/* The library prints its options while it prepares a solve, which then ends at once: there is no starting point. */
int print_all_options(const struct ipopt_library *ipopt, const char *mode) {
    ipnumber zero = 0;
    IpoptProblem problem =
        ipopt->create(1, &zero, &zero, 0, NULL, NULL, 0, 0, 0, no_value, NULL, no_value, NULL, NULL);

    ipopt->set_string(problem, "option_file_name", "");
    ipopt->set_string(problem, "print_options_documentation", "yes");
    ipopt->set_string(problem, "print_advanced_options", "yes");
    if (!ipopt->set_string(problem, "print_options_mode", (char *)mode))
        return 1;
    ipopt->solve(problem, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    ipopt->release(problem);
    return 0;
}
