// A sweep of block Gauss-Seidel over A z = r, A in blocks (common/block_layout.h), color by color:
//     z(t) = A(t, t)^-1 (r(t) - sum of A(t, s) z(s) over the other blocks s).
// The backward sweep, from the last color to the first, is the transpose of the forward one. It converges for every positive
// definite A, without a step size.
#include "cpu/block_rows.h"
#include "cpu/kernels.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

template <class T>
void relax(const BlockMatrix<T>& A, const int32_t* order, const int32_t* ends, const T* r, T* z, int C, bool backward,
           int threads) {
  for (int step = 0; step < kColors; ++step) {
    const int color = backward ? kColors - 1 - step : step;
    const int64_t begin = color ? ends[color - 1] : 0;
    for_each_block(begin, ends[color], threads, [&](int64_t i) {
      const int64_t t = order[i], first = int64_t(A.starts[t]) * C;
      const int k = A.size(t);
      if (k == 0) return;
      for_classes<T>(C, [&](int c, auto left) {
        auto sum = left, solved = left;
        sum.clear();
        A.add_neighbours(t, z, c, C, sum);
        left.read(r + first + c, k, C);
        left.subtract(sum, k);
        solved.clear();
        solved.add_transposed(A.part(t, kInversePart), k, k, left);
        solved.write(z + first + c, k, C);
      });
    });
  }
}

}  // namespace

template <class T>
void block_relax(const T* matrix, const int64_t* offsets, const int32_t* starts, const int32_t* neighbours,
                 const int32_t* order, const int32_t* ends, const T* r, T* z, int C, bool backward, int threads) {
  relax(BlockMatrix<T>{matrix, offsets, starts, neighbours}, order, ends, r, z, C, backward, threads);
}

CFW_INSTANTIATE(block_relax)

}  // namespace CFW_LEVEL
}  // namespace cfw
