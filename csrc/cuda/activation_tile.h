// Activations of a tile's values, class by class; the gradient's way back is in cpu/activation_rows.h.
#pragma once
#include <cfloat>

#include "common/activation.h"
#include "cuda/stencil_tile.h"

namespace cfw {
namespace cuda {

template <class T>
constexpr T kLowest = sizeof(T) == 4 ? T(-FLT_MAX) : T(-DBL_MAX);

// Of each pixel of a tile with its border: what its softmax needs of all classes. In shared memory.
template <class T, int kBorder>
struct SoftmaxTile {
  static constexpr int kCount = Loader<T, kBorder>::kCount;
  T most[kCount], share[kCount];  // the largest logit; 1 / sum of exp(z - most)

  __device__ __forceinline__ T value(int index, T z) const { return exp(z - most[index]) * share[index]; }
};

// A thread does the pixels of its `loader`. x: of the image. The sums are rescaled where a larger logit turns up. The
// start is finite, so that logits of -inf have no weight.
template <class T, int kBorder, class X>
__device__ __forceinline__ void read_softmax(SoftmaxTile<T, kBorder>& to, const Loader<T, kBorder>& loader, const X* x,
                                             int C, int64_t plane) {
  constexpr int kOwn = Loader<T, kBorder>::kOwn;
  T most[kOwn], sum[kOwn];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) most[i] = kLowest<T>, sum[i] = 0;
#pragma unroll 1
  for (int c = 0; c < C; ++c, x += plane)
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const T z = loader.from[i] >= 0 ? T(to_arithmetic(x[loader.from[i]])) : T(0);
      const bool larger = z > most[i];
      const T e = exp(larger ? most[i] - z : z - most[i]);
      sum[i] = larger ? sum[i] * e + T(1) : sum[i] + e;
      most[i] = larger ? z : most[i];
    }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int index = int(threadIdx.x) + i * kThreads;
    // Added is 0, or NaN where a logit is infinite: all classes of that pixel are NaN then, as on the CPU.
    if (index < to.kCount) to.most[index] = most[i], to.share[index] = T(1) / sum[i] + (most[i] - most[i]);
  }
}

// The map's value of a logit at `index` of the tile.
template <class T, int kBorder>
struct Activate {
  int activation;
  const SoftmaxTile<T, kBorder>& softmax;
  __device__ __forceinline__ T operator()(int index, T z) const {
    if (activation == kSoftmax) return softmax.value(index, z);
    return activation == kSigmoid ? T(1) / (T(1) + exp(-z)) : z;
  }
};

}  // namespace cuda
}  // namespace cfw
