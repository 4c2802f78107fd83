// y = x + weight (b - (L + diagonal) x) on tiles: a step of weighted Jacobi relaxation.
//
// Minimal traffic: x and b are read, y written, the tiles' stencil (48 bytes a pixel) read once for all classes.
#include "cuda/kernels.h"
#include "cuda/tile_stencil.h"

namespace cfw {
namespace cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kListThreads, kListBlocks<T>)
    relax(const T* stencil, const int32_t* tiles, const int32_t* neighbours, const T* diagonal, const T* x, const T* b,
          const T* weight, T* y, int C, int H, int W) {
  T own_weight[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) own_weight[i] = weight[list_pixel(i)];
  apply_tile(stencil, tiles, neighbours, diagonal, x, C, H, W,
             [&](int i, int64_t index, T own, T value) { y[index] = own + own_weight[i] * (b[index] - value); });
}

}  // namespace

template <class T>
void tile_relax(const T* stencil, const int32_t* tiles, const int32_t* neighbours, const T* diagonal, const T* x,
                const T* b, const T* weight, T* y, int64_t M, int C, int H, int W, Queue queue) {
  if (C == 0) return;  // blocks fetch their first class without asking
  launch(relax<T>, M, kListThreads, sizeof(ListValues<T>), queue, stencil, tiles, neighbours, diagonal, x, b, weight, y,
         C, H, W);
}

#define CFW_INSTANTIATE(T)                                                                                       \
  template void tile_relax(const T*, const int32_t*, const int32_t*, const T*, const T*, const T*, const T*, T*, \
                           int64_t, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
