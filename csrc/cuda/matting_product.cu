// y = L x + data_weight x: the matting Laplacian and a diagonal, matrix-free.
//
// Floor: x is read, y written, the stencil (48 bytes a pixel) read once for all classes.
#include "cuda/kernels.h"
#include "cuda/stencil_tile.h"

namespace cfw {
namespace cuda {
namespace {

template <class T, class X>
__global__ void __launch_bounds__(kThreads)
    product(const T* stencil, const X* x, const T* data_weight, T* y, int C, int H, int W) {
  using TileValues = Values<T, kReach>;
  TileValues& values = shared<TileValues>();
  const Tile t = Tiles(H, W).at(blockIdx.x);
  const int64_t pitch = stencil_pitch(W), plane = int64_t(H) * W;
  const int column = threadIdx.x % kTileWidth, row = int(threadIdx.x) / kTileWidth * kRows;

  Coefficients<T> coefficients[kRows];
  T diagonal[kRows];
  bool inside[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int py = t.y0 + row + i, px = t.x0 + column;
    inside[i] = py < H && px < W;
    coefficients[i].read(stencil + t.n * (H + kTopRows) * kTaps * pitch, pitch, py, px, H, W);
    diagonal[i] = data_weight && inside[i] ? data_weight[t.n * plane + int64_t(py) * W + px] : T(0);
  }
  Loader<T, kReach> loader(t, H, W);
  const X* from = x + t.n * C * plane;
  T* to = y + t.n * C * plane + int64_t(t.y0 + row) * W + t.x0 + column;
  loader.fetch(from);
  loader.put(values, 0);
  __syncthreads();
  for (int c = 0; c < C; ++c, from += plane, to += plane) {
    if (c + 1 < C) loader.fetch(from + plane);
    T own[kRows], Lx[kRows];
    apply_rows<TileValues::kPitch>(coefficients, values.at(c % 2, row, column), own, Lx);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
      if (inside[i]) to[int64_t(i) * W] = Lx[i] + diagonal[i] * own[i];
    if (c + 1 < C) loader.put(values, (c + 1) % 2);
    __syncthreads();
  }
}

}  // namespace

template <class T, class X>
void matting_product(const T* stencil, const X* x, const T* data_weight, T* y, int64_t N, int C, int H, int W,
                     Queue queue) {
  if (C == 0) return;  // blocks fetch their first class without asking
  launch(product<T, X>, N * Tiles(H, W).per_image(), kThreads, sizeof(Values<T, kReach>), queue, stencil, x,
         data_weight, y, C, H, W);
}

#define CFW_INSTANTIATE(T, X) \
  template void matting_product(const T*, const X*, const T*, T*, int64_t, int, int, int, Queue);
CFW_INSTANTIATE(float, float)
CFW_INSTANTIATE(double, double)
CFW_INSTANTIATE(float, Half)
CFW_INSTANTIATE(float, BFloat16)

}  // namespace cuda
}  // namespace cfw
