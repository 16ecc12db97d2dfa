#pragma once

/// What Swift's Glibc module does not export, and system calls that report failure as a negative errno instead of through
/// a thread-local: the caller gets one number to switch over. Nothing else belongs here.

#include <malloc.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// Declared here and not by _GNU_SOURCE: under that, the system headers would differ from those of Swift's Glibc module.
int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);
int pthread_setname_np(pthread_t thread, const char *name);
int pipe2(int ends[2], int flags);
ssize_t splice(int from, long long *from_offset, int to, long long *to_offset, size_t count, unsigned flags);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int first);
int unshare(int flags);

#include "Ring.h"

static inline int64_t leba_clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/// Nanoseconds of CLOCK_MONOTONIC. Served from the vDSO: no system call.
static inline int64_t leba_monotonic_ns(void) { return leba_clock_ns(CLOCK_MONOTONIC); }

/// Nanoseconds since 1970 of CLOCK_REALTIME. Served from the vDSO: no system call.
static inline int64_t leba_realtime_ns(void) { return leba_clock_ns(CLOCK_REALTIME); }

// MARK: epoll. `struct epoll_event` is packed on x86-64, so Swift never lays it out: it indexes raw memory through these.

static const uint32_t LEBA_EPOLL_IN = EPOLLIN;
static const uint32_t LEBA_EPOLL_OUT = EPOLLOUT;
static const uint32_t LEBA_EPOLL_ERR = EPOLLERR;
static const uint32_t LEBA_EPOLL_HUP = EPOLLHUP;
static const uint32_t LEBA_EPOLL_RDHUP = EPOLLRDHUP;
static const uint32_t LEBA_EPOLL_EDGE = EPOLLET;
static const uint32_t LEBA_EPOLL_ONCE = EPOLLONESHOT;

static inline int leba_epoll_create(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static inline int leba_epoll_add(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data = {.u64 = data}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static inline int leba_epoll_change(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data = {.u64 = data}};
  return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

static inline void leba_epoll_remove(int epoll, int fd) { epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

static inline size_t leba_epoll_event_size(void) { return sizeof(struct epoll_event); }

static inline int leba_epoll_wait(int epoll, void *events, int capacity, int timeout_ms) {
  int count = (int)syscall(SYS_epoll_pwait, epoll, events, capacity, timeout_ms, NULL, 0);
  return count < 0 ? -errno : count;
}

static inline uint32_t leba_epoll_events(const void *events, int index) { return ((const struct epoll_event *)events)[index].events; }
static inline uint64_t leba_epoll_data(const void *events, int index) { return ((const struct epoll_event *)events)[index].data.u64; }

/// Waits for an event on one descriptor, to the nanosecond: poll(2) counts in milliseconds. Negative: for ever. 1, 0 at the timeout, or a
/// negative errno.
static inline int leba_poll(int fd, short events, int64_t timeout_ns) {
  struct pollfd wanted = {.fd = fd, .events = events};
  struct timespec timeout = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  int ready = (int)syscall(SYS_ppoll, &wanted, 1, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
  return ready < 0 ? -errno : ready;
}

static inline int leba_eventfd(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

static inline void leba_eventfd_signal(int fd) {
  uint64_t one = 1;
  // The only failure is a counter at its ceiling, and then the reader is awake already.
  ssize_t ignored = write(fd, &one, sizeof one);
  (void)ignored;
}

static inline void leba_eventfd_clear(int fd) {
  uint64_t count;
  ssize_t ignored = read(fd, &count, sizeof count);
  (void)ignored;
}

// MARK: Sockets

static inline int leba_stream_socket(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

static inline int leba_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

// The calls of each probe and each relayed read go to the kernel directly: glibc's own are places where a thread may be cancelled, and pay for
// that.

static inline int leba_connect(int fd, const void *address, uint32_t length) {
  return syscall(SYS_connect, fd, address, length) < 0 ? -errno : 0;
}

/// Gives a socket a source port before it connects, one of the kernel's choice. `connect(2)` by itself chooses among the half of the ephemeral ports that
/// this leaves alone (even and odd ones), and only when there are no others among the rest.
static inline int leba_bind_any_port(int fd, int family) {
  struct sockaddr_storage any = {.ss_family = (sa_family_t)family};
  return bind(fd, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) < 0 ? -errno : 0;
}

/// Undoes a connect: an established peer sees a reset, and the socket can connect anew, with its options and registrations as they are.
static inline int leba_disconnect(int fd) {
  struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  return leba_connect(fd, &nowhere, sizeof nowhere);
}

static inline ssize_t leba_receive(int fd, void *bytes, size_t count) {
  ssize_t n = syscall(SYS_recvfrom, fd, bytes, count, MSG_DONTWAIT, NULL, NULL);
  return n < 0 ? -errno : n;
}

/// Positive when a byte waits, 0 at the end of the stream.
static inline ssize_t leba_peek(int fd) {
  char byte;
  ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 ? -errno : n;
}

static inline ssize_t leba_send(int fd, const void *bytes, size_t count) {
  ssize_t n = syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
  return n < 0 ? -errno : n;
}

/// A pipe with room for so many bytes in whole pages, or as many as the kernel grants; that number, or why there is no pipe.
static inline int leba_pipe(int ends[2], int size) {
  // F_SETPIPE_SZ and F_GETPIPE_SZ, which only _GNU_SOURCE declares.
  static const int set_size = 1031, get_size = 1032;
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
  int granted = fcntl(ends[1], set_size, size);
  return granted >= 0 ? granted : fcntl(ends[1], get_size);
}

/// Moves bytes between a socket and a pipe without a copy. The descriptors must be non-blocking: a TCP socket heeds only that.
/// To a socket whose peer has gone it raises SIGPIPE, which no flag prevents: the threads that call this have it blocked.
static inline ssize_t leba_splice(int from, int to, size_t count) {
  // SPLICE_F_MOVE | SPLICE_F_NONBLOCK, which only _GNU_SOURCE declares.
  static const unsigned flags = 1 | 2;
  ssize_t n = splice(from, NULL, to, NULL, count, flags);
  return n < 0 ? -errno : n;
}

/// Takes and clears the pending error of a socket: how a non-blocking connect ended.
static inline int leba_socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

/// Makes the close of a TCP socket a reset. A unix socket knows no reset and is merely closed.
static inline void leba_reset_on_close(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static inline void leba_close_with_reset(int fd) {
  leba_reset_on_close(fd);
  close(fd);
}

static inline int leba_set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

/// From now on this listening TCP socket does not see who asks for a new connection (SYN without ACK): the client asks again after a
/// second, and is refused when nobody listens any more. Handshakes under way still end, which a close would answer with a reset.
static inline int leba_ignore_new_handshakes(int listener) {
  // The filter's packet begins at the TCP header, with the flags in its byte 13.
  static const int flags = 13, syn = 0x02, ack = 0x10;
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, flags),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, syn | ack),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, syn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
  return setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ? -errno : 0;
}

/// Undoes the above, on a socket that comes from a process which died while it did it.
static inline void leba_hear_new_handshakes(int listener) {
  int ignored = 0;
  setsockopt(listener, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored);
}

/// The plainest congestion control, for connections that never leave the host. Where the default is one that paces (BBR), it would send
/// by timers what the peer could have at once. Inherited by accepted sockets.
static inline void leba_use_reno(int fd) { setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); }

/// On a listening TCP socket too: accepted sockets inherit all of it, which saves the calls per connection. Without a count of probes,
/// TCP_USER_TIMEOUT is to say when silence has lasted long enough; beside it the kernel would not look at a count.
static inline void leba_tune_tcp(int fd, int idle_s, int interval_s, int probes) {
  leba_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  leba_set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  leba_set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
  leba_set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
  if (probes > 0) leba_set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
}

// MARK: Descriptors on their way to another process

/// The most descriptors of one message.
static const int LEBA_DESCRIPTORS_PER_MESSAGE = 64;

/// One message of a SOCK_SEQPACKET socket, with copies of descriptors. 0 or a negative errno.
static inline int leba_send_message(int fd, const void *bytes, size_t count, const int *descriptors, int descriptor_count) {
  if (descriptor_count < 0 || descriptor_count > LEBA_DESCRIPTORS_PER_MESSAGE) return -EINVAL;
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(64 * sizeof(int))];
  } control = {0};
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (descriptor_count > 0) {
    size_t size = (size_t)descriptor_count * sizeof(int);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(size);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(&control.header), descriptors, size);
  }
  while (1) {
    if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

/// The next message and its descriptors, which the caller owns, also when it is an error: -EMSGSIZE for one that does not fit. 0 at the end.
static inline ssize_t leba_receive_message(int fd, void *bytes, size_t capacity, int *descriptors, int *descriptor_count) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(64 * sizeof(int))];
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = capacity};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  *descriptor_count = 0;
  ssize_t count;
  do count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int received = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(descriptors + *descriptor_count, CMSG_DATA(c), (size_t)received * sizeof(int));
    *descriptor_count += received;
  }
  return message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : count;
}

/// The user at the other end of a unix socket, as of its connect or listen; -1 when unknown.
static inline int64_t leba_peer_user(int fd) {
  struct { pid_t pid; uid_t uid; gid_t gid; } peer;
  socklen_t length = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ? -1 : (int64_t)peer.uid;
}

// MARK: Memory, limits, threads

/// Address space whose pages cost nothing until they are touched, and read as zero then. NULL on failure.
static inline void *leba_reserve(size_t bytes) {
  void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return base == MAP_FAILED ? NULL : base;
}

static inline void leba_unreserve(void *base, size_t bytes) { munmap(base, bytes); }

/// Gives pages back to the kernel; they read as zero when touched again.
static inline void leba_forget_pages(void *base, size_t bytes) { madvise(base, bytes, MADV_DONTNEED); }

/// Gives memory back that is free but still held for later: worth it after work that is done once.
static inline void leba_trim_heap(void) { malloc_trim(0); }

/// One heap for all threads, to be called before there are others. glibc gives each thread one of its own: what one frees, the next cannot
/// use, a quarter of the memory at ten thousand names. No thread that moves bytes allocates, so nobody waits.
static inline void leba_share_heap(void) { mallopt(M_ARENA_MAX, 1); }

/// Raises the soft limit of open descriptors to the hard one and returns what is in force.
static inline int64_t leba_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit.rlim_cur = limit.rlim_max;
  }
  return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

/// A thread without signals: handlers belong to the rest of the process. 0 or an errno.
static inline int leba_start_thread(pthread_t *thread, void *(*body)(void *), void *argument) {
  sigset_t all, before;
  sigfillset(&all);
  // A trap must still reach its handler, or a crash leaves no trace.
  static const int traps[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGPROF};
  for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) sigdelset(&all, traps[i]);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, NULL, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

static inline void leba_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

// MARK: Processes

/// A descriptor that is readable once the process has ended. By number, because glibc has a function for it only since 2.36.
static inline int leba_pidfd_open(pid_t process) {
  int fd = (int)syscall(SYS_pidfd_open, process, 0);
  return fd < 0 ? -errno : fd;
}
