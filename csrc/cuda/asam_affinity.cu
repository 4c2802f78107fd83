// B[k, i] = sum_p q(p -> i) q(p -> j), j the k-th superpixel of the 5 x 5 around i (0 where there is none): how much
// neighbouring superpixels share their pixels. ASAM's affinity is B with its rows divided by their sums.
//
// Floor: q is read once.
#include "cuda/kernels.h"
#include "cuda/superpixel_partial_sums.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kSide = 5, kTaps = kSide * kSide, kPairs = kNeighbours * kNeighbours;

// pairs[a, b] = sum over the cell of q_a q_b: q pooled by itself.
template <class T>
__global__ void __launch_bounds__(kChunk, kPoolBlocks<T>) pool_pairs(const T* q, T* pairs, SuperpixelGrid g) {
  PartialSums<T>& memory = shared<PartialSums<T>>();
  const Cell cell(g, blockIdx.x);
  q += cell.n * kNeighbours * g.pixels();
  memory.clear(kNeighbours);
  for (int start = 0; start < cell.pixels; start += kChunk) {
    const int count = smaller(kChunk, cell.pixels - start);
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      T weights[kNeighbours];
      read_weights(q, g, cell, cell.place(g, start + i), weights);
      memory.put(i, weights);
    }
    __syncthreads();
    memory.add(count, kNeighbours, [&](int b, int i) { return memory.q[b][i]; });
    __syncthreads();
  }
  memory.write(pairs + cell.number * kPairs, kNeighbours, 0, kNeighbours);
}

template <class T>
__global__ void __launch_bounds__(kGatherThreads) gather(const T* pairs, T* result, int64_t outputs, SuperpixelGrid g) {
  const int64_t i = gather_index();
  if (i >= outputs) return;
  const int64_t plane = i / g.cells(), n = plane / kTaps, index = i % g.cells();
  const int r = int(index / g.w), c = int(index % g.w);
  const int k = int(plane % kTaps), dy = k / kSide - 2, dx = k % kSide - 2;
  // Pixels of a cell see i as their neighbour a and j as b = a + (dy, dx).
  double sum = 0;
#pragma unroll
  for (int a = 0; a < kNeighbours; ++a) {
    const int by = a / 3 + dy, bx = a % 3 + dx;
    if (by < 0 || by > 2 || bx < 0 || bx > 2 || !g.inside(r, c, 8 - a)) continue;
    const int64_t cell = n * g.cells() + g.neighbour(r, c, 8 - a);
    sum += double(pairs[cell * kPairs + a * kNeighbours + by * 3 + bx]);
  }
  result[i] = T(sum);
}

}  // namespace

template <class T>
void asam_affinity(const T* q, T* pairs, T* result, int64_t N, int H, int W, int S, Queue queue) {
  const SuperpixelGrid g(S, H, W);
  const int64_t outputs = N * kTaps * g.cells();
  launch(pool_pairs<T>, N * g.cells(), pool_threads<T>(g, kNeighbours), sizeof(PartialSums<T>), queue, q, pairs, g);
  launch(gather<T>, gather_blocks(outputs), kGatherThreads, 0, queue, pairs, result, outputs, g);
}

#define CFW_INSTANTIATE(T) template void asam_affinity(const T*, T*, T*, int64_t, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
