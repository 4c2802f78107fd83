// Apply the stencil to rows of a tile: what the product and the losses share.
//
// A tile is at most kTile columns of the image. A Ring holds the last rows of a map inside it, for all classes, with
// what lies outside the image as zeros (their coefficients are zero too). It costs one copy of each value, and pays for
// it: no border case, no dependence on the alignment or the strides of the caller's tensor, compile-time strides, no
// cache conflicts between rows a power of two apart.
//
// Limit: per value and class the 24 neighbours are 24 loads and 48 operations; four classes share each coefficient's load.
// With 64 bytes a vector they are 15 loads and 20 shifts.
#pragma once
#include <algorithm>
#include <memory>
#include <type_traits>

#include "common/half.h"
#include "common/stencil_layout.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {

constexpr int kTile = 512;                  // columns of a tile, at most
constexpr int kBandRows = 64;               // rows of a tile, at most
constexpr int kLineBytes = 64, kLine = 16;  // a cache line, and its floats
constexpr int kHalo = 2 * kReach;
// Columns of a ring left of the tile: a vector that starts in the halo has a vector of neighbours.
constexpr int kMargin = 2 * kLine;
constexpr int kRingWidth = kMargin + kTile + 3 * kLine;  // 37 cache lines of floats: an odd number
constexpr int kRingRows = 2 * kReach + 1;
constexpr int kClassBlock = 4;
constexpr int kClassGroup = 16;  // classes in a ring at a time, so that it stays in the second-level cache

// Rows of values, each from the start of a cache line on where `pitch` is a whole number of them. The first `used`
// values of a row are 0 at first.
template <class T>
class AlignedRows {
 public:
  AlignedRows(int count, int pitch, int used) : pitch_(pitch), data_(new T[size_t(count) * pitch + kLine]) {
    const size_t over = reinterpret_cast<uintptr_t>(data_.get()) % kLineBytes / sizeof(T);
    start_ = data_.get() + (over == 0 ? 0 : kLineBytes / sizeof(T) - over);
    for (int row = 0; row < count; ++row) std::fill(at(row), at(row) + used, T(0));
  }
  T* at(size_t row) { return start_ + row * pitch_; }

 private:
  int pitch_;
  std::unique_ptr<T[]> data_;
  T* start_;
};

template <class T>
class Ring {
 public:
  // width: of the tile, or a larger one.
  Ring(int classes, int width)
      : classes_(classes), data_(kRingRows * classes, kRingWidth, kMargin + std::min(width, kTile) + 3 * kLine) {}

  // Tile column 0 of the given row and class. y >= -kHalo.
  T* row(int y, int c) { return data_.at(size_t((y + kRingRows) % kRingRows) * classes_ + c) + kMargin; }

  // Read row y of a map (H, W), columns x0 - kHalo to x0 + width + kHalo. The map may be in half precision.
  template <class X>
  void read(const X* map, int y, int c, int x0, int width, int H, int W) {
    T* to = row(y, c);
    const int first = std::max(-kHalo, -x0), last = std::min(width + kHalo, W - x0);
    if (y < 0 || y >= H) {
      std::fill(to - kHalo, to + width + kHalo, T(0));
      return;
    }
    const X* from = map + int64_t(y) * W + x0;
    std::fill(to - kHalo, to + first, T(0));
    if constexpr (std::is_same_v<X, T>)
      std::copy(from + first, from + last, to + first);
    else
      for (int i = first; i < last; ++i) to[i] = to_arithmetic(from[i]);
    std::fill(to + last, to + width + kHalo, T(0));
    // The next row, into the second-level cache: a map is read in pieces too short for the hardware to foresee them.
    if (y + 1 < H)
      for (int i = first; i < last; i += kLineBytes / int(sizeof(X))) __builtin_prefetch(from + W + i, 0, 2);
  }

 private:
  int classes_;
  AlignedRows<T> data_;
};

// Add the taps of one row of x to sums: kDirection 1 the forward ones, in the row kDown below, -1 the backward ones, in
// that above. Tap k goes to the same sum in the same order whatever the vectors' size.
template <int kDown, int kDirection, int kClasses, int kClassPitch, int kSums, class S, class T>
CFW_INLINE void add_taps(const S* const (&coefficients)[kTaps], const T* row, int i,
                         const Vector<T> (&centre)[kClasses], Vector<T> (&sum)[kClasses][kSums]) {
  constexpr int kFirst = kDown == 0 ? 0 : 5 * kDown - 3, kCount = kDown == 0 ? 2 : 5;
  Vector<T> w[kCount];
#pragma GCC unroll 5
  for (int j = 0; j < kCount; ++j) {
    w[j] = load_as<T>(coefficients[kFirst + j] + i);
    CFW_PIN(w[j]);
  }
#pragma GCC unroll 4
  for (int q = 0; q < kClasses; ++q) {
    const Neighbours<T> around(row + q * kClassPitch + i);
    auto add = [&](auto tap) __attribute__((always_inline)) {
      constexpr int k = kFirst + tap;
      if constexpr (tap < kCount)
        sum[q][(2 * k + (kDirection < 0)) % kSums] +=
            w[tap] * (around.template at<kDirection * tap_dx(k)>() - centre[q]);
    };
    add(std::integral_constant<int, 0>{});
    add(std::integral_constant<int, 1>{});
    add(std::integral_constant<int, 2>{});
    add(std::integral_constant<int, 3>{});
    add(std::integral_constant<int, 4>{});
  }
}

// y = L x for kClasses neighbouring classes of one row, tile columns [begin, end), a vector at a time. `x` points at column 0
// of the first class in the five rows from y - 2 on; classes are kClassPitch values apart. The stencil may be narrower than x.
// Neighbouring vectors on both sides are read. `emit(i, class, centre, sum)` gets the tile column of the vector, x
// there and L x there; lanes from `end` on hold zeros or values that belong to other columns.
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
    add_taps<0, 1, kClasses, kClassPitch>(forward, x[kReach], i, centre, sum);
    add_taps<0, -1, kClasses, kClassPitch>(backward, x[kReach], i, centre, sum);
    add_taps<1, 1, kClasses, kClassPitch>(forward, x[kReach + 1], i, centre, sum);
    add_taps<1, -1, kClasses, kClassPitch>(backward, x[kReach - 1], i, centre, sum);
    add_taps<2, 1, kClasses, kClassPitch>(forward, x[kReach + 2], i, centre, sum);
    add_taps<2, -1, kClasses, kClassPitch>(backward, x[kReach - 2], i, centre, sum);
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

// The tiles of N images: enough to keep threads busy, the same whatever their number, and of about the same size. At
// most `columns` wide, a whole number of cache lines.
struct Tiles {
  int H, W, width, height, across, down;
  Tiles(int H, int W, int columns = kTile) : H(H), W(W) {
    auto pieces = [](int size, int most) { return (size + most - 1) / most; };
    width = pieces(pieces(W, pieces(W, columns)), kLine) * kLine;
    height = pieces(H, pieces(H, kBandRows));
    across = pieces(W, width);
    down = pieces(H, height);
  }
  int64_t per_image() const { return int64_t(across) * down; }
};

struct Tile {
  int64_t n;
  int x0, width, y0, y1;
  Tile(const Tiles& tiles, int64_t item) {
    n = item / tiles.per_image();
    const int rest = int(item % tiles.per_image());
    x0 = rest % tiles.across * tiles.width;
    width = std::min(tiles.width, tiles.W - x0);
    y0 = rest / tiles.across * tiles.height;
    y1 = std::min(tiles.H, y0 + tiles.height);
  }
};

}  // namespace CFW_LEVEL
}  // namespace cfw
