// The passes of a filter on the lattice, as in cpu/lattice_passes.h: a thread for each row, or pixel, and channel.
//
// Neighbouring threads take neighbouring channels, so the lists and indices that they share come from the cache, and rows of
// channels are read as a whole. A row gathers from its list of pixels: no atomics, a fixed order.
#pragma once
#include "common/lattice.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {

constexpr int kLatticeThreads = 256;

inline int64_t lattice_blocks(int64_t items) { return (items + kLatticeThreads - 1) / kLatticeThreads; }

__device__ __forceinline__ int64_t lattice_item() { return int64_t(blockIdx.x) * kLatticeThreads + threadIdx.x; }

template <class T>
__global__ void __launch_bounds__(kLatticeThreads) splat_rows(Lattice<T> l, const T* x, T* v, int C) {
  const int64_t item = lattice_item();
  if (item >= l.R * C) return;
  const int64_t m = item / C;
  const int c = int(item % C);
  T sum = 0;
  for (int32_t i = l.starts[m]; i < l.starts[m + 1]; ++i) {
    const int32_t e = l.entries[i];
    sum += l.weights[e] * x[int64_t(e / l.K) * C + c];
  }
  v[item] = sum;
}

// Rows without pixels are no lattice points, and no row names them as a neighbour; only row 0 must hold zeros.
template <class T>
__global__ void __launch_bounds__(kLatticeThreads) blur_rows(Lattice<T> l, int axis, const T* v, T* out, int C) {
  const int64_t i = lattice_item();
  if (i >= l.R * C) return;
  const int64_t m = i / C;
  const int c = int(i % C);
  if (m > 0 && l.starts[m] == l.starts[m + 1]) return;
  const int32_t* neighbours = l.neighbours + (axis * l.R + m) * 2;
  out[i] = T(0.5) * v[i] + T(0.25) * (v[int64_t(neighbours[0]) * C + c] + v[int64_t(neighbours[1]) * C + c]);
}

// y = W x, and `unary` where there is one.
template <class T>
__global__ void __launch_bounds__(kLatticeThreads) slice_pixels(Lattice<T> l, const T* v, const T* unary, T* y, int C) {
  const int64_t i = lattice_item();
  if (i >= l.P * C) return;
  const int64_t p = i / C;
  const int c = int(i % C);
  T sum = unary ? unary[i] : T(0);
  for (int k = 0; k < l.K; ++k) sum += l.weights[p * l.K + k] * v[int64_t(l.indices[p * l.K + k]) * C + c];
  y[i] = sum;
}

// Of one image. v holds (2, R, C) or more.
template <class T>
void filter_image(const Lattice<T>& l, const T* x, const T* unary, T* v, T* y, bool transposed, int C, Queue queue) {
  T* from = v;
  T* to = v + l.R * C;
  launch(splat_rows<T>, lattice_blocks(l.R * C), kLatticeThreads, 0, queue, l, x, from, C);
  for (int i = 0; i < l.A; ++i) {
    launch(blur_rows<T>, lattice_blocks(l.R * C), kLatticeThreads, 0, queue, l, transposed ? l.A - 1 - i : i, from, to,
           C);
    T* const other = from;
    from = to, to = other;
  }
  launch(slice_pixels<T>, lattice_blocks(l.P * C), kLatticeThreads, 0, queue, l, from, unary, y, C);
}

}  // namespace cuda
}  // namespace cfw
