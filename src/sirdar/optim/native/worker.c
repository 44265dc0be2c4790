#include "ipopt_driver.h"
int serve_tasks(const struct ipopt_library *ipopt, char *program, int socket) {(void)ipopt;(void)program;(void)socket;return 1;}
