// B[k, i] = sum_p q(p -> i) q(p -> j), j the k-th superpixel of the 5 x 5 around i (0 where there is none): how much
// neighbouring superpixels share their pixels. ASAM's affinity is B with its rows divided by their sums.
//
// Floor: q is read once; 45 products a pixel (54 here).
#include "cpu/kernels.h"

#include "cpu/superpixel_cells.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kPairs = kNeighbours * kNeighbours;

template <class T>
struct Scratch {
  std::vector<T> q;
  std::vector<double> pairs;
};

// pairs[a, b] += sum over the strip of q_a q_b, a and b in two rows of the 3 x 3.
template <class T>
CFW_INLINE void add_pairs(const T* q, int stride, int size, int a0, int b0, double* pairs) {
  Vector<T> sum[3][3] = {};
  for (int i = 0; i < size; i += Simd<T>::lanes)
    for (int a = 0; a < 3; ++a) {
      const Vector<T> left = load(q + (a0 + a) * stride + i);
      for (int b = 0; b < 3; ++b) sum[a][b] += left * load(q + (b0 + b) * stride + i);
    }
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) pairs[(a0 + a) * kNeighbours + b0 + b] += sum_lanes<T>(sum[a][b]);
}

}  // namespace

template <class T>
void asam_affinity(const T* q, T* pairs, T* result, int64_t N, int H, int W, int S, int threads) {
  const SuperpixelGrid g(S, H, W);
  const int stride = strip_capacity<T>(g);
  auto make = [&] { return Scratch<T>{std::vector<T>(kNeighbours * stride), std::vector<double>(kPairs)}; };
  for_each_cell(g, N, threads, make, [&](const Cell& cell, Scratch<T>& own) {
    std::fill(own.pairs.begin(), own.pairs.end(), 0.0);
    for_each_strip<T>(cell, [&](const Strip& strip) {
      pack_q(q + cell.n * kNeighbours * g.pixels(), g, cell, strip, stride, own.q.data());
      for (int a0 = 0; a0 < kNeighbours; a0 += 3)
        for (int b0 = a0; b0 < kNeighbours; b0 += 3)
          add_pairs(own.q.data(), stride, strip.size, a0, b0, own.pairs.data());
    });
    T* to = &pairs[(cell.n * g.cells() + cell.index) * kPairs];
    for (int a = 0; a < kNeighbours; ++a)
      for (int b = 0; b < kNeighbours; ++b)
        to[a * kNeighbours + b] = T(own.pairs[a / 3 <= b / 3 ? a * kNeighbours + b : b * kNeighbours + a]);
  });
  parallel_for(N * g.h, threads, [&](int64_t item) {
    const int64_t n = item / g.h;
    const int r = int(item % g.h);
    for (int k = 0; k < 25; ++k) {
      const int dy = k / 5 - 2, dx = k % 5 - 2;
      for (int c = 0; c < g.w; ++c) {
        // Pixels of a cell see i as their neighbour a and j as b = a + (dy, dx).
        double sum = 0;
        for (int a = 0; a < kNeighbours; ++a) {
          const int by = a / 3 + dy, bx = a % 3 + dx;
          if (by < 0 || by > 2 || bx < 0 || bx > 2 || !g.inside(r, c, 8 - a)) continue;
          const int64_t cell = n * g.cells() + g.neighbour(r, c, 8 - a);
          sum += double(pairs[cell * kPairs + a * kNeighbours + by * 3 + bx]);
        }
        result[((n * 25 + k) * g.h + r) * g.w + c] = T(sum);
      }
    }
  });
}

CFW_INSTANTIATE(asam_affinity)

}  // namespace CFW_LEVEL
}  // namespace cfw
