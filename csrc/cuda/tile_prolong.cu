// y = x + P z: from coefficients of the coarse basis to maps in tiles. y may be x.
//
// Minimal traffic: basis and x are read and y is written once. A block takes a tile, a thread a pixel and kGroup classes at a
// time, so that basis is loaded once for these.
#include "common/tile_layout.h"
#include "cuda/kernels.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kGroup = 4;

template <class T>
__global__ void __launch_bounds__(kTilePixels)
    prolong_tiles(const T* basis, const int32_t* starts, const T* z, const T* x, T* y, int C) {
  const int64_t start = starts[blockIdx.x], last = starts[blockIdx.x + 1];
  const int64_t first = int64_t(blockIdx.x) * C * kTilePixels + threadIdx.x;
  for (int c = 0; c < C; c += kGroup) {
    const int64_t index = first + int64_t(c) * kTilePixels;
    const int classes = C - c;
    T sum[kGroup];
#pragma unroll
    for (int j = 0; j < kGroup; ++j) sum[j] = j < classes ? x[index + j * kTilePixels] : T(0);
#pragma unroll 4
    for (int64_t f = start; f < last; ++f) {
      const T value = basis[f * kTilePixels + threadIdx.x];
#pragma unroll
      for (int j = 0; j < kGroup; ++j) sum[j] += value * (j < classes ? z[f * C + c + j] : T(0));
    }
#pragma unroll
    for (int j = 0; j < kGroup; ++j)
      if (j < classes) y[index + j * kTilePixels] = sum[j];
  }
}

}  // namespace

template <class T>
void tile_prolong(const T* basis, const int32_t* starts, const T* z, const T* x, T* y, int64_t M, int C, Queue queue) {
  launch(prolong_tiles<T>, M, kTilePixels, 0, queue, basis, starts, z, x, y, C);
}

#define CFW_INSTANTIATE(T) \
  template void tile_prolong(const T*, const int32_t*, const T*, const T*, T*, int64_t, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
