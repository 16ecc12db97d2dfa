// What the system calls of probes cost without anything around them: connect, and undo it by a reset, on sockets that are used again.
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { backends = 5000, sockets = 64 };
static const int64_t interval = 300000000, burst = 2000000, second = 1000000000;

static int64_t now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * second + t.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 3) return 64;
  int epoll = epoll_create1(0), fds[sockets], idle[sockets], idles = 0, is_busy[sockets] = {0}, is_known[sockets] = {0}, one = 1;
  for (int i = 0; i < sockets; i++) {
    fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fds[i], IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
    idle[idles++] = i;
  }
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
  int64_t start = now(CLOCK_MONOTONIC), end = start + atoi(arguments[2]) * second, cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  long begun = 0;
  for (int64_t next = start; next < end; next += burst) {
    struct timespec until = {next / second, next % second};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    long due = (next - start) * backends / interval;
    while (begun < due || idles < sockets) {
      while (begun < due && idles > 0) {
        int i = idle[--idles], backend = begun++ % backends, group = backend / 5;
        to.sin_addr.s_addr = htonl(127u << 24 | (20 + backend % 5) << 16 | (group / 250) << 8 | (group % 250 + 1));
        connect(fds[i], (struct sockaddr *)&to, sizeof to);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = i};
        if (!is_known[i]) epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
        is_known[i] = is_busy[i] = 1;
      }
      struct epoll_event events[256];
      int news = epoll_wait(epoll, events, 256, 0);
      for (int k = 0; k < news; k++) {
        int i = events[k].data.u32;
        // Undoing a connect is news, too.
        if (!is_busy[i] || events[k].events & EPOLLHUP) continue;
        connect(fds[i], &nowhere, sizeof nowhere);
        is_busy[i] = 0;
        idle[idles++] = i;
      }
    }
  }
  double elapsed = now(CLOCK_MONOTONIC) - start;
  printf("%.2f %.0f\n", 100 * (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / elapsed, begun / (elapsed / second));
}
