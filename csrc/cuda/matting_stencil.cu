// Build the stencil of a matting Laplacian (3 x 3 windows), in float64 as on the CPU.
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

// Whitened columns u of the windows whose centres are up to one pixel outside the tile, for D channels, and the matrix from u
// to v (common/matting_window.h): its diagonal for the closed form; the lower triangle, row by row, for the learning-based one.
template <bool kLearning, int D>
struct Windows {
  static constexpr int kColumns = kLearning ? D + 1 : D;
  static constexpr int kWeights = kLearning ? kColumns * (kColumns + 1) / 2 : kColumns;
  static constexpr int kValues = kWindow * kColumns + kWeights;
  static constexpr int kAcross = kTileWidth + 2;
  // Rows of a tile: what fits into 48 KB.
  static constexpr int kHeight = kValues <= 34 ? 8 : 4;
  static constexpr int kCount = kAcross * (kHeight + 2);
  double u[kWindow * kColumns][kCount], weights[kWeights][kCount];
};
static_assert(sizeof(Windows<true, 3>) <= 48 * 1024 && sizeof(Windows<false, 3>) <= 48 * 1024 &&
                  sizeof(Windows<false, 4>) <= 48 * 1024,
              "shared memory");

template <bool kLearning, int D, class T>
__device__ __forceinline__ void whiten(Windows<kLearning, D>& windows, int index, const T* image, int cy, int cx, int H,
                                       int W, double eps) {
  if (cy < 1 || cy > H - 2 || cx < 1 || cx > W - 2) return;  // no window, and its place is not read
  constexpr int m = Windows<kLearning, D>::kColumns;
  double x[kWindow * m], inverse[m], gram[m * m], mean[D];
  double* const z = kLearning ? x + 1 : x;
#pragma unroll
  for (int i = 0; i < kWindow; ++i)
#pragma unroll
    for (int d = 0; d < D; ++d) z[i * m + d] = double(image[(int64_t(d) * H + cy - 1 + i / 3) * W + cx - 1 + i % 3]);
  centre_window(z, mean, kWindow, D, m);
  if constexpr (kLearning) {
#pragma unroll
    for (int i = 0; i < kWindow; ++i) x[i * m] = 1.0;
    learning_based_penalty(gram, mean, D, eps);
  } else {
    closed_form_penalty(gram, D, eps);
  }
  whiten_window(x, inverse, kWindow, m, 1.0, gram);
  if constexpr (kLearning) {
    residual_weights(x, inverse, kWindow, m, gram);
#pragma unroll
    for (int a = 0; a < m; ++a)
#pragma unroll
      for (int b = 0; b <= a; ++b) windows.weights[a * (a + 1) / 2 + b][index] = gram[a * m + b];
  } else {
#pragma unroll
    for (int d = 0; d < D; ++d) windows.weights[d][index] = inverse[d];
  }
#pragma unroll
  for (int i = 0; i < kWindow * m; ++i) windows.u[i][index] = x[i];
}

template <bool kLearning, int D, class T>
__global__ void __launch_bounds__(kTileWidth* Windows<kLearning, D>::kHeight)
    build(const T* image, T* stencil, T* row_sums, int H, int W, double eps) {
  using Memory = Windows<kLearning, D>;
  constexpr int kHeight = Memory::kHeight, kAcross = Memory::kAcross, kThreads = kTileWidth * kHeight;
  constexpr int m = Memory::kColumns;
  Memory& windows = shared<Memory>();
  // Tiles cover the margins of zeros too.
  const int64_t pitch = stencil_pitch(W);
  const int across = int(pitch / kTileWidth), down = (H + kTopRows + kHeight - 1) / kHeight;
  const int64_t n = blockIdx.x / (int64_t(across) * down);
  const int rest = int(blockIdx.x % (int64_t(across) * down));
  const int x0 = rest % across * kTileWidth - kLeftPad, y0 = rest / across * kHeight - kTopRows;
  image += n * D * H * W;
  stencil += n * (H + kTopRows) * kTaps * pitch;

  for (int i = threadIdx.x; i < Memory::kCount; i += kThreads)
    whiten(windows, i, image, y0 - 1 + i / kAcross, x0 - 1 + i % kAcross, H, W, eps);
  __syncthreads();

  const int row = int(threadIdx.x) / kTileWidth, column = threadIdx.x % kTileWidth, y = y0 + row, x = x0 + column;
  const bool inside = y >= 0 && y < H && x >= 0 && x < W;
  double sum[kTaps] = {}, row_sum = 0;
  // The pixel is pixel p of the window whose centre is (1 - p / 3, 1 - p % 3) away.
#pragma unroll
  for (int p = 0; p < kWindow; ++p) {
    const int cy = y + 1 - p / 3, cx = x + 1 - p % 3;
    if (!inside || cy < 1 || cy > H - 2 || cx < 1 || cx > W - 2) continue;
    const int index = (row + 2 - p / 3) * kAcross + column + 2 - p % 3;
    double v[m];
#pragma unroll
    for (int a = 0; a < m; ++a) {
      if constexpr (kLearning) {
        v[a] = 0;
#pragma unroll
        for (int b = 0; b < m; ++b)
          v[a] +=
              windows.weights[a < b ? b * (b + 1) / 2 + a : a * (a + 1) / 2 + b][index] * windows.u[p * m + b][index];
      } else {
        v[a] = windows.weights[a][index] * windows.u[p * m + a][index];
      }
    }
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      const int qy = p / 3 + tap_dy(k), qx = p % 3 + tap_dx(k);
      if (qy > 2 || qx < 0 || qx > 2) continue;
      double g = kLearning ? 0.0 : -1.0 / kWindow;
#pragma unroll
      for (int a = 0; a < m; ++a) g -= v[a] * windows.u[(qy * 3 + qx) * m + a][index];
      sum[k] += g;
    }
    if constexpr (kLearning) {
      double g = 1;
#pragma unroll
      for (int q = 0; q < kWindow; ++q)
#pragma unroll
        for (int a = 0; a < m; ++a) g -= v[a] * windows.u[q * m + a][index];
      row_sum += g;
    }
  }
  if (y < H)
#pragma unroll
    for (int k = 0; k < kTaps; ++k) stencil_row(stencil, pitch, y, k)[x] = T(sum[k]);
  if (kLearning && inside) row_sums[(n * H + y) * W + x] = T(row_sum);
}

template <bool kLearning, int D, class T>
void build_all(const T* image, T* stencil, T* row_sums, int64_t N, int H, int W, double eps, Queue queue) {
  using Memory = Windows<kLearning, D>;
  const int64_t tiles = stencil_pitch(W) / kTileWidth * ((H + kTopRows + Memory::kHeight - 1) / Memory::kHeight);
  launch(build<kLearning, D, T>, N * tiles, kTileWidth * Memory::kHeight, sizeof(Memory), queue, image, stencil,
         row_sums, H, W, eps);
}

template <int D, class T>
void build_kind(const T* image, T* stencil, T* row_sums, int64_t N, int H, int W, double eps, Queue queue) {
  return row_sums ? build_all<true, D>(image, stencil, row_sums, N, H, W, eps, queue)
                  : build_all<false, D>(image, stencil, row_sums, N, H, W, eps, queue);
}

}  // namespace

template <class T>
void matting_stencil(const T* image, T* stencil, T* row_sums, int64_t N, int D, int H, int W, double eps, Queue queue) {
  switch (D) {
    case 1: return build_kind<1>(image, stencil, row_sums, N, H, W, eps, queue);
    case 2: return build_kind<2>(image, stencil, row_sums, N, H, W, eps, queue);
    case 3: return build_kind<3>(image, stencil, row_sums, N, H, W, eps, queue);
  }
  if (D == 4 && !row_sums) return build_all<false, 4>(image, stencil, row_sums, N, H, W, eps, queue);
  // A window of more does not fit into registers.
  throw std::invalid_argument("matting_stencil: the CUDA kernel takes at most 4 channels, learning-based 3");
}

#define CFW_INSTANTIATE(T) template void matting_stencil(const T*, T*, T*, int64_t, int, int, int, double, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
