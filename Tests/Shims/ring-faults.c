/// Makes operations of io_uring fail, which strace cannot: they are entries in memory and no system calls. Loaded into a program with
/// LD_PRELOAD, it sees the program set up its rings and looks through what each `io_uring_enter` is about to give to the kernel.
///
/// An entry is made to ask for less, or for nothing but a completion with the chosen error. LEBA_RING_FAULTS names the file that says
/// what is to fail; `RingFaults` in Tests/Support writes it, while the program runs.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IORING_NOP_INJECT_RESULT
/// Since Linux 6.10: the completion's result is the entry's `len`.
#define IORING_NOP_INJECT_RESULT (1U << 0)
#endif

/// In the place of an operation: `io_uring_enter` itself.
enum { ENTER = -1 };

/// The file, as both sides see it.
struct faults {
  int32_t is_armed;
  int32_t operation;
  /// Negative: an errno to end with. Positive: so many bytes at most.
  int32_t result;
  /// The first of the operations to be hit, counted from 1; from there every so many; and in all.
  int32_t first, every, most;
  /// Accepts take one connection each, so that there are many to fail.
  int32_t accepts_singly;
  int32_t seen, injected;
};

/// A ring belongs to the thread that opened it.
struct ring {
  int fd;
  struct io_uring_params parameters;
  char *rings;
  struct io_uring_sqe *entries;
  /// The first submission that has not been looked at: the kernel may leave some for the next call.
  unsigned next;
};

static struct faults *faults;
static __thread struct ring ring = {.fd = -1};

static long (*libc_syscall)(long number, ...);

__attribute__((constructor)) static void read_faults(void) {
  const char *path = getenv("LEBA_RING_FAULTS");
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *memory = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory != MAP_FAILED) faults = memory;
}

static bool is_due(int32_t operation) {
  if (!__atomic_load_n(&faults->is_armed, __ATOMIC_ACQUIRE) || operation != faults->operation) return false;
  int32_t number = __atomic_add_fetch(&faults->seen, 1, __ATOMIC_RELAXED);
  if (number < faults->first || (number - faults->first) % faults->every != 0) return false;
  if (__atomic_add_fetch(&faults->injected, 1, __ATOMIC_RELAXED) <= faults->most) return true;
  __atomic_sub_fetch(&faults->injected, 1, __ATOMIC_RELAXED);
  return false;
}

static void alter(struct io_uring_sqe *entry) {
  if (faults->accepts_singly && entry->opcode == IORING_OP_ACCEPT) entry->ioprio &= ~IORING_ACCEPT_MULTISHOT;
  if (!is_due(entry->opcode)) return;
  if (faults->result > 0) {
    // A receive that names no length takes what its buffer holds.
    if (entry->len == 0 || entry->len > (uint32_t)faults->result) entry->len = (uint32_t)faults->result;
    return;
  }
  // A connection that broke says so to whoever asks next, too.
  int error = -faults->result;
  if (error == EPIPE || error == ECONNRESET || error == ETIMEDOUT) shutdown(entry->fd, SHUT_RDWR);
  uint64_t data = entry->user_data;
  memset(entry, 0, sizeof *entry);
  entry->opcode = IORING_OP_NOP;
  entry->rw_flags = IORING_NOP_INJECT_RESULT;
  entry->len = (uint32_t)faults->result;
  entry->user_data = data;
}

static void look_through(void) {
  const struct io_sqring_offsets *offsets = &ring.parameters.sq_off;
  unsigned mask = ring.parameters.sq_entries - 1;
  unsigned tail = __atomic_load_n((unsigned *)(ring.rings + offsets->tail), __ATOMIC_ACQUIRE);
  const unsigned *order = (const unsigned *)(ring.rings + offsets->array);
  for (; ring.next != tail; ring.next++) alter(&ring.entries[order[ring.next & mask]]);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
  void *memory = (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
  if (file < 0 || file != ring.fd || memory == MAP_FAILED) return memory;
  if (offset == IORING_OFF_SQ_RING) ring.rings = memory;
  if (offset == (off_t)IORING_OFF_SQES) ring.entries = memory;
  return memory;
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
  long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
  va_end(list);
  if (!libc_syscall) libc_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  if (faults && number == SYS_io_uring_enter && ring.rings && ring.entries) {
    if (is_due(ENTER)) {
      errno = -faults->result;
      return -1;
    }
    look_through();
  }
  long result = libc_syscall(number, a, b, c, d, e, f);
  if (number == SYS_io_uring_setup && result >= 0) {
    ring = (struct ring){.fd = (int)result, .parameters = *(struct io_uring_params *)b};
  }
  return result;
}
