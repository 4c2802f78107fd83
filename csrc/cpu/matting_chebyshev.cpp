// (L + D) x = b by a fixed number of steps of Chebyshev's method, all of them in one call.
//
// A thread takes a few classes of one image, which share the loads of the stencil, and whose x, b and last change stay in
// its cache. Without dot products a step is one sweep down the rows: the ring still holds a row of x when its new values are
// written, so x changes in place.
//
// Limit: the product (cpu/stencil_rows.h).
#include <algorithm>
#include <stdexcept>

#include "common/chebyshev.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/stencil_rows.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kBlock = 4;  // classes of a thread

// The planes (classes, H, W) of an image: x += d, where d = keep d + add preconditioner (b - (L + D) x).
template <class T>
void step(const T* stencil, const T* diagonal, const T* preconditioner, const T* b, T* x, T* d, Ring<T>& ring,
          int classes, int H, int W, T keep, T add) {
  const int64_t pitch = stencil_pitch(W), plane = int64_t(H) * W;
  auto read = [&](int row) {
    for (int c = 0; c < classes; ++c) ring.read(x + c * plane, row, c, 0, W, H, W);
  };
  for (int row = -kReach; row < kReach; ++row) read(row);
  for (int row = 0; row < H; ++row) {
    read(row + kReach);
    const int64_t start = int64_t(row) * W;
    stencil_row_all(stencil, pitch, row, 0, ring, classes, 0, W,
                    [&](int i, int c, Vector<T> centre, Vector<T> sum) __attribute__((always_inline)) {
                      const int64_t pixel = start + i, at = c * plane + pixel;
                      const int left = W - i;
                      auto read = [&](const T* p) __attribute__((always_inline)) { return load_first(p, left); };
                      const Vector<T> r = read(b + at) - sum - read(diagonal + pixel) * centre;
                      const Vector<T> change = keep * read(d + at) + add * read(preconditioner + pixel) * r;
                      store_first(d + at, change, left);
                      store_first(x + at, centre + change, left);
                    });
  }
}

}  // namespace

template <class T>
void matting_chebyshev(const T* stencil, const T* diagonal, const T* preconditioner, const T* b, const T* start, T* x,
                       T* scratch, int64_t N, int C, int H, int W, double low, double high, int num_iters,
                       int threads) {
  if (W > kTile) throw std::invalid_argument("matting_chebyshev: maps must have at most 512 columns");
  const int64_t plane = int64_t(H) * W, blocks = (C + kBlock - 1) / kBlock;
  parallel_for(N * blocks, threads, [&](int64_t item) {
    const int64_t n = item / blocks;
    const int first = int(item % blocks) * kBlock, classes = std::min(kBlock, C - first);
    const int64_t at = (n * C + first) * plane;
    std::copy_n(start + at, classes * plane, x + at);
    std::fill_n(scratch + at, classes * plane, T(0));
    Ring<T> ring(classes, W);
    ChebyshevSteps steps(low, high);
    for (int k = 0; k < num_iters; ++k, steps.next())
      step(stencil + n * (H + kTopRows) * kTaps * stencil_pitch(W), diagonal + n * plane, preconditioner + n * plane,
           b + at, x + at, scratch + at, ring, classes, H, W, T(steps.keep), T(steps.add));
  });
}

CFW_INSTANTIATE(matting_chebyshev)

}  // namespace CFW_LEVEL
}  // namespace cfw
