// Walk over the cells of the superpixel grid: what all superpixel kernels share.
//
// All pixels of a cell share their nine superpixels. So a cell is the unit of work: its superpixels' values are constants,
// and its pixels' sums need no atomics: each cell leaves its sums for its nine neighbours in a buffer of its own, and a second
// pass adds nine partial sums a superpixel, always in the same order.
//
// A cell is taken in strips of rows, packed without gaps, with zeros behind them up to a whole vector. Packed, the nine planes
// of q stay in the first-level cache while the classes pass by (in place, rows and planes that lie a power of two apart would
// push each other out), and a cell cut off at the image's border is no special case.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "common/superpixel_grid.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {

constexpr int kStripPixels = 512;  // 9 planes of float: 18 KB

// One strip: rows [y0, y0 + rows), columns [x0, x0 + width) of the image. Packed `pixels` values, padded to `size`.
struct Strip {
  int y0, rows, x0, width, pixels, size;
};

// In whole vectors.
template <class T>
inline int padded(int values) {
  return (values + Simd<T>::lanes - 1) / Simd<T>::lanes * Simd<T>::lanes;
}

// Cell (r, c) of image n.
struct Cell {
  int64_t n, index;  // index in its image
  int r, c, y0, y1, x0, width;
  Cell(const SuperpixelGrid& g, int64_t n, int r, int c)
      : n(n),
        index(int64_t(r) * g.w + c),
        r(r),
        c(c),
        y0(r * g.S),
        y1(std::min(g.H, y0 + g.S)),
        x0(c * g.S),
        width(std::min(g.S, g.W - x0)) {}
};

// The most values that a plane of a strip can have.
template <class T>
inline int strip_capacity(const SuperpixelGrid& g) {
  return std::max(padded<T>(g.S), kStripPixels);
}

template <class T, class Body>
CFW_INLINE void for_each_strip(const Cell& cell, const Body& body) {
  const int step = std::max(1, kStripPixels / cell.width);
  for (int y = cell.y0; y < cell.y1; y += step) {
    const int rows = std::min(step, cell.y1 - y), pixels = rows * cell.width;
    body(Strip{y, rows, cell.x0, cell.width, pixels, padded<T>(pixels)});
  }
}

// Cells in parallel, a row of them an item. `make()` gives an item its scratch memory, `body(cell, scratch)` does a cell.
template <class Make, class Body>
inline void for_each_cell(const SuperpixelGrid& g, int64_t N, int threads, const Make& make, const Body& body) {
  parallel_for(N * g.h, threads, [&](int64_t item) {
    auto scratch = make();
    for (int c = 0; c < g.w; ++c) body(Cell(g, item / g.h, int(item % g.h), c), scratch);
  });
}

// The same row of the next cell, into the second-level cache: rows are too short for the hardware to foresee the next one.
template <int kWrite, class T>
CFW_INLINE void prefetch_next(const T* row, int width) {
  for (int i = 0; i < width; i += 64 / int(sizeof(T))) __builtin_prefetch(row + width + i, kWrite, 2);
}

// A few dozen values: a call of memmove, which std::copy becomes, would cost more than the copy.
template <class T>
CFW_INLINE void copy_row(const T* from, int n, T* to) {
  constexpr int lanes = Simd<T>::lanes;
  int i = 0;
  for (; i + lanes <= n; i += lanes) store(to + i, load(from + i));
  if (i + lanes / 2 <= n) {
    std::memcpy(to + i, from + i, sizeof(T) * (lanes / 2));  // a constant size: one instruction
    i += lanes / 2;
  }
  for (; i < n; ++i) to[i] = from[i];
}

// Pack a strip of one plane (H, W).
template <class T>
CFW_INLINE void pack(const T* plane, int W, const Strip& s, T* to) {
  for (int y = 0; y < s.rows; ++y) {
    const T* from = plane + int64_t(s.y0 + y) * W + s.x0;
    copy_row(from, s.width, to);
    prefetch_next<0>(from, s.width);
    to += s.width;
  }
  for (int i = s.pixels; i < s.size; ++i) *to++ = 0;
}

// The same of `count` planes one after the other, into planes `stride` apart.
template <class T>
CFW_INLINE void pack_planes(const T* planes, int count, const SuperpixelGrid& g, const Strip& s, int stride, T* to) {
  for (int c = 0; c < count; ++c) pack(planes + c * g.pixels(), g.W, s, to + c * stride);
}

template <class T>
CFW_INLINE void unpack(const T* from, int W, const Strip& s, T* plane) {
  for (int y = 0; y < s.rows; ++y, from += s.width) {
    T* to = plane + int64_t(s.y0 + y) * W + s.x0;
    copy_row(from, s.width, to);
    prefetch_next<1>(to, s.width);
  }
}

// Pack a strip of q (9, H, W) into nine planes `stride` apart; neighbours outside the grid get no weight, whatever q says.
template <class T>
CFW_INLINE void pack_q(const T* q, const SuperpixelGrid& g, const Cell& cell, const Strip& s, int stride, T* to) {
  for (int k = 0; k < kNeighbours; ++k, to += stride)
    if (g.inside(cell.r, cell.c, k))
      pack(q + k * g.pixels(), g.W, s, to);
    else
      std::fill(to, to + s.size, T(0));
}

// What the nine superpixels of a cell hold, [C][9], from s (C, h, w); 0 for those outside the grid.
template <class T>
CFW_INLINE void pack_superpixels(const T* s, int C, const SuperpixelGrid& g, const Cell& cell, T* to) {
  for (int c = 0; c < C; ++c)
    for (int k = 0; k < kNeighbours; ++k)
      to[c * kNeighbours + k] = g.inside(cell.r, cell.c, k) ? s[c * g.cells() + g.neighbour(cell.r, cell.c, k)] : T(0);
}

// partial_sums[k, c] += sum over the strip of q_k x_c, for kClasses planes of x and all nine of q, `stride` apart;
// partial_sums have `row` channels in all.
// Three planes of q and kClasses of x at a time: 3 kClasses sums for 3 + kClasses loads.
template <int kClasses, class T>
CFW_INLINE void accumulate(const T* q, const T* x, int stride, int size, double* partial_sums, int row) {
  for (int k = 0; k < kNeighbours; k += 3) {
    Vector<T> sum[3][kClasses] = {};
    for (int i = 0; i < size; i += Simd<T>::lanes) {
      Vector<T> weight[3];
      for (int j = 0; j < 3; ++j) weight[j] = load(q + (k + j) * stride + i);
      for (int c = 0; c < kClasses; ++c) {
        Vector<T> value = load(x + c * stride + i);
        for (int j = 0; j < 3; ++j) sum[j][c] += weight[j] * value;
      }
    }
    for (int j = 0; j < 3; ++j)
      for (int c = 0; c < kClasses; ++c) partial_sums[(k + j) * row + c] += sum_lanes<T>(sum[j][c]);
  }
}

// The same for any number of classes.
template <class T>
CFW_INLINE void accumulate(const T* q, const T* x, int stride, int size, double* partial_sums, int row, int classes) {
  int c = 0;
  for (; c + 4 <= classes; c += 4) accumulate<4>(q, x + c * stride, stride, size, partial_sums + c, row);
  for (; c < classes; ++c) accumulate<1>(q, x + c * stride, stride, size, partial_sums + c, row);
}

}  // namespace CFW_LEVEL
}  // namespace cfw
