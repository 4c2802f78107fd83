// Apply the stencil inside a tile: what the product and the losses share.
//
// A block works on a tile of kTileWidth x kTileHeight pixels, class by class, a class's values in shared memory with a border.
// A thread keeps the 24 coefficients of its two pixels, one below the other, in registers, where all classes share them:
// then memory sees the stencil once. Limit: shared memory gives a multiprocessor 32 values a clock, and two pixels need
// 6 x 5 of them, 15 a value, so at 21 classes it costs about as much as reading and writing the maps.
#pragma once
#include "common/stencil_layout.h"
#include "common/half.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {

constexpr int kTileWidth = kWarp, kTileHeight = 16;
constexpr int kRows = 2;  // pixels of a thread, one below the other
constexpr int kThreads = kTileWidth * kTileHeight / kRows;
constexpr int kSide = 2 * kReach + 1;

struct Tile {
  int64_t n;
  int x0, y0;
};

// Tiles of an image, row by row, then image by image.
struct Tiles {
  int across, down;
  CFW_INLINE Tiles(int H, int W)
      : across((W + kTileWidth - 1) / kTileWidth), down((H + kTileHeight - 1) / kTileHeight) {}
  CFW_INLINE int64_t per_image() const { return int64_t(across) * down; }
  CFW_INLINE Tile at(int64_t block) const {
    const int64_t rest = block % per_image();
    return {block / per_image(), int(rest % across) * kTileWidth, int(rest / across) * kTileHeight};
  }
};

// The coefficients of one pixel: to the 12 forward neighbours, then to the 12 backward ones. All 0 outside the image.
template <class T>
struct Coefficients {
  T forward[kTaps], backward[kTaps];

  // stencil: of the pixel's image, in T or in a shorter format.
  template <class S>
  __device__ __forceinline__ void read(const S* stencil, int64_t pitch, int y, int x, int H, int W) {
    const bool inside = y >= 0 && y < H && x >= 0 && x < W;
    // One pointer and offsets of 32 bits: 24 addresses of 64 bits would be a third of a thread's instructions.
    const S* const own = stencil_row(stencil, pitch, y, 0) + x;
    const int row = int(pitch);
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      forward[k] = inside ? T(own[k * row]) : T(0);
      backward[k] = inside ? T(own[(k - tap_dy(k) * kTaps) * row - tap_dx(k)]) : T(0);
    }
  }

  // L v at `centre`, v in rows of kPitch values.
  template <int kPitch>
  __device__ __forceinline__ T apply(const T* centre) const {
    const T own = *centre;
    T sum = 0;
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      const int step = tap_dy(k) * kPitch + tap_dx(k);
      sum += forward[k] * (centre[step] - own);  // two sums: one fused operation each
      sum += backward[k] * (centre[-step] - own);
    }
    return sum;
  }
};

// L v of kRows pixels, the first at `centre`: their common neighbours are read once.
template <int kPitch, class T>
__device__ __forceinline__ void apply_rows(const Coefficients<T> (&coefficients)[kRows], const T* centre,
                                           T (&own)[kRows], T (&product)[kRows]) {
  T v[kRows + 2 * kReach][kSide];
#pragma unroll
  for (int i = 0; i < kRows + 2 * kReach; ++i)
#pragma unroll
    for (int j = 0; j < kSide; ++j) v[i][j] = centre[(i - kReach) * kPitch + j - kReach];
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    own[row] = v[row + kReach][kReach];
    T sum = 0;
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      const int dy = tap_dy(k), dx = tap_dx(k);
      sum += coefficients[row].forward[k] * (v[row + kReach + dy][kReach + dx] - own[row]);
      sum += coefficients[row].backward[k] * (v[row + kReach - dy][kReach - dx] - own[row]);
    }
    product[row] = sum;
  }
}

// A class's values in a tile with a border of kBorder pixels, 0 outside the image. Two of them: while one is worked on, the
// values of the next class are on their way.
template <class T, int kBorder>
struct Values {
  static constexpr int kPitch = kTileWidth + 2 * kBorder, kHeight = kTileHeight + 2 * kBorder;
  T data[2][kHeight * kPitch];

  // The pixel of the tile at row y, column x.
  __device__ __forceinline__ T* at(int buffer, int y, int x) {
    return &data[buffer][(y + kBorder) * kPitch + x + kBorder];
  }
};

// What a thread contributes to Values: where its values come from, and the values on their way.
template <class T, int kBorder>
struct Loader {
  static constexpr int kPitch = Values<T, kBorder>::kPitch, kCount = Values<T, kBorder>::kHeight * kPitch;
  static constexpr int kOwn = (kCount + kThreads - 1) / kThreads;
  int from[kOwn];  // index in the plane; -1 outside
  T value[kOwn];

  __device__ __forceinline__ Loader(const Tile& t, int H, int W) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int index = int(threadIdx.x) + i * kThreads;
      const int y = t.y0 - kBorder + index / kPitch, x = t.x0 - kBorder + index % kPitch;
      from[i] = y >= 0 && y < H && x >= 0 && x < W ? y * W + x : -1;
    }
  }
  template <class X>
  __device__ __forceinline__ void fetch(const X* plane) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) value[i] = from[i] >= 0 ? T(to_arithmetic(plane[from[i]])) : T(0);
  }
  __device__ __forceinline__ void put(Values<T, kBorder>& values, int buffer) const {
    put(values, buffer, [](int, T own) { return own; });
  }
  // `transform(index in Values, value)` of those inside the image.
  template <class Transform>
  __device__ __forceinline__ void put(Values<T, kBorder>& values, int buffer, const Transform& transform) const {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int index = int(threadIdx.x) + i * kThreads;
      if (index < kCount) values.data[buffer][index] = from[i] >= 0 ? transform(index, value[i]) : T(0);
    }
  }
};

}  // namespace cuda
}  // namespace cfw
