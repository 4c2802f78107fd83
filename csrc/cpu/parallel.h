// One flat parallel loop. Work is cut into items that do not depend on the number of threads, so neither do results.
#pragma once
#include <cstdint>

namespace cfw {
namespace CFW_LEVEL {

// One thread never enters the OpenMP runtime: libgomp hangs in a forked child (a DataLoader worker) otherwise.
template <class Body>
inline void parallel_for(int64_t items, int threads, const Body& body) {
#ifdef _OPENMP
  if (threads > 1 && items > 1) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t i = 0; i < items; ++i) body(i);
    return;
  }
#endif
  (void)threads;
  for (int64_t i = 0; i < items; ++i) body(i);
}

}  // namespace CFW_LEVEL
}  // namespace cfw
