// The three passes of a filter on the lattice of one image: from pixels to lattice points (splat), along the axes (blur), and
// back (slice). Values are (pixels, C) and (rows, C), C a multiple of 8.
//
// Each number is the sum of one thread in a fixed order: to splat, a thread takes some channels of all pixels.
#pragma once
#include <algorithm>
#include <type_traits>
#include <utility>

#include "common/lattice.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {

// Eight channels, at every instruction-set level: a wider vector would mostly hold padding.
constexpr int kEight = 8;

template <class T>
struct EightOf {
  typedef T vector __attribute__((vector_size(kEight * sizeof(T))));
  typedef T unaligned __attribute__((vector_size(kEight * sizeof(T)), aligned(alignof(T)), may_alias));
};

template <class T>
using Eight = typename EightOf<T>::vector;

template <class T>
CFW_INLINE Eight<T> load_eight(const T* p) {
  return *reinterpret_cast<const typename EightOf<T>::unaligned*>(p);
}

template <class T>
CFW_INLINE void store_eight(T* p, Eight<T> v) {
  *reinterpret_cast<typename EightOf<T>::unaligned*>(p) = v;
}

constexpr int64_t kLatticeChunk = 512;  // rows or pixels of one item of a parallel loop

// body(begin, end) for chunks of 0 ... size.
template <class Body>
CFW_INLINE void for_each_chunk(int64_t size, int threads, const Body& body) {
  parallel_for((size + kLatticeChunk - 1) / kLatticeChunk, threads,
               [&](int64_t item) { body(item * kLatticeChunk, std::min(size, (item + 1) * kLatticeChunk)); });
}

// body(groups, first): the channels from `first` on, as a constant number of groups of eight.
template <class Body>
CFW_INLINE void for_each_groups(int C, const Body& body) {
  int first = 0;
  for (; C - first >= 4 * kEight; first += 4 * kEight) body(std::integral_constant<int, 4>(), first);
  const int rest = (C - first) / kEight;
  if (rest == 3) body(std::integral_constant<int, 3>(), first);
  if (rest == 2) body(std::integral_constant<int, 2>(), first);
  if (rest == 1) body(std::integral_constant<int, 1>(), first);
}

// What a worker does for an image, with the threads that are left for it: many images are shared out, few follow each
// other. `slots` workers; the results do not depend on it.
template <class Body>
inline void for_each_image(int64_t N, int slots, int threads, const Body& body) {
  if (slots <= 1) {
    for (int64_t n = 0; n < N; ++n) body(n, 0, threads);
    return;
  }
  parallel_for(slots, threads, [&](int64_t slot) {
    for (int64_t n = slot; n < N; n += slots) body(n, slot, 1);
  });
}

// v_m += weight own for each lattice point m around pixel p, G groups of channels from v on.
template <int G, class T>
CFW_INLINE void splat_groups(const Lattice<T>& l, const Eight<T> (&own)[G], int64_t p, T* v, int C) {
  for (int k = 0; k < l.K; ++k) {
    T* to = v + int64_t(l.indices[p * l.K + k]) * C;
    const T weight = l.weights[p * l.K + k];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) store_eight(to + g * kEight, load_eight(to + g * kEight) + weight * own[g]);
  }
}

// v = the sums over all pixels, of the channels begin to end.
template <class T>
inline void splat_channels(const Lattice<T>& l, const T* x, T* v, int C, int begin, int end) {
  for_each_groups(end - begin, [&](auto groups, int offset) {
    constexpr int G = decltype(groups)::value;
    const int first = begin + offset;
    for (int64_t m = 0; m < l.R; ++m)
      for (int g = 0; g < G; ++g) store_eight(v + m * C + first + g * kEight, Eight<T>{});
    for (int64_t p = 0; p < l.P; ++p) {
      Eight<T> own[G];
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) own[g] = load_eight(x + p * C + first + g * kEight);
      splat_groups(l, own, p, v + first, C);
    }
  });
}

template <class T>
inline void splat(const Lattice<T>& l, const T* x, T* v, int C, int threads) {
  const int groups = C / kEight, parts = std::max(1, std::min(threads, groups));
  parallel_for(parts, threads, [&](int64_t part) {
    splat_channels(l, x, v, C, int(part * groups / parts) * kEight, int((part + 1) * groups / parts) * kEight);
  });
}

// out_m = v_m / 2 + (v_before + v_behind) / 4 along one axis.
template <class T>
inline void blur_axis(const Lattice<T>& l, int axis, const T* v, T* out, int C, int threads) {
  const int32_t* neighbours = l.neighbours + axis * l.R * 2;
  for_each_chunk(l.R, threads, [&](int64_t begin, int64_t end) {
    for_each_groups(C, [&](auto groups, int first) {
      constexpr int G = decltype(groups)::value;
      for (int64_t m = begin; m < end; ++m) {
        const T* own = v + m * C + first;
        const T* before = v + int64_t(neighbours[2 * m]) * C + first;
        const T* behind = v + int64_t(neighbours[2 * m + 1]) * C + first;
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g)
          store_eight(out + m * C + first + g * kEight,
                      T(0.5) * load_eight(own + g * kEight) +
                          T(0.25) * (load_eight(before + g * kEight) + load_eight(behind + g * kEight)));
      }
    });
  });
}

// Fewer values are blurred by one thread: all axes take a few milliseconds, and starting threads for each may take longer.
constexpr int64_t kFewValues = 1 << 21;

// Along all axes, backwards if `transposed`. v and scratch hold (R, C) each; the one that holds the result.
template <class T>
inline T* blur(const Lattice<T>& l, bool transposed, T* v, T* scratch, int C, int threads) {
  if (l.R * C < kFewValues) threads = 1;
  for (int i = 0; i < l.A; ++i) {
    blur_axis(l, transposed ? l.A - 1 - i : i, v, scratch, C, threads);
    std::swap(v, scratch);
  }
  return v;
}

// The weighted sum of the lattice points around pixel p, G groups of channels from v on.
template <int G, class T>
CFW_INLINE void slice_pixel(const Lattice<T>& l, const T* v, int64_t p, int C, Eight<T> (&sum)[G]) {
  for (int k = 0; k < l.K; ++k) {
    const T* from = v + int64_t(l.indices[p * l.K + k]) * C;
    const T weight = l.weights[p * l.K + k];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) sum[g] += weight * load_eight(from + g * kEight);
  }
}

}  // namespace CFW_LEVEL
}  // namespace cfw
