// (L + D) x = b by conjugate gradients with the diagonal as preconditioner, all iterations in one call.
//
// For maps of a few hundred rows. A thread solves a few classes of one image, which share the loads of the stencil; their
// vectors stay in its cache. An iteration is two sweeps. The first goes down the rows and makes p = z + beta p of row y + 2,
// then q = (L + D) p of row y, whose neighbours are ready. The second updates x and r.
//
// Limit: the product, 24 loads a value, takes most of the time (cpu/stencil_rows.h).
#include <cmath>
#include <stdexcept>
#include <vector>

#include "common/cg_stopping.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/stencil_rows.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kBlock = 4;        // classes of a thread
constexpr int64_t kChunk = 512;  // values that are added up in T, before double takes over

// sum of value(i) over [0, size): `value` gives a vector, `rest` the sum of some lanes.
template <class T, class Value, class Rest>
CFW_INLINE double add_up(int64_t size, const Value& value, const Rest& rest) {
  double total = 0;
  int64_t i = 0;
  while (i + Simd<T>::lanes <= size) {
    Vector<T> sum{};
    const int64_t end = std::min(size, i + kChunk);
    for (; i + Simd<T>::lanes <= end; i += Simd<T>::lanes) sum += value(i);
    total += sum_lanes<T>(sum);
  }
  for (; i < size; ++i) total += double(rest(i));
  return total;
}

template <class T>
double dot(const T* a, const T* b, int64_t size) {
  return add_up<T>(
      size, [&](int64_t i) __attribute__((always_inline)) { return load(a + i) * load(b + i); },
      [&](int64_t i) { return a[i] * b[i]; });
}

// x += length p, r -= length q; r . (inverse r).
template <class T>
double advance(T length, const T* p, const T* q, const T* inverse, T* x, T* r, int64_t size) {
  return add_up<T>(
      size,
      [&](int64_t i) __attribute__((always_inline)) {
        store(x + i, load(x + i) + length * load(p + i));
        const Vector<T> left = load(r + i) - length * load(q + i);
        store(r + i, left);
        return load(inverse + i) * left * left;
      },
      [&](int64_t i) {
        x[i] += length * p[i];
        r[i] -= length * q[i];
        return inverse[i] * r[i] * r[i];
      });
}

// p = inverse r + beta p
template <class T>
void turn(T beta, const T* inverse, const T* r, T* p, int64_t size) {
  int64_t i = 0;
  for (; i + Simd<T>::lanes <= size; i += Simd<T>::lanes)
    store(p + i, load(inverse + i) * load(r + i) + beta * load(p + i));
  for (; i < size; ++i) p[i] = inverse[i] * r[i] + beta * p[i];
}

// The largest |x - last|, and last = x.
template <class T>
double move(const T* x, T* last, int64_t size) {
  T most[kChunk] = {};  // many maxima at a time, which a compiler turns into vectors
  for (int64_t first = 0; first < size; first += kChunk) {
    const int64_t count = std::min(kChunk, size - first);
    for (int64_t i = 0; i < count; ++i) {
      const T step = std::abs(x[first + i] - last[first + i]);
      most[i] = step > most[i] ? step : most[i];
    }
    std::copy_n(x + first, count, last + first);
  }
  return double(*std::max_element(most, most + kChunk));
}

// The system of an image: L + D, without its vectors.
template <class T>
class System {
 public:
  System(const T* stencil, const T* diagonal, int H, int W)
      : stencil_(stencil), diagonal_(diagonal), H(H), W(W), pitch_(stencil_pitch(W)) {}

  // 1 / (L + D)_ii
  void inverse_diagonal(T* inverse) const {
    for (int y = 0; y < H; ++y) {
      T* to = inverse + int64_t(y) * W;
      std::copy_n(diagonal_ + int64_t(y) * W, W, to);
      for (int k = 0; k < kTaps; ++k) {
        const T* forward = stencil_row(stencil_, pitch_, y, k);
        const T* backward = stencil_row(stencil_, pitch_, y - tap_dy(k), k) - tap_dx(k);
        for (int x = 0; x < W; ++x) to[x] -= forward[x] + backward[x];
      }
      for (int x = 0; x < W; ++x) to[x] = 1 / to[x];
    }
  }

  // q = (L + D) p, planes (classes, H, W); `prepare(row)` makes the rows of p. Adds p . q of each class to `curvature`.
  template <class Prepare>
  void product(Ring<T>& ring, const T* p, T* q, int classes, double* curvature, const Prepare& prepare) const {
    const int64_t plane = int64_t(H) * W;
    auto read = [&](int row) {
      if (row >= 0 && row < H) prepare(row);
      for (int c = 0; c < classes; ++c) ring.read(p + c * plane, row, c, 0, W, H, W);
    };
    T diagonal[kRingWidth] = {};
    for (int row = -kReach; row < kReach; ++row) read(row);
    for (int row = 0; row < H; ++row) {
      read(row + kReach);
      const int64_t at = int64_t(row) * W;
      std::copy_n(diagonal_ + at, W, diagonal);
      stencil_row_all(stencil_, pitch_, row, 0, ring, classes, 0, W,
                      [&](int i, int c, Vector<T> centre, Vector<T> sum) __attribute__((always_inline)) {
                        sum += load(diagonal + i) * centre;
                        store_first(q + c * plane + at + i, sum, W - i);
                      });
      for (int c = 0; c < classes; ++c) curvature[c] += dot(p + c * plane + at, q + c * plane + at, W);
    }
  }

 private:
  const T *stencil_, *diagonal_;

 public:
  const int H, W;

 private:
  int64_t pitch_;
};

// Solve for `classes` planes at once: b, and x from its start. `work` holds 4 `classes` planes.
template <class T>
void solve(const System<T>& system, const T* inverse, const T* b, T* x, int classes, const CgStopping& stopping,
           std::vector<T>& work, double* report) {
  constexpr double kTiny = kLeastCurvature<T>;
  const int64_t plane = int64_t(system.H) * system.W;
  const int W = system.W;
  T *const r = work.data(), *const p = r + classes * plane, *const q = p + classes * plane,
           *const last = q + classes * plane;
  Ring<T> ring(classes, W);
  CgState state[kBlock];
  double norm[kBlock], rz[kBlock], curvature[kBlock];
  T beta[kBlock] = {};

  std::copy_n(x, classes * plane, last);
  std::fill_n(curvature, kBlock, 0);
  system.product(ring, x, q, classes, curvature, [](int) {});
  for (int c = 0; c < classes; ++c) {
    const int64_t at = c * plane;
    for (int64_t i = at; i < at + plane; ++i) r[i] = b[i] - q[i];
    std::fill_n(p + at, plane, T(0));
    norm[c] = std::sqrt(dot(b + at, b + at, plane));
    rz[c] = add_up<T>(
        plane, [&](int64_t i) { return load(inverse + i) * load(r + at + i) * load(r + at + i); },
        [&](int64_t i) { return inverse[i] * r[at + i] * r[at + i]; });
    if (rz[c] == 0) state[c].solved();
  }
  auto any_active = [&] {
    for (int c = 0; c < classes; ++c)
      if (state[c].active()) return true;
    return false;
  };
  int next_check = stopping.every;
  for (int iteration = 1; iteration <= stopping.max_iter && any_active(); ++iteration) {
    std::fill_n(curvature, kBlock, 0);
    system.product(ring, p, q, classes, curvature, [&](int row) {
      for (int c = 0; c < classes; ++c) {
        const int64_t at = c * plane + int64_t(row) * W;
        turn(beta[c], inverse + int64_t(row) * W, r + at, p + at, W);
      }
    });
    for (int c = 0; c < classes; ++c) {
      if (!state[c].active() || curvature[c] <= kTiny) {
        beta[c] = 0;
        continue;  // converged, or no direction left
      }
      const int64_t at = c * plane;
      const double before = rz[c];
      rz[c] = advance(T(before / curvature[c]), p + at, q + at, inverse, x + at, r + at, plane);
      beta[c] = T(rz[c] / std::max(before, kTiny));
    }
    if (iteration == next_check || iteration == stopping.max_iter) {
      next_check = stopping.check_after(iteration);
      for (int c = 0; c < classes; ++c) {
        if (!state[c].active()) continue;
        const double moved = move(x + c * plane, last + c * plane, plane);
        state[c].update(iteration, std::isfinite(rz[c]) ? moved : HUGE_VAL, stopping);  // maxima pass over NaN
      }
    }
  }
  for (int c = 0; c < classes; ++c)
    state[c].report(std::sqrt(dot(r + c * plane, r + c * plane, plane)), norm[c], report + 4 * c);
}

}  // namespace

template <class T>
void matting_cg(const T* stencil, const T* diagonal, const T* b, T* x, T*, double* report, int64_t N, int C, int H,
                int W, double tol, int max_iter, int every, int divisor, double min_rate, double max_rate,
                int threads) {
  if (W > kTile) throw std::invalid_argument("matting_cg: maps must have at most 512 columns");
  const CgStopping stopping{tol, max_iter, every, divisor, min_rate, max_rate};
  const int64_t plane = int64_t(H) * W, blocks = (C + kBlock - 1) / kBlock;
  parallel_for(N * blocks, threads, [&](int64_t item) {
    const int64_t n = item / blocks;
    const int first = int(item % blocks) * kBlock, classes = std::min(kBlock, C - first);
    const System<T> system(stencil + n * (H + kTopRows) * kTaps * stencil_pitch(W), diagonal + n * plane, H, W);
    std::vector<T> inverse(plane), work(4 * classes * plane);
    system.inverse_diagonal(inverse.data());
    const int64_t at = n * C + first;
    solve(system, inverse.data(), b + at * plane, x + at * plane, classes, stopping, work, report + 4 * at);
  });
}

CFW_INSTANTIATE(matting_cg)

}  // namespace CFW_LEVEL
}  // namespace cfw
