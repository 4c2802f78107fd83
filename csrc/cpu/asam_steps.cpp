// y_0 = s, y_t = decay A y_(t-1) + restart s, or the same with A^T: steps of ASAM over the 5 x 5 superpixels around each,
// A (25, h, w) in place of a matrix.
//
// Classes are independent and grids are small (32 x 32 for 512 x 512 pixels): a thread takes a few classes through all
// steps, in its cache. Values lie in planes with a border of two zeros, so no neighbour is a special case.
#include <algorithm>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kReach = 2, kSide = 2 * kReach + 1, kTaps = kSide * kSide;
constexpr int kBlock = 4;  // classes that share the loads of A

template <class T>
struct Padded {
  int h, w, pitch;
  int64_t plane;
  std::vector<T> data;
  Padded(int h, int w)
      : h(h), w(w), pitch(w + 2 * kReach), plane(int64_t(h + 2 * kReach) * pitch), data(kBlock * plane) {}
  T* row(int q, int r) { return &data[q * plane + (r + kReach) * pitch + kReach]; }

  void read(const T* planes, int classes) {
    for (int q = 0; q < classes; ++q)
      for (int r = 0; r < h; ++r) std::copy_n(planes + (int64_t(q) * h + r) * w, w, row(q, r));
  }
  void write(T* planes, int classes) {
    for (int q = 0; q < classes; ++q)
      for (int r = 0; r < h; ++r) std::copy_n(row(q, r), w, planes + (int64_t(q) * h + r) * w);
  }
};

// y = A s for kClasses planes. Tail columns are taken one by one.
template <int kClasses, class T>
void gather(const T* A, Padded<T>& s, Padded<T>& y) {
  const int h = s.h, w = s.w;
  const int64_t plane = int64_t(h) * w;
  for (int r = 0; r < h; ++r) {
    const T* from = s.row(0, r);
    T* to = y.row(0, r);
    int c = 0;
    for (; c + Simd<T>::lanes <= w; c += Simd<T>::lanes) {
      Vector<T> sum[kClasses] = {};
      for (int k = 0; k < kTaps; ++k) {
        Vector<T> a = load(A + k * plane + int64_t(r) * w + c);
        CFW_PIN(a);
        const T* neighbour = from + (k / kSide - kReach) * s.pitch + c + k % kSide - kReach;
        for (int q = 0; q < kClasses; ++q) sum[q] += a * load(neighbour + q * s.plane);
      }
      for (int q = 0; q < kClasses; ++q) store(to + q * y.plane + c, sum[q]);
    }
    for (; c < w; ++c)
      for (int q = 0; q < kClasses; ++q) {
        T sum = 0;
        for (int k = 0; k < kTaps; ++k)
          sum += A[k * plane + int64_t(r) * w + c] *
                 from[q * s.plane + (k / kSide - kReach) * s.pitch + c + k % kSide - kReach];
        to[q * y.plane + c] = sum;
      }
  }
}

template <class T>
void gather(const T* A, Padded<T>& s, Padded<T>& y, int classes) {
  switch (classes) {
    case 4: return gather<4>(A, s, y);
    case 3: return gather<3>(A, s, y);
    case 2: return gather<2>(A, s, y);
    default: return gather<1>(A, s, y);
  }
}

// y = A^T s: each superpixel gives to those that it takes from in A s.
template <class T>
void scatter(const T* A, Padded<T>& s, Padded<T>& y, int classes) {
  const int h = y.h, w = y.w;
  std::fill(y.data.begin(), y.data.end(), T(0));
  for (int q = 0; q < classes; ++q)
    for (int k = 0; k < kTaps; ++k)
      for (int r = 0; r < h; ++r) {
        const T *a = A + (int64_t(k) * h + r) * w, *from = s.row(q, r);
        T* to = y.row(q, r + k / kSide - kReach) + k % kSide - kReach;
        for (int c = 0; c < w; ++c) to[c] += a[c] * from[c];
      }
}

// y = decay y + restart s
template <class T>
void mix(Padded<T>& y, const T* s, double decay, double restart, int classes) {
  for (int q = 0; q < classes; ++q)
    for (int r = 0; r < y.h; ++r) {
      T* to = y.row(q, r);
      const T* from = s + (int64_t(q) * y.h + r) * y.w;
      for (int c = 0; c < y.w; ++c) to[c] = T(decay) * to[c] + T(restart) * from[c];
    }
}

}  // namespace

template <class T>
void asam_steps(const T* A, const T* s, T* y, T* iterates, bool keep, int64_t N, int C, int h, int w, int num_steps,
                double decay, double restart, bool transposed, int threads) {
  const int64_t plane = int64_t(h) * w, blocks = (C + kBlock - 1) / kBlock;
  parallel_for(N * blocks, threads, [&](int64_t item) {
    const int64_t n = item / blocks;
    const int first = int(item % blocks) * kBlock, classes = std::min(kBlock, C - first);
    const int64_t at = (n * C + first) * plane;
    const T* of_image = A + n * kTaps * plane;
    Padded<T> now(h, w), next(h, w);
    now.read(s + at, classes);
    for (int t = 1; t <= num_steps; ++t) {
      if (transposed)
        scatter(of_image, now, next, classes);
      else
        gather(of_image, now, next, classes);
      if (decay != 1 || restart != 0) mix(next, s + at, decay, restart, classes);
      std::swap(now.data, next.data);
      if (keep && t < num_steps) now.write(iterates + (t - 1) * N * C * plane + at, classes);
    }
    now.write(y + at, classes);
  });
}

CFW_INSTANTIATE(asam_steps)

}  // namespace CFW_LEVEL
}  // namespace cfw
