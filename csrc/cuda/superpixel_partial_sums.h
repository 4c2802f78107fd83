// Pool inside a cell: what superpixel_pool, superpixel_update and asam_affinity share.
//
// Each cell leaves its sums for its nine superpixels in a place of its own, and a second kernel adds nine partial sums a
// superpixel, always in the same order: no atomics.
//
// A cell is taken in chunks of pixels. A warp takes kGroup classes, its lanes the pixels of the chunk: then nine
// weights from shared memory serve nine products of each class. Sums over a chunk are in T, those over chunks in
// double: large cells lose no accuracy.
#pragma once
#include "cuda/superpixel_cells.h"

namespace cfw {
namespace cuda {

// Classes of a warp: as many as its sums find registers.
template <class T>
constexpr int kGroupOf = sizeof(T) == 4 ? 4 : 2;

// Blocks of kChunk threads that find registers on a multiprocessor: what the sums need without spilling.
template <class T>
constexpr int kPoolBlocks = sizeof(T) == 4 ? 3 : 2;

// Threads of a block: a warp for each group of classes, where the cell has that many pixels.
template <class T>
inline int pool_threads(const SuperpixelGrid& g, int classes) {
  const int warps = (smaller(classes, kClasses) + kGroupOf<T> - 1) / kGroupOf<T>;
  return smaller(kWarp * warps, cell_threads(g));
}

// Adds up kCount values over the lanes of a warp. In each of five steps, half of the lanes take over half of the
// values, so there are half as many in the next one: about kCount shuffles in all, where warp_sum takes five a value.
// At the end values[0], values[1], ... of a lane are the sums of the values number first, first + 1, ... up to end.
template <int kCount, int kMask = kWarp / 2, class T>
__device__ __forceinline__ void sum_over_lanes(T* values, int& first, int& end) {
  if constexpr (kMask > 0) {
    constexpr int kHalf = (kCount + 1) / 2;
    const bool upper = threadIdx.x & kMask;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const T other = i + kHalf < kCount ? values[i + kHalf] : T(0);
      const T given = __shfl_xor_sync(kAllLanes, upper ? values[i] : other, kMask);
      values[i] = (upper ? other : values[i]) + given;
    }
    if (upper)
      first += kHalf;
    else
      end = smaller(end, first + kHalf);
    sum_over_lanes<kHalf, kMask / 2>(values, first, end);
  }
}

// In shared memory: the weights of a chunk and the sums of up to kClasses classes, [9][classes].
template <class T>
struct PartialSums {
  double sums[kNeighbours * kClasses];
  T q[kNeighbours][kChunk];

  // A thread clears the sums that it writes in the end.
  __device__ __forceinline__ void clear(int classes) {
    for (int i = threadIdx.x; i < kNeighbours * classes; i += blockDim.x) sums[i] = 0;
  }

  // The weights of the chunk's pixel i.
  __device__ __forceinline__ void put(int i, const T (&weights)[kNeighbours]) {
#pragma unroll
    for (int k = 0; k < kNeighbours; ++k) q[k][i] = weights[k];
  }

  static constexpr int kGroup = kGroupOf<T>;

  // Adds the first `count` pixels of the chunk; value(c, i) is what pixel i has of class c.
  template <class Value>
  __device__ __forceinline__ void add(int count, int classes, const Value& value) {
    const int lane = threadIdx.x % kWarp, step = blockDim.x / kWarp * kGroup;
    for (int c = threadIdx.x / kWarp * kGroup; c < classes; c += step) {
      T sum[kNeighbours * kGroup] = {};
#pragma unroll 1  // more loads at a time would cost the registers of other blocks
      for (int i = lane; i < count; i += kWarp) {
        T own[kGroup];
#pragma unroll
        for (int j = 0; j < kGroup; ++j) own[j] = c + j < classes ? value(c + j, i) : T(0);
#pragma unroll
        for (int k = 0; k < kNeighbours; ++k) {
          const T weight = q[k][i];
#pragma unroll
          for (int j = 0; j < kGroup; ++j) sum[k * kGroup + j] += weight * own[j];
        }
      }
      int first = 0, end = kNeighbours * kGroup;
      sum_over_lanes<kNeighbours * kGroup>(sum, first, end);
      constexpr int kOwn = (kNeighbours * kGroup + kWarp - 1) / kWarp;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int k = (first + i) / kGroup, j = (first + i) % kGroup;
        if (first + i < end && c + j < classes) sums[k * classes + c + j] += double(sum[i]);
      }
    }
  }

  // To the cell's place in partial_sums (9, channels), from channel `first` on.
  __device__ __forceinline__ void write(T* partial_sums, int channels, int first, int classes) const {
    for (int i = threadIdx.x; i < kNeighbours * classes; i += blockDim.x)
      partial_sums[int64_t(i / classes) * channels + first + i % classes] = T(sums[i]);
  }
};

// Second kernels: a thread an output.
constexpr int kGatherThreads = 256;
inline int64_t gather_blocks(int64_t outputs) { return (outputs + kGatherThreads - 1) / kGatherThreads; }
__device__ __forceinline__ int64_t gather_index() { return int64_t(blockIdx.x) * kGatherThreads + threadIdx.x; }

}  // namespace cuda
}  // namespace cfw
