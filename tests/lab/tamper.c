/* tamper: a wall clock that can be set and a disk that can stall, for the processes of one host.
 *
 * Preloaded (LD_PRELOAD) into a process. FTL_TAMPER names a file of four 64-bit numbers, mapped by
 * every process that is tampered with and read at each call:
 *
 *   0  seconds that CLOCK_REALTIME is off (time, gettimeofday, clock_gettime); no other clock is
 *   1  milliseconds that fsync, fdatasync and rename take, of files under the directory
 *      FTL_TAMPER_DISK; what waits goes on when the number is lowered: the disk has come back
 *   2  how often a clock that is off was read      3  how often the disk has stalled somebody
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CLOCK_IS_OFF, DISK_TAKES, CLOCK_READ, DISK_STALLED, NUMBERS };

static volatile int64_t *told;
static const char *disk;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int), (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FTL_TAMPER");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    disk = getenv("FTL_TAMPER_DISK");
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    if (fd < 0)
        return;
    void *map = mmap(NULL, NUMBERS * sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    told = map == MAP_FAILED ? NULL : map;
}

static time_t clock_off(void)
{
    if (!told || !told[CLOCK_IS_OFF])
        return 0;
    __atomic_add_fetch(&told[CLOCK_READ], 1, __ATOMIC_RELAXED);
    return told[CLOCK_IS_OFF];
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = real_gettime(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += clock_off();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}

static void stall(const char *path)
{
    struct timespec moment = {0, 10000000};
    if (!disk || strncmp(path, disk, strlen(disk)) != 0)
        return;
    __atomic_add_fetch(&told[DISK_STALLED], 1, __ATOMIC_RELAXED);
    for (int64_t waited = 0; waited < told[DISK_TAKES]; waited += 10)
        nanosleep(&moment, NULL);
}

static void stall_file(int fd)
{
    char link[64], path[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (told && told[DISK_TAKES] && readlink(link, path, sizeof path - 1) > 0)
        stall(path);
}

int rename(const char *from, const char *to)
{
    if (told && told[DISK_TAKES])
        stall(to);
    return real_rename(from, to);
}

int fsync(int fd)
{
    stall_file(fd);
    return real_fsync(fd);
}

int fdatasync(int fd)
{
    stall_file(fd);
    return real_fdatasync(fd);
}
