// y = A x, A in blocks (common/block_layout.h). Minimal traffic: A is read once; half of it is stored.
#include "cpu/block_rows.h"
#include "cpu/kernels.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

template <class T>
void product(const BlockMatrix<T>& A, const T* x, T* y, int64_t M, int C, int threads) {
  for_each_block(0, M, threads, [&](int64_t t) {
    const int k = A.size(t);
    const int64_t first = int64_t(A.starts[t]) * C;
    if (k == 0) return;
    for_classes<T>(C, [&](int c, auto own) {
      auto sum = own;
      sum.clear();
      own.read(x + first + c, k, C);
      sum.add_transposed(A.part(t, kOwnPart), k, k, own);
      A.add_neighbours(t, x, c, C, sum);
      sum.write(y + first + c, k, C);
    });
  });
}

}  // namespace

template <class T>
void block_product(const T* matrix, const int64_t* offsets, const int32_t* starts, const int32_t* neighbours,
                   const T* x, T* y, int64_t M, int C, int threads) {
  product(BlockMatrix<T>{matrix, offsets, starts, neighbours}, x, y, M, C, threads);
}

CFW_INSTANTIATE(block_product)

}  // namespace CFW_LEVEL
}  // namespace cfw
