// Apply the stencil to a list of tiles: the common part of tile_product and tile_relax.
//
// The values of a tile are copied with a border of two pixels from its neighbours, a few classes at a time; the stencil is read
// in place. Minimal traffic with one class: the 48 bytes a pixel of the stencil, read once from memory and, for the backward
// taps, once more from the cache.
#pragma once
#include "common/tile_layout.h"
#include "cpu/parallel.h"
#include "cpu/stencil_rows.h"

namespace cfw {
namespace CFW_LEVEL {

constexpr int kTileMargin = 16;  // columns left of a tile's copy: its rows are aligned to vectors
constexpr int kTilePitch = kTileSide + 2 * kTileMargin;
constexpr int kTilesAtOnce = 8;  // in one item of the parallel loop

// The values of up to kClassBlock classes in a tile and around it; zero where there is no tile.
template <class T>
class TileCopy {
 public:
  // x: the first class, in tile 0.
  CFW_INLINE void read(const T* x, const int32_t* neighbours, int classes, int C) {
    for (int dy = -1; dy <= 1; ++dy) {
      const int first = dy < 0 ? -kReach : dy == 0 ? 0 : kTileSide;
      const int last = dy < 0 ? 0 : dy == 0 ? kTileSide : kTileSide + kReach;
      const int32_t* tile = neighbours + 3 * (dy + 1);
      for (int c = 0; c < classes; ++c)
        for (int y = first; y < last; ++y) {
          const int64_t offset = int64_t(c) * kTilePixels + (y - dy * kTileSide) * kTileSide;
          auto from = [&](int i) { return x + int64_t(tile[i]) * C * kTilePixels + offset; };
          T* to = row(y, c);
          for (int i = 1; i <= kReach; ++i) {
            to[-i] = tile[0] < 0 ? T(0) : from(0)[kTileSide - i];
            to[kTileSide - 1 + i] = tile[2] < 0 ? T(0) : from(2)[i - 1];
          }
          if (tile[1] < 0)
            std::fill(to, to + kTileSide, T(0));
          else
            std::copy(from(1), from(1) + kTileSide, to);
        }
    }
  }
  // Tile column 0 of row y, -2 <= y < 18.
  CFW_INLINE T* row(int y, int c) { return data_ + ((y + kReach) * kClassBlock + c) * kTilePitch + kTileMargin; }

 private:
  alignas(64) T data_[(kTileSide + 2 * kReach) * kClassBlock * kTilePitch];
};

// L x of all classes of M tiles. `emit(index, pixel, centre, sum)`: the index of the vector in x (M, C, 16, 16), its first
// pixel in (M, 16, 16), x there and L x there. `outside(index)`: the rest of a row beyond the image, 16 values.
template <class S, class T, class Emit, class Outside>
CFW_INLINE void for_each_tile(const S* stencil, const int32_t* tiles, const int32_t* neighbours, const T* x, int64_t M,
                              int C, int H, int W, int threads, const Emit& emit, const Outside& outside) {
  const int64_t pitch = stencil_pitch(W);
  parallel_for((M + kTilesAtOnce - 1) / kTilesAtOnce, threads, [&](int64_t item) {
    TileCopy<T> copy;
    const int64_t last = std::min(M, (item + 1) * kTilesAtOnce);
    for (int64_t t = item * kTilesAtOnce; t < last; ++t) {
      const int32_t* tile = tiles + 3 * t;
      const S* coefficients = stencil + int64_t(tile[0]) * (H + kTopRows) * kTaps * pitch;
      const int y0 = tile[1] * kTileSide, x0 = tile[2] * kTileSide;
      const int rows = std::min(kTileSide, H - y0);
      const int32_t* next = tiles + 3 * std::min(t + 1, M - 1);
      const S* ahead =
          stencil_row(stencil + int64_t(next[0]) * (H + kTopRows) * kTaps * pitch, pitch, next[1] * kTileSide, 0);
      for (int c = 0; c < C;) {
        const int classes = C - c >= 4 ? 4 : C - c >= 2 ? 2 : 1;
        const int64_t plane = (t * C + c) * kTilePixels;
        copy.read(x + int64_t(c) * kTilePixels, neighbours + kNeighbours * t, classes, C);
        for (int y = 0; y < rows; ++y) {
          // The rows of a tile lie far apart in the stencil, where no hardware prefetches them.
          if (c == 0 && next[1] * kTileSide + y < H)
            for (int k = 0; k < kTaps; ++k)
              __builtin_prefetch(ahead + (int64_t(y) * kTaps + k) * pitch + next[2] * kTileSide);
          const T* values[kRingRows];
          for (int d = -kReach; d <= kReach; ++d) values[d + kReach] = copy.row(y + d, 0);
          auto block = [&](int i, int q, Vector<T> centre, Vector<T> sum) __attribute__((always_inline)) {
            const int64_t pixel = y * kTileSide + i;
            emit(plane + q * kTilePixels + pixel, t * kTilePixels + pixel, centre, sum);
          };
          if (classes == 4)
            stencil_row_of<4, kTilePitch>(coefficients, pitch, y0 + y, x0, values, 0, kTileSide, block);
          else if (classes == 2)
            stencil_row_of<2, kTilePitch>(coefficients, pitch, y0 + y, x0, values, 0, kTileSide, block);
          else
            stencil_row_of<1, kTilePitch>(coefficients, pitch, y0 + y, x0, values, 0, kTileSide, block);
        }
        for (int y = rows; y < kTileSide; ++y)
          for (int q = 0; q < classes; ++q) outside(plane + q * kTilePixels + y * kTileSide);
        c += classes;
      }
    }
  });
}

}  // namespace CFW_LEVEL
}  // namespace cfw
