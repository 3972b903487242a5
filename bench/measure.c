/*
 * Runs one command and writes down what it and everything that it started have cost.
 *
 *   measure SECONDS OUT COMMAND...
 *
 * OUT gets: exit status, wall seconds, user seconds, system seconds, peak memory in KiB.
 * It is a small program of its own because the peak that the kernel reports for a child is at
 * least that of the process that has forked it, and Python would be larger than some clients.
 * As a subreaper it also gets the costs of grandchildren whose parent did not wait for them.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t child;

static void too_long(int number) {
    (void)number;
    kill(-child, SIGKILL);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

int main(int count, char **arguments) {
    if (count < 4) {
        fputs("measure SECONDS OUT COMMAND...\n", stderr);
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    double started = now(), ended = 0;
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing goes on when a benchmark is interrupted */
        execvp(arguments[3], arguments + 3);
        perror(arguments[3]);
        _exit(127);
    }
    setpgid(child, child);
    signal(SIGALRM, too_long);
    alarm((unsigned)atoi(arguments[1]));
    int status = 0, got;
    for (pid_t pid; (pid = wait(&got)) > 0;)
        if (pid == child) {
            ended = now();
            status = got;
            kill(-child, SIGTERM); /* what it has left running must not go on beside the next */
        }
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    FILE *out = fopen(arguments[2], "w");
    if (!out) {
        perror(arguments[2]);
        return 2;
    }
    fprintf(out, "%d %.6f %.6f %.6f %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            ended - started, seconds(used.ru_utime), seconds(used.ru_stime), used.ru_maxrss);
    return fclose(out) ? 2 : 0;
}
