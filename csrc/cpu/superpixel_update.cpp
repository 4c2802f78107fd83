// New centres c_i = sum_p q(p -> i) f_p / sum_p q(p -> i) with q from superpixel_assign: one iteration of soft k-means,
// without writing q. A superpixel that no pixel belongs to keeps its centre.
#include "cpu/superpixel_assign.h"

#include "cpu/kernels.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

template <class T>
struct Scratch {
  std::vector<T> features, centers, q;
  std::vector<double> partial_sums;
};

}  // namespace

template <class T>
void superpixel_update(const T* features, const T* centers, T* partial_sums, T* updated, int64_t N, int F, int H, int W,
                       int S, int threads) {
  const SuperpixelGrid g(S, H, W);
  const int stride = strip_capacity<T>(g), channels = F + 1;  // the last channel is 1: the weights' sum
  auto make = [&] {
    return Scratch<T>{std::vector<T>(channels * stride), std::vector<T>(F * kNeighbours),
                      std::vector<T>(kNeighbours * stride), std::vector<double>(kNeighbours * channels)};
  };
  for_each_cell(g, N, threads, make, [&](const Cell& cell, Scratch<T>& own) {
    pack_superpixels(centers + cell.n * F * g.cells(), F, g, cell, own.centers.data());
    std::fill(own.partial_sums.begin(), own.partial_sums.end(), 0.0);
    for_each_strip<T>(cell, [&](const Strip& strip) {
      pack_planes(features + cell.n * F * g.pixels(), F, g, strip, stride, own.features.data());
      T* ones = own.features.data() + F * stride;
      std::fill_n(ones, strip.pixels, T(1));
      std::fill(ones + strip.pixels, ones + strip.size, T(0));
      assign_strip(own.features.data(), own.centers.data(), g, cell, F, stride, strip.size, own.q.data());
      accumulate(own.q.data(), own.features.data(), stride, strip.size, own.partial_sums.data(), channels, channels);
    });
    std::copy(own.partial_sums.begin(), own.partial_sums.end(),
              &partial_sums[(cell.n * g.cells() + cell.index) * kNeighbours * channels]);
  });
  parallel_for(N * g.h, threads, [&](int64_t item) {
    const int64_t n = item / g.h;
    const int r = int(item % g.h);
    const T* of_image = &partial_sums[n * g.cells() * kNeighbours * channels];
    for (int c = 0; c < g.w; ++c) {
      const double weight = gather_sums(of_image, g, r, c, channels, F);
      for (int f = 0; f < F; ++f) {
        const int64_t at = ((n * F + f) * g.h + r) * g.w + c;
        updated[at] = weight < kEmpty ? centers[at] : T(gather_sums(of_image, g, r, c, channels, f) / weight);
      }
    }
  });
}

CFW_INSTANTIATE(superpixel_update)

}  // namespace CFW_LEVEL
}  // namespace cfw
