// Build the stencil of the matting Laplacian (3 x 3 windows), in float64 as on the CPU.
//
// A block makes the coefficients of kTileWidth x height pixels. First its threads whiten the windows around them, one
// window a thread, into shared memory; then a thread adds up, for its pixel, what the nine windows that hold it give to the
// 12 taps. Floor: the stencil (48 bytes a pixel in float) is written once; some 600 float64 operations a pixel.
#include "common/matting_window.h"
#include "common/stencil_layout.h"
#include "cuda/kernels.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kWindow = 9;
constexpr int kTileWidth = 16;  // divides the pitch

// Whitened colours u and 1 / d of the windows whose centres are up to one pixel outside the tile, for D channels.
template <int D>
struct Windows {
  static constexpr int kHeight = D <= 3 ? 8 : 4;  // of the tile: what fits into 48 KB
  static constexpr int kAcross = kTileWidth + 2, kCount = kAcross * (kHeight + 2);
  double u[kWindow * D][kCount], inverse[D][kCount];
};

template <int D, class T>
__device__ __forceinline__ void whiten(Windows<D>& windows, int index, const T* image, int cy, int cx, int H, int W,
                                       double eps) {
  // No window: v = 0, and the share of the mean is left out below.
  if (cy < 1 || cy > H - 2 || cx < 1 || cx > W - 2) return;
  double z[kWindow * D], inverse[D], gram[D * D];
#pragma unroll
  for (int i = 0; i < kWindow; ++i)
#pragma unroll
    for (int d = 0; d < D; ++d)
      z[i * D + d] = double(image[(int64_t(d) * H + cy - 1 + i / 3) * W + cx - 1 + i % 3]);
  centre_window(z, kWindow, D);
  whiten_window(z, inverse, kWindow, D, eps, 1.0, gram);
#pragma unroll
  for (int i = 0; i < kWindow * D; ++i) windows.u[i][index] = z[i];
#pragma unroll
  for (int d = 0; d < D; ++d) windows.inverse[d][index] = inverse[d];
}

template <int D, class T>
__global__ void __launch_bounds__(kTileWidth * Windows<D>::kHeight)
    build(const T* image, T* stencil, int H, int W, double eps) {
  constexpr int kHeight = Windows<D>::kHeight, kAcross = Windows<D>::kAcross, kThreads = kTileWidth * kHeight;
  Windows<D>& windows = shared<Windows<D>>();
  // Tiles cover the margins of zeros too.
  const int64_t pitch = stencil_pitch(W);
  const int across = int(pitch / kTileWidth), down = (H + kTopRows + kHeight - 1) / kHeight;
  const int64_t n = blockIdx.x / (int64_t(across) * down);
  const int rest = int(blockIdx.x % (int64_t(across) * down));
  const int x0 = rest % across * kTileWidth - kLeftPad, y0 = rest / across * kHeight - kTopRows;
  image += n * D * H * W;
  stencil += n * (H + kTopRows) * kTaps * pitch;

  for (int i = threadIdx.x; i < Windows<D>::kCount; i += kThreads)
    whiten<D>(windows, i, image, y0 - 1 + i / kAcross, x0 - 1 + i % kAcross, H, W, eps);
  __syncthreads();

  const int row = int(threadIdx.x) / kTileWidth, column = threadIdx.x % kTileWidth, y = y0 + row, x = x0 + column;
  double sum[kTaps] = {};
  // The pixel is pixel p of the window whose centre is (1 - p / 3, 1 - p % 3) away.
#pragma unroll
  for (int p = 0; p < kWindow; ++p) {
    const int cy = y + 1 - p / 3, cx = x + 1 - p % 3;
    if (y < 0 || y >= H || x < 0 || x >= W || cy < 1 || cy > H - 2 || cx < 1 || cx > W - 2) continue;
    const int index = (row + 2 - p / 3) * kAcross + column + 2 - p % 3;
    double v[D];
#pragma unroll
    for (int d = 0; d < D; ++d) v[d] = windows.inverse[d][index] * windows.u[p * D + d][index];
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      const int qy = p / 3 + tap_dy(k), qx = p % 3 + tap_dx(k);
      if (qy > 2 || qx < 0 || qx > 2) continue;
      double g = -1.0 / kWindow;
#pragma unroll
      for (int d = 0; d < D; ++d) g -= v[d] * windows.u[(qy * 3 + qx) * D + d][index];
      sum[k] += g;
    }
  }
  if (y < H)
#pragma unroll
    for (int k = 0; k < kTaps; ++k) stencil_row(stencil, pitch, y, k)[x] = T(sum[k]);
}

template <int D, class T>
void build_all(const T* image, T* stencil, int64_t N, int H, int W, double eps, Queue queue) {
  constexpr int kHeight = Windows<D>::kHeight;
  const int64_t tiles = stencil_pitch(W) / kTileWidth * ((H + kTopRows + kHeight - 1) / kHeight);
  launch(build<D, T>, N * tiles, kTileWidth * kHeight, sizeof(Windows<D>), queue, image, stencil, H, W, eps);
}

}  // namespace

template <class T>
void matting_stencil(const T* image, T* stencil, int64_t N, int D, int H, int W, double eps, Queue queue) {
  switch (D) {
    case 1: return build_all<1>(image, stencil, N, H, W, eps, queue);
    case 2: return build_all<2>(image, stencil, N, H, W, eps, queue);
    case 3: return build_all<3>(image, stencil, N, H, W, eps, queue);
    case 4: return build_all<4>(image, stencil, N, H, W, eps, queue);
    default: throw std::invalid_argument("matting_stencil: the CUDA kernel takes at most 4 channels");
  }
}

#define CFW_INSTANTIATE(T) template void matting_stencil(const T*, T*, int64_t, int, int, int, double, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
