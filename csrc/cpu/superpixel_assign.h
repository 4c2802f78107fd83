// q_k = exp(-|f - c_k|^2) / sum over neighbours inside the grid, for a packed strip: superpixel_assign and
// superpixel_update share it.
#pragma once
#include "cpu/simd_exp.h"
#include "cpu/superpixel_cells.h"

namespace cfw {
namespace CFW_LEVEL {

// features: F planes, q: nine planes, all `stride` apart; centers: [F][9].
template <class T>
CFW_INLINE void assign_strip(const T* features, const T* centers, const SuperpixelGrid& g, const Cell& cell, int F,
                             int stride, int size, T* q) {
  bool inside[kNeighbours];
  for (int k = 0; k < kNeighbours; ++k) inside[k] = g.inside(cell.r, cell.c, k);
  for (int i = 0; i < size; i += Simd<T>::lanes) {
    Vector<T> distance[kNeighbours] = {};
    for (int f = 0; f < F; ++f) {
      const Vector<T> value = load(features + f * stride + i);
#pragma GCC unroll 9
      for (int k = 0; k < kNeighbours; ++k) {
        const Vector<T> difference = value - centers[f * kNeighbours + k];
        distance[k] += difference * difference;
      }
    }
    Vector<T> least = distance[kNeighbours / 2];  // the own cell is always inside
    for (int k = 0; k < kNeighbours; ++k)
      if (inside[k]) least = distance[k] < least ? distance[k] : least;
    Vector<T> sum = {};
    for (int k = 0; k < kNeighbours; ++k) {
      distance[k] = inside[k] ? exp_of<T>(least - distance[k]) : Vector<T>{};
      sum += distance[k];
    }
    const Vector<T> scale = T(1) / sum;
    for (int k = 0; k < kNeighbours; ++k) store(q + k * stride + i, distance[k] * scale);
  }
}

}  // namespace CFW_LEVEL
}  // namespace cfw
