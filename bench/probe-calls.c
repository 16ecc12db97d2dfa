// What the system calls of probes cost without anything around them: connect, ask how that went, and undo it by a reset, on a socket that is used
// again.
//
//     cc -O2 -o probe-calls bench/probe-calls.c && ./probe-calls PORT SECONDS
//
// 5 000 addresses every 300 ms, begun in bursts every 2 ms, as leba does. Prints the CPU used, in percent of a core, and probes a second.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { backends = 5000 };
static const int64_t interval = 300000000, burst = 2000000, second = 1000000000;

static int64_t now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * second + t.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 3) return 64;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
  int64_t start = now(CLOCK_MONOTONIC), end = start + atoi(arguments[2]) * second, cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  long begun = 0, unanswered = 0;
  for (int64_t next = start; next < end; next += burst) {
    struct timespec until = {next / second, next % second};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    for (long due = (next - start) * backends / interval; begun < due; begun++) {
      int backend = begun % backends, group = backend / 5;
      to.sin_addr.s_addr = htonl(127u << 24 | (20 + backend % 5) << 16 | (group / 250) << 8 | (group % 250 + 1));
      connect(fd, (struct sockaddr *)&to, sizeof to);
      unanswered += connect(fd, (struct sockaddr *)&to, sizeof to) < 0;
      connect(fd, &nowhere, sizeof nowhere);
    }
  }
  double elapsed = now(CLOCK_MONOTONIC) - start;
  if (unanswered) fprintf(stderr, "probe-calls: %ld of %ld were not answered\n", unanswered, begun);
  printf("%.2f %.0f\n", 100 * (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / elapsed, begun / (elapsed / second));
}
