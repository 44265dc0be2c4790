/* ipopt: reads STUB.nl, solves it with Ipopt, writes STUB.sol, as AMPL's drivers do.
 *
 *   ipopt STUB [-AMPL] [option=value ...]     solve one problem
 *   ipopt -v | -= | --print-options[=MODE]    version; the options; the options with their documentation
 *   SIRDAR_WORKER_FD=N ipopt                  stay and serve tasks from socket N (worker.c)
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipopt_driver.h"

static const char PRINT_OPTIONS[] = "--print-options";

/* Ipopt and MUMPS allocate and free the same large blocks in each iteration: to hand them to the system and take them back
 * in between costs a tenth of a small problem's time, in page faults. */
static void keep_memory(void) {
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
    mallopt(M_TOP_PAD, 4 << 20);
}

int main(int count, char **words) {
    const char *socket = getenv("SIRDAR_WORKER_FD");
    const struct ipopt_library *ipopt;

    keep_memory();
    ipopt = load_ipopt();
    if (!ipopt)
        return 127;
    if (socket && *socket)
        return serve_tasks(ipopt, words[0], atoi(socket));
    if (count == 2 && !strncmp(words[1], PRINT_OPTIONS, strlen(PRINT_OPTIONS))) {
        const char *mode = words[1] + strlen(PRINT_OPTIONS);
        return print_all_options(ipopt, *mode == '=' ? mode + 1 : "text");
    }
    return solve_problem(ipopt, words);
}
