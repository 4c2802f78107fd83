// A sweep of block Gauss-Seidel over A z = r, A in blocks (common/block_layout.h):
//     z(t) = A(t, t)^-1 (r(t) - sum of A(t, s) z(s) over the other blocks s).
//
// One launch for each color, because its blocks read what the colors before it wrote.
#include "cuda/block_sums.h"
#include "cuda/kernels.h"

namespace cfw {
namespace cuda {
namespace {

// order: the M blocks of a color.
template <class T>
__global__ void __launch_bounds__(kBlockThreads, kResidentBlocks)
    relax(BlockMatrix<T> A, const int32_t* order, const T* r, T* z, int64_t M, int C) {
  const BlockItem item(M, C);
  if (item.classes <= 0) return;
  const int64_t t = order[item.number];
  const int lane = threadIdx.x % kWarp, k = A.size(t);
  const int64_t at = int64_t(A.starts[t] + lane) * C + item.c;
  T sum[kBlockClasses] = {}, left[kBlockClasses], solved[kBlockClasses] = {};
  A.add_around(t, false, z, item.c, item.classes, C, sum);
#pragma unroll
  for (int j = 0; j < kBlockClasses; ++j) left[j] = lane < k && j < item.classes ? r[at + j] - sum[j] : T(0);
  const T* inverse = A.matrix + A.offsets[t * kBlockParts + kInversePart] + lane;
#pragma unroll 4
  for (int i = 0; i < k; ++i) {
    const T value = lane < k ? inverse[i * k] : T(0);
#pragma unroll
    for (int j = 0; j < kBlockClasses; ++j) solved[j] += value * __shfl_sync(kAllLanes, left[j], i);
  }
  if (lane >= k) return;
#pragma unroll
  for (int j = 0; j < kBlockClasses; ++j)
    if (j < item.classes) z[at + j] = solved[j];
}

}  // namespace

template <class T>
void block_relax(const T* matrix, const int64_t* offsets, const int32_t* starts, const int32_t* neighbours,
                 const int32_t* order, const int32_t* ends, const T* r, T* z, int C, bool backward, Queue queue) {
  const BlockMatrix<T> A{matrix, offsets, starts, neighbours};
  for (int step = 0; step < kColors; ++step) {
    const int color = backward ? kColors - 1 - step : step;
    const int begin = color ? ends[color - 1] : 0;
    launch_blocks(relax<T>, ends[color] - begin, C, queue, A, order + begin, r, z);
  }
}

#define CFW_INSTANTIATE(T)                                                                                            \
  template void block_relax(const T*, const int64_t*, const int32_t*, const int32_t*, const int32_t*, const int32_t*, \
                            const T*, T*, int, bool, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
