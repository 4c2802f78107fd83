// y = (L + diagonal) x on tiles. With a stencil in float and x in double the product is computed in double: the solver needs
// it for residuals.
#include "cpu/kernels.h"
#include "cpu/tile_rows.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

template <class S, class T>
void product(const S* stencil, const int32_t* tiles, const int32_t* neighbours, const T* diagonal, const T* x, T* y,
             int64_t M, int C, int H, int W, int threads) {
  for_each_tile(
      stencil, tiles, neighbours, x, M, C, H, W, threads,
      [&](int64_t index, int64_t pixel, Vector<T> centre, Vector<T> sum) __attribute__((always_inline)) {
        if (diagonal) sum += load(diagonal + pixel) * centre;
        store(y + index, sum);
      },
      [&](int64_t index) { std::fill_n(y + index, kTileSide, T(0)); });
}

}  // namespace

template <class T>
void tile_product(const T* stencil, const int32_t* tiles, const int32_t* neighbours, const T* diagonal, const T* x,
                  T* y, int64_t M, int C, int H, int W, int threads) {
  product(stencil, tiles, neighbours, diagonal, x, y, M, C, H, W, threads);
}

CFW_INSTANTIATE(tile_product)

void tile_product_mixed(const float* stencil, const int32_t* tiles, const int32_t* neighbours, const double* diagonal,
                        const double* x, double* y, int64_t M, int C, int H, int W, int threads) {
  product(stencil, tiles, neighbours, diagonal, x, y, M, C, H, W, threads);
}

}  // namespace CFW_LEVEL
}  // namespace cfw
