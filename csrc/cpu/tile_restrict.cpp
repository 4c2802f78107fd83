// z = P^T x: inner products of the functions of a coarse space with maps in tiles.
#include "cpu/kernels.h"

#include "common/tile_layout.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {

template <class T>
void tile_restrict(const T* basis, const int32_t* starts, const T* x, T* z, int64_t M, int C, int threads) {
  constexpr int kLanes = Simd<T>::lanes;
  parallel_for(M, threads, [&](int64_t t) {
    for (int64_t f = starts[t]; f < starts[t + 1]; ++f) {
      const T* of = basis + f * kTilePixels;
      for (int c = 0; c < C; ++c) {
        const T* from = x + (t * C + c) * kTilePixels;
        Vector<T> sum[2] = {};  // two chains of additions, not one
        for (int i = 0; i < kTilePixels; i += 2 * kLanes)
          for (int s = 0; s < 2; ++s) sum[s] += load(of + i + s * kLanes) * load(from + i + s * kLanes);
        z[f * C + c] = T(sum_lanes<T>(sum[0] + sum[1]));
      }
    }
  });
}

CFW_INSTANTIATE(tile_restrict)

}  // namespace CFW_LEVEL
}  // namespace cfw
