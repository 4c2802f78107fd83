// z = P^T x: inner products of the coarse basis with maps in tiles.
//
// Minimal traffic: basis and x are read once. A warp takes kGroup classes of a basis function, its lanes the pixels. A block
// takes a tile, so that its warps find the same values in the cache.
#include "common/tile_layout.h"
#include "cuda/kernels.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kGroup = 4, kRestrictThreads = 128;

template <class T>
__global__ void __launch_bounds__(kRestrictThreads)
    restrict_tiles(const T* basis, const int32_t* starts, const T* x, T* z, int C) {
  const int lane = threadIdx.x % kWarp, groups = (C + kGroup - 1) / kGroup;
  const int start = starts[blockIdx.x], items = (starts[blockIdx.x + 1] - start) * groups;
  x += int64_t(blockIdx.x) * C * kTilePixels;
  for (int item = threadIdx.x / kWarp; item < items; item += kRestrictThreads / kWarp) {
    const int64_t f = start + item / groups;
    const int c = item % groups * kGroup, classes = C - c;
    const T* of = basis + f * kTilePixels + lane;
    const T* from = x + int64_t(c) * kTilePixels + lane;
    T sum[kGroup] = {};
#pragma unroll
    for (int i = 0; i < kTilePixels; i += kWarp) {
      const T value = of[i];
#pragma unroll
      for (int j = 0; j < kGroup; ++j) sum[j] += value * (j < classes ? from[j * kTilePixels + i] : T(0));
    }
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      sum[j] = warp_sum(sum[j]);
      if (lane == 0 && j < classes) z[f * C + c + j] = sum[j];
    }
  }
}

}  // namespace

template <class T>
void tile_restrict(const T* basis, const int32_t* starts, const T* x, T* z, int64_t M, int C, Queue queue) {
  launch(restrict_tiles<T>, M, kRestrictThreads, 0, queue, basis, starts, x, z, C);
}

#define CFW_INSTANTIATE(T) template void tile_restrict(const T*, const int32_t*, const T*, T*, int64_t, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
