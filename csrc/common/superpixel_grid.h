// The grid of superpixels: cells of S x S pixels, the last ones cut off by the image's border.
//
// A pixel belongs softly to the 3 x 3 cells around its own: neighbour k = 3 (dy + 1) + (dx + 1), k = 4 its own cell.
#pragma once
#include <cstdint>

#include "common/inline.h"

namespace cfw {

constexpr int kNeighbours = 9;
// A superpixel whose weights add up to less has no pixels: dividing by as little overflows in gradients.
constexpr double kEmpty = 1e-12;

struct SuperpixelGrid {
  int S, H, W, h, w;  // cell side; pixels; cells

  CFW_INLINE SuperpixelGrid(int S, int H, int W) : S(S), H(H), W(W), h((H + S - 1) / S), w((W + S - 1) / S) {}

  CFW_INLINE int64_t pixels() const { return int64_t(H) * W; }
  CFW_INLINE int64_t cells() const { return int64_t(h) * w; }

  // Whether neighbour k of cell (r, c) exists, and its number in row-major order.
  CFW_INLINE bool inside(int r, int c, int k) const {
    const int y = r + k / 3 - 1, x = c + k % 3 - 1;
    return y >= 0 && y < h && x >= 0 && x < w;
  }
  CFW_INLINE int64_t neighbour(int r, int c, int k) const { return int64_t(r + k / 3 - 1) * w + c + k % 3 - 1; }
};

// Kernels that pool write the sums of each cell for its nine superpixels to partial_sums (cells, 9, C). Their second pass
// adds, for superpixel (r, c), the sums of the nine cells around it.
template <class T>
CFW_INLINE double gather_sums(const T* partial_sums, const SuperpixelGrid& g, int r, int c, int classes, int channel) {
  double sum = 0;
  for (int k = 0; k < kNeighbours; ++k)
    if (g.inside(r, c, k))
      sum += double(partial_sums[(g.neighbour(r, c, k) * kNeighbours + (8 - k)) * classes + channel]);
  return sum;
}

}  // namespace cfw
