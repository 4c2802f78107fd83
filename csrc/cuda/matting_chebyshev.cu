// (L + D) x = b by a fixed number of steps of Chebyshev's method, all of them in one launch.
//
// A block takes one class of one image. A thread takes the same pixels all the time; the neighbours of the product are
// those before the step, so x has two copies that take turns, and a step has one barrier.
#include "common/chebyshev.h"
#include "cuda/kernels.h"
#include "cuda/runtime.h"
#include "cuda/stencil_pixel.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    chebyshev(const T* stencil, const T* diagonal, const T* preconditioner, const T* b, const T* start, T* x,
              T* scratch, int C, int H, int W, double low, double high, int num_iters) {
  const int64_t pitch = stencil_pitch(W), maps = gridDim.x, map = blockIdx.x, n = map / C;
  const int plane = H * W;
  stencil += n * (H + kTopRows) * kTaps * pitch;
  diagonal += n * plane;
  preconditioner += n * plane;
  b += map * plane;
  T *const d = scratch + map * plane, *const other = d + maps * plane;
  x += map * plane;
  const T* from = start + map * plane;
  ChebyshevSteps steps(low, high);
  for (int k = 1; k <= num_iters; ++k, steps.next()) {
    T* const to = (num_iters - k) % 2 ? other : x;  // the last step writes to x
    const T keep = T(steps.keep), add = T(steps.add);
    for (int i = threadIdx.x; i < plane; i += kThreads) {
      const T r = b[i] - stencil_product(stencil, pitch, from, i / W, i % W, H, W, diagonal[i]);
      const T change = (k > 1 ? keep * d[i] : T(0)) + add * preconditioner[i] * r;
      d[i] = change;
      to[i] = from[i] + change;
    }
    __syncthreads();
    from = to;
  }
}

}  // namespace

template <class T>
void matting_chebyshev(const T* stencil, const T* diagonal, const T* preconditioner, const T* b, const T* start, T* x,
                       T* scratch, int64_t N, int C, int H, int W, double low, double high, int num_iters,
                       Queue queue) {
  launch(chebyshev<T>, N * C, kThreads, 0, queue, stencil, diagonal, preconditioner, b, start, x, scratch, C, H, W, low,
         high, num_iters);
}

#define CFW_INSTANTIATE(T)                                                                                          \
  template void matting_chebyshev(const T*, const T*, const T*, const T*, const T*, T*, T*, int64_t, int, int, int, \
                                  double, double, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
