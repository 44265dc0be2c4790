/* One problem: AMPL's solver library reads it and evaluates it with exact derivatives, Ipopt solves it, the answer is written. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asl.h"
#include "getstub.h"
#undef exit

#include "ipopt_driver.h"

/* What Ipopt's own command exits with where it cannot even begin. */
enum { EXIT_BAD_PROBLEM = 1, EXIT_BAD_OPTION_FILE = 155 };

struct model {
    ASL *asl;
    fint error, *on_error; /* where ASL notes a failed evaluation; NULL makes it stop the program with a message */
    double sign;           /* -1 where the objective is to be maximised: Ipopt minimises */
    int hessian_count;
    double *objective_weights;
};

struct answer {
    double *x, *lower, *upper, *multipliers, *constraints, objective;
};

/* --- Evaluations, called by Ipopt ------------------------------------------------------------------------------------ */

static bool evaluated(struct model *model) {
    if (!model->on_error || !model->error)
        return true;
    model->error = 0;
    puts("Error in an AMPL evaluation. Run with \"halt_on_ampl_error yes\" to see details.");
    return false;
}

static bool move_to(struct model *model, double *x, bool moved) {
    ASL *asl = model->asl;

    if (moved)
        xknowne(x, model->on_error);
    return evaluated(model);
}

static bool value_at(struct model *model, double *x, double *value) {
    ASL *asl = model->asl;

    *value = n_obj ? model->sign * objval(obj_no, x, model->on_error) : 0;
    return evaluated(model);
}

static bool objective_value(ipindex n, ipnumber *x, bool moved, ipnumber *value, UserDataPtr data) {
    (void)n;
    return move_to(data, x, moved) && value_at(data, x, value);
}

static bool objective_gradient(ipindex n, ipnumber *x, bool moved, ipnumber *gradient, UserDataPtr data) {
    struct model *model = data;
    ASL *asl = model->asl;

    if (!move_to(model, x, moved))
        return false;
    if (!n_obj) {
        memset(gradient, 0, (size_t)n * sizeof *gradient);
        return true;
    }
    objgrd(obj_no, x, gradient, model->on_error);
    if (model->sign < 0)
        for (ipindex i = 0; i < n; i++)
            gradient[i] = -gradient[i];
    return evaluated(model);
}

static bool constraint_values(ipindex n, ipnumber *x, bool moved, ipindex m, ipnumber *g, UserDataPtr data) {
    struct model *model = data;
    ASL *asl = model->asl;

    (void)n, (void)m;
    if (!move_to(model, x, moved))
        return false;
    conval(x, g, model->on_error);
    return evaluated(model);
}

static void jacobian_places(ASL *asl, ipindex *rows, ipindex *columns) {
    rows[0] = columns[0] = 0; /* stays so where no constraint has a variable: Ipopt's C interface wants one entry */
    for (int i = 0; i < n_con; i++)
        for (cgrad *entry = Cgrad[i]; entry; entry = entry->next) {
            rows[entry->goff] = i;
            columns[entry->goff] = entry->varno;
        }
}

static bool constraint_jacobian(ipindex n, ipnumber *x, bool moved, ipindex m, ipindex count, ipindex *rows,
                                ipindex *columns, ipnumber *values, UserDataPtr data) {
    struct model *model = data;
    ASL *asl = model->asl;

    (void)n, (void)m, (void)count;
    if (!values) {
        jacobian_places(asl, rows, columns);
        return true;
    }
    if (!move_to(model, x, moved))
        return false;
    values[0] = 0;
    if (nzc)
        jacval(x, values, model->on_error);
    return evaluated(model);
}

static void hessian_places(ASL *asl, ipindex *rows, ipindex *columns) {
    for (int column = 0; column < n_var; column++)
        for (fint k = sputinfo->hcolstarts[column]; k < sputinfo->hcolstarts[column + 1]; k++) {
            rows[k] = (ipindex)sputinfo->hrownos[k];
            columns[k] = column;
        }
}

/* ASL forms second derivatives from what the last evaluation of the functions left, so these come first at a new point. */
static bool lagrangian_hessian(ipindex n, ipnumber *x, bool moved, ipnumber factor, ipindex m, ipnumber *multipliers,
                               bool new_multipliers, ipindex count, ipindex *rows, ipindex *columns, ipnumber *values,
                               UserDataPtr data) {
    struct model *model = data;
    ASL *asl = model->asl;
    double ignored;

    (void)n, (void)m, (void)new_multipliers, (void)count;
    if (!values) {
        hessian_places(asl, rows, columns);
        return true;
    }
    if (!move_to(model, x, moved) || !value_at(model, x, &ignored))
        return false;
    for (int i = 0; i < n_con; i++)
        conival(i, x, model->on_error);
    if (!evaluated(model))
        return false;
    if (n_obj)
        model->objective_weights[obj_no] = model->sign * factor;
    sphes(values, -1, model->objective_weights, multipliers);
    return true;
}

/* --- Reading --------------------------------------------------------------------------------------------------------- */

static double *doubles(int count) {
    double *values = calloc(count > 0 ? (size_t)count : 1, sizeof *values);
    if (!values) {
        fputs("ipopt: out of memory\n", stderr);
        exit(EXIT_BAD_PROBLEM);
    }
    return values;
}

static SufDecl SUFFIXES[] = {
    {"scaling_factor", NULL, ASL_Sufkind_var | ASL_Sufkind_real, 0},
    {"scaling_factor", NULL, ASL_Sufkind_con | ASL_Sufkind_real, 0},
    {"scaling_factor", NULL, ASL_Sufkind_obj | ASL_Sufkind_real, 0},
    {"ipopt_zL_in", NULL, ASL_Sufkind_var | ASL_Sufkind_real, 0},
    {"ipopt_zU_in", NULL, ASL_Sufkind_var | ASL_Sufkind_real, 0},
    {"ipopt_zL_out", NULL, ASL_Sufkind_var | ASL_Sufkind_real, 0},
    {"ipopt_zU_out", NULL, ASL_Sufkind_var | ASL_Sufkind_real, 0},
};

/* Why this problem is none for Ipopt; NULL where it is one. */
static const char *unsuitable(ASL *asl) {
    if (n_cc)
        return "Ipopt does not support complementarity constraints.";
    if (n_obj > 1)
        return "There is more than one objective function: deactivate all but one in the model.";
    return NULL;
}

static int discrete_count(ASL *asl) {
    return (int)(nbv + niv + nlvbi + nlvci + nlvoi);
}

static const char *reading_error(int code) {
    switch (code) {
    case ASL_readerr_nofile: return "Cannot open .nl file";
    case ASL_readerr_argerr: return "user-defined function with bad args";
    case ASL_readerr_unavail: return "user-defined function not available";
    case ASL_readerr_corrupt: return "corrupt .nl file";
    case ASL_readerr_CLP: return "the model has a constraint without \"=\", \">=\" or \"<=\"";
    default: return "the .nl file cannot be read";
    }
}

static bool read_problem(struct model *model, char *stub) {
    ASL *asl = model->asl;
    const char *wrong;
    FILE *nl;
    int code;

    return_nofile = 1;
    nl = jac0dim(stub, (ftnlen)strlen(stub));
    if (!nl) {
        fprintf(stderr, "ipopt: can't open %s.nl\n", stub);
        return false;
    }
    wrong = unsuitable(asl);
    if (wrong) {
        fprintf(stderr, "ipopt: %s\n", wrong);
        fclose(nl);
        return false;
    }
    if (discrete_count(asl))
        printf("==> Warning: Treating %d binary and %d integer variables as continuous.\n\n", (int)nbv,
               discrete_count(asl) - (int)nbv);
    want_xpi0 = 1 | 2;
    obj_no = 0;
    X0 = doubles(n_var);
    pi0 = doubles(n_con);
    havex0 = (char *)doubles(n_var / 8 + 1);
    havepi0 = (char *)doubles(n_con / 8 + 1);
    suf_declare(SUFFIXES, sizeof SUFFIXES / sizeof *SUFFIXES);
    code = pfgh_read(nl, ASL_return_read_err | ASL_findgroups);
    if (code != ASL_readerr_none) {
        fprintf(stderr, "ipopt: %s\n", reading_error(code));
        return false;
    }
    model->sign = n_obj && objtype[obj_no] ? -1 : 1;
    model->objective_weights = doubles(n_obj);
    hesset(1, obj_no, n_obj, 0, nlc);
    model->hessian_count = (int)sphsetup(-1, 1, 1, 1);
    puts("");
    return true;
}

/* --- Setting up ------------------------------------------------------------------------------------------------------ */

static IpoptProblem create_problem(const struct ipopt_library *ipopt, struct model *model) {
    ASL *asl = model->asl;
    double *lower = doubles(n_var), *upper = doubles(n_var), *least = doubles(n_con), *most = doubles(n_con);
    IpoptProblem problem;

    for (int i = 0; i < n_var; i++)
        lower[i] = LUv[2 * i], upper[i] = LUv[2 * i + 1];
    for (int i = 0; i < n_con; i++)
        least[i] = LUrhs[2 * i], most[i] = LUrhs[2 * i + 1];
    problem = ipopt->create(n_var, lower, upper, n_con, least, most, n_con && !nzc ? 1 : (ipindex)nzc,
                            model->hessian_count, 0, objective_value, constraint_values, objective_gradient,
                            constraint_jacobian, lagrangian_hessian);
    free(lower), free(upper), free(least), free(most);
    return problem;
}

static double *suffix(ASL *asl, const char *name, int kind) {
    return suf_get(name, kind)->u.r;
}

/* A factor that is not positive means none. */
static double *factors(double *given, int count) {
    double *positive;

    if (!given)
        return NULL;
    positive = doubles(count);
    for (int i = 0; i < count; i++)
        positive[i] = given[i] > 0 ? given[i] : 1;
    return positive;
}

/* Used by Ipopt with nlp_scaling_method=user-scaling only. */
static void set_scaling(const struct ipopt_library *ipopt, IpoptProblem problem, ASL *asl) {
    double *objective = suffix(asl, "scaling_factor", ASL_Sufkind_obj);
    double *x = factors(suffix(asl, "scaling_factor", ASL_Sufkind_var), n_var);
    double *g = factors(suffix(asl, "scaling_factor", ASL_Sufkind_con), n_con);

    ipopt->set_scaling(problem, objective && objective[0] ? objective[0] : 1, x, g);
    free(x), free(g);
}

static double nearest_to_zero(double lower, double upper) {
    return lower > 0 ? lower : upper < 0 ? upper : 0;
}

/* The multipliers count with warm_start_init_point=yes only. AMPL's signs are those of the objective as the user wrote it. */
static struct answer starting_point(struct model *model) {
    ASL *asl = model->asl;
    double *lower = suffix(asl, "ipopt_zL_in", ASL_Sufkind_var), *upper = suffix(asl, "ipopt_zU_in", ASL_Sufkind_var);
    struct answer start = {doubles(n_var), doubles(n_var), doubles(n_var), doubles(n_con), doubles(n_con), 0};

    for (int i = 0; i < n_var; i++) {
        start.x[i] = havex0[i] ? X0[i] : nearest_to_zero(LUv[2 * i], LUv[2 * i + 1]);
        start.lower[i] = lower ? model->sign * lower[i] : 1;
        start.upper[i] = upper ? -model->sign * upper[i] : 1;
    }
    for (int i = 0; i < n_con; i++)
        start.multipliers[i] = havepi0[i] ? -model->sign * pi0[i] : 0;
    return start;
}

/* --- Answering ------------------------------------------------------------------------------------------------------- */

struct verdict {
    int code;
    const char *words;
};

static struct verdict verdict_of(enum ApplicationReturnStatus status) {
    switch (status) {
    case Solve_Succeeded: return (struct verdict){0, "Optimal Solution Found"};
    case Solved_To_Acceptable_Level: return (struct verdict){1, "Solved To Acceptable Level."};
    case Feasible_Point_Found: return (struct verdict){2, "Found feasible point for square problem."};
    case Infeasible_Problem_Detected:
        return (struct verdict){200, "Converged to a locally infeasible point. Problem may be infeasible."};
    case Diverging_Iterates: return (struct verdict){300, "Iterates diverging; problem might be unbounded."};
    case Maximum_Iterations_Exceeded: return (struct verdict){400, "Maximum Number of Iterations Exceeded."};
    case Maximum_CpuTime_Exceeded: return (struct verdict){401, "Maximum CPU Time Exceeded."};
    case Maximum_WallTime_Exceeded: return (struct verdict){402, "Maximum Wallclock Time Exceeded."};
    case Search_Direction_Becomes_Too_Small: return (struct verdict){500, "Search Direction becomes Too Small."};
    case Restoration_Failed: return (struct verdict){501, "Restoration Phase Failed."};
    case Error_In_Step_Computation: return (struct verdict){502, "Unknown Error: the step cannot be computed."};
    case Not_Enough_Degrees_Of_Freedom: return (struct verdict){502, "Unknown Error: too few degrees of freedom."};
    case Invalid_Problem_Definition: return (struct verdict){502, "Unknown Error: the problem is not well defined."};
    case Invalid_Number_Detected:
        return (struct verdict){502, "Unknown Error: invalid number in a function or derivative."};
    case Insufficient_Memory: return (struct verdict){502, "Unknown Error: not enough memory."};
    default: return (struct verdict){502, "Unknown Error"};
    }
}

static void write_answer(const struct ipopt_library *ipopt, struct model *model, enum ApplicationReturnStatus status,
                         struct answer *answer, Option_Info *description) {
    ASL *asl = model->asl;
    struct verdict verdict = verdict_of(status);
    int discrete = discrete_count(asl);
    char message[240], relaxed[80] = "";

    for (int i = 0; i < n_var; i++) {
        answer->lower[i] *= model->sign;
        answer->upper[i] *= -model->sign;
    }
    for (int i = 0; i < n_con; i++)
        answer->multipliers[i] *= -model->sign;
    suf_rput("ipopt_zL_out", ASL_Sufkind_var, answer->lower);
    suf_rput("ipopt_zU_out", ASL_Sufkind_var, answer->upper);
    if (discrete)
        snprintf(relaxed, sizeof relaxed, " (%d integer variable%s taken as continuous)", discrete, discrete > 1 ? "s" : "");
    snprintf(message, sizeof message, " \nIpopt %s: %s%s", ipopt->version, verdict.words, relaxed);
    solve_result_num = verdict.code;
    write_sol(message, answer->x, answer->multipliers, description);
}

static int solve_read(const struct ipopt_library *ipopt, struct model *model, const struct asked *asked,
                      Option_Info *description) {
    IpoptProblem problem = create_problem(ipopt, model);
    struct answer answer = starting_point(model);
    enum ApplicationReturnStatus status;
    int code = EXIT_BAD_PROBLEM;

    set_scaling(ipopt, problem, model->asl);
    if (apply_options(ipopt, problem, asked)) {
        status = ipopt->solve(problem, answer.x, answer.constraints, &answer.objective, answer.multipliers, answer.lower,
                              answer.upper, model);
        code = status == Invalid_Option ? EXIT_BAD_OPTION_FILE : 0;
        if (code)
            tell_refusal(ipopt, problem, answer.x, model);
        else
            write_answer(ipopt, model, status, &answer, description);
    }
    ipopt->release(problem);
    free(answer.x), free(answer.lower), free(answer.upper), free(answer.multipliers), free(answer.constraints);
    return code;
}

static void forget(struct model *model) {
    ASL *asl = model->asl;

    free(model->objective_weights);
    free(X0), free(pi0), free(havex0), free(havepi0);
    X0 = pi0 = NULL;
    havex0 = havepi0 = NULL;
    ASL_free(&model->asl);
}

/* ASL says on standard output which word it does not know. */
static bool read_options(ASL *asl, char **words, Option_Info *description) {
    struct overheard heard;
    int bad;

    listen_to_output(&heard);
    bad = getopts(words, description);
    stop_listening(&heard);
    fputs(heard.text, stdout);
    if (bad)
        tell_unknown_option(heard.text);
    return !bad;
}

int solve_problem(const struct ipopt_library *ipopt, char **words) {
    struct model model = {.asl = ASL_alloc(ASL_read_pfgh)};
    struct asked asked = {0};
    Option_Info *description = describe_options(ipopt, &asked);
    ASL *asl = model.asl;
    char *stub = getstub(&words, description);
    int code = EXIT_BAD_PROBLEM;

    if (!stub) {
        fputs("ipopt: No .nl file given!\n", stderr);
    } else if (read_options(asl, words, description)) {
        model.on_error = asked.halt_on_evaluation_error ? NULL : &model.error;
        if (has_no_variables(stub)) /* ASL ends the program over these */
            code = decide_by_constants(ipopt, stub, amplflag || description->wantsol & 1) ? 0 : EXIT_BAD_PROBLEM;
        else if (read_problem(&model, stub))
            code = solve_read(ipopt, &model, &asked, description);
    }
    forget(&model);
    forget_options(&asked);
    return code;
}
