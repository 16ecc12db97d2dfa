#pragma once

/// io_uring without a library: the two rings, a ring of buffers to receive into, and one function for each operation that leba asks of
/// the kernel. A ring belongs to the thread that opened it (SINGLE_ISSUER), and completions are posted only inside `leba_ring_enter`
/// (DEFER_TASKRUN), so that nothing here races with anything. Linux 6.1 has all of it, and nothing older has.

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct leba_ring {
  int fd;
  /// What `enter` is called with: the number under which the thread has registered the ring, which saves looking the descriptor up.
  int enter_fd;
  unsigned enter_flags;
  unsigned sq_mask, cq_mask;
  /// Where the next submission goes. The kernel sees it with the next `enter`.
  unsigned sq_next;
  unsigned *sq_head, *sq_tail;
  unsigned *cq_head, *cq_tail;
  struct io_uring_sqe *sqes;
  struct io_uring_cqe *cqes;
  void *rings;
  size_t rings_size, sqes_size;
  struct io_uring_buf_ring *buffers;
  size_t buffers_size;
  uint16_t buffers_mask, buffers_tail;
};

static inline int leba_ring_register(int fd, unsigned operation, void *argument, unsigned count) {
  int result = (int)syscall(__NR_io_uring_register, fd, operation, argument, count);
  return result < 0 ? -errno : result;
}

static inline void leba_ring_close(struct leba_ring *ring) {
  if (ring->rings) munmap(ring->rings, ring->rings_size);
  if (ring->sqes) munmap(ring->sqes, ring->sqes_size);
  if (ring->buffers) munmap(ring->buffers, ring->buffers_size);
  if (ring->fd >= 0) close(ring->fd);
  ring->rings = NULL;
  ring->sqes = NULL;
  ring->buffers = NULL;
  ring->fd = -1;
}

/// Both counts are powers of two. 0 or a negative errno: ENOSYS without io_uring, EPERM where it is forbidden, EINVAL before Linux 6.1.
static inline int leba_ring_open(struct leba_ring *ring, unsigned submissions, unsigned completions) {
  struct io_uring_params parameters = {
      .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
      .cq_entries = completions,
  };
  memset(ring, 0, sizeof *ring);
  ring->fd = (int)syscall(__NR_io_uring_setup, submissions, &parameters);
  if (ring->fd < 0) return -errno;
  ring->sq_mask = parameters.sq_entries - 1;
  ring->cq_mask = parameters.cq_entries - 1;
  size_t sq_size = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
  size_t cq_size = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
  ring->rings_size = sq_size > cq_size ? sq_size : cq_size;
  ring->sqes_size = parameters.sq_entries * sizeof(struct io_uring_sqe);
  int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
  char *rings = (char *)mmap(NULL, ring->rings_size, protection, flags, ring->fd, IORING_OFF_SQ_RING);
  void *sqes = mmap(NULL, ring->sqes_size, protection, flags, ring->fd, IORING_OFF_SQES);
  ring->rings = rings == (char *)MAP_FAILED ? NULL : rings;
  ring->sqes = sqes == MAP_FAILED ? NULL : (struct io_uring_sqe *)sqes;
  if (!ring->rings || !ring->sqes) {
    leba_ring_close(ring);
    return -ENOMEM;
  }
  ring->sq_head = (unsigned *)(rings + parameters.sq_off.head);
  ring->sq_tail = (unsigned *)(rings + parameters.sq_off.tail);
  ring->cq_head = (unsigned *)(rings + parameters.cq_off.head);
  ring->cq_tail = (unsigned *)(rings + parameters.cq_off.tail);
  ring->cqes = (struct io_uring_cqe *)(rings + parameters.cq_off.cqes);
  unsigned *order = (unsigned *)(rings + parameters.sq_off.array);
  for (unsigned i = 0; i < parameters.sq_entries; i++) order[i] = i;
  ring->enter_fd = ring->fd;
  struct io_uring_rsrc_update own = {.offset = -1U, .data = (uint64_t)ring->fd};
  if (leba_ring_register(ring->fd, IORING_REGISTER_RING_FDS, &own, 1) == 1) {
    ring->enter_fd = (int)own.offset;
    ring->enter_flags = IORING_ENTER_REGISTERED_RING;
  }
  return 0;
}

// MARK: Submissions and completions

/// Submissions that the kernel has not seen yet.
static inline unsigned leba_ring_unsubmitted(const struct leba_ring *ring) {
  return ring->sq_next - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
}

/// The next submission, with all fields zero. Only while the ring is not full.
static inline struct io_uring_sqe *leba_ring_next(struct leba_ring *ring, uint8_t operation, int fd, uint64_t data) {
  struct io_uring_sqe *entry = &ring->sqes[ring->sq_next++ & ring->sq_mask];
  memset(entry, 0, sizeof *entry);
  entry->opcode = operation;
  entry->fd = fd;
  entry->user_data = data;
  return entry;
}

/// Gives the kernel what was prepared and lets it post completions; waits for at least one if `wait`, for `timeout_ns` at most (negative:
/// for ever). The number of submissions taken, or a negative errno; ETIME, EINTR, EAGAIN and EBUSY are no faults.
static inline int leba_ring_enter(struct leba_ring *ring, bool wait, int64_t timeout_ns) {
  struct __kernel_timespec timeout = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  struct io_uring_getevents_arg argument = {.ts = (uint64_t)(uintptr_t)&timeout};
  unsigned flags = ring->enter_flags | IORING_ENTER_GETEVENTS;
  __atomic_store_n(ring->sq_tail, ring->sq_next, __ATOMIC_RELEASE);
  bool bounded = wait && timeout_ns >= 0;
  if (bounded) flags |= IORING_ENTER_EXT_ARG;
  int result = (int)syscall(
      __NR_io_uring_enter, ring->enter_fd, leba_ring_unsubmitted(ring), wait ? 1 : 0, flags, bounded ? &argument : NULL,
      bounded ? sizeof argument : 0);
  return result < 0 ? -errno : result;
}

/// Makes sure of `count` places for submissions. A full ring is given to the kernel; when that has no memory for it, after a rest.
static inline void leba_ring_make_room(struct leba_ring *ring, unsigned count) {
  while (leba_ring_unsubmitted(ring) + count > ring->sq_mask + 1) {
    if (leba_ring_enter(ring, false, -1) < 0) usleep(1000);
  }
}

static inline unsigned leba_ring_completions(const struct leba_ring *ring) {
  return __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) - *ring->cq_head;
}

struct leba_completion {
  uint64_t data;
  int32_t result;
  uint32_t flags;
};

/// Takes the oldest completion. Only while there is one.
static inline struct leba_completion leba_ring_take(struct leba_ring *ring) {
  unsigned head = *ring->cq_head;
  const struct io_uring_cqe *entry = &ring->cqes[head & ring->cq_mask];
  struct leba_completion completion = {.data = entry->user_data, .result = entry->res, .flags = entry->flags};
  __atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
  return completion;
}

static inline bool leba_completion_has_more(uint32_t flags) { return flags & IORING_CQE_F_MORE; }
static inline bool leba_completion_has_buffer(uint32_t flags) { return flags & IORING_CQE_F_BUFFER; }
/// More bytes wait behind those that a receive brought.
static inline bool leba_completion_has_more_bytes(uint32_t flags) { return flags & IORING_CQE_F_SOCK_NONEMPTY; }
static inline uint32_t leba_completion_buffer(uint32_t flags) { return flags >> IORING_CQE_BUFFER_SHIFT; }

// MARK: Buffers to receive into

/// `count` is a power of two, at most 32 768.
static inline int leba_ring_open_buffers(struct leba_ring *ring, unsigned count) {
  ring->buffers_size = count * sizeof(struct io_uring_buf);
  void *memory = mmap(NULL, ring->buffers_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -ENOMEM;
  ring->buffers = (struct io_uring_buf_ring *)memory;
  ring->buffers_mask = (uint16_t)(count - 1);
  struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)memory, .ring_entries = count, .bgid = 0};
  return leba_ring_register(ring->fd, IORING_REGISTER_PBUF_RING, &registration, 1);
}

/// Never more than the ring has places.
static inline void leba_ring_offer_buffer(struct leba_ring *ring, void *bytes, unsigned size, uint16_t number) {
  struct io_uring_buf *entry = &ring->buffers->bufs[ring->buffers_tail++ & ring->buffers_mask];
  // Field by field: the tail of the ring lies in the last two bytes of the first entry.
  entry->addr = (uint64_t)(uintptr_t)bytes;
  entry->len = size;
  entry->bid = number;
}

static inline void leba_ring_publish_buffers(struct leba_ring *ring) {
  __atomic_store_n(&ring->buffers->tail, ring->buffers_tail, __ATOMIC_RELEASE);
}

/// The number of the buffer that was offered `back` offers ago; 1 is the newest.
static inline uint16_t leba_ring_offered_buffer(const struct leba_ring *ring, uint16_t back) {
  return ring->buffers->bufs[(uint16_t)(ring->buffers_tail - back) & ring->buffers_mask].bid;
}

// MARK: Operations. Each takes a place in the submission ring, which must have one.

/// New connections, one completion each, until one has no MORE.
static inline void leba_ring_accept(struct leba_ring *ring, int listener, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_ACCEPT, listener, data);
  entry->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  entry->ioprio = IORING_ACCEPT_MULTISHOT;
}

/// `address` must live until the next `enter`.
static inline void leba_ring_connect(struct leba_ring *ring, int fd, const void *address, uint32_t length, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_CONNECT, fd, data);
  entry->addr = (uint64_t)(uintptr_t)address;
  entry->off = length;
}

/// Receives into one of the offered buffers. `later`: nothing waits now as far as is known, so trying at once would be in vain.
static inline void leba_ring_receive(struct leba_ring *ring, int fd, bool later, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_RECV, fd, data);
  entry->flags = IOSQE_BUFFER_SELECT;
  if (later) entry->ioprio = IORING_RECVSEND_POLL_FIRST;
}

/// Completes when some bytes are taken; `bytes` must live until then. `later`: there is no room now as far as is known. Not with
/// MSG_WAITALL: an operation that has to wait for room again and again ends on a thread of the kernel's.
static inline void leba_ring_send(struct leba_ring *ring, int fd, const void *bytes, uint32_t count, bool later, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_SEND, fd, data);
  entry->addr = (uint64_t)(uintptr_t)bytes;
  entry->len = count;
  entry->msg_flags = MSG_NOSIGNAL;
  if (later) entry->ioprio = IORING_RECVSEND_POLL_FIRST;
}

/// Completes with the events that are so; ERR and HUP are always among those waited for.
static inline void leba_ring_poll(struct leba_ring *ring, int fd, uint32_t events, bool repeated, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_POLL_ADD, fd, data);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  events = events << 16 | events >> 16;
#endif
  entry->poll32_events = events;
  if (repeated) entry->len = IORING_POLL_ADD_MULTI;
}

/// Ends what was submitted under `target`, if that still runs; its completion comes as usual. Says nothing itself when it succeeds.
static inline void leba_ring_cancel(struct leba_ring *ring, uint64_t target, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_ASYNC_CANCEL, -1, data);
  entry->addr = target;
  entry->flags = IOSQE_CQE_SKIP_SUCCESS;
}

/// The same for everything that runs on a descriptor.
static inline void leba_ring_cancel_all(struct leba_ring *ring, int fd, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_ASYNC_CANCEL, fd, data);
  entry->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
  entry->flags = IOSQE_CQE_SKIP_SUCCESS;
}

/// Says nothing when it succeeds.
static inline void leba_ring_close_descriptor(struct leba_ring *ring, int fd, uint64_t data) {
  struct io_uring_sqe *entry = leba_ring_next(ring, IORING_OP_CLOSE, fd, data);
  entry->flags = IOSQE_CQE_SKIP_SUCCESS;
}

/// Ends everything that runs on `fd` before it returns; the completions come as usual.
static inline int leba_ring_cancel_now(struct leba_ring *ring, int fd) {
  struct io_uring_sync_cancel_reg which = {
      .fd = fd, .flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL, .timeout = {.tv_sec = -1, .tv_nsec = -1}};
  return leba_ring_register(ring->fd, IORING_REGISTER_SYNC_CANCEL, &which, 1);
}
