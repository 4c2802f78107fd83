// d_pk = sum_c x_pc s_ic, i the k-th superpixel around p; 0 where there is none. The gradient of pool and unpool in q.
//
// Floor: x is read and d written once; 9 operations a value.
#include "cpu/kernels.h"

#include "cpu/superpixel_cells.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kGroup = 8;  // classes packed at a time

template <class T>
struct Scratch {
  std::vector<T> d, s, x;
};

}  // namespace

template <class T>
void superpixel_dot(const T* x, const T* s, T* d, int64_t N, int C, int H, int W, int S, int threads) {
  const SuperpixelGrid g(S, H, W);
  const int stride = strip_capacity<T>(g);
  auto make = [&] {
    return Scratch<T>{std::vector<T>(kNeighbours * stride), std::vector<T>(C * kNeighbours),
                      std::vector<T>(kGroup * stride)};
  };
  for_each_cell(g, N, threads, make, [&](const Cell& cell, Scratch<T>& own) {
    pack_superpixels(s + cell.n * C * g.cells(), C, g, cell, own.s.data());
    for_each_strip<T>(cell, [&](const Strip& strip) {
      std::fill(own.d.begin(), own.d.end(), T(0));
      for (int group = 0; group < C; group += kGroup) {
        const int classes = std::min(kGroup, C - group);
        pack_planes(x + (cell.n * C + group) * g.pixels(), classes, g, strip, stride, own.x.data());
        for (int i = 0; i < strip.size; i += Simd<T>::lanes) {
          Vector<T> sum[kNeighbours];
          for (int k = 0; k < kNeighbours; ++k) sum[k] = load(&own.d[k * stride + i]);
          for (int c = 0; c < classes; ++c) {
            const Vector<T> value = load(&own.x[c * stride + i]);
            for (int k = 0; k < kNeighbours; ++k) sum[k] += value * own.s[(group + c) * kNeighbours + k];
          }
          for (int k = 0; k < kNeighbours; ++k) store(&own.d[k * stride + i], sum[k]);
        }
      }
      for (int k = 0; k < kNeighbours; ++k) {
        T* to = d + (cell.n * kNeighbours + k) * g.pixels();
        if (!g.inside(cell.r, cell.c, k)) std::fill_n(own.d.begin() + k * stride, strip.size, T(0));  // not NaN * 0
        unpack(&own.d[k * stride], W, strip, to);
      }
    });
  });
}

CFW_INSTANTIATE(superpixel_dot)

}  // namespace CFW_LEVEL
}  // namespace cfw
