// The client of bench/proxy for fixed rates and for large bodies: GET over keep-alive connections to 127.0.0.1.
//
//   pace PORT PATH CONNECTIONS RATE SECONDS
//
// With a RATE, request n is due at n / RATE and its latency counts from then, also when every connection is busy: a slow
// answer delays nobody's clock (no "coordinated omission"). It goes over the connection that has been idle longest. With
// RATE 0 each connection asks again as soon as it has its answer. Bodies are taken from the socket without being copied
// (MSG_TRUNC), so that a client on the backend's core takes as little of it as it can.
//
// Prints: requests errors bytes p50 p99, the last two in microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { maximum_connections = 4096, maximum_samples = 1 << 22, head_size = 1024 };

struct connection {
  int descriptor;
  uint64_t due;        // of the request that is on its way
  uint64_t body_left;  // once the head is there
  bool in_body;
  size_t head_length;
  char head[head_size + 1];
};

static struct connection connections[maximum_connections];
static size_t idle[maximum_connections], idle_first, idle_count;
static uint32_t samples[maximum_samples];
static size_t sample_count;
static uint64_t requests, errors, bytes;
static char request[512];
static size_t request_length;
static struct sockaddr_in server = {.sin_family = AF_INET};

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void give_up(const char *what) {
  perror(what);
  exit(1);
}

static void open_connection(struct connection *c, int epoll) {
  int on = 1;
  c->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->descriptor < 0 || connect(c->descriptor, (struct sockaddr *)&server, sizeof server) < 0) give_up("pace: connect");
  setsockopt(c->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->descriptor, &event) < 0) give_up("pace: epoll_ctl");
  c->head_length = 0;
  c->in_body = false;
}

static void ask(struct connection *c, uint64_t due) {
  c->due = due;
  // A failure shows when the answer is read.
  (void)!send(c->descriptor, request, request_length, MSG_NOSIGNAL);
}

enum outcome { unfinished, answered, broken };

static enum outcome read_head(struct connection *c) {
  ssize_t count = recv(c->descriptor, c->head + c->head_length, head_size - c->head_length, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return unfinished;
  if (count <= 0) return broken;
  bytes += (uint64_t)count;
  c->head_length += (size_t)count;
  c->head[c->head_length] = 0;
  const char *end = strstr(c->head, "\r\n\r\n");
  if (!end) return c->head_length == head_size ? broken : unfinished;
  const char *length = strcasestr(c->head, "\r\nContent-Length:");
  if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length || length > end) return broken;
  uint64_t body = strtoull(length + 17, NULL, 10), already = c->head_length - (size_t)(end + 4 - c->head);
  if (already > body) return broken;
  c->body_left = body - already;
  c->in_body = true;
  return c->body_left == 0 ? answered : unfinished;
}

static enum outcome read_body(struct connection *c) {
  static char unused[1];
  size_t wanted = c->body_left < 1 << 20 ? c->body_left : 1 << 20;
  ssize_t count = recv(c->descriptor, unused, wanted, MSG_DONTWAIT | MSG_TRUNC);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return unfinished;
  if (count <= 0) return broken;
  bytes += (uint64_t)count;
  c->body_left -= (uint64_t)count;
  return c->body_left == 0 ? answered : unfinished;
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double percentile(double share) {
  return sample_count ? samples[(size_t)((double)(sample_count - 1) * share)] / 1000.0 : 0;
}

int main(int count, char **words) {
  if (count != 6) return fprintf(stderr, "usage: pace PORT PATH CONNECTIONS RATE SECONDS\n"), 2;
  size_t number = strtoul(words[3], NULL, 10);
  double rate = strtod(words[4], NULL), seconds = strtod(words[5], NULL);
  if (number < 1 || number > maximum_connections) return fprintf(stderr, "pace: 1 to %d connections\n", maximum_connections), 2;
  server.sin_port = htons((uint16_t)strtoul(words[1], NULL, 10));
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  request_length = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", words[2]);
  if (request_length >= sizeof request) return fprintf(stderr, "pace: the path is too long\n"), 2;
  // Timers end when they are due, not up to 50 us later.
  prctl(PR_SET_TIMERSLACK, 1);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < number; i++) open_connection(&connections[i], epoll);

  uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9), sent = 0;
  for (size_t i = 0; i < number; i++) {
    if (rate == 0) ask(&connections[i], begin);
    else idle[idle_count++] = i;
  }
  for (uint64_t at = begin; at < end; at = now()) {
    uint64_t wake = end;
    while (rate > 0) {
      uint64_t due = begin + (uint64_t)((double)sent * 1e9 / rate);
      if (due > at) {
        if (due < wake) wake = due;
        break;
      }
      if (idle_count == 0) break;
      ask(&connections[idle[idle_first]], due);
      idle_first = (idle_first + 1) % maximum_connections;
      idle_count--;
      sent++;
    }
    uint64_t rest = wake - at;
    struct timespec timeout = {.tv_sec = (time_t)(rest / 1000000000), .tv_nsec = (long)(rest % 1000000000)};
    struct epoll_event events[256];
    int ready = epoll_pwait2(epoll, events, 256, &timeout, NULL);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      enum outcome outcome = c->in_body ? read_body(c) : read_head(c);
      if (outcome == unfinished) continue;
      uint64_t done = now();
      if (outcome == broken) {
        errors++;
        close(c->descriptor);
        open_connection(c, epoll);
      } else {
        requests++;
        uint64_t took = done - c->due;
        if (sample_count < maximum_samples) samples[sample_count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
      }
      c->head_length = 0;
      c->in_body = false;
      if (rate == 0) ask(c, done);
      else idle[(idle_first + idle_count++) % maximum_connections] = (size_t)(c - connections);
    }
  }
  qsort(samples, sample_count, sizeof samples[0], by_value);
  printf("%llu %llu %llu %.1f %.1f\n", (unsigned long long)requests, (unsigned long long)errors, (unsigned long long)bytes,
         percentile(0.5), percentile(0.99));
  return 0;
}
