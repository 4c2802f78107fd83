// q(p -> i) = exp(-|f_p - c_i|^2) / sum over the superpixels around p: the soft assignment of k-means.
//
// Floor: the features are read and q is written once.
#include "cuda/superpixel_assign.h"

#include "cuda/kernels.h"

namespace cfw {
namespace cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kChunk) assign(const T* features, const T* centers, T* q, int F, SuperpixelGrid g) {
  Superpixels<T>& memory = shared<Superpixels<T>>();
  const Cell cell(g, blockIdx.x);
  features += cell.n * F * g.pixels();
  centers += cell.n * F * g.cells();
  for (int start = 0; start < cell.pixels; start += blockDim.x) {
    const bool active = start + int(threadIdx.x) < cell.pixels;
    const int place = active ? cell.place(g, start + threadIdx.x) : 0;
    T own[kNeighbours];
    assign_pixel(features, centers, F, g, cell, memory, active, place, own);
    if (!active) continue;
    T* to = q + cell.n * kNeighbours * g.pixels() + place;
#pragma unroll
    for (int k = 0; k < kNeighbours; ++k) to[k * g.pixels()] = own[k];
  }
}

}  // namespace

template <class T>
void superpixel_assign(const T* features, const T* centers, T* q, int64_t N, int F, int H, int W, int S, Queue queue) {
  const SuperpixelGrid g(S, H, W);
  launch(assign<T>, N * g.cells(), cell_threads(g), sizeof(Superpixels<T>), queue, features, centers, q, F, g);
}

#define CFW_INSTANTIATE(T) template void superpixel_assign(const T*, const T*, T*, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
