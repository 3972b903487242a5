/*
 * A link with delay, loss and a rate between two network namespaces, for kernels without netem.
 *
 *   link NAMESPACE_A NAMESPACE_B DEVICE DELAY_MS LOSS_PERCENT RATE_MBIT QUEUE_MS
 *
 * A TUN device in each namespace; a thread for each direction reads packets from one and writes
 * them to the other when they are due. Real TCP of the kernel runs at both ends. A packet is lost
 * by chance, each on its own, or when the queue in front of the rate is full (drop-tail); it is
 * never reordered. Says "ready" and runs until SIGTERM, then says what has passed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 1 << 17, LARGEST = 1600, BATCH = 64 };

typedef struct {
    int64_t due;
    int size;
    unsigned char data[LARGEST];
} packet;

typedef struct {
    int from, to;
    packet *ring;
    uint64_t head, tail;   /* next to be written, next free */
    int64_t free_at;       /* when the rate lets the next one start, ns */
    uint64_t random, passed, lost, dropped;
} direction;

static double delay_ns, loss, ns_per_byte, queue_ns;
static volatile sig_atomic_t stopped;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* xorshift64: the same losses for the same packets in every run. */
static double chance(direction *d) {
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return (double)(d->random >> 11) / 9007199254740992.0;
}

static int open_device(const char *namespace, const char *name) {
    char path[256];
    struct ifreq wanted = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
    int there = open(path, O_RDONLY | O_CLOEXEC);
    if (there < 0 || setns(there, CLONE_NEWNET)) fail(path);
    close(there);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (fd < 0) fail("/dev/net/tun");
    snprintf(wanted.ifr_name, IFNAMSIZ, "%s", name);
    if (ioctl(fd, TUNSETIFF, &wanted)) fail("TUNSETIFF");
    return fd;
}

static void take_in(direction *d) {
    packet *p = &d->ring[d->tail % SLOTS];
    for (int i = 0; i < BATCH; i++, p = &d->ring[d->tail % SLOTS]) {
        ssize_t n = read(d->from, p->data, LARGEST);
        if (n <= 0) return;
        int64_t t = now();
        if (chance(d) < loss) {
            d->lost++;
            continue;
        }
        if (d->free_at < t) d->free_at = t;
        if ((double)(d->free_at - t) > queue_ns || d->tail - d->head == SLOTS - 1) {
            d->dropped++;
            continue;
        }
        d->free_at += (int64_t)((double)n * ns_per_byte);
        p->due = d->free_at + (int64_t)delay_ns;
        p->size = (int)n;
        d->tail++;
    }
}

static void let_out(direction *d) {
    int64_t t = now();
    while (d->head != d->tail && d->ring[d->head % SLOTS].due <= t) {
        packet *p = &d->ring[d->head % SLOTS];
        if (write(d->to, p->data, (size_t)p->size) == p->size) d->passed++;
        else d->dropped++;
        d->head++;
    }
}

static void *carry(void *given) {
    direction *d = given;
    struct pollfd readable = {.fd = d->from, .events = POLLIN};
    prctl(PR_SET_TIMERSLACK, 1);
    while (!stopped) {
        let_out(d);
        int64_t wait = 100000000;
        if (d->head != d->tail) wait = d->ring[d->head % SLOTS].due - now();
        struct timespec most = {0, wait < 0 ? 0 : wait > 100000000 ? 100000000 : wait};
        if (ppoll(&readable, 1, &most, NULL) > 0) take_in(d);
    }
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 8) {
        fputs("link NAMESPACE_A NAMESPACE_B DEVICE DELAY_MS LOSS_PERCENT RATE_MBIT QUEUE_MS\n", stderr);
        return 2;
    }
    delay_ns = atof(arguments[4]) * 1e6;
    loss = atof(arguments[5]) / 100;
    ns_per_byte = 8e3 / atof(arguments[6]);
    queue_ns = atof(arguments[7]) * 1e6;
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    int a = open_device(arguments[1], arguments[3]), b = open_device(arguments[2], arguments[3]);
    static direction both[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        both[i] = (direction){.from = i ? b : a, .to = i ? a : b, .random = 0x9E3779B97F4A7C15u + (unsigned)i};
        both[i].ring = malloc(SLOTS * sizeof(packet));
        if (!both[i].ring || pthread_create(&threads[i], NULL, carry, &both[i])) fail("thread");
    }
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        printf("%s: %llu packets passed, %llu lost, %llu dropped\n", i ? "to the client" : "to the server",
               (unsigned long long)both[i].passed, (unsigned long long)both[i].lost,
               (unsigned long long)both[i].dropped);
    return 0;
}
