/* Why nothing was solved: libraries say it on standard output only, amid other words, so they are listened to. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipopt_driver.h"

/* Where the system has no room for it, nothing is heard, and what is said goes where it would go anyway. */
void listen_to_output(struct overheard *heard) {
    heard->text[0] = 0;
    fflush(stdout);
    heard->file = memfd_create("said", MFD_CLOEXEC);
    heard->kept = heard->file < 0 ? -1 : dup(STDOUT_FILENO);
    if (heard->kept >= 0)
        dup2(heard->file, STDOUT_FILENO);
}

void stop_listening(struct overheard *heard) {
    ssize_t length = 0;

    if (heard->kept >= 0) {
        fflush(stdout);
        dup2(heard->kept, STDOUT_FILENO);
        close(heard->kept);
        length = pread(heard->file, heard->text, sizeof heard->text - 1, 0);
    }
    if (heard->file >= 0)
        close(heard->file);
    heard->text[length > 0 ? length : 0] = 0;
}

/* Copies what stands between two marks; false where they do not. */
static bool between(const char *text, const char *before, const char *after, char *found, size_t room) {
    const char *begin = strstr(text, before), *end;

    if (!begin)
        return false;
    begin += strlen(before);
    end = strstr(begin, after);
    snprintf(found, room, "%.*s", (int)(end ? (size_t)(end - begin) : strlen(begin)), begin);
    return true;
}

void tell_unknown_option(const char *said_by_asl) {
    char name[200];

    if (between(said_by_asl, "Unknown keyword \"", "\"\n", name, sizeof name))
        fprintf(stderr, "ipopt: there is no option \"%s\"\n", name);
}

/* Ipopt's C interface answers "invalid option" and no more. So it is asked once more; it ends as early as it did before. */
void tell_refusal(const struct ipopt_library *ipopt, IpoptProblem problem, double *x, void *model) {
    struct overheard heard;
    char value[200], name[200], reason[800];

    listen_to_output(&heard);
    ipopt->solve(problem, x, NULL, NULL, NULL, NULL, NULL, model);
    stop_listening(&heard);
    if (between(heard.text, "Setting: \"", "\" is not", value, sizeof value) &&
        between(heard.text, "for Option: ", ". ", name, sizeof name))
        fprintf(stderr, "ipopt: the option %s does not take the value \"%s\"\n", name, value);
    else if (between(heard.text, "Read Option: \"", "\"", name, sizeof name))
        fprintf(stderr, "ipopt: there is no option \"%s\"\n", name);
    else if (between(heard.text, "Exception message: ", "\n", reason, sizeof reason))
        fprintf(stderr, "ipopt: %s%s\n",
                strstr(heard.text, "DYNAMIC_LIBRARY_FAILURE") ? "the option linear_solver needs a library: " : "", reason);
    else
        fputs("ipopt: one of the options was refused: the output says which\n", stderr);
}
