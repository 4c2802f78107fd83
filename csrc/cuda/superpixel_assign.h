// q_k = exp(-|f - c_k|^2) / sum over neighbours inside the grid, for one pixel a thread: superpixel_assign and
// superpixel_update share it.
#pragma once
#include <cmath>

#include "cuda/superpixel_cells.h"

namespace cfw {
namespace cuda {

// features (F, H, W), centers (F, h, w): of the cell's image. The whole block takes part, with its memory for the
// centres, also threads with no pixel (`active` is false): their q means nothing.
template <class T>
__device__ __forceinline__ void assign_pixel(const T* features, const T* centers, int F, const SuperpixelGrid& g,
                                             const Cell& cell, Superpixels<T>& memory, bool active, int place,
                                             T (&q)[kNeighbours]) {
  T distance[kNeighbours] = {};
  const T* from = features + place;
  for (int first = 0; first < F; first += kClasses) {
    const int count = smaller(kClasses, F - first);
    memory.read(centers, g, cell, first, count);
    __syncthreads();
    if (active)
#pragma unroll 4
      for (int f = 0; f < count; ++f, from += g.pixels()) {
        const typename Superpixels<T>::Class own = memory.classes[f];
        const T value = *from;
#pragma unroll
        for (int k = 0; k < kNeighbours; ++k) {
          const T difference = value - own.value[k];
          distance[k] += difference * difference;
        }
      }
    __syncthreads();
  }
  T least = distance[kNeighbours / 2];  // the own cell is always inside
#pragma unroll
  for (int k = 0; k < kNeighbours; ++k)
    if (g.inside(cell.r, cell.c, k)) least = distance[k] < least ? distance[k] : least;
  T sum = 0;
#pragma unroll
  for (int k = 0; k < kNeighbours; ++k) {
    q[k] = g.inside(cell.r, cell.c, k) ? std::exp(least - distance[k]) : T(0);
    sum += q[k];
  }
  const T scale = T(1) / sum;
#pragma unroll
  for (int k = 0; k < kNeighbours; ++k) q[k] *= scale;
}

}  // namespace cuda
}  // namespace cfw
