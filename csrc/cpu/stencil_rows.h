// Apply the stencil to rows of a tile: what the product and the losses share.
//
// A tile is kTile columns of the image. A Ring holds the last rows of a map inside it, for all classes, with what lies
// outside the image as zeros (their coefficients are zero too). It costs one copy of each value, and pays for it: no
// border case, no dependence on the alignment or the strides of the caller's tensor, compile-time strides, no cache
// conflicts between rows a power of two apart.
//
// Limit: per value and class the 24 neighbours are 24 loads and 48 operations; four classes share each coefficient's load.
#pragma once
#include <algorithm>
#include <vector>

#include "common/stencil_layout.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {

constexpr int kTile = 512;     // columns of a tile
constexpr int kBandRows = 64;  // rows of a tile
constexpr int kMargin = 16;    // columns of a ring left of the tile
constexpr int kHalo = 2 * kReach;
constexpr int kRingWidth = kMargin + kTile + 32;  // 11 cache lines of floats: an odd number
constexpr int kRingRows = 2 * kReach + 1;
constexpr int kClassBlock = 4;
constexpr int kClassGroup = 16;  // classes in a ring at a time, so that it stays in the second-level cache

template <class T>
class Ring {
 public:
  explicit Ring(int classes) : classes_(classes), data_(size_t(kRingRows) * classes * kRingWidth) {}

  // Tile column 0 of the given row and class. y >= -kHalo.
  T* row(int y, int c) { return &data_[(size_t((y + kRingRows) % kRingRows) * classes_ + c) * kRingWidth + kMargin]; }

  // Read row y of a map (H, W), columns x0 - kHalo to x0 + width + kHalo.
  void read(const T* map, int y, int c, int x0, int width, int H, int W) {
    T* to = row(y, c);
    const int first = std::max(-kHalo, -x0), last = std::min(width + kHalo, W - x0);
    if (y < 0 || y >= H) {
      std::fill(to - kHalo, to + width + kHalo, T(0));
      return;
    }
    const T* from = map + int64_t(y) * W + x0;
    std::fill(to - kHalo, to + first, T(0));
    std::copy(from + first, from + last, to + first);
    std::fill(to + last, to + width + kHalo, T(0));
  }

 private:
  int classes_;
  std::vector<T> data_;
};

// y = L x for kClasses neighbouring classes of one row, tile columns [begin, end), a vector at a time. `x` points at column 0
// of the first class in the five rows from y - 2 on; classes are kClassPitch values apart. The stencil may be narrower than x.
// `emit(i, class, centre, sum)` gets the tile column of the vector, x there and L x there; lanes from `end` on hold zeros
// or values that belong to other columns.
template <int kClasses, int kClassPitch, class S, class T, class Emit>
CFW_INLINE void stencil_row_of(const S* stencil, int64_t pitch, int y, int x0, const T* const (&x)[kRingRows],
                               int begin, int end, const Emit& emit) {
  const S *forward[kTaps], *backward[kTaps];
  for (int k = 0; k < kTaps; ++k) {
    forward[k] = stencil_row(stencil, pitch, y, k) + x0;
    backward[k] = stencil_row(stencil, pitch, y - tap_dy(k), k) + x0 - tap_dx(k);
  }
  for (int i = begin; i < end; i += Simd<T>::lanes) {
    // Several sums a class: one would be a chain of 24 additions that wait for each other.
    constexpr int kSums = kClasses == 1 ? 4 : 2;
    Vector<T> centre[kClasses], sum[kClasses][kSums];
    for (int q = 0; q < kClasses; ++q) {
      centre[q] = load(x[kReach] + q * kClassPitch + i);
      for (int s = 0; s < kSums; ++s) sum[q][s] = Vector<T>{};
    }
#pragma GCC unroll 12
    for (int k = 0; k < kTaps; ++k) {
      Vector<T> w = load_as<T>(forward[k] + i);
      CFW_PIN(w);
#pragma GCC unroll 4
      for (int q = 0; q < kClasses; ++q)
        sum[q][2 * k % kSums] += w * (load(x[kReach + tap_dy(k)] + q * kClassPitch + i + tap_dx(k)) - centre[q]);
      w = load_as<T>(backward[k] + i);
      CFW_PIN(w);
#pragma GCC unroll 4
      for (int q = 0; q < kClasses; ++q)
        sum[q][(2 * k + 1) % kSums] += w * (load(x[kReach - tap_dy(k)] + q * kClassPitch + i - tap_dx(k)) - centre[q]);
    }
    for (int q = 0; q < kClasses; ++q)
      for (int s = 1; s < kSums; ++s) sum[q][0] += sum[q][s];
    for (int q = 0; q < kClasses; ++q) emit(i, q, centre[q], sum[q][0]);
  }
}

// All `classes` of a ring, in blocks that share the loads of the coefficients. `emit(i, class, centre, sum)`.
template <class T, class Emit>
CFW_INLINE void stencil_row_all(const T* stencil, int64_t pitch, int y, int x0, Ring<T>& ring, int classes, int begin,
                                int end, const Emit& emit) {
  int c = 0;
  auto block = [&](int i, int q, Vector<T> centre, Vector<T> sum)
                   __attribute__((always_inline)) { emit(i, c + q, centre, sum); };
  const T* x[kRingRows];
  auto at_class = [&]() -> const T* const(&)[kRingRows] {
    for (int d = -kReach; d <= kReach; ++d) x[d + kReach] = ring.row(y + d, c);
    return x;
  };
  for (; c + 4 <= classes; c += 4) stencil_row_of<4, kRingWidth>(stencil, pitch, y, x0, at_class(), begin, end, block);
  for (; c + 2 <= classes; c += 2) stencil_row_of<2, kRingWidth>(stencil, pitch, y, x0, at_class(), begin, end, block);
  for (; c < classes; ++c) stencil_row_of<1, kRingWidth>(stencil, pitch, y, x0, at_class(), begin, end, block);
}

// The tiles of N images: enough to keep threads busy, the same whatever their number.
struct Tiles {
  int H, W, across, down;
  Tiles(int H, int W) : H(H), W(W), across((W + kTile - 1) / kTile), down((H + kBandRows - 1) / kBandRows) {}
  int64_t per_image() const { return int64_t(across) * down; }
};

struct Tile {
  int64_t n;
  int x0, width, y0, y1;
  Tile(const Tiles& tiles, int64_t item) {
    n = item / tiles.per_image();
    const int rest = int(item % tiles.per_image());
    x0 = rest % tiles.across * kTile;
    width = std::min(kTile, tiles.W - x0);
    y0 = rest / tiles.across * kBandRows;
    y1 = std::min(tiles.H, y0 + kBandRows);
  }
};

}  // namespace CFW_LEVEL
}  // namespace cfw
