// Mean field: q = softmax(-energy), then `iterations` times q = softmax(-energy + W q).
//
// The softmax takes a thread for each pixel: a row of channels fits into a few lines of the cache.
#include <cmath>

#include "cuda/kernels.h"
#include "cuda/lattice_passes.h"

namespace cfw {
namespace cuda {
namespace {

// Softmax of negate ? -x : x; q may be x.
template <class T>
__global__ void __launch_bounds__(kLatticeThreads) softmax_pixels(const T* x, T* q, bool negate, int64_t P, int C) {
  const int64_t p = lattice_item();
  if (p >= P) return;
  const T sign = negate ? T(-1) : T(1);
  x += p * C, q += p * C;
  T top = sign * x[0], sum = 0;
  for (int c = 1; c < C; ++c) top = sign * x[c] > top ? sign * x[c] : top;
  for (int c = 0; c < C; ++c) {
    const T v = sign * x[c] - top, e = v < (sizeof(T) == 4 ? T(-60) : T(-600)) ? T(0) : exp(v);
    sum += e;
    q[c] = e;
  }
  for (int c = 0; c < C; ++c) q[c] /= sum;
}

}  // namespace

template <class T>
void lattice_mean_field(const T* energy, const int32_t* indices, const T* weights, const int32_t* neighbours,
                        const int32_t* starts, const int32_t* entries, T* scratch, T* q, int iterations, int64_t N,
                        int64_t P, int64_t R, int C, int K, int A, int slots, Queue queue) {
  const Lattice<T> lattices = {indices, weights, neighbours, starts, entries, P, R, K, A};
  launch(softmax_pixels<T>, lattice_blocks(N * P), kLatticeThreads, 0, queue, energy, q, true, N * P, C);
  for (int64_t n = 0; n < N; ++n)
    for (int i = 0; i < iterations; ++i) {
      T* own = q + n * P * C;
      filter_image(lattices.image(n), static_cast<const T*>(own), energy + n * P * C, scratch + n % slots * 2 * R * C,
                   own, false, C, queue);
      launch(softmax_pixels<T>, lattice_blocks(P), kLatticeThreads, 0, queue, own, own, false, P, C);
    }
}

#define CFW_INSTANTIATE(T)                                                                                             \
  template void lattice_mean_field(const T*, const int32_t*, const T*, const int32_t*, const int32_t*, const int32_t*, \
                                   T*, T*, int, int64_t, int64_t, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
