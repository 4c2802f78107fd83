// x_p = sum_i q(p -> i) s_i: superpixels to pixels.
//
// Floor: q is read and x written once.
#include "cuda/kernels.h"
#include "cuda/superpixel_cells.h"

namespace cfw {
namespace cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kChunk) unpool(const T* s, const T* q, T* x, int C, SuperpixelGrid g) {
  Superpixels<T>& superpixels = shared<Superpixels<T>>();
  const Cell cell(g, blockIdx.x);
  s += cell.n * C * g.cells();
  q += cell.n * kNeighbours * g.pixels();
  for (int start = 0; start < cell.pixels; start += blockDim.x) {
    const bool active = start + int(threadIdx.x) < cell.pixels;
    const int place = active ? cell.place(g, start + threadIdx.x) : 0;
    T weights[kNeighbours] = {};
    if (active) read_weights(q, g, cell, place, weights);
    T* to = x + cell.n * C * g.pixels() + place;
    for (int first = 0; first < C; first += kClasses) {
      const int classes = smaller(kClasses, C - first);
      superpixels.read(s, g, cell, first, classes);
      __syncthreads();
      if (active)
#pragma unroll 2
        for (int c = 0; c < classes; ++c, to += g.pixels()) {
          const typename Superpixels<T>::Class own = superpixels.classes[c];
          T sum = 0;
#pragma unroll
          for (int k = 0; k < kNeighbours; ++k) sum += weights[k] * own.value[k];
          *to = sum;
        }
      __syncthreads();
    }
  }
}

}  // namespace

template <class T>
void superpixel_unpool(const T* s, const T* q, T* x, int64_t N, int C, int H, int W, int S, Queue queue) {
  const SuperpixelGrid g(S, H, W);
  launch(unpool<T>, N * g.cells(), cell_threads(g), sizeof(Superpixels<T>), queue, s, q, x, C, g);
}

#define CFW_INSTANTIATE(T) template void superpixel_unpool(const T*, const T*, T*, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
