// The closed-form loss of every image and its gradient with respect to the logits, in one sweep over them; formulas in
// cpu/matting_loss.cpp.
//
// The residual's gradient needs r = L x + mark_weight D (x - s) around each pixel, so a block computes r with a border of two
// pixels and keeps it in shared memory: r never goes to memory, and either form moves x in and the gradient out, once. Beside
// its own two pixels a thread does one pixel of that border (there are fewer of them than threads).
//
// A softmax needs all classes of a pixel, before the sweep and once more behind it: the gradient with respect to the
// maps is left where that of the logits goes. A tile of 21 classes is some 100 KB, so what is read again is in the
// cache.
#include "common/matting_loss.h"
#include "cuda/activation_tile.h"
#include "cuda/kernels.h"
#include "cuda/stencil_tile.h"

namespace cfw {
namespace cuda {
namespace {

static_assert(kTileWidth == kLossTileWidth && kTileHeight == kLossTileHeight, "room for the parts");

constexpr int kWarps = kThreads / kWarp;
constexpr int kRimWidth = kTileWidth + 2 * kReach;            // of the residuals
constexpr int kRim = 2 * kReach * (kRimWidth + kTileHeight);  // pixels of their border
static_assert(kRim <= kThreads, "one pixel of the border a thread");

template <class T, int kBorder>
struct EnergyShared {
  Values<T, kBorder> maps;
  SoftmaxTile<T, kBorder> softmax;
  double sums[kWarps];
};

template <class T, int kBorder>
struct ResidualShared : EnergyShared<T, kBorder> {
  T r[(kTileHeight + 2 * kReach) * kRimWidth];
  T of_classes[kTileHeight * kTileWidth];  // registers are few in this kernel
};

// The mark of one pixel, and what L's row sum adds to the diagonal there.
template <class T>
struct Mark {
  int label;
  T mark_weight;  // 0 where there is none
  T row_sum;

  __device__ __forceinline__ void read(const int64_t* target, const T* row_sums, int y, int x, int H, int W, int C,
                                       double marked, int64_t ignore_index) {
    const bool inside = y >= 0 && y < H && x >= 0 && x < W;
    const int64_t found = inside ? target[int64_t(y) * W + x] : ignore_index;
    row_sum = row_sums && inside ? row_sums[int64_t(y) * W + x] : T(0);
    label = found >= 0 && found < C ? int(found) : -1;
    mark_weight = found == ignore_index ? T(0) : T(marked);
  }
  // x - s_c
  __device__ __forceinline__ T error(T x, int c) const { return x - (label == c ? T(1) : T(0)); }
};

// Row and column of the index-th pixel of the residuals' border, counted from the tile's first pixel.
__device__ __forceinline__ int2 rim_pixel(int index) {
  constexpr int kAbove = kReach * kRimWidth;
  if (index < 2 * kAbove) {
    const int row = index / kRimWidth, column = index % kRimWidth - kReach;
    return make_int2(row < kReach ? row - kReach : row - kReach + kTileHeight, column);
  }
  const int side = (index - 2 * kAbove) % (2 * kReach);
  return make_int2((index - 2 * kAbove) / (2 * kReach), side < kReach ? side - kReach : side - kReach + kTileWidth);
}

// The next class of the image that counts, from c on.
template <class T>
__device__ __forceinline__ int next_active(const T* weight, int c, int C) {
  while (c < C && weight[c] == T(0)) ++c;
  return c;
}

// Blocks that find registers on a multiprocessor.
template <class T>
constexpr int kBlocks = sizeof(T) == 4 ? 2 : 1;

template <bool kResidual, class T, class X>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    sweep(const T* stencil, const T* row_sums, const X* x, const int64_t* target, const T* weight, double mark_weight,
          int64_t ignore_index, int activation, double* parts, T* gradient, int C, int H, int W) {
  constexpr int kBorder = kResidual ? 2 * kReach : kReach;
  using Shared = std::conditional_t<kResidual, ResidualShared<T, kBorder>, EnergyShared<T, kBorder>>;
  constexpr int kPitch = Values<T, kBorder>::kPitch;
  Shared& own = shared<Shared>();
  const Tiles tiles(H, W);
  const Tile t = tiles.at(blockIdx.x);
  const int64_t pitch = stencil_pitch(W), plane = int64_t(H) * W;
  const int column = threadIdx.x % kTileWidth, row = int(threadIdx.x) / kTileWidth * kRows;
  // Gradient = scale w_c (...), loss = norm sum_c w_c (...).
  const double norm = 1.0 / (double(plane) * (kResidual ? mark_weight : 1.0));
  const T scale = T(2.0 * norm);
  stencil += t.n * (H + kTopRows) * kTaps * pitch;
  target += t.n * plane;
  if (row_sums) row_sums += t.n * plane;
  weight += t.n * C;
  x += t.n * C * plane;

  Coefficients<T> coefficients[kRows];
  Mark<T> marks[kRows];
  bool inside[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int py = t.y0 + row + i, px = t.x0 + column;
    inside[i] = py < H && px < W;
    coefficients[i].read(stencil, pitch, py, px, H, W);
    marks[i].read(target, row_sums, py, px, H, W, C, mark_weight, ignore_index);
  }
  T* const to = gradient ? gradient + t.n * C * plane + int64_t(t.y0 + row) * W + t.x0 + column : nullptr;

  [[maybe_unused]] Coefficients<T> rim_coefficients;
  [[maybe_unused]] Mark<T> rim_mark;
  [[maybe_unused]] int rim_in_maps = 0, rim_in_r = 0;
  if constexpr (kResidual) {
    const int2 rim = rim_pixel(threadIdx.x);
    rim_in_maps = (rim.x + kBorder) * kPitch + rim.y + kBorder;
    rim_in_r = (rim.x + kReach) * kRimWidth + rim.y + kReach;
    // Outside of the image all of these are 0, and so is r.
    const int py = t.y0 + rim.x, px = t.x0 + rim.y;
    const bool rim_inside = int(threadIdx.x) < kRim && py >= 0 && py < H && px >= 0 && px < W;
    rim_coefficients.read(stencil, pitch, rim_inside ? py : -1, px, H, W);
    rim_mark.read(target, row_sums, rim_inside ? py : -1, px, H, W, C, mark_weight, ignore_index);
  }

  Loader<T, kBorder> loader(t, H, W);
  T total = 0;  // of this thread: few values, so T is exact enough, and many GPUs are slow in float64
  int c = next_active(weight, 0, C), buffer = 0;
  if (c == C) activation = kNoActivation;  // nothing but zeros to write
  // Of the thread's pixels: the sum of a_c g_c over the classes.
  [[maybe_unused]] T in_registers[kRows] = {};
  auto of_classes = [&](int i) -> T& {
    if constexpr (kResidual)
      return own.of_classes[i * kThreads + threadIdx.x];
    else
      return in_registers[i];
  };
#pragma unroll
  for (int i = 0; i < kRows; ++i) of_classes(i) = 0;
  const Activate<T, kBorder> activate{activation, own.softmax};
  if (activation == kSoftmax) read_softmax(own.softmax, loader, x, C, plane);
  if (gradient && activation != kSoftmax)
#pragma unroll 1
    for (int absent = 0; absent < C; ++absent)
      if (weight[absent] == T(0))
#pragma unroll
        for (int i = 0; i < kRows; ++i)
          if (inside[i]) to[absent * plane + int64_t(i) * W] = 0;
  if (c < C) {
    loader.fetch(x + c * plane);
    loader.put(own.maps, buffer, activate);
  }
  __syncthreads();
#pragma unroll 1
  while (c < C) {
    const int next = next_active(weight, c + 1, C);
    if (next < C) loader.fetch(x + next * plane);
    // Read before the stores, which might change it for all that the compiler knows.
    const T own_weight = weight[c], scaled = scale * own_weight;
    T* const out = gradient ? to + c * plane : nullptr;
    T value[kRows], product[kRows];
    apply_rows<kPitch>(coefficients, own.maps.at(buffer, row, column), value, product);
    T sum = 0;
    // The pixel i of the thread has the gradient g with respect to its map's value a.
    auto leave = [&](int i, T a, T g) {
      of_classes(i) += a * g;
      if (out) out[i * W] = activation == kSigmoid ? g * a * (T(1) - a) : g;
    };
    if constexpr (kResidual) {
      T* const at = &own.r[(row + kReach) * kRimWidth + column + kReach];
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        at[i * kRimWidth] =
            inside[i] ? product[i] + marks[i].row_sum * value[i] + marks[i].mark_weight * marks[i].error(value[i], c)
                      : T(0);
      if (int(threadIdx.x) < kRim) {
        const T* centre = &own.maps.data[buffer][rim_in_maps];
        own.r[rim_in_r] = rim_coefficients.template apply<kPitch>(centre) + rim_mark.row_sum * *centre +
                          rim_mark.mark_weight * rim_mark.error(*centre, c);
      }
      __syncthreads();
      apply_rows<kRimWidth>(coefficients, at, value, product);
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        if (inside[i]) {
          sum += value[i] * value[i];
          leave(i, *own.maps.at(buffer, row + i, column),
                scaled * (product[i] + (marks[i].row_sum + marks[i].mark_weight) * value[i]));
        }
    } else {
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        if (inside[i]) {
          const T error = marks[i].error(value[i], c), d = marks[i].mark_weight * error;
          const T Lx = product[i] + marks[i].row_sum * value[i];
          sum += value[i] * Lx + d * error;
          leave(i, value[i], scaled * (Lx + d));
        }
    }
    total += own_weight * sum;
    buffer = 1 - buffer;
    if (next < C) loader.put(own.maps, buffer, activate);
    c = next;
    __syncthreads();
  }
  if (gradient && activation == kSoftmax) {
    const X* const z = x + (to - (gradient + t.n * C * plane));
#pragma unroll 1
    for (int k = 0; k < C; ++k)
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        if (inside[i]) {
          const int64_t at = k * plane + int64_t(i) * W;
          const int index = (row + i + kBorder) * kPitch + column + kBorder;
          const T a = own.softmax.value(index, T(to_arithmetic(z[at])));
          to[at] = a * ((weight[k] == T(0) ? T(0) : to[at]) - of_classes(i));
        }
  }

  const double of_warp = warp_sum(double(total));
  if (threadIdx.x % kWarp == 0) own.sums[threadIdx.x / kWarp] = of_warp;
  __syncthreads();
  if (threadIdx.x == 0) {
    double sum = 0;
    for (int i = 0; i < kWarps; ++i) sum += own.sums[i];
    parts[blockIdx.x] = sum * norm;
  }
}

struct Sums {
  double data[kWarps];
};

// loss[n] = the sum of the image's parts.
__global__ void __launch_bounds__(kThreads) add_parts(const double* parts, double* loss, int64_t count) {
  Sums& sums = shared<Sums>();
  double total = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) total += parts[blockIdx.x * count + i];
  total = warp_sum(total);
  if (threadIdx.x % kWarp == 0) sums.data[threadIdx.x / kWarp] = total;
  __syncthreads();
  if (threadIdx.x == 0) {
    double sum = 0;
    for (int i = 0; i < kWarps; ++i) sum += sums.data[i];
    loss[blockIdx.x] = sum;
  }
}

}  // namespace

template <class T, class X>
void matting_loss(const T* stencil, const T* row_sums, const X* x, const int64_t* target, const T* weight,
                  double mark_weight, int64_t ignore_index, bool residual, int activation, double* parts, double* loss,
                  T* gradient, int64_t N, int C, int H, int W, Queue queue) {
  const int64_t tiles = Tiles(H, W).per_image();
  const auto kernel = residual ? sweep<true, T, X> : sweep<false, T, X>;
  const int64_t memory = residual ? sizeof(ResidualShared<T, 2 * kReach>) : sizeof(EnergyShared<T, kReach>);
  launch(kernel, N * tiles, kThreads, memory, queue, stencil, row_sums, x, target, weight, mark_weight, ignore_index,
         activation, parts, gradient, C, H, W);
  launch(add_parts, N, kThreads, sizeof(Sums), queue, parts, loss, tiles);
}

#define CFW_INSTANTIATE(T, X)                                                                                    \
  template void matting_loss(const T*, const T*, const X*, const int64_t*, const T*, double, int64_t, bool, int, \
                             double*, double*, T*, int64_t, int, int, int, Queue);
CFW_INSTANTIATE(float, float)
CFW_INSTANTIATE(double, double)
CFW_INSTANTIATE(float, Half)
CFW_INSTANTIATE(float, BFloat16)

}  // namespace cuda
}  // namespace cfw
