/* ipopt: reads STUB.nl, solves it with Ipopt, writes STUB.sol, as AMPL's drivers do.
 *
 *   ipopt STUB [-AMPL] [option=value ...]     solve one problem
 *   ipopt -v | -= | --print-options[=MODE]    version; the options; the options with their documentation
 *   SIRDAR_WORKER_FD=N ipopt                  stay and serve tasks from socket N (worker.c)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipopt_driver.h"

static const char PRINT_OPTIONS[] = "--print-options";

int main(int count, char **words) {
    const char *socket = getenv("SIRDAR_WORKER_FD");
    const struct ipopt_library *ipopt = load_ipopt();

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
