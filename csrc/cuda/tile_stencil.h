// Apply the stencil to a list of tiles: the common part of tile_product and tile_relax.
//
// A block works on a tile, class by class, with the values of a class in shared memory with a border of two pixels from the
// neighbours. As in cuda/stencil_tile.h a thread keeps the coefficients of two pixels, one below the other, in registers. They
// are read from the image's stencil, whose rows are aligned with those of a tile: one cache line each in float.
#pragma once
#include "common/tile_layout.h"
#include "cuda/stencil_tile.h"

namespace cfw {
namespace cuda {

constexpr int kListThreads = kTilePixels / kRows;
// Blocks for which a multiprocessor has registers.
template <class T>
constexpr int kListBlocks = sizeof(T) == 4 ? 4 : 2;
constexpr int kListSide = kTileSide + 2 * kReach;

// Two of them, as in Values. With this pitch the two halves of a warp, two rows apart, read from different banks.
template <class T>
struct ListValues {
  static constexpr int kPitch = 24;
  static_assert(kPitch >= kListSide && kRows * kPitch % kWarp == kTileSide, "no conflicts");
  T data[2][kListSide * kPitch];

  __device__ __forceinline__ T* at(int buffer, int y, int x) {
    return &data[buffer][(y + kReach) * kPitch + x + kReach];
  }
};

// The part of ListValues that a thread fills.
template <class T>
struct ListLoader {
  static constexpr int kCount = kListSide * kListSide, kOwn = (kCount + kListThreads - 1) / kListThreads;
  int64_t from[kOwn];  // index in the first class of x; -1 where there is no tile
  T value[kOwn];

  // neighbours: of the tile.
  __device__ __forceinline__ ListLoader(const int32_t* neighbours, int C) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int index = int(threadIdx.x) + i * kListThreads;
      const int y = index / kListSide - kReach + kTileSide, x = index % kListSide - kReach + kTileSide;
      const int tile = index < kCount ? neighbours[y / kTileSide * 3 + x / kTileSide] : -1;
      from[i] = tile >= 0 ? int64_t(tile) * C * kTilePixels + y % kTileSide * kTileSide + x % kTileSide : -1;
    }
  }
  // plane: the class in tile 0.
  __device__ __forceinline__ void fetch(const T* plane) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) value[i] = from[i] >= 0 ? plane[from[i]] : T(0);
  }
  __device__ __forceinline__ void put(ListValues<T>& values, int buffer) const {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int index = int(threadIdx.x) + i * kListThreads;
      if (index < kCount) values.data[buffer][index / kListSide * ListValues<T>::kPitch + index % kListSide] = value[i];
    }
  }
};

// A thread's pixels in a map (M, 16, 16).
__device__ __forceinline__ int64_t list_pixel(int i) {
  const int row = int(threadIdx.x) / kTileSide * kRows + i, column = threadIdx.x % kTileSide;
  return int64_t(blockIdx.x) * kTilePixels + row * kTileSide + column;
}

// (L + diagonal) x in the block's tile. `emit(i, index, x, product)` for the i-th pixel of the thread; index in x.
template <class S, class T, class Emit>
__device__ __forceinline__ void apply_tile(const S* stencil, const int32_t* tiles, const int32_t* neighbours,
                                           const T* diagonal, const T* x, int C, int H, int W, const Emit& emit) {
  ListValues<T>& values = shared<ListValues<T>>();
  const int32_t* tile = tiles + int64_t(blockIdx.x) * 3;
  const int64_t pitch = stencil_pitch(W);
  const int column = threadIdx.x % kTileSide, row = int(threadIdx.x) / kTileSide * kRows;
  ListLoader<T> loader(neighbours + int64_t(blockIdx.x) * kNeighbours, C);
  loader.fetch(x);

  stencil += int64_t(tile[0]) * (H + kTopRows) * kTaps * pitch;
  Coefficients<T> coefficients[kRows];
  T own_diagonal[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    coefficients[i].read(stencil, pitch, tile[1] * kTileSide + row + i, tile[2] * kTileSide + column, H, W);
    own_diagonal[i] = diagonal ? diagonal[list_pixel(i)] : T(0);
  }
  loader.put(values, 0);
  __syncthreads();
  const int64_t first = int64_t(blockIdx.x) * (C - 1) * kTilePixels;  // from (M, 16, 16) to the first class
  for (int c = 0; c < C; ++c) {
    if (c + 1 < C) loader.fetch(x + int64_t(c + 1) * kTilePixels);
    T own[kRows], Lx[kRows];
    apply_rows<ListValues<T>::kPitch>(coefficients, values.at(c % 2, row, column), own, Lx);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
      emit(i, first + int64_t(c) * kTilePixels + list_pixel(i), own[i], Lx[i] + own_diagonal[i] * own[i]);
    if (c + 1 < C) loader.put(values, (c + 1) % 2);
    __syncthreads();
  }
}

}  // namespace cuda
}  // namespace cfw
