// A block of a coarse system (common/block_layout.h) and the coefficients of its basis functions.
//
// In vectors of kBlockLanes on every machine, because blocks have about ten basis functions.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/block_layout.h"
#include "common/inline.h"
#include "cpu/parallel.h"

namespace cfw {
namespace CFW_LEVEL {

constexpr int kBlocksAtOnce = 16;  // in one item of the parallel loop
// Fewer blocks run on one thread: a sweep has a parallel loop for each color, and each loop waits for the slowest thread,
// which another process may delay.
constexpr int kBlocksWorthThreads = 1024;

// body(i) for i from begin to end - 1.
template <class Body>
inline void for_each_block(int64_t begin, int64_t end, int threads, const Body& body) {
  const int64_t count = end - begin;
  threads = count < kBlocksWorthThreads ? 1 : threads;
  parallel_for((count + kBlocksAtOnce - 1) / kBlocksAtOnce, threads, [&](int64_t item) {
    const int64_t first = begin + item * kBlocksAtOnce;
    for (int64_t i = first; i < std::min(end, first + kBlocksAtOnce); ++i) body(i);
  });
}

template <class T>
using Lanes [[gnu::vector_size(kBlockLanes * sizeof(T))]] = T;

template <class T>
CFW_INLINE Lanes<T> load_lanes(const T* p) {
  Lanes<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Keeps the first `count` lanes and sets the others to zero. By bits, because 0 times NaN is NaN.
template <class T>
struct FirstLanes {
  using Bits = Lanes<std::conditional_t<sizeof(T) == 4, int32_t, int64_t>>;
  Bits kept;

  CFW_INLINE explicit FirstLanes(int count) {
    for (int i = 0; i < kBlockLanes; ++i) kept[i] = i < count ? -1 : 0;
  }
  CFW_INLINE Lanes<T> operator()(Lanes<T> v) const { return (Lanes<T>)((Bits)v & kept); }
};

// The coefficients of a block of one class, kBlockLanes of them in a vector, with zeros up to a multiple of that.
template <class T>
class OneClass {
 public:
  static constexpr int classes = 1;
  CFW_INLINE void clear() { std::memset(values_, 0, sizeof values_); }
  // x: the first coefficient of the block.
  CFW_INLINE void read(const T* x, int k, int C) {
    for (int i = 0; i < k; ++i) values_[i] = x[int64_t(i) * C];
    for (int i = k; i % kBlockLanes; ++i) values_[i] = 0;
  }
  CFW_INLINE void write(T* x, int k, int C) const {
    for (int i = 0; i < k; ++i) x[int64_t(i) * C] = values_[i];
  }
  CFW_INLINE void subtract(const OneClass& other, int k) {
    for (int i = 0; i < k; ++i) values_[i] -= other.values_[i];
  }
  // += B x, B (rows, columns). Values beyond the last column are ignored: they may belong to another image.
  CFW_INLINE void add(const T* B, int rows, int columns, const OneClass& x) {
    if (columns == 0) return;
    const int last = (columns - 1) / kBlockLanes * kBlockLanes;
    const FirstLanes<T> existing(columns - last);
    for (int i = 0; i < rows; ++i) {
      Lanes<T> sum = existing(load_lanes(B + i * columns + last)) * load_lanes(x.values_ + last);
      for (int j = 0; j < last; j += kBlockLanes) sum += load_lanes(B + i * columns + j) * load_lanes(x.values_ + j);
      values_[i] += (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
  }
  // += B^T x. Values beyond the last column are added to places that are not used.
  CFW_INLINE void add_transposed(const T* B, int rows, int columns, const OneClass& x) {
    for (int j = 0; j < columns; j += kBlockLanes) {
      Lanes<T> sum = load_lanes(values_ + j);
      for (int i = 0; i < rows; ++i) sum += load_lanes(B + i * columns + j) * x.values_[i];
      std::memcpy(values_ + j, &sum, sizeof sum);
    }
  }

 private:
  alignas(64) T values_[kMaxFunctions + kBlockLanes];
};

// The same for kBlockLanes classes, which form a vector.
template <class T>
class LanesOfClasses {
 public:
  static constexpr int classes = kBlockLanes;
  CFW_INLINE void clear() { std::memset(values_, 0, sizeof values_); }
  CFW_INLINE void read(const T* x, int k, int C) {
    for (int i = 0; i < k; ++i) values_[i] = load_lanes(x + int64_t(i) * C);
  }
  CFW_INLINE void write(T* x, int k, int C) const {
    for (int i = 0; i < k; ++i) std::memcpy(x + int64_t(i) * C, &values_[i], sizeof values_[i]);
  }
  CFW_INLINE void subtract(const LanesOfClasses& other, int k) {
    for (int i = 0; i < k; ++i) values_[i] -= other.values_[i];
  }
  CFW_INLINE void add(const T* B, int rows, int columns, const LanesOfClasses& x) {
    for (int i = 0; i < rows; ++i) {
      Lanes<T> sum = values_[i];
      for (int j = 0; j < columns; ++j) sum += B[i * columns + j] * x.values_[j];
      values_[i] = sum;
    }
  }
  CFW_INLINE void add_transposed(const T* B, int rows, int columns, const LanesOfClasses& x) {
    for (int j = 0; j < columns; ++j) {
      Lanes<T> sum = values_[j];
      for (int i = 0; i < rows; ++i) sum += B[i * columns + j] * x.values_[i];
      values_[j] = sum;
    }
  }

 private:
  Lanes<T> values_[kMaxFunctions];
};

// Call body(c, values) for groups of classes; values holds the classes from c on.
template <class T, class Body>
CFW_INLINE void for_classes(int C, const Body& body) {
  int c = 0;
  for (; C - c >= kBlockLanes; c += kBlockLanes) body(c, LanesOfClasses<T>());
  for (; c < C; ++c) body(c, OneClass<T>());
}

template <class T>
struct BlockMatrix {
  const T* matrix;
  const int64_t* offsets;
  const int32_t *starts, *neighbours;

  CFW_INLINE int size(int64_t t) const { return starts[t + 1] - starts[t]; }
  CFW_INLINE const T* part(int64_t t, int which) const { return matrix + offsets[t * kBlockParts + which]; }

  // y += the couplings of block t with the blocks around it, times x, for the classes from c on.
  template <class Values>
  CFW_INLINE void add_neighbours(int64_t t, const T* x, int c, int C, Values& y) const {
    const int k = size(t);
    for (int place = 0; place < 9; ++place) {
      const int64_t neighbour = neighbours[9 * t + place];
      if (place == 4 || neighbour < 0) continue;
      const int n = size(neighbour);
      Values values;
      values.read(x + int64_t(starts[neighbour]) * C + c, n, C);
      if (place > 4)
        y.add(part(t, kLinkPart + place - 5), k, n, values);
      else
        y.add_transposed(part(neighbour, kLinkPart + 3 - place), n, k, values);
    }
  }
};

}  // namespace CFW_LEVEL
}  // namespace cfw
