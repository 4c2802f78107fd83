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

template <class T, class Combine>
CFW_INLINE T across_lanes(Eight<T> v, const Combine& combine) {
  T a = combine(combine(v[0], v[4]), combine(v[2], v[6])), b = combine(combine(v[1], v[5]), combine(v[3], v[7]));
  return combine(a, b);
}

// exp(v - top). Probabilities below e^-60 become 0: no denormal numbers.
template <class T>
CFW_INLINE Eight<T> exp_below(Eight<T> v, T top) {
  const Eight<T> lowest = Eight<T>{} + (sizeof(T) == 4 ? T(-60) : T(-600)), distance = v - top;
  return distance < lowest ? Eight<T>{} : exp_of_any<T>(distance);
}

// Softmax of G groups of channels, in registers: of all channels where they are no more.
template <int G, class T>
CFW_INLINE void softmax_groups(Eight<T> (&x)[G]) {
  Eight<T> high = x[0], sums = {};
#pragma GCC unroll 4
  for (int g = 1; g < G; ++g) high = x[g] > high ? x[g] : high;
  const T top = across_lanes<T>(high, [](T a, T b) { return b > a ? b : a; });
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) sums += x[g] = exp_below<T>(x[g], top);
  const T factor = 1 / across_lanes<T>(sums, [](T a, T b) { return a + b; });
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) x[g] *= factor;
}

// The same of a row of any length, in place.
template <class T>
CFW_INLINE void softmax_row(T* row, int C) {
  Eight<T> high = load_eight(row), sums = {};
  for (int c = kEight; c < C; c += kEight) {
    const Eight<T> v = load_eight(row + c);
    high = v > high ? v : high;
  }
  const T top = across_lanes<T>(high, [](T a, T b) { return b > a ? b : a; });
  for (int c = 0; c < C; c += kEight) {
    const Eight<T> e = exp_below<T>(load_eight(row + c), top);
    sums += e;
    store_eight(row + c, e);
  }
  const T factor = 1 / across_lanes<T>(sums, [](T a, T b) { return a + b; });
  for (int c = 0; c < C; c += kEight) store_eight(row + c, load_eight(row + c) * factor);
}

// One step of a pixel: row = softmax(unary + what the lattice points around it hold in v, if there is one). The points get
// their parts of row in next, if there is one. `row` is written if it is not null; more than 32 channels need it.
template <class T>
CFW_INLINE void update_pixel(const Lattice<T>& l, const T* v, const T* unary, int64_t p, int C, T* row, T* next) {
  if (C <= 4 * kEight) {
    for_each_groups(C, [&](auto groups, int) {
      constexpr int G = decltype(groups)::value;
      Eight<T> x[G];
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) x[g] = load_eight(unary + g * kEight);
      if (v) slice_pixel(l, v, p, C, x);
      softmax_groups<G, T>(x);
      if (row)
        for (int g = 0; g < G; ++g) store_eight(row + g * kEight, x[g]);
      if (next) splat_groups(l, x, p, next, C);
    });
    return;
  }
  for_each_groups(C, [&](auto groups, int first) {
    constexpr int G = decltype(groups)::value;
    Eight<T> x[G];
    for (int g = 0; g < G; ++g) x[g] = load_eight(unary + first + g * kEight);
    if (v) slice_pixel(l, v + first, p, C, x);
    for (int g = 0; g < G; ++g) store_eight(row + first + g * kEight, x[g]);
  });
  softmax_row(row, C);
  if (!next) return;
  for_each_groups(C, [&](auto groups, int first) {
    constexpr int G = decltype(groups)::value;
    Eight<T> x[G];
    for (int g = 0; g < G; ++g) x[g] = load_eight(row + first + g * kEight);
    splat_groups(l, x, p, next + first, C);
  });
}

// Planes (classes, P) to rows (P, C) and back, of the pixels begin to end; `rows` begins with the first of them.
template <class T>
void to_rows(const T* planes, int64_t P, int classes, int C, int64_t begin, int64_t end, T* rows) {
  for (int c = 0; c < C; ++c)
    for (int64_t p = begin; p < end; ++p) rows[(p - begin) * C + c] = c < classes ? planes[c * P + p] : T(kNone);
}

template <class T>
void to_planes(const T* rows, int64_t P, int classes, int C, int64_t begin, int64_t end, T* planes) {
  for (int c = 0; c < classes; ++c)
    for (int64_t p = begin; p < end; ++p) planes[c * P + p] = rows[(p - begin) * C + c];
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
    const T* planes = unary + n * classes * P;
    T *own_unary = pixels + slot * 2 * P * C, *own_q = own_unary + P * C;
    T *v = scratch + slot * 3 * R * C, *other = v + R * C, *next = other + R * C;
    for (int i = 0; i <= iterations; ++i) {
      const T* blurred = i > 0 ? blur(l, false, v, other, C, inner) : nullptr;
      const bool last = i == iterations, fused = inner == 1 && !last;
      if (fused) std::fill_n(next, R * C, T(0));
      for_each_chunk(P, inner, [&](int64_t begin, int64_t end) {
        if (i == 0) to_rows(planes, P, classes, C, begin, end, own_unary + begin * C);
        // Where q goes straight into the lattice, its rows need no memory of their own.
        T* rows = fused || (inner == 1 && last) ? own_q : own_q + begin * C;
        const bool kept = !fused || C > 4 * kEight;
        for (int64_t p = begin; p < end; ++p)
          update_pixel(l, blurred, own_unary + p * C, p, C, kept ? rows + (p - begin) * C : nullptr,
                       fused ? next : nullptr);
        if (last) to_planes(rows, P, classes, C, begin, end, q + n * classes * P);
      });
      if (fused) std::swap(v, next);
      if (!fused && !last) splat(l, own_q, v, C, inner);
    }
  });
}

CFW_INSTANTIATE(lattice_mean_field)

}  // namespace CFW_LEVEL
}  // namespace cfw
