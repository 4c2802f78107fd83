// How the matting Laplacian of radius 1 lies in memory: the one place that both builder and readers take it from.
//
// With 3 x 3 windows, L couples a pixel with the 24 pixels at most two rows and two columns away. L is symmetric, so the
// 12 forward neighbours suffice: coefficient k of pixel (y, x) is L[(y, x), (y + dy[k], x + dx[k])], and the backward
// ones are read from the neighbour's own row. The diagonal is not stored: the rows of L sum to zero, therefore
//     (L v)_i = sum over j != i of L_ij (v_j - v_i),
// which is exactly zero for a constant v in floating point too, where a rounded diagonal would not be.
//
// stencil (N, H + 2, 12, P): two rows of zeros above the image, 16 columns of zeros left of it and at least 16 right of it,
// so that a reader never asks whether a neighbour exists. P keeps rows 64-byte aligned (float) and is no multiple of
// 128 columns: rows 512 bytes apart would share a few cache sets.
#pragma once
#include <cstdint>

namespace cfw {

constexpr int kTaps = 12;
constexpr int kTapDy[kTaps] = {0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2};
constexpr int kTapDx[kTaps] = {1, 2, -2, -1, 0, 1, 2, -2, -1, 0, 1, 2};
constexpr int kReach = 2;     // rows and columns that the stencil reaches
constexpr int kTopRows = 2;   // rows of zeros above
constexpr int kLeftPad = 16;  // columns of zeros to the left

inline int64_t stencil_pitch(int64_t width) {
  int64_t lines = (width + 2 * kLeftPad + 15) / 16;
  if (lines % 8 == 0) ++lines;
  return 16 * lines;
}

// Coefficient row k of image row y (y >= -2), at column 0. `image` points at stencil[n].
template <class T>
inline T* stencil_row(T* image, int64_t pitch, int64_t y, int k) {
  return image + ((y + kTopRows) * kTaps + k) * pitch + kLeftPad;
}

}  // namespace cfw
