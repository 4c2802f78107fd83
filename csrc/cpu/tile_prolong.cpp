// y = x + P z: from coefficients of the coarse basis to maps in tiles. y may be x.
#include "cpu/kernels.h"

#include "common/tile_layout.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {

template <class T>
void tile_prolong(const T* basis, const int32_t* starts, const T* z, const T* x, T* y, int64_t M, int C, int threads) {
  parallel_for(M, threads, [&](int64_t t) {
    for (int c = 0; c < C; ++c) {
      const int64_t plane = (t * C + c) * kTilePixels;
      for (int i = 0; i < kTilePixels; i += Simd<T>::lanes) {
        Vector<T> sum = load(x + plane + i);
        for (int64_t f = starts[t]; f < starts[t + 1]; ++f) sum += load(basis + f * kTilePixels + i) * z[f * C + c];
        store(y + plane + i, sum);
      }
    }
  });
}

CFW_INSTANTIATE(tile_prolong)

}  // namespace CFW_LEVEL
}  // namespace cfw
