// Mean field (Kraehenbuehl, Koltun 2011): q = softmax(unary), then `iterations` times q = softmax(unary + W q).
//
// The last pass of the filter, the softmax and, where one thread works on an image, the first pass of the next filter are one
// sweep over the pixels: q of a pixel goes from registers into the lattice. The order of all sums is the same either way.
#include "cpu/kernels.h"
#include "cpu/lattice_passes.h"
#include "cpu/simd_exp.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

// Logit of a channel of padding, whose probability is exactly 0.
constexpr double kNone = -1e30;

// Softmax of a row in place. Probabilities below e^-60 become 0: no denormal numbers.
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

// row = softmax(unary + what the lattice points around pixel p hold).
template <class T>
CFW_INLINE void update_pixel(const Lattice<T>& l, const T* v, const T* unary, int64_t p, int C, T* row) {
  for_each_groups(C, [&](auto groups, int first) {
    constexpr int G = decltype(groups)::value;
    Eight<T> sum[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) sum[g] = load_eight(unary + p * C + first + g * kEight);
    slice_pixel(l, v + first, p, C, sum);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) store_eight(row + first + g * kEight, sum[g]);
  });
  softmax_row(row, C);
}

// The lattice points around pixel p get their parts of row.
template <class T>
CFW_INLINE void splat_pixel(const Lattice<T>& l, const T* row, int64_t p, int C, T* v) {
  for_each_groups(C, [&](auto groups, int first) {
    constexpr int G = decltype(groups)::value;
    Eight<T> own[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) own[g] = load_eight(row + first + g * kEight);
    splat_groups(l, own, p, v + first, C);
  });
}

}  // namespace

template <class T>
void lattice_mean_field(const T* unary, const int32_t* indices, const T* weights, const int32_t* neighbours,
                        const int32_t* starts, const int32_t* entries, T* pixels, T* scratch, T* q, int iterations,
                        int64_t N, int64_t P, int64_t R, int classes, int K, int A, int slots, int threads) {
  const Lattice<T> lattices = {indices, weights, neighbours, starts, entries, P, R, K, A};
  const int C = (classes + kEight - 1) / kEight * kEight;
  for_each_image(N, slots, threads, [&](int64_t n, int64_t slot, int inner) {
    const Lattice<T> l = lattices.image(n);
    T* own_unary = pixels + slot * 2 * P * C;
    T* own_q = own_unary + P * C;
    T *v = scratch + slot * 3 * R * C, *other = v + R * C, *next = other + R * C;
    for_each_chunk(P, inner, [&](int64_t begin, int64_t end) {
      for (int c = 0; c < C; ++c)
        for (int64_t p = begin; p < end; ++p)
          own_unary[p * C + c] = c < classes ? unary[(n * classes + c) * P + p] : T(kNone);
      for (int64_t p = begin; p < end; ++p) {
        std::copy_n(own_unary + p * C, C, own_q + p * C);
        softmax_row(own_q + p * C, C);
      }
    });
    if (iterations > 0) splat(l, own_q, v, C, inner);
    for (int i = 0; i < iterations; ++i) {
      const T* blurred = blur(l, false, v, other, C, inner);
      const bool last = i + 1 == iterations, fused = inner == 1 && !last;
      if (fused) std::fill_n(next, R * C, T(0));
      for_each_chunk(P, inner, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          update_pixel(l, blurred, own_unary, p, C, own_q + (fused ? 0 : p * C));
          if (fused) splat_pixel(l, own_q, p, C, next);
        }
      });
      if (fused) std::swap(v, next);
      if (!fused && !last) splat(l, own_q, v, C, inner);
    }
    for_each_chunk(P, inner, [&](int64_t begin, int64_t end) {
      for (int c = 0; c < classes; ++c)
        for (int64_t p = begin; p < end; ++p) q[(n * classes + c) * P + p] = own_q[p * C + c];
    });
  });
}

CFW_INSTANTIATE(lattice_mean_field)

}  // namespace CFW_LEVEL
}  // namespace cfw
