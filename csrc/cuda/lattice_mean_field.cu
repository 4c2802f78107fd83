// Mean field: q = softmax(unary), then `iterations` times q = softmax(unary + W q).
//
// The softmax takes a thread for each pixel: a row of channels fits into a few lines of the cache. Images follow each other
// and share the memory for pixels and rows.
#include <cmath>

#include "cuda/kernels.h"
#include "cuda/lattice_passes.h"

namespace cfw {
namespace cuda {
namespace {

constexpr double kNone = -1e30;  // logit of a channel of padding, whose probability is exactly 0

// From planes to rows, and back. Neighbouring threads take neighbouring pixels.
template <class T>
__global__ void __launch_bounds__(kLatticeThreads) to_rows(const T* planes, T* rows, int64_t P, int classes, int C) {
  const int64_t i = lattice_item();
  if (i >= P * C) return;
  const int64_t c = i / P, p = i % P;
  rows[p * C + c] = c < classes ? planes[i] : T(kNone);
}

template <class T>
__global__ void __launch_bounds__(kLatticeThreads) to_planes(const T* rows, T* planes, int64_t P, int classes, int C) {
  const int64_t i = lattice_item();
  if (i < P * classes) planes[i] = rows[i % P * C + i / P];
}

// Softmax of each row; q may be x.
template <class T>
__global__ void __launch_bounds__(kLatticeThreads) softmax_pixels(const T* x, T* q, int64_t P, int C) {
  const int64_t p = lattice_item();
  if (p >= P) return;
  x += p * C, q += p * C;
  T top = x[0], sum = 0;
  for (int c = 1; c < C; ++c) top = x[c] > top ? x[c] : top;
  for (int c = 0; c < C; ++c) {
    const T v = x[c] - top, e = v < (sizeof(T) == 4 ? T(-60) : T(-600)) ? T(0) : exp(v);
    sum += e;
    q[c] = e;
  }
  for (int c = 0; c < C; ++c) q[c] /= sum;
}

}  // namespace

template <class T>
void lattice_mean_field(const T* unary, const int32_t* indices, const T* weights, const int32_t* neighbours,
                        const int32_t* starts, const int32_t* entries, T* pixels, T* scratch, T* q, int iterations,
                        int64_t N, int64_t P, int64_t R, int classes, int K, int A, int slots, Queue queue) {
  const Lattice<T> lattices = {indices, weights, neighbours, starts, entries, P, R, K, A};
  const int C = (classes + 7) / 8 * 8;
  for (int64_t n = 0; n < N; ++n) {
    const Lattice<T> l = lattices.image(n);
    T* own_unary = pixels + n % slots * 2 * P * C;
    T* own_q = own_unary + P * C;
    launch(to_rows<T>, lattice_blocks(P * C), kLatticeThreads, 0, queue, unary + n * classes * P, own_unary, P, classes,
           C);
    launch(softmax_pixels<T>, lattice_blocks(P), kLatticeThreads, 0, queue, own_unary, own_q, P, C);
    for (int i = 0; i < iterations; ++i) {
      filter_image(l, static_cast<const T*>(own_q), static_cast<const T*>(own_unary), scratch + n % slots * 3 * R * C,
                   own_q, false, C, queue);
      launch(softmax_pixels<T>, lattice_blocks(P), kLatticeThreads, 0, queue, own_q, own_q, P, C);
    }
    launch(to_planes<T>, lattice_blocks(P * classes), kLatticeThreads, 0, queue, own_q, q + n * classes * P, P, classes,
           C);
  }
}

#define CFW_INSTANTIATE(T)                                                                                             \
  template void lattice_mean_field(const T*, const int32_t*, const T*, const int32_t*, const int32_t*, const int32_t*, \
                                   T*, T*, T*, int, int64_t, int64_t, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
