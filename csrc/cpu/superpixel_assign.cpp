// q(p -> i) = exp(-|f_p - c_i|^2) / sum over the superpixels around p: the soft assignment of k-means.
#include "cpu/superpixel_assign.h"

#include "cpu/kernels.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

template <class T>
struct Scratch {
  std::vector<T> features, centers, q;
};

}  // namespace

template <class T>
void superpixel_assign(const T* features, const T* centers, T* q, int64_t N, int F, int H, int W, int S, int threads) {
  const SuperpixelGrid g(S, H, W);
  const int stride = strip_capacity<T>(g);
  auto make = [&] {
    return Scratch<T>{std::vector<T>(F * stride), std::vector<T>(F * kNeighbours),
                      std::vector<T>(kNeighbours * stride)};
  };
  for_each_cell(g, N, threads, make, [&](const Cell& cell, Scratch<T>& own) {
    pack_superpixels(centers + cell.n * F * g.cells(), F, g, cell, own.centers.data());
    for_each_strip<T>(cell, [&](const Strip& strip) {
      pack_planes(features + cell.n * F * g.pixels(), F, g, strip, stride, own.features.data());
      assign_strip(own.features.data(), own.centers.data(), g, cell, F, stride, strip.size, own.q.data());
      for (int k = 0; k < kNeighbours; ++k)
        unpack(own.q.data() + k * stride, W, strip, q + (cell.n * kNeighbours + k) * g.pixels());
    });
  });
}

CFW_INSTANTIATE(superpixel_assign)

}  // namespace CFW_LEVEL
}  // namespace cfw
