// y = L x + data_weight x: the matting Laplacian and a diagonal, matrix-free.
#include "cpu/kernels.h"

#include "cpu/parallel.h"
#include "cpu/stencil_rows.h"

namespace cfw {
namespace CFW_LEVEL {

template <class T>
void matting_product(const T* stencil, const T* x, const T* data_weight, T* y, int64_t N, int C, int H, int W,
                     int threads) {
  const Tiles tiles(H, W);
  const int64_t pitch = stencil_pitch(W), plane = int64_t(H) * W;
  parallel_for(N * tiles.per_image(), threads, [&](int64_t item) {
    const Tile t(tiles, item);
    const T* coefficients = stencil + t.n * (H + kTopRows) * kTaps * pitch;
    Ring<T> ring(std::min(C, kClassGroup), t.width);
    T diagonal[kRingWidth] = {};
    for (int group = 0; group < C; group += kClassGroup) {
      const int classes = std::min(kClassGroup, C - group);
      const T* from = x + (t.n * C + group) * plane;
      T* to = y + (t.n * C + group) * plane + t.x0;
      auto read = [&](int row) {
        for (int c = 0; c < classes; ++c) ring.read(from + c * plane, row, c, t.x0, t.width, H, W);
      };
      for (int row = t.y0 - kReach; row < t.y0 + kReach; ++row) read(row);
      for (int row = t.y0; row < t.y1; ++row) {
        read(row + kReach);
        if (data_weight) {
          const T* d = data_weight + t.n * plane + int64_t(row) * W + t.x0;
          std::copy(d, d + t.width, diagonal);
        }
        T* out = to + int64_t(row) * W;
        stencil_row_all(coefficients, pitch, row, t.x0, ring, classes, 0, t.width,
                        [&](int i, int c, Vector<T> centre, Vector<T> sum) __attribute__((always_inline)) {
                          sum += load(diagonal + i) * centre;
                          store_first(out + c * plane + i, sum, t.width - i);
                        });
      }
    }
  });
}

CFW_INSTANTIATE(matting_product)

}  // namespace CFW_LEVEL
}  // namespace cfw
