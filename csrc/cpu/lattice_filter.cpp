// y = W x, W the Gaussian of the features: splat, blur along all axes, slice. Backwards along the axes it is W^T.
//
// Minimal work: K multiply-adds a value in splat and slice each, 3 a row and axis. Memory: the rows that a pixel reads are
// mostly in the cache, since rows are numbered as the pixels meet them.
#include "cpu/kernels.h"
#include "cpu/lattice_passes.h"

namespace cfw {
namespace CFW_LEVEL {

template <class T>
void lattice_filter(const T* x, const int32_t* indices, const T* weights, const int32_t* neighbours,
                    const int32_t* starts, const int32_t* entries, T* scratch, T* y, bool transposed, int64_t N,
                    int64_t P, int64_t R, int C, int K, int A, int slots, int threads) {
  const Lattice<T> lattices = {indices, weights, neighbours, starts, entries, P, R, K, A};
  for_each_image(N, slots, threads, [&](int64_t n, int64_t slot, int inner) {
    const Lattice<T> l = lattices.image(n);
    T* v = scratch + slot * 2 * R * C;
    splat(l, x + n * P * C, v, C, inner);
    const T* blurred = blur(l, transposed, v, v + R * C, C, inner);
    for_each_chunk(P, inner, [&](int64_t begin, int64_t end) {
      for_each_groups(C, [&](auto groups, int first) {
        constexpr int G = decltype(groups)::value;
        for (int64_t p = begin; p < end; ++p) {
          Eight<T> sum[G] = {};
          slice_pixel(l, blurred + first, p, C, sum);
#pragma GCC unroll 4
          for (int g = 0; g < G; ++g) store_eight(y + (n * P + p) * C + first + g * kEight, sum[g]);
        }
      });
    });
  });
}

CFW_INSTANTIATE(lattice_filter)

}  // namespace CFW_LEVEL
}  // namespace cfw
