// y = A s, or y = A^T s: one step of ASAM over the 5 x 5 superpixels around each, A (25, h, w) in place of a matrix.
//
// Grids are small (32 x 32 for 512 x 512 pixels), so all of it stays in the cache; each s is copied into a plane with a
// border of two zeros, and no neighbour is a special case.
#include <algorithm>
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
};

// y = A s for kClasses planes of s. Tail columns are taken one by one.
template <int kClasses, class T>
void gather(const T* A, Padded<T>& s, T* y) {
  const int h = s.h, w = s.w;
  const int64_t plane = int64_t(h) * w;
  for (int r = 0; r < h; ++r) {
    const T* from = s.row(0, r);
    int c = 0;
    for (; c + Simd<T>::lanes <= w; c += Simd<T>::lanes) {
      Vector<T> sum[kClasses] = {};
      for (int k = 0; k < kTaps; ++k) {
        Vector<T> a = load(A + k * plane + int64_t(r) * w + c);
        CFW_PIN(a);
        const T* neighbour = from + (k / kSide - kReach) * s.pitch + c + k % kSide - kReach;
        for (int q = 0; q < kClasses; ++q) sum[q] += a * load(neighbour + q * s.plane);
      }
      for (int q = 0; q < kClasses; ++q) store(y + q * plane + int64_t(r) * w + c, sum[q]);
    }
    for (; c < w; ++c)
      for (int q = 0; q < kClasses; ++q) {
        T sum = 0;
        for (int k = 0; k < kTaps; ++k)
          sum += A[k * plane + int64_t(r) * w + c] *
                 from[q * s.plane + (k / kSide - kReach) * s.pitch + c + k % kSide - kReach];
        y[q * plane + int64_t(r) * w + c] = sum;
      }
  }
}

// y += A^T s into a padded y: what each superpixel gives to those that it takes from in A s.
template <class T>
void scatter(const T* A, const T* s, Padded<T>& y) {
  const int h = y.h, w = y.w;
  for (int k = 0; k < kTaps; ++k)
    for (int r = 0; r < h; ++r) {
      const T* a = A + (int64_t(k) * h + r) * w;
      T* to = y.row(0, r + k / kSide - kReach) + k % kSide - kReach;
      for (int c = 0; c < w; ++c) to[c] += a[c] * s[int64_t(r) * w + c];
    }
}

template <class T>
void step(const T* A, const T* s, T* y, int64_t N, int C, int h, int w, bool transposed, int threads) {
  const int64_t plane = int64_t(h) * w, blocks = (C + kBlock - 1) / kBlock;
  parallel_for(N * blocks, threads, [&](int64_t item) {
    const int64_t n = item / blocks;
    const int first = int(item % blocks) * kBlock, classes = std::min(kBlock, C - first);
    const T* of_image = A + n * kTaps * plane;
    const T* from = s + (n * C + first) * plane;
    T* to = y + (n * C + first) * plane;
    Padded<T> padded(h, w);
    if (transposed) {
      for (int q = 0; q < classes; ++q) {
        std::fill(padded.data.begin(), padded.data.begin() + padded.plane, T(0));
        scatter(of_image, from + q * plane, padded);
        for (int r = 0; r < h; ++r) std::copy_n(padded.row(0, r), w, to + q * plane + int64_t(r) * w);
      }
      return;
    }
    for (int q = 0; q < classes; ++q)
      for (int r = 0; r < h; ++r) std::copy_n(from + q * plane + int64_t(r) * w, w, padded.row(q, r));
    switch (classes) {
      case 4: return gather<4>(of_image, padded, to);
      case 3: return gather<3>(of_image, padded, to);
      case 2: return gather<2>(of_image, padded, to);
      default: return gather<1>(of_image, padded, to);
    }
  });
}

}  // namespace

void asam_step(const float* A, const float* s, float* y, int64_t N, int C, int h, int w, bool transposed, int threads) {
  step(A, s, y, N, C, h, w, transposed, threads);
}

void asam_step(const double* A, const double* s, double* y, int64_t N, int C, int h, int w, bool transposed,
               int threads) {
  step(A, s, y, N, C, h, w, transposed, threads);
}

}  // namespace CFW_LEVEL
}  // namespace cfw
