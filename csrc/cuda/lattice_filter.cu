// y = W x on the lattice, or W^T x: splat, blur along all axes, slice. Images follow each other and share the scratch memory.
#include "cuda/kernels.h"
#include "cuda/lattice_passes.h"

namespace cfw {
namespace cuda {

template <class T>
void lattice_filter(const T* x, const int32_t* indices, const T* weights, const int32_t* neighbours,
                    const int32_t* starts, const int32_t* entries, T* scratch, T* y, bool transposed, int64_t N,
                    int64_t P, int64_t R, int C, int K, int A, int slots, Queue queue) {
  const Lattice<T> lattices = {indices, weights, neighbours, starts, entries, P, R, K, A};
  for (int64_t n = 0; n < N; ++n)
    filter_image(lattices.image(n), x + n * P * C, static_cast<const T*>(nullptr), scratch + n % slots * 2 * R * C,
                 y + n * P * C, transposed, C, queue);
}

#define CFW_INSTANTIATE(T)                                                                                             \
  template void lattice_filter(const T*, const int32_t*, const T*, const int32_t*, const int32_t*, const int32_t*, T*, \
                               T*, bool, int64_t, int64_t, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
