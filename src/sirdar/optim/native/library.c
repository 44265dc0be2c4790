/* Loads Ipopt's library when the program runs, not when it is linked.
 *
 * OpenBLAS reads its number of threads, and starts them, while it is loaded. On the small systems of most problems threads
 * cost more than they bring (and a fork is not safe with them), so one thread is the default, which has to be said first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipopt_driver.h"

#ifndef IPOPT_LIBRARY
#define IPOPT_LIBRARY "libipopt.so.3"
#endif

static const char *const THREADS[] = {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"};

static void choose_one_thread(void) {
    for (size_t i = 0; i < sizeof THREADS / sizeof *THREADS; i++)
        if (getenv(THREADS[i]))
            return;
    setenv(THREADS[0], "1", 1);
}

static void *find(void *library, const char *name, bool *missing) {
    void *function = dlsym(library, name);
    if (!function) {
        fprintf(stderr, "ipopt: the library of Ipopt has no %s: %s\n", name, dlerror());
        *missing = true;
    }
    return function;
}

static void read_version(void *library, char *version, size_t room) {
    void (*ask)(int *, int *, int *);
    int major, minor, release;
    *(void **)&ask = dlsym(library, "GetIpoptVersion"); /* since 3.14.18 */
    if (!ask) {
        snprintf(version, room, "%s", IPOPT_VERSION);
        return;
    }
    ask(&major, &minor, &release);
    snprintf(version, room, "%d.%d.%d", major, minor, release);
}

const struct ipopt_library *load_ipopt(void) {
    static struct ipopt_library ipopt;
    const char *path = getenv("SIRDAR_IPOPT_LIBRARY");
    bool missing = false;
    void *library;

    choose_one_thread();
    if (!path || !*path)
        path = IPOPT_LIBRARY;
    library = dlopen(path, RTLD_LAZY | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr,
                "ipopt: the library of Ipopt is not to be had: %s\n"
                "Build this command again with `sirdar optim install`, or name the library in SIRDAR_IPOPT_LIBRARY.\n",
                dlerror());
        return NULL;
    }
    *(void **)&ipopt.create = find(library, "CreateIpoptProblem", &missing);
    *(void **)&ipopt.release = find(library, "FreeIpoptProblem", &missing);
    *(void **)&ipopt.set_string = find(library, "AddIpoptStrOption", &missing);
    *(void **)&ipopt.set_number = find(library, "AddIpoptNumOption", &missing);
    *(void **)&ipopt.set_integer = find(library, "AddIpoptIntOption", &missing);
    *(void **)&ipopt.set_scaling = find(library, "SetIpoptProblemScaling", &missing);
    *(void **)&ipopt.solve = find(library, "IpoptSolve", &missing);
    if (missing)
        return NULL;
    read_version(library, ipopt.version, sizeof ipopt.version);
    return &ipopt;
}
