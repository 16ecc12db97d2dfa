// The least that a TCP relay can do: what bench/proxy measures the kernel's own part of a relayed request with.
//
//   floor epoll|io_uring LISTEN_PORT BACKEND_PORT
//
// It accepts, connects, passes bytes on in both directions, and ends both connections when either ends. It has no
// configuration, no health check, no timeout, no statistics, no back-pressure and no half-close: what a proxy costs beyond it
// is what its features cost. It is for small requests: a connection whose bytes do not fit into the peer's socket at once ends.
//
// epoll: registered once, edge-triggered; a request is two receives and two sends, and its share of an epoll_wait. io_uring:
// one receive (armed, not tried), one send each way, and one enter for all that a pass has to say; through the same shim as leba.
// It does what leba does. Leaner, by 3 to 4 % of CPU at 64 connections, is a multishot receive on registered descriptors, but it
// goes on while the other side is slow; waiting for more completions at once costs more at few connections than it saves at many.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "Ring.h"

enum { maximum_pairs = 8192, buffer_size = 16384, buffer_count = 512, backlog = 16384 };

// A client's connection and the backend's.
struct pair {
  int descriptors[2];
  unsigned running;  // io_uring only: operations that the kernel has not completed
  bool has_ended;
};

static struct pair pairs[maximum_pairs];
// Those that are free, the last one first. `retired` are free from the next pass on: events of this one may still name them.
static uint32_t free_pairs[maximum_pairs], retired[maximum_pairs];
static size_t free_count, retired_count;
static struct sockaddr_in backend = {.sin_family = AF_INET};

static void give_up(const char *what) {
  perror(what);
  exit(1);
}

static int open_listener(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) give_up("floor: socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Those who are accepted inherit it.
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) give_up("floor: bind");
  if (listen(listener, backlog) < 0) give_up("floor: listen");
  return listener;
}

// The pair for an accepted client, or NULL after closing it. On loopback a connect does not wait for anybody.
static struct pair *open_pair(int client) {
  int on = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0 || free_count == 0 || connect(server, (struct sockaddr *)&backend, sizeof backend) < 0) {
    if (server >= 0) close(server);
    close(client);
    return NULL;
  }
  setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct pair *pair = &pairs[free_pairs[--free_count]];
  *pair = (struct pair){.descriptors = {client, server}};
  return pair;
}

static void close_pair(struct pair *pair) {
  close(pair->descriptors[0]);
  close(pair->descriptors[1]);
  retired[retired_count++] = (uint32_t)(pair - pairs);
}

static void reuse_retired(void) {
  while (retired_count > 0) free_pairs[free_count++] = retired[--retired_count];
}

// MARK: epoll

// What an event is about: a side of a pair. The listener has the value after all of them.
static uint64_t epoll_tag(const struct pair *pair, unsigned side) { return (uint64_t)(pair - pairs) << 1 | side; }
static const uint64_t listener_tag = (uint64_t)maximum_pairs << 1;

static void watch(int epoll, int descriptor, uint32_t events, uint64_t tag) {
  struct epoll_event event = {.events = events, .data.u64 = tag};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0) give_up("floor: epoll_ctl");
}

static void accept_all(int epoll, int listener) {
  int client;
  while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    struct pair *pair = open_pair(client);
    for (unsigned side = 0; pair && side < 2; side++) {
      watch(epoll, pair->descriptors[side], EPOLLIN | EPOLLRDHUP | EPOLLET, epoll_tag(pair, side));
    }
  }
}

// Passes on what waits at one side. A receive that does not fill the buffer has taken all there was, the end of the stream aside.
static void pass_on(struct pair *pair, unsigned side, bool to_the_end) {
  static char buffer[buffer_size];
  ssize_t count;
  do {
    count = recv(pair->descriptors[side], buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0 || send(pair->descriptors[!side], buffer, (size_t)count, MSG_DONTWAIT | MSG_NOSIGNAL) != count) {
      pair->has_ended = true;
      return close_pair(pair);
    }
  } while (count == buffer_size || to_the_end);
}

static void run_epoll(int listener) {
  int epoll = epoll_create1(EPOLL_CLOEXEC), flags = fcntl(listener, F_GETFL);
  fcntl(listener, F_SETFL, flags | O_NONBLOCK);
  watch(epoll, listener, EPOLLIN, listener_tag);
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      uint64_t tag = events[i].data.u64;
      if (tag == listener_tag) accept_all(epoll, listener);
      else if (!pairs[tag >> 1].has_ended) pass_on(&pairs[tag >> 1], tag & 1, events[i].events & EPOLLRDHUP);
    }
    reuse_retired();
  }
}

// MARK: io_uring

enum operation { accepted, received, sent };

// What a completion is about. A send says which buffer it sends from and how many bytes; its completion gives the buffer back.
static uint64_t ring_tag(enum operation operation, const struct pair *pair, unsigned side, unsigned buffer, unsigned count) {
  return (uint64_t)count << 48 | (uint64_t)buffer << 32 | (uint64_t)(pair - pairs) << 3 | side << 2 | operation;
}

static char *buffers;

static void offer(struct leba_ring *ring, unsigned buffer) {
  leba_ring_offer_buffer(ring, buffers + (size_t)buffer * buffer_size, buffer_size, (uint16_t)buffer);
}

static void receive(struct leba_ring *ring, struct pair *pair, unsigned side) {
  leba_ring_make_room(ring, 1);
  leba_ring_receive(ring, pair->descriptors[side], true, ring_tag(received, pair, side, 0, 0));
  pair->running++;
}

static void send_buffer(struct leba_ring *ring, struct pair *pair, unsigned side, unsigned buffer, unsigned count) {
  leba_ring_make_room(ring, 1);
  leba_ring_send(
      ring, pair->descriptors[side], buffers + (size_t)buffer * buffer_size, count, false,
      ring_tag(sent, pair, side, buffer, count));
  pair->running++;
}

// Ends whatever runs on the pair; the last completion closes it.
static void end(struct pair *pair) {
  pair->has_ended = true;
  for (unsigned side = 0; side < 2; side++) shutdown(pair->descriptors[side], SHUT_RDWR);
}

static void complete_accept(struct leba_ring *ring, int listener, struct leba_completion completion) {
  struct pair *pair = completion.result < 0 ? NULL : open_pair(completion.result);
  for (unsigned side = 0; pair && side < 2; side++) receive(ring, pair, side);
  if (leba_completion_has_more(completion.flags)) return;
  leba_ring_make_room(ring, 1);
  leba_ring_accept(ring, listener, accepted);
}

static void complete(struct leba_ring *ring, int listener, struct leba_completion completion) {
  enum operation operation = completion.data & 3;
  if (operation == accepted) return complete_accept(ring, listener, completion);
  struct pair *pair = &pairs[(uint32_t)completion.data >> 3];
  unsigned side = completion.data >> 2 & 1, buffer = completion.data >> 32 & 0xffff, count = (unsigned)(completion.data >> 48);
  pair->running--;
  if (operation == sent) {
    offer(ring, buffer);
    if (completion.result != (int)count && !pair->has_ended) end(pair);
    else if (!pair->has_ended) receive(ring, pair, !side);
  } else if (completion.result > 0) {
    buffer = leba_completion_buffer(completion.flags);
    if (pair->has_ended) offer(ring, buffer);
    else send_buffer(ring, pair, !side, buffer, (unsigned)completion.result);
  } else if (!pair->has_ended) {
    // The bytes stay in the socket while no buffer is free.
    if (completion.result == -ENOBUFS) receive(ring, pair, side);
    else end(pair);
  }
  if (pair->running == 0) close_pair(pair);
}

static void run_ring(int listener) {
  struct leba_ring ring;
  int status = leba_ring_open(&ring, 1024, 8192);
  if (status == 0) status = leba_ring_open_buffers(&ring, buffer_count);
  buffers = mmap(NULL, (size_t)buffer_count * buffer_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (status < 0 || buffers == MAP_FAILED) {
    errno = status < 0 ? -status : errno;
    give_up("floor: io_uring");
  }
  for (unsigned buffer = 0; buffer < buffer_count; buffer++) offer(&ring, buffer);
  leba_ring_accept(&ring, listener, accepted);
  for (;;) {
    leba_ring_publish_buffers(&ring);
    leba_ring_enter(&ring, leba_ring_completions(&ring) == 0, -1);
    for (unsigned left = leba_ring_completions(&ring); left > 0; left--) complete(&ring, listener, leba_ring_take(&ring));
    reuse_retired();
  }
}

int main(int count, char **words) {
  bool uses_ring = count == 4 && strcmp(words[1], "io_uring") == 0;
  if (!uses_ring && !(count == 4 && strcmp(words[1], "epoll") == 0)) {
    return fprintf(stderr, "usage: floor epoll|io_uring LISTEN_PORT BACKEND_PORT\n"), 2;
  }
  for (uint32_t number = maximum_pairs; number > 0; number--) free_pairs[free_count++] = number - 1;
  backend.sin_port = htons((uint16_t)strtoul(words[3], NULL, 10));
  backend.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int listener = open_listener((uint16_t)strtoul(words[2], NULL, 10));
  if (uses_ring) run_ring(listener);
  else run_epoll(listener);
}
