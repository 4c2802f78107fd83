// d_pk = sum_c x_pc s_ic, i the k-th superpixel around p; 0 where there is none. The gradient of pool and unpool in q.
//
// Floor: x is read and d written once.
#include "cuda/kernels.h"
#include "cuda/superpixel_cells.h"

namespace cfw {
namespace cuda {
namespace {

template <class T, class X>
__global__ void __launch_bounds__(kChunk, 3) dot(const X* x, const T* s, T* d, int C, SuperpixelGrid g) {
  Superpixels<T>& superpixels = shared<Superpixels<T>>();
  const Cell cell(g, blockIdx.x);
  s += cell.n * C * g.cells();
  for (int start = 0; start < cell.pixels; start += blockDim.x) {
    const bool active = start + int(threadIdx.x) < cell.pixels;
    const int place = active ? cell.place(g, start + threadIdx.x) : 0;
    const X* from = x + cell.n * C * g.pixels() + place;
    T sum[kNeighbours] = {};
    for (int first = 0; first < C; first += kClasses) {
      const int classes = smaller(kClasses, C - first);
      superpixels.read(s, g, cell, first, classes);
      __syncthreads();
      if (active)
#pragma unroll 2
        for (int c = 0; c < classes; ++c, from += g.pixels()) {
          const typename Superpixels<T>::Class own = superpixels.classes[c];
          const T value = to_arithmetic(*from);
#pragma unroll
          for (int k = 0; k < kNeighbours; ++k) sum[k] += value * own.value[k];
        }
      __syncthreads();
    }
    if (!active) continue;
    T* to = d + cell.n * kNeighbours * g.pixels() + place;
#pragma unroll
    for (int k = 0; k < kNeighbours; ++k)
      to[k * g.pixels()] = g.inside(cell.r, cell.c, k) ? sum[k] : T(0);  // not NaN * 0
  }
}

}  // namespace

template <class T, class X>
void superpixel_dot(const X* x, const T* s, T* d, int64_t N, int C, int H, int W, int S, Queue queue) {
  const SuperpixelGrid g(S, H, W);
  launch(dot<T, X>, N * g.cells(), cell_threads(g), sizeof(Superpixels<T>), queue, x, s, d, C, g);
}

#define CFW_INSTANTIATE(T, X) template void superpixel_dot(const X*, const T*, T*, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float, float)
CFW_INSTANTIATE(double, double)
CFW_INSTANTIATE(float, Half)
CFW_INSTANTIATE(float, BFloat16)

}  // namespace cuda
}  // namespace cfw
