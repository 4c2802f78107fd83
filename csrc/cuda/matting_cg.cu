// (L + D) x = b by conjugate gradients with the diagonal as preconditioner, all iterations in one launch.
//
// For many maps of a few hundred rows: a block solves one class of one image, and its vectors stay in the second-level cache.
// A thread takes the same pixels all the time, so blocks wait only for sums and for p, of which the product reads neighbours.
#include "common/cg_stopping.h"
#include "common/stencil_layout.h"
#include "cuda/kernels.h"
#include "cuda/runtime.h"
#include "cuda/stencil_pixel.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kCgThreads = 256, kCgWarps = kCgThreads / kWarp;

struct Shared {
  // Two of them take turns: a warp may write the next one while others still read the last one.
  double partial[2][kCgWarps];
  // Thread 0 writes these.
  CgState state;
  double norm;
};

// A number of each thread, summed up or the largest of them: the same for all threads.
class Together {
 public:
  __device__ __forceinline__ explicit Together(Shared& shared) : shared_(shared) {}

  __device__ __forceinline__ double sum(double value) {
    return of_warps(warp_sum(value), [](double a, double b) { return a + b; });
  }
  // NaN where a value is NaN.
  __device__ __forceinline__ double largest(double value) {
    for (int offset = kWarp / 2; offset > 0; offset /= 2)
      value = larger(value, __shfl_down_sync(kAllLanes, value, offset));
    return of_warps(value, larger);
  }

 private:
  static __device__ __forceinline__ double larger(double a, double b) { return a > b || !(a == a) ? a : b; }

  template <class Add>
  __device__ __forceinline__ double of_warps(double value, const Add& add) {
    double* const data = shared_.partial[turn_];
    turn_ = 1 - turn_;
    if (threadIdx.x % kWarp == 0) data[threadIdx.x / kWarp] = value;
    __syncthreads();
    double total = data[0];
    for (int i = 1; i < kCgWarps; ++i) total = add(total, data[i]);
    return total;
  }

  Shared& shared_;
  int turn_ = 0;
};

// 1 / (L + D)_ii
template <class T>
__device__ __forceinline__ T inverse_diagonal(const T* stencil, int64_t pitch, int y, int x, T diagonal) {
  const T* const own = stencil_row(stencil, pitch, y, 0) + x;
  const int row = int(pitch);
  T sum = diagonal;
#pragma unroll 2
  for (int k = 0; k < kTaps; ++k) sum -= own[k * row] + own[(k - tap_dy(k) * kTaps) * row - tap_dx(k)];
  return T(1) / sum;
}

template <class T>
__global__ void __launch_bounds__(kCgThreads) solve(const T* stencil, const T* diagonal, const T* b, T* x, T* scratch,
                                                    double* report, int C, int H, int W, CgStopping stopping) {
  constexpr double kTiny = kLeastCurvature<T>;
  const int64_t pitch = stencil_pitch(W), maps = gridDim.x, map = blockIdx.x, n = map / C;
  const int plane = H * W;
  stencil += n * (H + kTopRows) * kTaps * pitch;
  diagonal += n * plane;
  b += map * plane;
  x += map * plane;
  T* const r = scratch + map * plane;
  T *const p = r + maps * plane, *const q = p + maps * plane, *const last = q + maps * plane,
           *const inverse = last + maps * plane;
  Shared& own = shared<Shared>();
  Together together(own);

  double of_b = 0, of_r = 0;
  for (int i = threadIdx.x; i < plane; i += kCgThreads) {
    const int row = i / W, column = i % W;
    const T left = b[i] - stencil_product(stencil, pitch, x, row, column, H, W, diagonal[i]);
    inverse[i] = inverse_diagonal(stencil, pitch, row, column, diagonal[i]);
    r[i] = left;
    p[i] = inverse[i] * left;
    last[i] = x[i];
    of_b += double(b[i]) * double(b[i]);
    of_r += double(left) * double(p[i]);
  }
  of_b = together.sum(of_b);
  double rz = together.sum(of_r);
  if (threadIdx.x == 0) {
    own.norm = sqrt(of_b);
    own.state = CgState();
    if (rz == 0) own.state.solved();
  }
  __syncthreads();
  int next_check = stopping.every;
  for (int iteration = 1; iteration <= stopping.max_iter && own.state.active(); ++iteration) {
    double of_curvature = 0;
    for (int i = threadIdx.x; i < plane; i += kCgThreads) {
      q[i] = stencil_product(stencil, pitch, p, i / W, i % W, H, W, diagonal[i]);
      of_curvature += double(p[i]) * double(q[i]);
    }
    const double curvature = together.sum(of_curvature);
    T beta = 0;
    if (!(curvature <= kTiny)) {  // else there is no direction left; NaN goes on, and is found by the check
      const T length = T(rz / curvature);
      of_r = 0;
      for (int i = threadIdx.x; i < plane; i += kCgThreads) {
        x[i] += length * p[i];
        r[i] -= length * q[i];
        of_r += double(inverse[i]) * double(r[i]) * double(r[i]);
      }
      const double before = rz;
      rz = together.sum(of_r);
      beta = T(rz / (before > kTiny ? before : kTiny));
    }
    if (iteration == next_check || iteration == stopping.max_iter) {
      next_check = stopping.check_after(iteration);
      double moved = 0;
      for (int i = threadIdx.x; i < plane; i += kCgThreads) {
        const double step = fabs(double(x[i]) - double(last[i]));
        moved = step > moved || !(step == step) ? step : moved;
        last[i] = x[i];
      }
      moved = together.largest(moved);
      if (threadIdx.x == 0) own.state.update(iteration, moved, stopping);
    }
    for (int i = threadIdx.x; i < plane; i += kCgThreads) p[i] = inverse[i] * r[i] + beta * p[i];
    __syncthreads();
  }
  of_r = 0;
  for (int i = threadIdx.x; i < plane; i += kCgThreads) of_r += double(r[i]) * double(r[i]);
  of_r = together.sum(of_r);
  if (threadIdx.x == 0) own.state.report(sqrt(of_r), own.norm, report + 4 * map);
}

}  // namespace

template <class T>
void matting_cg(const T* stencil, const T* diagonal, const T* b, T* x, T* scratch, double* report, int64_t N, int C,
                int H, int W, double tol, int max_iter, int every, int divisor, double min_rate, double max_rate,
                Queue queue) {
  launch(solve<T>, N * C, kCgThreads, sizeof(Shared), queue, stencil, diagonal, b, x, scratch, report, C, H, W,
         CgStopping{tol, max_iter, every, divisor, min_rate, max_rate});
}

#define CFW_INSTANTIATE(T)                                                                                          \
  template void matting_cg(const T*, const T*, const T*, T*, T*, double*, int64_t, int, int, int, double, int, int, \
                           int, double, double, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
