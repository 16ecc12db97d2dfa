#pragma once

/// Counts what one thread asks of the heap and of Swift's reference counting, exactly and without a tool: this program's `malloc` and its
/// kin are the process's, and the Swift runtime lets its functions be replaced (it does so for Instruments).

#include <stdbool.h>
#include <stdint.h>

struct leba_call_counts {
  uint64_t allocations, frees;
  /// Retains, releases and objects made.
  uint64_t references;
};

/// From now on, of the first thread whose name begins so. False when there is none.
bool leba_count_calls_of_thread(const char *name);

/// What it called since.
struct leba_call_counts leba_call_counts(void);
