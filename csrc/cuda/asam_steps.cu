// y_0 = s, y_t = decay A y_(t-1) + restart s, or the same with A^T: steps of ASAM over the 5 x 5 superpixels around each,
// A (25, h, w) in place of a matrix. One launch a step.
//
// Grids are small (32 x 32 for 512 x 512 pixels): the cache serves all neighbours. A thread takes kBlock classes of a
// superpixel, which share the loads of A.
#include "cuda/kernels.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kReach = 2, kSide = 2 * kReach + 1, kTaps = kSide * kSide;
constexpr int kBlock = 4, kStepThreads = 128;

// Transposed: superpixel j, the k-th around i, gives to i what it has for its own neighbour number 24 - k.
template <bool kTransposed, class T>
__global__ void __launch_bounds__(kStepThreads)
    step(const T* A, const T* s, const T* start, T* y, T decay, T restart, int64_t items, int C, int h, int w) {
  const int64_t item = int64_t(blockIdx.x) * kStepThreads + threadIdx.x;
  if (item >= items) return;
  const int64_t plane = int64_t(h) * w, index = item % plane, block = item / plane;
  const int blocks = (C + kBlock - 1) / kBlock;
  const int r = int(index / w), c = int(index % w);
  const int64_t n = block / blocks;
  const int first = int(block % blocks) * kBlock, classes = C - first;
  A += n * kTaps * plane + index;
  s += (n * C + first) * plane + index;
  start += (n * C + first) * plane + index;
  y += (n * C + first) * plane + index;
  T sum[kBlock] = {};
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    const int dy = k / kSide - kReach, dx = k % kSide - kReach;
    const bool inside = r + dy >= 0 && r + dy < h && c + dx >= 0 && c + dx < w;
    const int64_t neighbour = int64_t(dy) * w + dx;
    T a;
    if constexpr (kTransposed)
      a = inside ? A[(kTaps - 1 - k) * plane + neighbour] : T(0);
    else
      a = A[k * plane];
#pragma unroll
    for (int j = 0; j < kBlock; ++j) sum[j] += a * (inside && j < classes ? s[j * plane + neighbour] : T(0));
  }
#pragma unroll
  for (int j = 0; j < kBlock; ++j)
    if (j < classes) y[j * plane] = restart == 0 ? decay * sum[j] : decay * sum[j] + restart * start[j * plane];
}

}  // namespace

template <class T>
void asam_steps(const T* A, const T* s, T* y, T* iterates, bool keep, int64_t N, int C, int h, int w, int num_steps,
                double decay, double restart, bool transposed, Queue queue) {
  const int64_t items = N * ((C + kBlock - 1) / kBlock) * h * w, size = N * C * h * w;
  const T* now = s;
  for (int t = 1; t <= num_steps; ++t) {
    // The last step writes y. Those before it write the iterates, or y and one map of scratch memory in turn.
    T* next = t == num_steps ? y : keep ? iterates + (t - 1) * size : (num_steps - t) % 2 ? iterates : y;
    launch(transposed ? step<true, T> : step<false, T>, (items + kStepThreads - 1) / kStepThreads, kStepThreads, 0,
           queue, A, now, s, next, decay, restart, items, C, h, w);
    now = next;
  }
}

#define CFW_INSTANTIATE(T) \
  template void asam_steps(const T*, const T*, T*, T*, bool, int64_t, int, int, int, int, double, double, bool, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
