/* A host that floods: sends the datagrams of a file, one after the other and from the beginning again, at a steady rate.
 *
 *   flooder FILE TARGET PORT RATE SECONDS [FROM-PORT [FIRST-SOURCE COUNT]]
 *
 * FILE holds datagrams, each with its length before it (two bytes, big endian). IPv4 only. With FIRST-SOURCE the
 * senders are made up, COUNT addresses in turn from that one on: raw packets, needs root.
 *
 * Promise: it ends by itself after SECONDS (60 at most), whatever becomes of who started it, and then prints how many
 * datagrams it has sent. What the kernel does not take is not tried again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SECONDS = 60, LARGEST = 9000, HEAD = sizeof(struct iphdr) + sizeof(struct udphdr) };

static unsigned char *pool;
static size_t pool_size;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        fail(path);
    pool_size = ftell(file);
    rewind(file);
    pool = malloc(pool_size);
    if (!pool || fread(pool, 1, pool_size, file) != pool_size)
        fail(path);
    fclose(file);
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

/* The datagram at *at, and *at moved to the next one. */
static unsigned char *next(size_t *at, size_t *size)
{
    if (*at + 2 > pool_size)
        *at = 0;
    *size = pool[*at] << 8 | pool[*at + 1];
    unsigned char *datagram = pool + *at + 2;
    if (*size > LARGEST || *at + 2 + *size > pool_size) {
        fprintf(stderr, "the file is not one of datagrams\n");
        exit(1);
    }
    *at += 2 + *size;
    return datagram;
}

static int plain_socket(int from)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(from)};
    int one = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&here, sizeof here))
        fail("bind");
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    load(argv[1]);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
        return 2;
    double rate = atof(argv[4]), seconds = atof(argv[5]);
    if (seconds > MOST_SECONDS)
        seconds = MOST_SECONDS;
    int from = argc > 6 ? atoi(argv[6]) : 0, sources = argc > 8 ? atoi(argv[8]) : 0;
    struct in_addr first = {0};
    if (sources && inet_pton(AF_INET, argv[7], &first) != 1)
        return 2;
    int fd = sources ? socket(AF_INET, SOCK_RAW, IPPROTO_RAW) : plain_socket(from);
    if (fd < 0)
        fail("socket");
    alarm(MOST_SECONDS + 5);

    size_t at = 0, size;
    unsigned long tried = 0, sent = 0;
    double began = now(), elapsed;
    while ((elapsed = now() - began) < seconds) {
        for (unsigned long due = elapsed * rate; tried < due; tried++) {
            unsigned char *datagram = next(&at, &size);
            if (!sources) {
                sent += sendto(fd, datagram, size, 0, (struct sockaddr *)&to, sizeof to) >= 0;
                continue;
            }
            unsigned char packet[HEAD + LARGEST];
            struct iphdr ip = {
                .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = htons(HEAD + size),
                .saddr = htonl(ntohl(first.s_addr) + tried % sources), .daddr = to.sin_addr.s_addr,
            };
            struct udphdr udp = {
                .source = htons(from ? from : 20000 + (int)(tried % 20000)), .dest = to.sin_port,
                .len = htons(sizeof udp + size),
            };
            memcpy(packet, &ip, sizeof ip);
            memcpy(packet + sizeof ip, &udp, sizeof udp);
            memcpy(packet + HEAD, datagram, size);
            sent += sendto(fd, packet, HEAD + size, 0, (struct sockaddr *)&to, sizeof to) >= 0;
        }
        struct timespec pause = {0, 500000};
        nanosleep(&pause, NULL);
    }
    printf("%lu\n", sent);
    return 0;
}
