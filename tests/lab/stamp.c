/* stamp: the lab's hooks, jobs and role-file watcher.
 *
 * Promise: every line goes to the shared log in one write(2) of an O_APPEND descriptor, and its
 * first field is CLOCK_BOOTTIME in nanoseconds, read just before that write. Lines never tear and
 * a process that lives stamps every 5 ms, so "was it alive at t?" is answered by the log alone.
 *
 *   line:  NS HOST WHAT PHASE TERM TOKEN PID REPLAY REASON
 *   WHAT:  hook.EVENT | job | daemon | role          PHASE: start | tick | end | <role word>
 *
 *   stamp hook LOG HOST DIR MODE ARG -- EVENT SERVICE ROLE TERM
 *         MODE  ok            start, end, exit 0
 *               sleep MS      lives so long, ends early on SIGTERM (143)
 *               fail RC       exits RC
 *               hang          ignores SIGTERM and never ends
 *               flood BYTES   writes so much to both outputs, the last line without its newline
 *               job           `leader` starts a job in the background, `follower` ends it
 *               fork          `leader` leaves a child in its own process group; nobody here ends it
 *               daemon        `leader` leaves a child in a session of its own, pipes kept open
 *               escape        `leader` leaves a job in a session of its own, without environment
 *         job, fork, daemon and escape do their work for `leader` and `follower`; other events are
 *         `ok`.
 *   stamp watch LOG HOST=DIR...     stamps each change of DIR/role, losses before gains
 *   stamp poll LOG HOST=DIR...      the same where DIR comes and goes: it looks every 2 ms
 *   stamp job LOG HOST STATE MODE   the main process of a unit; its term is the one in the file
 *         MODE  ok            ends of SIGTERM          stubborn  only of SIGKILL
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 5000000L
#define POLL_NS 2000000L
#define ESCAPE_NS 200000000L
#define HOSTS_MAX 128

static int log_fd = -1;
static const char *host = "-", *term = "-", *token = "-", *replay = "-";
static char reason[128] = "-";
static volatile sig_atomic_t asked_to_end;

static void on_term(int signum) { (void)signum; asked_to_end = 1; }

static void die(const char *what)
{
    fprintf(stderr, "stamp: %s: %s\n", what, strerror(errno));
    exit(99);
}

static void stamp(const char *what, const char *phase)
{
    struct timespec now;
    char line[512];
    clock_gettime(CLOCK_BOOTTIME, &now);
    int n = snprintf(line, sizeof line, "%lld %s %s %s %s %s %d %s %s\n",
                     now.tv_sec * 1000000000LL + now.tv_nsec, host, what, phase, term, token,
                     (int)getpid(), replay, reason);
    if (n <= 0 || n >= (int)sizeof line || write(log_fd, line, n) != n)
        die("log");
}

static void open_log(const char *path)
{
    log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (log_fd < 0)
        die(path);
}

static void pause_ns(long ns)
{
    struct timespec pause = {ns / 1000000000L, ns % 1000000000L};
    nanosleep(&pause, NULL);
}

/* Stamp every 5 ms until SIGTERM, or for so many milliseconds (negative: without end). */
static void live(const char *what, long ms)
{
    for (long spent = 0; !asked_to_end && (ms < 0 || spent < ms); spent += 5) {
        stamp(what, "tick");
        pause_ns(TICK_NS);
    }
}

static const char *from_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : "-";
}

static void silence(void)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close(null);
}

/* Start a child that lives; return its pid only after its first stamp is in the log. */
static pid_t start_child(const char *what, int own_session)
{
    int born[2];
    if (pipe2(born, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        if (own_session && (setsid() < 0 || fork() > 0))
            _exit(0);
        if (!own_session)
            silence();
        stamp(what, "start");
        if (write(born[1], "", 1) != 1)
            die("born");
        close(born[0]), close(born[1]);
        live(what, -1);
        stamp(what, "end");
        _exit(0);
    }
    char byte;
    close(born[1]);
    while (read(born[0], &byte, 1) < 0 && errno == EINTR)
        ;
    close(born[0]);
    return pid;
}

static int is_ours(pid_t pid)
{
    char link[64], theirs[PATH_MAX] = "", mine[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    return readlink(link, theirs, sizeof theirs - 1) > 0 &&
           readlink("/proc/self/exe", mine, sizeof mine - 1) > 0 && strcmp(theirs, mine) == 0;
}

static int is_alive(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    char *state = n > 0 ? strrchr(text, ')') : NULL;
    return state && state[1] && state[2] != 'Z' && state[2] != 'X';
}

/* What a good on_follower does: ask, wait up to half a second, insist, and wait for the end. */
static void end_job(const char *pid_file)
{
    int pid = 0;
    FILE *file = fopen(pid_file, "re");
    if (!file)
        return;
    if (fscanf(file, "%d", &pid) == 1 && pid > 1 && is_ours(pid)) {
        kill(pid, SIGTERM);
        for (int waited = 0; is_alive(pid) && waited < 500; waited++)
            pause_ns(1000000L);
        kill(pid, SIGKILL);
        while (is_alive(pid))
            pause_ns(1000000L);
    }
    fclose(file);
    unlink(pid_file);
}

static void start_job(const char *pid_file)
{
    FILE *file = fopen(pid_file, "we");
    if (!file)
        die(pid_file);
    fprintf(file, "%d\n", (int)start_child("job", 0));
    fclose(file);
}

/* A job that begins after its hook has ended, and bears no mark of where it comes from. */
static void start_escape(const char *log, const char *dir)
{
    char state[PATH_MAX];
    snprintf(state, sizeof state, "%s/run/state.json", dir);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        silence();
        pause_ns(ESCAPE_NS);
        if (setsid() < 0 || fork() > 0)
            _exit(0);
        char *none[] = {NULL};
        execle("/proc/self/exe", "stamp", "job", log, host, state, "ok", (char *)NULL, none);
        die("exec");
    }
}

static void flood(long bytes)
{
    static char chunk[8192];
    memset(chunk, 'x', sizeof chunk);
    for (int at = 79; at < (int)sizeof chunk; at += 80)
        chunk[at] = '\n';
    for (long sent = 0; sent < bytes; sent += sizeof chunk)
        if (write(1 + (sent / (long)sizeof chunk) % 2, chunk, sizeof chunk) < 0)
            return;
    memset(chunk, 'y', sizeof chunk);
    for (int i = 0; i < 64; i++) /* half a megabyte in one line that never ends */
        if (write(1, chunk, sizeof chunk) < 0)
            return;
}

static int run_hook(int argc, char **argv)
{
    if (argc != 12 || strcmp(argv[7], "--") != 0) {
        fprintf(stderr, "stamp hook LOG HOST DIR MODE ARG -- EVENT SERVICE ROLE TERM\n");
        return 99;
    }
    const char *mode = argv[5], *event = argv[8];
    long arg = atol(argv[6]);
    char what[64], pid_file[PATH_MAX];
    snprintf(what, sizeof what, "hook.%s", event);
    snprintf(pid_file, sizeof pid_file, "%s/job.pid", argv[4]);
    host = argv[3], term = argv[11], token = from_env("FTL_TOKEN"), replay = from_env("FTL_REPLAY");
    snprintf(reason, sizeof reason, "%s", from_env("FTL_REASON"));
    for (char *c = reason; *c; c++)
        if (*c == ' ' || *c == '\n')
            *c = '_';
    open_log(argv[2]);
    struct sigaction ending = {.sa_handler = strcmp(mode, "hang") == 0 ? SIG_IGN : on_term};
    sigaction(SIGTERM, &ending, NULL);

    stamp(what, "start");
    int gain = strcmp(event, "leader") == 0, loss = strcmp(event, "follower") == 0, code = 0;
    if (strcmp(mode, "sleep") == 0)
        live(what, arg);
    else if (strcmp(mode, "hang") == 0)
        live(what, -1);
    else if (strcmp(mode, "fail") == 0)
        code = (int)arg;
    else if (strcmp(mode, "flood") == 0)
        flood(arg);
    else if (strcmp(mode, "job") == 0 && gain)
        start_job(pid_file);
    else if (strcmp(mode, "job") == 0 && loss)
        end_job(pid_file);
    else if (strcmp(mode, "fork") == 0 && gain)
        start_child("job", 0);
    else if (strcmp(mode, "daemon") == 0 && gain)
        start_child("daemon", 1);
    else if (strcmp(mode, "escape") == 0 && gain)
        start_escape(argv[2], argv[4]);
    stamp(what, "end");
    return asked_to_end ? 143 : code;
}

static void read_role(const char *dir, char role[32])
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/role", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, role, 31);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        strcpy(role, "none");
    else
        role[strcspn((role[n] = 0, role), "\n ")] = 0;
}

static void compare_roles(int hosts, char **names, char **dirs, char roles[][32])
{
    char now[HOSTS_MAX][32];
    for (int i = 0; i < hosts; i++)
        read_role(dirs[i], now[i]);
    /* Losses first: changes that one wake-up finds together must not look like two leaders. */
    for (int gains = 0; gains < 2; gains++)
        for (int i = 0; i < hosts; i++)
            if (strcmp(now[i], roles[i]) != 0 && (strcmp(now[i], "leader") == 0) == gains) {
                host = names[i];
                stamp("role", strcpy(roles[i], now[i]));
            }
}

/* In state.json, written before the role file is: "term": N. */
static void read_term(const char *path)
{
    static char text[8192], found[24];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    char *key = n > 0 ? strstr(text, "\"term\"") : NULL;
    if (key && sscanf(key, "\"term\" : %23[0-9]", found) == 1)
        term = found;
}

static int run_job(char **argv)
{
    struct sigaction ending = {.sa_handler = strcmp(argv[5], "ok") == 0 ? on_term : SIG_IGN};
    host = argv[3];
    open_log(argv[2]);
    read_term(argv[4]);
    sigaction(SIGTERM, &ending, NULL);
    stamp("job", "start");
    live("job", -1);
    stamp("job", "end");
    return 0;
}

static int watch(int argc, char **argv)
{
    static char events[16384], roles[HOSTS_MAX][32];
    char *names[HOSTS_MAX], *dirs[HOSTS_MAX];
    int hosts = argc - 3, fd = inotify_init1(IN_CLOEXEC), polls = strcmp(argv[1], "poll") == 0;
    if (hosts < 1 || hosts > HOSTS_MAX || fd < 0)
        return 99;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a lab that is killed leaves no watcher behind */
    open_log(argv[2]);
    for (int i = 0; i < hosts; i++) {
        names[i] = strdup(argv[3 + i]);
        dirs[i] = strchr(names[i], '=');
        if (!dirs[i])
            return 99;
        *dirs[i]++ = 0;
        if (!polls && inotify_add_watch(fd, dirs[i], IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                                         IN_CLOSE_WRITE) < 0)
            die(dirs[i]);
    }
    for (; polls; pause_ns(POLL_NS))
        compare_roles(hosts, names, dirs, roles);
    do
        compare_roles(hosts, names, dirs, roles);
    while (read(fd, events, sizeof events) > 0);
    die("inotify");
    return 99;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "hook") == 0)
        return run_hook(argc, argv);
    if (argc > 3 && (strcmp(argv[1], "watch") == 0 || strcmp(argv[1], "poll") == 0))
        return watch(argc, argv);
    if (argc == 6 && strcmp(argv[1], "job") == 0)
        return run_job(argv);
    fprintf(stderr, "stamp hook|watch|poll|job LOG ...: see the head of stamp.c\n");
    return 99;
}
