// y = A x, A in blocks (common/block_layout.h).
//
// Minimal traffic: A is read once for four classes. A link is read by both of its blocks at about the same time.
#include "cuda/block_sums.h"
#include "cuda/kernels.h"

namespace cfw {
namespace cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kBlockThreads, kResidentBlocks)
    multiply(BlockMatrix<T> A, const T* x, T* y, int64_t M, int C) {
  const BlockItem item(M, C);
  if (item.classes <= 0) return;
  const int lane = threadIdx.x % kWarp;
  T sum[kBlockClasses] = {};
  A.add_around(item.number, true, x, item.c, item.classes, C, sum);
  if (lane >= A.size(item.number)) return;
  y += int64_t(A.starts[item.number] + lane) * C + item.c;
#pragma unroll
  for (int j = 0; j < kBlockClasses; ++j)
    if (j < item.classes) y[j] = sum[j];
}

}  // namespace

template <class T>
void block_product(const T* matrix, const int64_t* offsets, const int32_t* starts, const int32_t* neighbours,
                   const T* x, T* y, int64_t M, int C, Queue queue) {
  launch_blocks(multiply<T>, M, C, queue, BlockMatrix<T>{matrix, offsets, starts, neighbours}, x, y);
}

#define CFW_INSTANTIATE(T)                                                                                          \
  template void block_product(const T*, const int64_t*, const int32_t*, const int32_t*, const T*, T*, int64_t, int, \
                              Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
