// How the matting Laplacian of radius 1 lies in memory: the one place that both builder and readers take it from.
//
// With 3 x 3 windows, L couples a pixel with the 24 pixels at most two rows and two columns away. L is symmetric, so the
// 12 forward neighbours suffice: coefficient k of pixel (y, x) is L[(y, x), (y + dy_k, x + dx_k)], and the backward
// ones are read from the neighbour's own row. The diagonal is not stored: the rows of L sum to zero, therefore
//     (L v)_i = sum over j != i of L_ij (v_j - v_i),
// which is exactly zero for a constant v in floating point too, where a rounded diagonal would not be.
//
// stencil (N, H + 2, 12, P): two rows of zeros above the image, 16 columns of zeros left of it and at least 16 right of it,
// so that a reader never asks whether a neighbour exists. P keeps rows 64-byte aligned (float) and is no multiple of
// 128 columns: rows 512 bytes apart would share a few cache sets.
#pragma once
#include <cstdint>

#include "common/inline.h"

namespace cfw {

constexpr int kTaps = 12;
// Rows and columns to the k-th forward neighbour: (0, 1), (0, 2), then rows 1 and 2 from column -2 to 2.
constexpr CFW_INLINE int tap_dy(int k) { return (k + 3) / 5; }
constexpr CFW_INLINE int tap_dx(int k) { return (k + 3) % 5 - 2; }
constexpr int kReach = 2;     // rows and columns that the stencil reaches
constexpr int kTopRows = 2;   // rows of zeros above
constexpr int kLeftPad = 16;  // columns of zeros to the left

constexpr CFW_INLINE int64_t stencil_pitch(int64_t width) {
  const int64_t lines = (width + 2 * kLeftPad + 15) / 16;
  return 16 * (lines % 8 == 0 ? lines + 1 : lines);
}

// Coefficient row k of image row y (y >= -2), at column 0. `image` points at stencil[n].
template <class T>
CFW_INLINE T* stencil_row(T* image, int64_t pitch, int64_t y, int k) {
  return image + ((y + kTopRows) * kTaps + k) * pitch + kLeftPad;
}

}  // namespace cfw
