// The closed-form loss of every image and its gradient with respect to the logits, in one sweep over them.
//
// L is the stencil and, for a Laplacian whose rows do not sum to zero (the learning-based one), a diagonal of row sums.
// With the maps a = activation(x), r_c = L a_c + mark_weight D (a_c - s_c), D = 1 on the marked pixels, s_c = 1 on
// those marked as c, P = H W:
//     energy    loss = 1/P sum_c w_c ( a_c^T L a_c + mark_weight (a_c - s_c)^T D (a_c - s_c) )
//               gradient with respect to the maps  g_c = 2/P w_c r_c
//     residual  loss = 1/(P mark_weight) sum_c w_c |r_c|^2
//               g_c = 2/(P mark_weight) w_c (L + mark_weight D) r_c
// and cpu/activation_rows.h goes back to the logits.
//
// A ring keeps the last five rows of the maps. The residual's gradient needs r around each pixel: a second ring keeps
// the last five rows of it. So neither the maps nor r ever go to memory: either form moves x in and the gradient out,
// once.
//
// Floor, for C classes in float: 8 C + 48 bytes a pixel, 24 loads and 48 operations a value and product, one exp a value.
//
// The softmax of a pixel needs all of its classes, so they are in the ring together, and with many of them a tile is
// narrower. Otherwise classes are independent of each other, and a ring holds kClassGroup of them.
#include "cpu/kernels.h"

#include <vector>

#include "common/matting_loss.h"
#include "cpu/activation_rows.h"
#include "cpu/parallel.h"
#include "cpu/stencil_rows.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

// Of the rings of a tile, at most: a core's share of the third-level cache. Tiles so narrow that the second-level cache
// had room for them were slower, 150 classes by a third to a half (AMD Zen 4): their halos are larger.
constexpr int64_t kCacheBytes = 4 * 1024 * 1024;
constexpr int kNarrowest = 128;  // columns of a tile

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
  // mark_weight D (x - s_c), for the lanes that start at tile column i; x - s_c is left in `error`.
  CFW_INLINE Vector<T> pull(int i, int c, Vector<T> x, Vector<T>& error) const {
    const Vector<T> one = Vector<T>{} + T(1), own = Vector<T>{} + static_cast<T>(c);
    error = x - (load(labels() + i) == own ? one : Vector<T>{});
    return load(mark_weights() + i) * error;
  }
};

// Row y of the map that starts at x[offset], into a ring.
template <class T>
using ReadRow = void (*)(Ring<T>& ring, const void* x, int64_t offset, int y, int c, int x0, int width, int H, int W);

template <class T, class X>
void read_row(Ring<T>& ring, const void* x, int64_t offset, int y, int c, int x0, int width, int H, int W) {
  ring.read(static_cast<const X*>(x) + offset, y, c, x0, width, H, W);
}

template <class T>
struct Problem {
  const T* stencil;
  const T* row_sums;
  const void* x;
  ReadRow<T> read;
  const int64_t* target;
  const T* weight;
  double mark_weight;
  int64_t ignore_index;
  bool residual;
  Activation activation;
  T* gradient;
  int C, H, W;
  int64_t pitch, plane;

  double norm() const { return 1.0 / (double(plane) * (residual ? mark_weight : 1.0)); }
  const T* coefficients(int64_t n) const { return stencil + n * (H + kTopRows) * kTaps * pitch; }
  // Columns of a tile, at most.
  int columns() const {
    if (activation != kSoftmax) return kTile;
    const int64_t rows = (residual ? 2 : 1) * kRingRows + 1, room = kCacheBytes / (rows * C * int64_t(sizeof(T)));
    return int(std::max<int64_t>(kNarrowest, std::min<int64_t>(kTile, room / kNarrowest * kNarrowest)));
  }
  // The gradient is zero.
  void clear(const Tile& t, int c) const {
    for (int row = t.y0; row < t.y1; ++row) {
      T* out = gradient + (t.n * C + c) * plane + int64_t(row) * W + t.x0;
      std::fill(out, out + t.width, T(0));
    }
  }
};

// Some classes of a tile, those of weight zero last: these count as parts of a softmax only.
template <class T>
class Sweep {
 public:
  Sweep(const Problem<T>& p, const Tile& t, const int* classes, int count, int active)
      : p_(p),
        t_(t),
        classes_(classes),
        count_(count),
        active_(active),
        maps_(count, t.width),
        r_(p.residual ? active : 0, t.width),
        out_(active, kRingWidth, t.width + kLine) {
    for (int c = 0; c < active; ++c) factors_.push_back(static_cast<T>(2 * p.norm()) * weight(c));
  }

  double run() { return (p_.residual ? residual() : energy()) * p_.norm(); }

 private:
  const Problem<T>& p_;
  const Tile& t_;
  const int* classes_;
  int count_, active_;
  Ring<T> maps_, r_;
  std::vector<T> factors_;
  Marks<T> marks_[kRingRows];
  // Of one row: what is to become the gradient, and of each lane the sum over the columns.
  AlignedRows<T> out_, sums_{active_, Simd<T>::lanes, Simd<T>::lanes};
  double total_[Simd<T>::lanes] = {};

  T weight(int c) const { return p_.weight[t_.n * p_.C + classes_[c]]; }
  Marks<T>& marks(int row) { return marks_[(row + kRingRows) % kRingRows]; }

  void read(int row) {
    for (int c = 0; c < count_; ++c)
      p_.read(maps_, p_.x, (t_.n * p_.C + classes_[c]) * p_.plane, row, c, t_.x0, t_.width, p_.H, p_.W);
    if (row >= 0 && row < p_.H)
      activate(p_.activation, maps_.row(row, 0), count_, std::max(-kHalo, -t_.x0),
               std::min(t_.width + kHalo, p_.W - t_.x0));
  }
  void read_marks(int row) {
    marks(row).read(p_.target + t_.n * p_.plane, p_.row_sums ? p_.row_sums + t_.n * p_.plane : nullptr, row, t_, p_.H,
                    p_.W, p_.mark_weight, p_.ignore_index);
  }
  // Add to the loss, lane by lane. Lanes of the neighbouring tile are in the ring: the last vector of a tile has some.
  CFW_INLINE void add(int i, int c, Vector<T> value) {
    for (int l = t_.width - i; l < Simd<T>::lanes; ++l) value[l] = 0;
    store(sums_.at(c), load(sums_.at(c)) + value);
  }
  // A row is done, with its maps at `maps`: its sums, and its gradient.
  void finish(int row, const T* maps) {
    for (int c = 0; c < active_; ++c) {
      T* const sum = sums_.at(c);
      for (int l = 0; l < Simd<T>::lanes; ++l) {
        total_[l] += double(weight(c)) * double(sum[l]);
        sum[l] = 0;
      }
    }
    if (!p_.gradient) return;
    T* const to = p_.gradient + t_.n * p_.C * p_.plane + int64_t(row) * p_.W + t_.x0;
    pull_back(p_.activation, maps, out_.at(0), factors_.data(), active_, count_, t_.width,
              [&](int c, int i, Vector<T> value) __attribute__((always_inline)) {
                T* const at = to + classes_[c] * p_.plane + i;
                const int left = t_.width - i;
                left >= Simd<T>::lanes ? store(at, value) : store_first(at, value, left);
              });
  }
  double total() const {
    double sum = 0;
    for (const double of_lane : total_) sum += of_lane;
    return sum;
  }

  double energy() {
    for (int row = t_.y0 - kReach; row < t_.y0 + kReach; ++row) read(row);
    for (int row = t_.y0; row < t_.y1; ++row) {
      read(row + kReach);
      read_marks(row);
      const Marks<T>& here = marks(row);
      stencil_row_all(p_.coefficients(t_.n), p_.pitch, row, t_.x0, maps_, active_, 0, t_.width,
                      [&](int i, int c, Vector<T> a, Vector<T> La) __attribute__((always_inline)) {
                        Vector<T> e;
                        const Vector<T> d = here.pull(i, classes_[c], a, e);
                        La += load(here.row_sums() + i) * a;
                        add(i, c, a * La + d * e);
                        store(out_.at(c) + i, La + d);
                      });
      finish(row, maps_.row(row, 0));
    }
    return total();
  }

  double residual() {
    // r of two columns around the tile, in whole vectors.
    const int first = t_.x0 > 0 ? -Simd<T>::lanes : 0, last = std::min(t_.width + kReach, p_.W - t_.x0);
    for (int row = t_.y0 - 2 * kReach; row < t_.y0; ++row) read(row);
    for (int row = t_.y0 - kReach; row < t_.y1 + kReach; ++row) {
      read(row + kReach);
      read_marks(row);
      const Marks<T>& here = marks(row);
      if (row < 0 || row >= p_.H) {
        for (int c = 0; c < active_; ++c) std::fill(r_.row(row, c) - kReach, r_.row(row, c) + kTile + kReach, T(0));
      } else {
        stencil_row_all(p_.coefficients(t_.n), p_.pitch, row, t_.x0, maps_, active_, first, last,
                        [&](int i, int c, Vector<T> a, Vector<T> La) __attribute__((always_inline)) {
                          Vector<T> e;
                          const Vector<T> d = here.pull(i, classes_[c], a, e);
                          store(r_.row(row, c) + i, La + load(here.row_sums() + i) * a + d);
                        });
      }
      const int done = row - kReach;  // the row whose r are all there
      if (done < t_.y0) continue;
      const Marks<T>& there = marks(done);
      stencil_row_all(p_.coefficients(t_.n), p_.pitch, done, t_.x0, r_, active_, 0, t_.width,
                      [&](int i, int c, Vector<T> r, Vector<T> Lr) __attribute__((always_inline)) {
                        add(i, c, r * r);
                        store(out_.at(c) + i, Lr + (load(there.row_sums() + i) + load(there.mark_weights() + i)) * r);
                      });
      finish(done, maps_.row(done, 0));
    }
    return total();
  }
};

template <class T>
double loss_of(const Problem<T>& p, const Tile& t) {
  std::vector<int> classes;
  for (int c = 0; c < p.C; ++c)
    if (p.weight[t.n * p.C + c] != T(0)) classes.push_back(c);
  const int active = int(classes.size());
  for (int c = 0; c < p.C; ++c)
    if (p.weight[t.n * p.C + c] == T(0)) classes.push_back(c);
  if (p.activation == kSoftmax && active > 0) return Sweep<T>(p, t, classes.data(), p.C, active).run();
  if (p.gradient)
    for (int c = active; c < p.C; ++c) p.clear(t, classes[c]);
  double total = 0;
  for (int group = 0; group < active; group += kClassGroup) {
    const int count = std::min(kClassGroup, active - group);
    total += Sweep<T>(p, t, &classes[group], count, count).run();
  }
  return total;
}

template <class T>
void losses_of(const Problem<T>& p, double* parts, double* loss, int64_t N, int threads) {
  const Tiles tiles(p.H, p.W, p.columns());
  const int64_t stride = matting_loss_parts(p.H, p.W);
  parallel_for(N * tiles.per_image(), threads, [&](int64_t item) {
    const Tile t(tiles, item);
    parts[t.n * stride + item % tiles.per_image()] = loss_of(p, t);
  });
  for (int64_t n = 0; n < N; ++n) {
    loss[n] = 0;
    for (int64_t i = 0; i < tiles.per_image(); ++i) loss[n] += parts[n * stride + i];
  }
}

}  // namespace

template <class T, class X>
void matting_loss(const T* stencil, const T* row_sums, const X* x, const int64_t* target, const T* weight,
                  double mark_weight, int64_t ignore_index, bool residual, int activation, double* parts, double* loss,
                  T* gradient, int64_t N, int C, int H, int W, int threads) {
  const Problem<T> p{stencil,
                     row_sums,
                     x,
                     read_row<T, X>,
                     target,
                     weight,
                     mark_weight,
                     ignore_index,
                     residual,
                     Activation(activation),
                     gradient,
                     C,
                     H,
                     W,
                     stencil_pitch(W),
                     int64_t(H) * W};
  losses_of(p, parts, loss, N, threads);
}

CFW_INSTANTIATE(matting_loss)
CFW_INSTANTIATE_HALF(matting_loss)

}  // namespace CFW_LEVEL
}  // namespace cfw
