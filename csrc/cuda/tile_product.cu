// y = (L + diagonal) x on tiles. With a stencil in float and x in double the product is computed in double: the solver needs
// it for residuals.
//
// Minimal traffic: x is read, y written, the tiles' stencil (48 bytes a pixel) read once for all classes.
#include "cuda/kernels.h"
#include "cuda/tile_stencil.h"

namespace cfw {
namespace cuda {
namespace {

template <class S, class T>
__global__ void __launch_bounds__(kListThreads, kListBlocks<T>)
    product(const S* stencil, const int32_t* tiles, const int32_t* neighbours, const T* diagonal, const T* x, T* y,
            int C, int H, int W) {
  apply_tile(stencil, tiles, neighbours, diagonal, x, C, H, W,
             [&](int, int64_t index, T, T value) { y[index] = value; });
}

}  // namespace

template <class T, class S>
void tile_product(const S* stencil, const int32_t* tiles, const int32_t* neighbours, const T* diagonal, const T* x,
                  T* y, int64_t M, int C, int H, int W, Queue queue) {
  if (C == 0) return;  // blocks fetch their first class without asking
  launch(product<S, T>, M, kListThreads, sizeof(ListValues<T>), queue, stencil, tiles, neighbours, diagonal, x, y, C, H,
         W);
}

#define CFW_INSTANTIATE(S, T)                                                                                          \
  template void tile_product(const S*, const int32_t*, const int32_t*, const T*, const T*, T*, int64_t, int, int, int, \
                             Queue);
CFW_INSTANTIATE(float, float)
CFW_INSTANTIATE(double, double)
CFW_INSTANTIATE(float, double)

}  // namespace cuda
}  // namespace cfw
