// s_i = sum_p q(p -> i) x_p: pixels to superpixels. With superpixel_unpool and superpixel_dot it is one of the three
// derivatives of sum_pkc q_pk x_pc s_ic, so each one's gradient is the other two.
//
// Floor: x and q are read once; 9 operations a value.
#include "cpu/kernels.h"

#include "cpu/superpixel_cells.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kGroup = 8;  // classes packed at a time

template <class T>
struct Scratch {
  std::vector<T> q, x;
  std::vector<double> partial_sums;
};

}  // namespace

template <class T>
void superpixel_pool(const T* x, const T* q, T* partial_sums, T* s, int64_t N, int C, int H, int W, int S,
                     int threads) {
  const SuperpixelGrid g(S, H, W);
  const int stride = strip_capacity<T>(g);
  auto make = [&] {
    return Scratch<T>{std::vector<T>(kNeighbours * stride), std::vector<T>(kGroup * stride),
                      std::vector<double>(kNeighbours * C)};
  };
  for_each_cell(g, N, threads, make, [&](const Cell& cell, Scratch<T>& own) {
    std::fill(own.partial_sums.begin(), own.partial_sums.end(), 0.0);
    for_each_strip<T>(cell, [&](const Strip& strip) {
      pack_q(q + cell.n * kNeighbours * g.pixels(), g, cell, strip, stride, own.q.data());
      for (int group = 0; group < C; group += kGroup) {
        const int classes = std::min(kGroup, C - group);
        pack_planes(x + (cell.n * C + group) * g.pixels(), classes, g, strip, stride, own.x.data());
        accumulate(own.q.data(), own.x.data(), stride, strip.size, &own.partial_sums[group], C, classes);
      }
    });
    std::copy(own.partial_sums.begin(), own.partial_sums.end(),
              &partial_sums[(cell.n * g.cells() + cell.index) * kNeighbours * C]);
  });
  parallel_for(N * g.h, threads, [&](int64_t item) {
    const int64_t n = item / g.h;
    const int r = int(item % g.h);
    const T* of_image = &partial_sums[n * g.cells() * kNeighbours * C];
    for (int channel = 0; channel < C; ++channel)
      for (int c = 0; c < g.w; ++c)
        s[((n * C + channel) * g.h + r) * g.w + c] = T(gather_sums(of_image, g, r, c, C, channel));
  });
}

CFW_INSTANTIATE(superpixel_pool)

}  // namespace CFW_LEVEL
}  // namespace cfw
