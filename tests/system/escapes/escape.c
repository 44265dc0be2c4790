/* Tries to get out of a sandbox or a container. escape NAME [WORDS] tries one way and says what came of it:
 *
 *     exit code 0   the way is barred; the line says how
 *     exit code 9   it got through
 *     exit code 2   there is no such way
 *
 * It is linked statically, so that it runs in an image that holds nothing else. Some ways would harm the machine: MACHINE in the
 * environment is the machine's own mount namespace (readlink /proc/self/ns/mnt), in which nothing is tried.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int barred(const char *how) {
    printf("barred: %s\n", how);
    return 0;
}

static int through(const char *how) {
    printf("THROUGH: %s\n", how);
    return 9;
}

/* What a call came to: below zero is what ought to be. */
static int judged(long result, const char *what) {
    if (result < 0)
        return barred(strerror(errno));
    return through(what);
}

/* A file that is somebody else's: every byte that can be read of it is one too many. */
static int reads(const char *path) {
    char buffer[64];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return barred(strerror(errno));
    ssize_t count = read(fd, buffer, sizeof buffer);
    return count > 0 ? through(path) : barred(count < 0 ? strerror(errno) : "empty");
}

static int writes(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0)
        return barred(strerror(errno));
    return judged(write(fd, "escaped\n", 8), path);
}

static int lists(const char *path) {
    DIR *folder = opendir(path);
    int count = 0;
    if (!folder)
        return barred(strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    return count ? through(path) : barred("it is empty");
}

/* A process is another's if its command line has the word. */
static int sees_process(const char *word) {
    DIR *folder = opendir("/proc");
    char path[300], text[4096];
    if (!folder)
        return barred("no /proc");
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (atoi(entry->d_name) <= 0)
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t count = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            close(fd);
        for (ssize_t at = 0; at < count; at++)
            if (!text[at])
                text[at] = ' ';
        text[count > 0 ? count : 0] = 0;
        if (strstr(text, word) && !strstr(text, "escape"))
            return through(text);
    }
    return barred("no such process is seen");
}

static int signals(const char *pid) {
    return judged(kill(atoi(pid), 0), "signalled");
}

static int traces_other(const char *pid) {
    return judged(ptrace(PTRACE_SEIZE, atoi(pid), 0, 0), "traced");
}

static int reads_memory(const char *pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/mem", pid);
    int fd = open(path, O_RDONLY);
    char byte;
    if (fd < 0)
        return barred(strerror(errno));
    return judged(pread(fd, &byte, 1, 0x400000) > 0 ? 0 : -1, "read its memory");
}

static int connects(const char *port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return barred(strerror(errno));
    return judged(connect(fd, (struct sockaddr *)&to, sizeof to), "connected");
}

static int connects_unix(const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    return judged(connect(fd, (struct sockaddr *)&to, sizeof to), "connected");
}

/* An abstract socket has no path, so only a network namespace hides it. */
static int connects_abstract(const char *name) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t length = strlen(name);
    memcpy(to.sun_path + 1, name, length);
    return judged(connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)), "connected");
}

static int raw_socket(const char *unused) {
    (void)unused;
    return judged(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "a raw socket");
}

static int packet_socket(const char *unused) {
    (void)unused;
    return judged(socket(AF_PACKET, SOCK_RAW, 0), "a packet socket");
}

static int mounts(const char *unused) {
    (void)unused;
    return judged(mount("none", "/tmp", "tmpfs", 0, NULL), "mounted");
}

static int remounts(const char *path) {
    return judged(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL), "remounted writable");
}

static int unmounts(const char *path) {
    return judged(umount2(path, MNT_DETACH), "unmounted");
}

static int new_user(const char *unused) {
    (void)unused;
    return judged(unshare(CLONE_NEWUSER), "a user namespace");
}

static int clones_user(const char *unused) {
    (void)unused;
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return judged(pid, "a child in a user namespace");
}

static int joins(const char *pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return barred(strerror(errno));
    return judged(setns(fd, 0), "in another's mount namespace");
}

static int changes_root(const char *unused) {
    (void)unused;
    mkdir("hole", 0700);
    return judged(chroot("hole"), "a root of its own");
}

static int device(const char *unused) {
    (void)unused;
    if (mknod("disk", S_IFBLK | 0600, makedev(254, 0)) < 0)
        return barred(strerror(errno));
    return judged(open("disk", O_RDONLY), "a disk");
}

static int no_new_rights(const char *unused) {
    (void)unused;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? barred("a setuid program gives nothing") : through("setuid works");
}

static int capable(const char *unused) {
    (void)unused;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "CapEff:", 7))
            return strtoull(line + 7, NULL, 16) ? through(line) : barred("no capabilities");
    return barred("nobody says");
}

static int keys(const char *unused) {
    (void)unused;
    return judged(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1), "kernel keys");
}

static int programs_kernel(const char *unused) {
    (void)unused;
    char attributes[128] = {0};
    return judged(syscall(SYS_bpf, 0, attributes, sizeof attributes), "bpf");
}

static int loads_module(const char *unused) {
    (void)unused;
    return judged(syscall(SYS_init_module, "", 0, ""), "a module");
}

static int counts_events(const char *unused) {
    (void)unused;
    char attributes[128] = {0};
    return judged(syscall(SYS_perf_event_open, attributes, -1, 0, -1, 0), "kernel events");
}

static int faults_in_user(const char *unused) {
    (void)unused;
    return judged(syscall(SYS_userfaultfd, 0), "userfaultfd");
}

static int opens_handle(const char *unused) {
    (void)unused;
    struct {
        struct file_handle head;
        unsigned char inode[8];
    } handle = {.head = {.handle_bytes = 8, .handle_type = 1}, .inode = {2}};
    int fd = open(".", O_RDONLY);
    return judged(open_by_handle_at(fd, &handle.head, O_RDONLY), "the disk's root by its number");
}

static int types_into_terminal(const char *unused) {
    (void)unused;
    char letter = '\n';
    return judged(ioctl(0, TIOCSTI, &letter), "typed");
}

static int rings(const char *unused) {
    (void)unused;
    char parameters[256] = {0};
    return judged(syscall(SYS_io_uring_setup, 4, parameters), "io_uring");
}

static int links(const char *path) {
    unlink("linked");
    if (link(path, "linked") < 0)
        return barred(strerror(errno));
    return reads("linked");
}

static int replaces_streams(const char *unused) {
    (void)unused;
    unlink("../stdout");
    return judged(symlink("/etc/passwd", "../stdout"), "its stream is a link now");
}

static int replaces_messages(const char *unused) {
    (void)unused;
    if (unlink("../messages") < 0)
        return barred(strerror(errno));
    return judged(symlink("/etc/passwd", "../messages"), "its message file is a link now");
}

static int moves_directory(const char *unused) {
    (void)unused;
    char here[4096], there[4110];
    if (!getcwd(here, sizeof here))
        return barred(strerror(errno));
    snprintf(there, sizeof there, "%s.moved", here);
    return judged(rename(here, there), "its directory is elsewhere now");
}

static int small_tmp(const char *unused) {
    (void)unused;
    struct statvfs found;
    if (statvfs("/tmp", &found) < 0)
        return barred(strerror(errno));
    unsigned long long size = (unsigned long long)found.f_blocks * found.f_frsize;
    return size <= (2ULL << 30) ? barred("/tmp is bounded") : through("/tmp is the machine's disk");
}

/* Not an attempt, but what a stage-out must not follow. */
static int leaves_link(const char *path) {
    unlink("out.txt");
    return symlink(path, "out.txt") < 0 ? 2 : 0;
}

static int leaves_links_inside(const char *path) {
    mkdir("out", 0700);
    unlink("out/inner.txt");
    return symlink(path, "out/inner.txt") < 0 ? 2 : 0;
}

static int leaves_link_folder(const char *path) {
    unlink("out");
    rmdir("out");
    return symlink(path, "out") < 0 ? 2 : 0;
}

/* More processes than anybody needs; says how many there were when the system said no. */
static int bombs(const char *most) {
    int limit = atoi(most);
    for (int count = 0; count < limit; count++) {
        pid_t pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        if (pid < 0)
            return barred(strerror(errno));
    }
    return through("so many processes");
}

static int fills(const char *path) {
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    for (;;)
        if (write(fd, block, sizeof block) < 0) {
            int failed = errno;
            unlink(path);
            errno = failed;
            return barred(strerror(errno));
        }
}

static const struct {
    const char *name;
    int (*attempt)(const char *);
} ways[] = {
    {"reads", reads}, {"writes", writes}, {"lists", lists}, {"sees_process", sees_process}, {"signals", signals},
    {"traces_other", traces_other}, {"reads_memory", reads_memory}, {"connects", connects}, {"connects_unix", connects_unix},
    {"connects_abstract", connects_abstract}, {"raw_socket", raw_socket}, {"packet_socket", packet_socket}, {"mounts", mounts},
    {"remounts", remounts}, {"unmounts", unmounts}, {"new_user", new_user}, {"clones_user", clones_user}, {"joins", joins},
    {"changes_root", changes_root}, {"device", device}, {"no_new_rights", no_new_rights}, {"capable", capable}, {"keys", keys},
    {"programs_kernel", programs_kernel}, {"loads_module", loads_module}, {"counts_events", counts_events},
    {"faults_in_user", faults_in_user}, {"opens_handle", opens_handle}, {"types_into_terminal", types_into_terminal}, {"rings", rings},
    {"links", links}, {"replaces_streams", replaces_streams}, {"replaces_messages", replaces_messages},
    {"moves_directory", moves_directory}, {"small_tmp", small_tmp}, {"leaves_link", leaves_link},
    {"leaves_links_inside", leaves_links_inside}, {"leaves_link_folder", leaves_link_folder}, {"bombs", bombs}, {"fills", fills},
};

int main(int count, char **words) {
    char namespace[64] = "";
    const char *machine = getenv("MACHINE");
    setvbuf(stdout, NULL, _IONBF, 0);
    if (readlink("/proc/self/ns/mnt", namespace, sizeof namespace - 1) < 0 || !machine || !strcmp(namespace, machine))
        return through("nothing stands between it and the machine");
    for (size_t at = 0; count > 1 && at < sizeof ways / sizeof *ways; at++)
        if (!strcmp(ways[at].name, words[1]))
            return ways[at].attempt(count > 2 ? words[2] : "");
    fprintf(stderr, "no such way\n");
    return 2;
}
