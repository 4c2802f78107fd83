// x_p = sum_i q(p -> i) s_i: superpixels to pixels.
//
// Floor: q is read and x written once; 9 operations a value. Four classes and two vectors of pixels at a time share their
// loads.
#include "cpu/kernels.h"

#include "cpu/superpixel_cells.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

template <class T>
struct Scratch {
  std::vector<T> q, s, x;
};

// x_c = sum_k q_k s[c, k] over a packed strip, kClasses planes of x `stride` apart. The planes hold room for one vector more.
template <int kClasses, class T>
CFW_INLINE void spread(const T* q, const T* s, int stride, int size, T* x) {
  constexpr int lanes = Simd<T>::lanes;
  for (int i = 0; i < size; i += 2 * lanes) {
    Vector<T> sum[kClasses][2] = {};
#pragma GCC unroll 9
    for (int k = 0; k < kNeighbours; ++k) {
      Vector<T> left = load(q + k * stride + i), right = load(q + k * stride + i + lanes);
      CFW_PIN(left);
      CFW_PIN(right);
#pragma GCC unroll 4
      for (int c = 0; c < kClasses; ++c) {
        sum[c][0] += left * s[c * kNeighbours + k];
        sum[c][1] += right * s[c * kNeighbours + k];
      }
    }
    for (int c = 0; c < kClasses; ++c) {
      store(x + c * stride + i, sum[c][0]);
      store(x + c * stride + i + lanes, sum[c][1]);
    }
  }
}

}  // namespace

template <class T>
void superpixel_unpool(const T* s, const T* q, T* x, int64_t N, int C, int H, int W, int S, int threads) {
  const SuperpixelGrid g(S, H, W);
  const int stride = strip_capacity<T>(g) + Simd<T>::lanes;
  auto make = [&] {
    return Scratch<T>{std::vector<T>(kNeighbours * stride), std::vector<T>(C * kNeighbours),
                      std::vector<T>(4 * stride)};
  };
  for_each_cell(g, N, threads, make, [&](const Cell& cell, Scratch<T>& own) {
    pack_superpixels(s + cell.n * C * g.cells(), C, g, cell, own.s.data());
    for_each_strip<T>(cell, [&](const Strip& strip) {
      pack_q(q + cell.n * kNeighbours * g.pixels(), g, cell, strip, stride, own.q.data());
      auto block = [&](int c, int classes) {
        for (int j = 0; j < classes; ++j)
          unpack(own.x.data() + j * stride, W, strip, x + (cell.n * C + c + j) * g.pixels());
      };
      int c = 0;
      for (; c + 4 <= C; c += 4) {
        spread<4>(own.q.data(), &own.s[c * kNeighbours], stride, strip.size, own.x.data());
        block(c, 4);
      }
      for (; c < C; ++c) {
        spread<1>(own.q.data(), &own.s[c * kNeighbours], stride, strip.size, own.x.data());
        block(c, 1);
      }
    });
  });
}

CFW_INSTANTIATE(superpixel_unpool)

}  // namespace CFW_LEVEL
}  // namespace cfw
