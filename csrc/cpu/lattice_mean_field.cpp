// Mean field (Kraehenbuehl, Koltun 2011): q = softmax(-energy), then `iterations` times q = softmax(-energy + W q).
//
// The last pass of the filter, the energies and the softmax are one sweep over the pixels, in place.
#include "cpu/kernels.h"
#include "cpu/lattice_passes.h"
#include "cpu/simd_exp.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

// Softmax of a row in place. Channels of padding have logits far below, and get exactly 0, as do all below `lowest`: no
// denormal numbers.
template <class T>
CFW_INLINE void softmax_row(T* row, int C) {
  const Eight<T> lowest = Eight<T>{} + (sizeof(T) == 4 ? T(-60) : T(-600));
  Eight<T> high = load_eight(row);
  for (int c = kEight; c < C; c += kEight) {
    const Eight<T> v = load_eight(row + c);
    high = v > high ? v : high;
  }
  T top = high[0];
  for (int i = 1; i < kEight; ++i) top = high[i] > top ? high[i] : top;
  Eight<T> sums = {};
  for (int c = 0; c < C; c += kEight) {
    const Eight<T> v = load_eight(row + c) - top;
    const Eight<T> e = v < lowest ? Eight<T>{} : exp_of_any<T>(v);
    sums += e;
    store_eight(row + c, e);
  }
  T sum = 0;
  for (int i = 0; i < kEight; ++i) sum += sums[i];
  const T factor = 1 / sum;
  for (int c = 0; c < C; c += kEight) store_eight(row + c, load_eight(row + c) * factor);
}

}  // namespace

template <class T>
void lattice_mean_field(const T* energy, const int32_t* indices, const T* weights, const int32_t* neighbours,
                        const int32_t* starts, const int32_t* entries, T* scratch, T* q, int iterations, int64_t N,
                        int64_t P, int64_t R, int C, int K, int A, int slots, int threads) {
  const Lattice<T> lattices = {indices, weights, neighbours, starts, entries, P, R, K, A};
  for_each_image(N, slots, threads, [&](int64_t n, int64_t slot, int inner) {
    const Lattice<T> l = lattices.image(n);
    const T* own_energy = energy + n * P * C;
    T* own_q = q + n * P * C;
    for_each_chunk(P, inner, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        for (int c = 0; c < C; ++c) own_q[p * C + c] = -own_energy[p * C + c];
        softmax_row(own_q + p * C, C);
      }
    });
    for (int i = 0; i < iterations; ++i) {
      T* v = scratch + slot * 2 * R * C;
      splat(l, own_q, v, C, inner);
      const T* blurred = blur(l, false, v, v + R * C, C, inner);
      for_each_chunk(P, inner, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          for_each_groups(C, [&](auto groups, int first) {
            constexpr int G = decltype(groups)::value;
            Eight<T> sum[G];
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) sum[g] = -load_eight(own_energy + p * C + first + g * kEight);
            slice_pixel(l, blurred + first, p, C, sum);
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) store_eight(own_q + p * C + first + g * kEight, sum[g]);
          });
          softmax_row(own_q + p * C, C);
        }
      });
    }
  });
}

CFW_INSTANTIATE(lattice_mean_field)

}  // namespace CFW_LEVEL
}  // namespace cfw
