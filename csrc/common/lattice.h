// The permutohedral lattice of an image (Adams, Baek, Davis: Fast high-dimensional filtering using the permutohedral
// lattice. 2010), as arrays.
//
// A pixel has F features and so K = F + 1 lattice points around it, with weights that add up to 1. Row 0 of the lattice is
// empty and stands for points that are not there, so no loop asks for them. The lattice points are rows 1, 2, ... in the
// order in which the pixels meet them.
#pragma once
#include <cstdint>

#include "common/inline.h"

namespace cfw {

// N images, P pixels, R rows, K lattice points of a pixel, A axes to blur along. Two lattices in one have K1 + K2 and
// max(A1, A2). A row without a point along an axis has row 0 there.
template <class T>
struct Lattice {
  const int32_t* indices;     // (N, P, K): rows of the lattice points around a pixel
  const T* weights;           // (N, P, K)
  const int32_t* neighbours;  // (N, A, R, 2): rows before and behind a row along an axis
  const int32_t* starts;      // (N, R + 1): where the list of each row begins; for kernels that gather, null elsewhere
  const int32_t* entries;     // (N, P K): the lists, places in `indices` in ascending order
  int64_t P, R;
  int K, A;

  CFW_INLINE Lattice image(int64_t n) const {
    Lattice own = *this;
    own.indices += n * P * K, own.weights += n * P * K, own.neighbours += n * A * R * 2;
    if (starts) own.starts += n * (R + 1), own.entries += n * P * K;
    return own;
  }
};

}  // namespace cfw
