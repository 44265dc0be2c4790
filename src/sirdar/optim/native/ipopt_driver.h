/* An AMPL-style driver for Ipopt: what its files share. */
#ifndef SIRDAR_IPOPT_DRIVER_H
#define SIRDAR_IPOPT_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

#include "IpStdCInterface.h"

/* The functions of Ipopt's C interface, found in its library when the program runs. */
struct ipopt_library {
    __typeof__(&CreateIpoptProblem) create;
    __typeof__(&FreeIpoptProblem) release;
    __typeof__(&AddIpoptStrOption) set_string;
    __typeof__(&AddIpoptNumOption) set_number;
    __typeof__(&AddIpoptIntOption) set_integer;
    __typeof__(&SetIpoptProblemScaling) set_scaling;
    __typeof__(&IpoptSolve) solve;
    char version[32];
};

/* library.c: the library itself; NULL, with a message on stderr, where it cannot be loaded. */
const struct ipopt_library *load_ipopt(void);

/* options.c: what the environment and the command line ask for. */
enum option_kind { OPTION_INTEGER, OPTION_NUMBER, OPTION_STRING };

struct option_setting {
    const char *name; /* Ipopt's name of it, also where an alias was given */
    enum option_kind kind;
    int integer;
    double number;
    char *string;
    struct option_setting *next;
};

struct asked {
    struct option_setting *first, **end; /* in the order in which they were given: a later one wins */
    bool halt_on_evaluation_error;
};

struct Option_Info *describe_options(const struct ipopt_library *ipopt, struct asked *asked);
bool apply_options(const struct ipopt_library *ipopt, IpoptProblem problem, const struct asked *asked);
void forget_options(struct asked *asked);
int print_all_options(const struct ipopt_library *ipopt, const char *mode);

/* solve.c: one problem, from its .nl file to its .sol file. Answers the exit code of the command. */
int solve_problem(const struct ipopt_library *ipopt, char **words);

/* constants.c: a problem without variables, which AMPL's library refuses and no solver is needed for. */
bool has_no_variables(const char *stub);
bool decide_by_constants(const struct ipopt_library *ipopt, const char *stub, bool writes_sol); /* false: said on stderr */

/* refusal.c: why nothing was solved, as the last line on stderr: that line is what becomes of it in a job's message. */
struct overheard { /* what libraries say on standard output in the meantime */
    int kept, file;
    char text[16384];
};
void listen_to_output(struct overheard *heard);
void stop_listening(struct overheard *heard);
void tell_unknown_option(const char *said_by_asl);
void tell_refusal(const struct ipopt_library *ipopt, IpoptProblem problem, double *x, void *model);

/* worker.c: serves tasks from the socket with this descriptor until its other end is closed. Answers the exit code of the process. */
int serve_tasks(const struct ipopt_library *ipopt, char *program, int socket);

/* json.c: the little of JSON that a task's line needs. A value is its place in the text. */
const char *json_member(const char *object, const char *name);   /* NULL where there is none */
const char *json_first(const char *container);                   /* the first item of an array, or key of an object */
const char *json_next(const char *value);                        /* what follows after a comma; NULL at the end */
const char *json_after_key(const char *key);                     /* the value that belongs to an object's key */
const char *json_end(const char *value);                         /* one past the value; NULL where it is not whole */
char *json_string(const char *value);                            /* a copy, decoded; NULL where it is no string */

#endif
