// One flat parallel loop. Work is cut into items that do not depend on the number of threads, so neither do results.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>

namespace cfw {
namespace CFW_LEVEL {

// One thread never enters the OpenMP runtime: libgomp hangs in a forked child (a DataLoader worker) otherwise.
template <class Body>
inline void parallel_for(int64_t items, int threads, const Body& body) {
#ifdef _OPENMP
  if (threads > 1 && items > 1) {
    // An exception that left the region would end the process: a kernel that finds no memory is an error in Python.
    std::atomic<bool> failed{false};
    std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t i = 0; i < items; ++i) {
      try {
        body(i);
      } catch (...) {
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
    return;
  }
#endif
  (void)threads;
  for (int64_t i = 0; i < items; ++i) body(i);
}

}  // namespace CFW_LEVEL
}  // namespace cfw
