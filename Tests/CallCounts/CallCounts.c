#define _GNU_SOURCE
#include "CallCounts.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic(int) counted;
static _Atomic(uint64_t) allocations, frees, references;
static __thread int own;

static inline void count(_Atomic(uint64_t) *calls) {
  int thread = atomic_load_explicit(&counted, memory_order_relaxed);
  if (thread == 0) return;
  if (own == 0) own = gettid();
  if (own == thread) atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
}

// MARK: The heap

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t size) { return count(&allocations), __libc_malloc(size); }
void *calloc(size_t number, size_t size) { return count(&allocations), __libc_calloc(number, size); }
void *realloc(void *old, size_t size) { return count(&allocations), __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { return count(&allocations), __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **result, size_t alignment, size_t size) {
  void *memory = memalign(alignment, size);
  if (!memory) return ENOMEM;
  *result = memory;
  return 0;
}
void free(void *memory) {
  if (memory) count(&frees);
  __libc_free(memory);
}

// MARK: Reference counts. The names are the runtime's (HeapObject.cpp); what lies in them is called once the switch is on.

extern _Atomic(bool) _swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly;
extern void *(*_swift_allocObject)(const void *, size_t, size_t);
extern void *(*_swift_retain)(void *), *(*_swift_retain_n)(void *, uint32_t), *(*_swift_tryRetain)(void *);
extern void (*_swift_release)(void *), (*_swift_release_n)(void *, uint32_t);

static void *(*allocate_object)(const void *, size_t, size_t);
static void *(*retain)(void *), *(*retain_n)(void *, uint32_t), *(*try_retain)(void *);
static void (*release)(void *), (*release_n)(void *, uint32_t);

static void *counted_allocate_object(const void *type, size_t size, size_t alignment) {
  return count(&references), allocate_object(type, size, alignment);
}
static void *counted_retain(void *object) { return count(&references), retain(object); }
static void *counted_retain_n(void *object, uint32_t n) { return count(&references), retain_n(object, n); }
static void *counted_try_retain(void *object) { return count(&references), try_retain(object); }
static void counted_release(void *object) { count(&references), release(object); }
static void counted_release_n(void *object, uint32_t n) { count(&references), release_n(object, n); }

static void replace_functions(void) {
  if (retain) return;
  allocate_object = _swift_allocObject, _swift_allocObject = counted_allocate_object;
  retain_n = _swift_retain_n, _swift_retain_n = counted_retain_n;
  try_retain = _swift_tryRetain, _swift_tryRetain = counted_try_retain;
  release = _swift_release, _swift_release = counted_release;
  release_n = _swift_release_n, _swift_release_n = counted_release_n;
  retain = _swift_retain, _swift_retain = counted_retain;
  _swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly = true;
}

// MARK: Whose calls

static int thread_named(const char *name) {
  int found = 0;
  DIR *threads = opendir("/proc/self/task");
  if (!threads) return 0;
  for (struct dirent *entry; !found && (entry = readdir(threads));) {
    char path[64], text[32] = "";
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", entry->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fgets(text, sizeof text, file) && strncmp(text, name, strlen(name)) == 0) found = atoi(entry->d_name);
    fclose(file);
  }
  closedir(threads);
  return found;
}

bool leba_count_calls_of_thread(const char *name) {
  replace_functions();
  counted = 0;
  int thread = thread_named(name);
  allocations = frees = references = 0;
  counted = thread;
  return thread != 0;
}

struct leba_call_counts leba_call_counts(void) {
  return (struct leba_call_counts){allocations, frees, references};
}
