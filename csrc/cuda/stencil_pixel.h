// Apply the stencil to a pixel of a map in device memory: for kernels whose blocks solve whole maps, which stay in the
// second-level cache.
#pragma once
#include "common/stencil_layout.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {

// ((L + D) v)_i of pixel i = (y, x).
template <class T>
__device__ __forceinline__ T stencil_product(const T* stencil, int64_t pitch, const T* v, int y, int x, int H, int W,
                                             T diagonal) {
  const T* const centre = v + y * W + x;
  // One pointer and offsets of 32 bits, as in stencil_tile.h.
  const T* const own = stencil_row(stencil, pitch, y, 0) + x;
  const int row = int(pitch);
  const T value = *centre;
  T sum = diagonal * value;
#pragma unroll 2  // of 12: all of them need more registers than there are
  for (int k = 0; k < kTaps; ++k) {
    const int dy = tap_dy(k), dx = tap_dx(k), step = dy * W + dx;
    if (y + dy < H && x + dx >= 0 && x + dx < W) sum += own[k * row] * (centre[step] - value);
    if (y - dy >= 0 && x - dx >= 0 && x - dx < W) sum += own[(k - dy * kTaps) * row - dx] * (centre[-step] - value);
  }
  return sum;
}

}  // namespace cuda
}  // namespace cfw
