// The closed-form loss of every image and its gradient, in one sweep over the maps.
//
// L is the stencil and, for a Laplacian whose rows do not sum to zero (the learning-based one), a diagonal of row sums.
// With r_c = L x_c + mark_weight D (x_c - s_c), D = 1 on the marked pixels, s_c = 1 on those marked as c, P = H W:
//     energy    loss = 1/P sum_c w_c ( x_c^T L x_c + mark_weight (x_c - s_c)^T D (x_c - s_c) )    gradient = 2/P w_c r_c
//     residual  loss = 1/(P mark_weight) sum_c w_c |r_c|^2        gradient = 2/(P mark_weight) w_c (L + mark_weight D) r_c
// The residual's gradient needs r around each pixel: a second ring keeps the last five rows of it, so that r never goes to
// memory and either form moves x in and the gradient out, once.
#include "cpu/kernels.h"

#include <vector>

#include "common/matting_loss.h"
#include "cpu/parallel.h"
#include "cpu/stencil_rows.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

// One row of marks of a tile, in the form that the vector loops want, and the sums of L's rows there.
template <class T>
struct Marks {
  T label[kRingWidth] = {}, mark_weight[kRingWidth] = {}, row_sum[kRingWidth] = {};

  // Tile column 0.
  const T* labels() const { return label + kMargin; }
  const T* mark_weights() const { return mark_weight + kMargin; }
  const T* row_sums() const { return row_sum + kMargin; }

  // target, sums: of one image; sums may be null.
  void read(const int64_t* target, const T* sums, int y, const Tile& t, int H, int W, double marked,
            int64_t ignore_index) {
    std::fill(mark_weight, mark_weight + kRingWidth, T(0));
    std::fill(row_sum, row_sum + kRingWidth, T(0));
    if (y < 0 || y >= H) return;
    const int64_t start = int64_t(y) * W + t.x0;
    for (int i = std::max(-kReach, -t.x0); i < std::min(t.width + kReach, W - t.x0); ++i) {
      label[kMargin + i] = static_cast<T>(target[start + i]);
      mark_weight[kMargin + i] = target[start + i] == ignore_index ? T(0) : static_cast<T>(marked);
      if (sums) row_sum[kMargin + i] = sums[start + i];
    }
  }
};

// x - s_c, for the lanes that start at tile column i.
template <class T>
CFW_INLINE Vector<T> minus_target(const Marks<T>& marks, int i, int c, Vector<T> x) {
  const Vector<T> one = Vector<T>{} + T(1), own = Vector<T>{} + static_cast<T>(c);
  return x - (load(marks.labels() + i) == own ? one : Vector<T>{});
}

template <class T>
struct Problem {
  const T* stencil;
  const T* row_sums;
  const T* x;
  const int64_t* target;
  const T* weight;
  double mark_weight;
  int64_t ignore_index;
  T* gradient;
  int C, H, W;
  int64_t pitch, plane;

  // The classes of image n that count.
  std::vector<int> active(int64_t n) const {
    std::vector<int> classes;
    for (int c = 0; c < C; ++c)
      if (weight[n * C + c] != T(0)) classes.push_back(c);
    return classes;
  }
  const T* coefficients(int64_t n) const { return stencil + n * (H + kTopRows) * kTaps * pitch; }
  void read_marks(Marks<T>& marks, const Tile& t, int row) const {
    marks.read(target + t.n * plane, row_sums ? row_sums + t.n * plane : nullptr, row, t, H, W, mark_weight,
               ignore_index);
  }
  void put(const Tile& t, int row, int c, int i, Vector<T> value) const {
    T* out = gradient + (t.n * C + c) * plane + int64_t(row) * W + t.x0 + i;
    const int left = t.width - i;
    left >= Simd<T>::lanes ? store(out, value) : store_first(out, value, left);
  }
  void clear(const Tile& t, int c) const {
    for (int row = t.y0; row < t.y1; ++row) {
      T* out = gradient + (t.n * C + c) * plane + int64_t(row) * W + t.x0;
      std::fill(out, out + t.width, T(0));
    }
  }
};

// Lanes beyond the tile add nothing: x and the marks are zero in the ring there.
template <bool kRowSums, class T>
double energy_of(const Problem<T>& p, const Tile& t, const int* classes, int count) {
  const T scale = static_cast<T>(2.0 / double(p.plane));
  Ring<T> ring(count);
  Marks<T> marks;
  auto read = [&](int row) {
    for (int c = 0; c < count; ++c)
      ring.read(p.x + (t.n * p.C + classes[c]) * p.plane, row, c, t.x0, t.width, p.H, p.W);
  };
  double total = 0;
  for (int row = t.y0 - kReach; row < t.y0 + kReach; ++row) read(row);
  for (int row = t.y0; row < t.y1; ++row) {
    read(row + kReach);
    p.read_marks(marks, t, row);
    Vector<T> sums[kClassGroup] = {};
    stencil_row_all(p.coefficients(t.n), p.pitch, row, t.x0, ring, count, 0, t.width,
                    [&](int i, int c, Vector<T> x, Vector<T> Lx) __attribute__((always_inline)) {
                      if (kRowSums) Lx += load(marks.row_sums() + i) * x;
                      const Vector<T> e = minus_target(marks, i, classes[c], x);
                      const Vector<T> d = load(marks.mark_weights() + i) * e;
                      // Lanes of the neighbouring tile are in the ring: only the last vector of a tile has any.
                      if (t.width - i >= Simd<T>::lanes) {
                        sums[c] += x * Lx + d * e;
                      } else {
                        for (int l = 0; l < t.width - i; ++l) sums[c][l] += x[l] * Lx[l] + d[l] * e[l];
                      }
                      if (p.gradient) p.put(t, row, classes[c], i, scale * p.weight[t.n * p.C + classes[c]] * (Lx + d));
                    });
    for (int c = 0; c < count; ++c) total += double(p.weight[t.n * p.C + classes[c]]) * sum_lanes<T>(sums[c]);
  }
  return total / double(p.plane);
}

template <bool kRowSums, class T>
double residual_of(const Problem<T>& p, const Tile& t, const int* classes, int count) {
  const double norm = 1.0 / (double(p.plane) * p.mark_weight);
  const T scale = static_cast<T>(2.0 * norm);
  Ring<T> ring(count), residual(count);
  std::vector<Marks<T>> marks(kRingRows);
  const int first = std::max(-kReach, -t.x0), last = std::min(t.width + kReach, p.W - t.x0);
  auto read = [&](int row) {
    for (int c = 0; c < count; ++c)
      ring.read(p.x + (t.n * p.C + classes[c]) * p.plane, row, c, t.x0, t.width, p.H, p.W);
  };
  double total = 0;
  for (int row = t.y0 - 2 * kReach; row < t.y0; ++row) read(row);
  for (int row = t.y0 - kReach; row < t.y1 + kReach; ++row) {
    read(row + kReach);
    Marks<T>& here = marks[(row + kRingRows) % kRingRows];
    p.read_marks(here, t, row);
    if (row < 0 || row >= p.H) {
      for (int c = 0; c < count; ++c)
        std::fill(residual.row(row, c) - kReach, residual.row(row, c) + kTile + kReach, T(0));
    } else {
      stencil_row_all(p.coefficients(t.n), p.pitch, row, t.x0, ring, count, first, last,
                      [&](int i, int c, Vector<T> x, Vector<T> Lx) __attribute__((always_inline)) {
                        if (kRowSums) Lx += load(here.row_sums() + i) * x;
                        const Vector<T> d = load(here.mark_weights() + i) * minus_target(here, i, classes[c], x);
                        store(residual.row(row, c) + i, Lx + d);
                      });
    }
    const int done = row - kReach;  // the row whose residuals are all there
    if (done < t.y0) continue;
    const T *mark_weights = marks[done % kRingRows].mark_weights(), *row_sums = marks[done % kRingRows].row_sums();
    Vector<T> sums[kClassGroup] = {};
    stencil_row_all(p.coefficients(t.n), p.pitch, done, t.x0, residual, count, 0, t.width,
                    [&](int i, int c, Vector<T> r, Vector<T> Lr) __attribute__((always_inline)) {
                      if (kRowSums) Lr += load(row_sums + i) * r;
                      if (t.width - i >= Simd<T>::lanes) {
                        sums[c] += r * r;
                      } else {
                        for (int l = 0; l < t.width - i; ++l) sums[c][l] += r[l] * r[l];
                      }
                      if (p.gradient)
                        p.put(t, done, classes[c], i,
                              scale * p.weight[t.n * p.C + classes[c]] * (Lr + load(mark_weights + i) * r));
                    });
    for (int c = 0; c < count; ++c) total += double(p.weight[t.n * p.C + classes[c]]) * sum_lanes<T>(sums[c]);
  }
  return total * norm;
}

template <bool kRowSums, class T>
void loss_of(const Problem<T>& p, bool residual, double* parts, double* loss, int64_t N, int threads) {
  const Tiles tiles(p.H, p.W);
  const int64_t stride = matting_loss_parts(p.H, p.W);
  parallel_for(N * tiles.per_image(), threads, [&](int64_t item) {
    const Tile t(tiles, item);
    const std::vector<int> classes = p.active(t.n);
    double& part = parts[t.n * stride + item % tiles.per_image()];
    part = 0;
    if (p.gradient)
      for (int c = 0; c < p.C; ++c)
        if (p.weight[t.n * p.C + c] == T(0)) p.clear(t, c);
    for (size_t group = 0; group < classes.size(); group += kClassGroup) {
      const int count = int(std::min<size_t>(kClassGroup, classes.size() - group));
      part += residual ? residual_of<kRowSums>(p, t, &classes[group], count)
                       : energy_of<kRowSums>(p, t, &classes[group], count);
    }
  });
  for (int64_t n = 0; n < N; ++n) {
    loss[n] = 0;
    for (int64_t i = 0; i < tiles.per_image(); ++i) loss[n] += parts[n * stride + i];
  }
}

}  // namespace

template <class T>
void matting_loss(const T* stencil, const T* row_sums, const T* x, const int64_t* target, const T* weight,
                  double mark_weight, int64_t ignore_index, bool residual, double* parts, double* loss, T* gradient,
                  int64_t N, int C, int H, int W, int threads) {
  const Problem<T> p{stencil,  row_sums, x, target, weight,           mark_weight,   ignore_index,
                     gradient, C,        H, W,      stencil_pitch(W), int64_t(H) * W};
  row_sums ? loss_of<true>(p, residual, parts, loss, N, threads) : loss_of<false>(p, residual, parts, loss, N, threads);
}

CFW_INSTANTIATE(matting_loss)

}  // namespace CFW_LEVEL
}  // namespace cfw
