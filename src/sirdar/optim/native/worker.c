/* A kept-alive process: one problem after another, without the start of a program for each.
 *
 * A line of JSON asks, {"task", "directory", "command", "environment", "stdout", "stderr"}; a line answers,
 * {"task", "exit_code"}. The problems are solved in this very process. (A fork for each was tried: it gives back all by
 * itself, and costs 1.5 ms of page faults, as much as a small problem takes to solve.) So each task gets its own directory,
 * environment, descriptors 1 and 2, options and solver, and all of them are taken back. Where a library calls exit in a
 * task, the task is answered with that code before the process ends; where it crashes, the process is gone, for its parent
 * to see.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipopt_driver.h"

enum { EXIT_CANNOT_BEGIN = 126, EXIT_BAD_REQUEST = 125 };
static const size_t KEPT_BYTES = 256u << 20; /* of free memory that the allocator may hold on to between tasks */

struct home { /* what this process was started with, and goes back to after each task */
    int directory, output, errors;
    char **environment;
};

static int answers = -1;         /* the socket */
static const char *current_task; /* the line that is being served, for an exit in the midst of it */

/* --- Answers --------------------------------------------------------------------------------------------------------- */

static bool answer(const char *task, int code) {
    const char *id = json_member(task, "task"), *end = id ? json_end(id) : NULL;
    char line[512];
    int length = snprintf(line, sizeof line, "{\"task\": %.*s, \"exit_code\": %d}\n",
                          end && end - id < 400 ? (int)(end - id) : 4, end && end - id < 400 ? id : "null", code);

    for (int sent = 0, part; sent < length; sent += part) {
        part = (int)write(answers, line + sent, (size_t)(length - sent));
        if (part <= 0)
            return false;
    }
    return true;
}

static void answer_an_exit(int code, void *nothing) {
    (void)nothing;
    if (!current_task)
        return;
    fflush(NULL);
    answer(current_task, code & 0xFF);
    current_task = NULL;
}

/* --- A task's surroundings ------------------------------------------------------------------------------------------- */

static bool redirect(const char *task, const char *name, int descriptor) {
    char *path = json_string(json_member(task, name));
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    bool done = !path || (file >= 0 && dup2(file, descriptor) >= 0);

    if (!done)
        fprintf(stderr, "ipopt: %s: %s\n", path, strerror(errno));
    if (file >= 0)
        close(file);
    free(path);
    return done;
}

static bool enter_directory(const char *task) {
    char *directory = json_string(json_member(task, "directory"));
    bool done = !directory || chdir(directory) == 0;

    if (!done)
        fprintf(stderr, "ipopt: %s: %s\n", directory, strerror(errno));
    free(directory);
    return done;
}

static bool names_same(const char *variable, const char *other) {
    size_t length = strcspn(variable, "=");
    return !strncmp(variable, other, length) && other[length] == '=';
}

/* The task's variables over those of this process; a list of its own, so that taking it back is one assignment. */
static char **task_environment(const char *task, char **own) {
    const char *object = json_member(task, "environment"), *value;
    size_t count = 0, given = 0;
    char **list;

    if (object && *object != '{')
        object = NULL;
    for (const char *key = object ? json_first(object) : NULL; key; key = json_next(value), given++)
        if (!(value = json_after_key(key)))
            return NULL;
    for (char **one = own; *one; one++)
        count++;
    list = calloc(given + count + 1, sizeof *list);
    given = 0;
    for (const char *key = object ? json_first(object) : NULL; key; key = json_next(value)) {
        char *name = json_string(key), *text = json_string(value = json_after_key(key));
        if (name && text && asprintf(&list[given], "%s=%s", name, text) > 0)
            given++;
        free(name), free(text);
    }
    count = given;
    for (char **one = own; *one; one++) {
        bool replaced = names_same("SIRDAR_WORKER_FD=", *one);
        for (size_t i = 0; i < given && !replaced; i++)
            replaced = names_same(list[i], *one);
        if (!replaced)
            list[count++] = strdup(*one);
    }
    return list;
}

static bool enter(const char *task, struct home *home) {
    char **environment = task_environment(task, home->environment);

    if (!environment || !redirect(task, "stderr", STDERR_FILENO) || !redirect(task, "stdout", STDOUT_FILENO))
        return false;
    environ = environment;
    return enter_directory(task);
}

static void go_home(struct home *home) {
    fflush(NULL);
    dup2(home->output, STDOUT_FILENO);
    dup2(home->errors, STDERR_FILENO);
    if (environ != home->environment) {
        for (char **one = environ; *one; one++)
            free(*one);
        free(environ);
        environ = home->environment;
    }
    if (fchdir(home->directory) < 0)
        fprintf(stderr, "ipopt: the directory that this process was started in: %s\n", strerror(errno));
    if (mallinfo2().fordblks > KEPT_BYTES)
        malloc_trim(0);
}

/* --- A task ---------------------------------------------------------------------------------------------------------- */

static char **words_of(const char *task, char *program) {
    const char *command = json_member(task, "command"), *word;
    size_t count = 2;
    char **words, **next;

    if (!command || *command != '[')
        return NULL;
    for (word = json_first(command); word; word = json_next(word))
        count++;
    words = next = calloc(count, sizeof *words);
    *next++ = program;
    for (word = json_first(command); word; word = json_next(word))
        if (!(*next++ = json_string(word)))
            return NULL;
    return words;
}

static int run(const struct ipopt_library *ipopt, const char *task, char *program) {
    char **words = words_of(task, program);
    int code;

    if (!words) {
        fputs("ipopt: a task's command is no list of strings\n", stderr);
        return EXIT_BAD_REQUEST;
    }
    code = solve_problem(ipopt, words);
    for (char **word = words + 1; *word; word++)
        free(*word);
    free(words);
    return code;
}

static bool serve(const struct ipopt_library *ipopt, const char *task, char *program, struct home *home) {
    int code = EXIT_CANNOT_BEGIN;

    current_task = task;
    if (enter(task, home))
        code = run(ipopt, task, program);
    go_home(home);
    current_task = NULL;
    return answer(task, code);
}

int serve_tasks(const struct ipopt_library *ipopt, char *program, int socket) {
    struct home home = {open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3),
                        fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), environ};
    FILE *requests;
    char *line = NULL;
    size_t room = 0;

    answers = fcntl(socket, F_DUPFD_CLOEXEC, 3);
    requests = answers < 0 ? NULL : fdopen(answers, "r");
    if (!requests) {
        fprintf(stderr, "ipopt: SIRDAR_WORKER_FD=%d names no open socket: %s\n", socket, strerror(errno));
        return EXIT_BAD_REQUEST;
    }
    close(socket);
    signal(SIGPIPE, SIG_IGN);
    on_exit(answer_an_exit, NULL);
    while (getline(&line, &room, requests) > 0)
        if (!serve(ipopt, line, program, &home))
            return EXIT_CANNOT_BEGIN;
    return 0;
}
