// Build the stencil of a matting Laplacian (3 x 3 windows): of the learning-based one where row sums are asked for, which are
// not zero there, else of the closed form. In float64 whatever the image's type: built in float32 the
// coefficients of a grey photograph are noise.
#include "cpu/kernels.h"

#include <algorithm>
#include <vector>

#include "common/matting_window.h"
#include "common/stencil_layout.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kBandRows = 64;
constexpr int kWindow = 9;
constexpr int kPlanes = kTaps + 1;  // the taps and, of the learning-based Laplacian, the sum of a row of L
constexpr int kLanes = Simd<double>::lanes;
using Vd = Vector<double>;

// Rows of a band in flight. Accumulators: 3 pixel rows x (12 taps, row sum). Colours: 3 pixel rows x D, as double, padded to the right
// so that the last vector of windows may read beyond the image.
struct Band {
  int D;
  int64_t pitch;
  std::vector<double> sums, colours, window;

  Band(int D, int64_t width)
      : D(D),
        pitch((width + 4 * kLanes + 7) / 8 * 8 + 8),
        sums(3 * kPlanes * pitch),
        colours(3 * D * pitch),
        window((kWindow * (D + 1) + 4 * (D + 1) + 2 * (D + 1) * (D + 1)) * kLanes + kLanes) {}

  // Column 0 of the image.
  double* sum(int64_t y, int k) { return &sums[((y % 3) * kPlanes + k) * pitch]; }
  // Aligned space for the vectors of one window, where their number is not known at compile time: x (9, m), four of (m) and
  // two of (m, m), of at most D + 1 columns.
  Vd* scratch() {
    const auto address = reinterpret_cast<uintptr_t>(window.data());
    return reinterpret_cast<Vd*>((address + sizeof(Vd) - 1) / sizeof(Vd) * sizeof(Vd));
  }
  double* colour(int64_t y, int d) { return &colours[((y % 3) * D + d) * pitch]; }
};

// So many vectors: an array of its own, which becomes registers, or a part of the scratch where the number is not known at
// compile time (0).
template <int kCount>
struct Vectors {
  Vd values[kCount];
  Vectors(Vd*&, int) {}
  operator Vd*() { return values; }
};
template <>
struct Vectors<0> {
  Vd* values;
  Vectors(Vd*& scratch, int count) : values(scratch) { scratch += count; }
  operator Vd*() { return values; }
};

// A vector of windows with centres (cy, cx), (cy, cx + 1), ...; `exists` is 0 in the lanes beyond the last window, else 1.
// kD: the number of channels where it is known at compile time, and the loops unroll, else 0.
template <bool kLearning, int kD>
CFW_INLINE void add_windows(Band& band, int64_t cy, int64_t cx, Vd exists, double eps) {
  const int D = kD > 0 ? kD : band.D, m = kLearning ? D + 1 : D;
  constexpr int kM = kD > 0 ? kD + kLearning : 0;
  Vd* scratch = kD > 0 ? nullptr : band.scratch();
  Vectors<kWindow * kM> x(scratch, kWindow * m);
  Vectors<kM> inverse(scratch, m), mean(scratch, m), total(scratch, m), v(scratch, m);
  Vectors<kM * kM> gram(scratch, m * m), twice(scratch, m * m);
  Vd* const z = kLearning ? x + 1 : x;  // the colours, behind a column of ones
#pragma GCC unroll 9
  for (int i = 0; i < kWindow; ++i)
    for (int d = 0; d < D; ++d) z[i * m + d] = load(band.colour(cy - 1 + i / 3, d) + cx - 1 + i % 3);
  centre_window<Vd>(z, mean, kWindow, D, m);
  if (kLearning) {
    for (int i = 0; i < kWindow; ++i) x[i * m] = Vd{} + 1.0;
    learning_based_penalty<Vd>(gram, mean, D, eps);
  } else {
    closed_form_penalty<Vd>(gram, D, eps);
  }
  whiten_window<Vd>(x, inverse, kWindow, m, exists, gram);
  if (kLearning) {
    residual_weights<Vd>(x, inverse, kWindow, m, twice);
    for (int a = 0; a < m; ++a) {
      total[a] = x[a];
      for (int i = 1; i < kWindow; ++i) total[a] += x[i * m + a];
    }
  }
  const Vd constant = kLearning ? Vd{} : exists * (-1.0 / kWindow);
  double* rows[3];
  for (int py = 0; py < 3; ++py) rows[py] = band.sum(cy - 1 + py, 0) + cx - 1;
  // Column by column of p, so that no sum is read again right after a neighbouring vector of it was written.
#pragma GCC unroll 3
  for (int px = 0; px < 3; ++px)
#pragma GCC unroll 3
    for (int py = 0; py < 3; ++py) {
      const Vd* const u = x + (py * 3 + px) * m;
      for (int a = 0; a < m; ++a) {
        if (kLearning) {
          v[a] = twice[a * m] * u[0];
          for (int b = 1; b < m; ++b) v[a] += twice[a * m + b] * u[b];
        } else {
          v[a] = inverse[a] * u[a];
        }
      }
#pragma GCC unroll 12
      for (int k = 0; k < kTaps; ++k) {
        const int qy = py + tap_dy(k), qx = px + tap_dx(k);
        if (qy > 2 || qx < 0 || qx > 2) continue;
        Vd g = constant;
        for (int a = 0; a < m; ++a) g -= v[a] * x[(qy * 3 + qx) * m + a];
        double* sum = rows[py] + k * band.pitch + px;
        store(sum, load(sum) + g);
      }
      if (!kLearning) continue;
      Vd g = exists;  // a row of the window's block, added up
      for (int a = 0; a < m; ++a) g -= v[a] * total[a];
      double* sum = rows[py] + kTaps * band.pitch + px;
      store(sum, load(sum) + g);
    }
}

// All windows of one row of centres.
template <bool kLearning, int kD>
void add_row(Band& band, int64_t cy, int64_t W, double eps) {
  int64_t cx = 1;
  for (; cx + kLanes <= W - 1; cx += kLanes) add_windows<kLearning, kD>(band, cy, cx, Vd{} + 1.0, eps);
  if (cx < W - 1) {
    Vd exists{};
    for (int l = 0; l < W - 1 - cx; ++l) exists[l] = 1.0;
    add_windows<kLearning, kD>(band, cy, cx, exists, eps);
  }
}

template <bool kLearning>
auto row_of(int D) {
  return D == 3 ? add_row<kLearning, 3> : D == 1 ? add_row<kLearning, 1> : add_row<kLearning, 0>;
}

// Write a row of sums, unless out is null, and clear it for the next row of pixels that it will hold.
template <class T>
void take(double* sum, T* out, int64_t W) {
  int64_t x = 0;
  for (; x + kLanes <= W; x += kLanes) {
    if (out) store_as(out + x, load(sum + x));
    store(sum + x, Vd{});
  }
  for (; x < W; ++x) {
    if (out) out[x] = static_cast<T>(sum[x]);
    sum[x] = 0;
  }
}

template <class T>
void build_band(const T* image, T* stencil, T* row_sums, int D, int H, int W, int y0, int y1, double eps) {
  const int64_t pitch = stencil_pitch(W), plane = int64_t(H) * W;
  Band band(D, W);
  auto read_row = [&](int64_t y) {
    for (int d = 0; d < D; ++d) {
      const T* row = image + d * plane + y * W;
      std::copy(row, row + W, band.colour(y, d));
    }
  };
  auto write_row = [&](int64_t y) {
    const bool inside = y >= y0 && y < y1;
    for (int k = 0; k < kTaps; ++k) {
      T* out = inside ? stencil_row(stencil, pitch, y, k) : nullptr;
      take(band.sum(y, k), out, W);
      if (!inside) continue;
      std::fill(out - kLeftPad, out, T(0));
      std::fill(out + W, out + pitch - kLeftPad, T(0));
    }
    if (row_sums) take(band.sum(y, kTaps), inside ? row_sums + y * W : nullptr, W);
  };

  if (y0 == 0) std::fill(stencil, stencil + kTopRows * kTaps * pitch, T(0));
  const auto add = row_sums ? row_of<true>(D) : row_of<false>(D);
  const int64_t first = std::max(1, y0 - 1), last = std::min(H - 2, y1);  // rows of window centres
  read_row(first - 1);
  read_row(first);
  for (int64_t cy = first; cy <= last; ++cy) {
    read_row(cy + 1);
    add(band, cy, W, eps);
    write_row(cy - 1);
  }
  write_row(last);
  write_row(last + 1);
}

}  // namespace

template <class T>
void matting_stencil(const T* image, T* stencil, T* row_sums, int64_t N, int D, int H, int W, double eps, int threads) {
  if (H < 3) {  // no window fits, and a band would begin above the image
    std::fill_n(stencil, N * (H + kTopRows) * kTaps * stencil_pitch(W), T(0));
    if (row_sums) std::fill_n(row_sums, N * H * W, T(0));
    return;
  }
  const int bands = (H + kBandRows - 1) / kBandRows;
  parallel_for(N * bands, threads, [&](int64_t item) {
    const int64_t n = item / bands;
    const int y0 = int(item % bands) * kBandRows, y1 = std::min(H, y0 + kBandRows);
    const T* from = image + n * D * H * W;
    T* to = stencil + n * (H + kTopRows) * kTaps * stencil_pitch(W);
    build_band(from, to, row_sums ? row_sums + n * H * W : nullptr, D, H, W, y0, y1, eps);
  });
}

CFW_INSTANTIATE(matting_stencil)

}  // namespace CFW_LEVEL
}  // namespace cfw
