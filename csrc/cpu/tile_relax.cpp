// y = x + weight (b - (L + diagonal) x) on tiles: a step of weighted Jacobi relaxation.
#include "cpu/kernels.h"
#include "cpu/tile_rows.h"

namespace cfw {
namespace CFW_LEVEL {

template <class T>
void tile_relax(const T* stencil, const int32_t* tiles, const int32_t* neighbours, const T* diagonal, const T* x,
                const T* b, const T* weight, T* y, int64_t M, int C, int H, int W, int threads) {
  for_each_tile(
      stencil, tiles, neighbours, x, M, C, H, W, threads,
      [&](int64_t index, int64_t pixel, Vector<T> centre, Vector<T> sum) __attribute__((always_inline)) {
        if (diagonal) sum += load(diagonal + pixel) * centre;
        store(y + index, centre + load(weight + pixel) * (load(b + index) - sum));
      },
      [&](int64_t index) { std::fill_n(y + index, kTileSide, T(0)); });
}

CFW_INSTANTIATE(tile_relax)

}  // namespace CFW_LEVEL
}  // namespace cfw
