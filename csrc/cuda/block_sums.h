// Sums over the blocks around a block (common/block_layout.h): the common part of block_product and block_relax.
//
// A warp takes a block and kBlockClasses classes, for which it reads the matrix once; its lanes are the basis functions of the
// block. Blocks have about ten, so waiting for the memory takes most of the time. Therefore the first nine lanes look up the
// 3 x 3 blocks around in parallel.
#pragma once
#include "common/block_layout.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {

static_assert(kMaxFunctions <= kWarp, "a lane for each");
constexpr int kBlockClasses = 4, kBlockThreads = 64;
// For which a multiprocessor has registers: without this bound nvcc gives a thread so few that some spill.
constexpr int kResidentBlocks = 16;
constexpr int kPlaces = 9, kOwnPlace = 4;  // of the 3 x 3 blocks

// The number of groups of classes.
CFW_INLINE int block_groups(int C) { return (C + kBlockClasses - 1) / kBlockClasses; }

// Launch a kernel with a warp for each of M blocks and group of classes.
template <class... Parameters, class... Arguments>
void launch_blocks(void (*kernel)(Parameters...), int64_t M, int C, Queue queue, Arguments... arguments) {
  constexpr int kWarps = kBlockThreads / kWarp;
  launch(kernel, (M * block_groups(C) + kWarps - 1) / kWarps, kBlockThreads, 0, queue, arguments..., M, C);
}

// The work of a warp: the number of its block, its first class, and the number of classes, <= 0 if there is no work.
struct BlockItem {
  int64_t number;
  int c, classes;

  __device__ __forceinline__ BlockItem(int64_t M, int C) {
    const int64_t item = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
    number = item / block_groups(C);
    c = int(item % block_groups(C)) * kBlockClasses;
    classes = number < M ? C - c : 0;
  }
};

template <class T>
struct BlockMatrix {
  const T* matrix;
  const int64_t* offsets;
  const int32_t *starts, *neighbours;

  __device__ __forceinline__ int size(int64_t t) const { return starts[t + 1] - starts[t]; }

  // sum += a lane's row of A, of block t, times classes c, c + 1 ... of x (F, C); with the block's own part or without it.
  __device__ __forceinline__ void add_around(int64_t t, bool own, const T* x, int c, int classes, int C,
                                             T (&sum)[kBlockClasses]) const {
    const int lane = threadIdx.x % kWarp, k = size(t);
    // For the block at the place of each lane: its first basis function, its size, and where the part of A begins.
    int first = 0, count = 0;
    int64_t begin = 0;
    const int64_t other = lane == kOwnPlace ? (own ? t : -1) : lane < kPlaces ? neighbours[kPlaces * t + lane] : -1;
    if (other >= 0) {
      first = starts[other];
      count = size(other);
      begin = lane < kOwnPlace ? offsets[other * kBlockParts + kOwnPart + kOwnPlace - lane]
                               : offsets[t * kBlockParts + kOwnPart + lane - kOwnPlace];
    }
    for (int place = 0; place < kPlaces; ++place) {
      const int n = __shfl_sync(kAllLanes, count, place);
      const T* from = x + int64_t(__shfl_sync(kAllLanes, first, place)) * C + c;
      // The other block's link to this one is (n, k), this one's to the other (k, n); the own part is symmetric.
      const bool transposed = place <= kOwnPlace;
      const int step = transposed ? k : 1;
      const T* B = matrix + __shfl_sync(kAllLanes, begin, place) + (transposed ? lane : lane * n);
#pragma unroll 4
      for (int i = 0; i < n; ++i) {
        const T value = lane < k ? B[i * step] : T(0);
#pragma unroll
        for (int j = 0; j < kBlockClasses; ++j) sum[j] += value * (j < classes ? from[i * C + j] : T(0));
      }
    }
  }
};

}  // namespace cuda
}  // namespace cfw
