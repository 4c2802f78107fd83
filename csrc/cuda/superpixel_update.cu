// New centres c_i = sum_p q(p -> i) f_p / sum_p q(p -> i) with q from superpixel_assign: one iteration of soft k-means,
// without writing q. A superpixel that no pixel belongs to keeps its centre.
//
// Floor: the features are read once (again for the sums, but then they are in the cache).
#include "cuda/kernels.h"
#include "cuda/superpixel_assign.h"
#include "cuda/superpixel_partial_sums.h"

namespace cfw {
namespace cuda {
namespace {

template <class T>
struct Memory : PartialSums<T> {
  int place[kChunk];
  Superpixels<T> centers;
};

template <class T>
__global__ void __launch_bounds__(kChunk, kPoolBlocks<T>)
    pool_assigned(const T* features, const T* centers, T* partial_sums, int F, SuperpixelGrid g) {
  Memory<T>& memory = shared<Memory<T>>();
  const Cell cell(g, blockIdx.x);
  const int channels = F + 1;  // the last channel is 1: the weights' sum
  features += cell.n * F * g.pixels();
  centers += cell.n * F * g.cells();
  for (int first = 0; first < channels; first += kClasses) {
    const int classes = smaller(kClasses, channels - first);
    memory.clear(classes);
    for (int start = 0; start < cell.pixels; start += kChunk) {
      const int count = smaller(kChunk, cell.pixels - start);
      for (int base = 0; base < count; base += blockDim.x) {
        const int i = base + threadIdx.x;
        const bool active = i < count;
        const int place = active ? cell.place(g, start + i) : 0;
        T q[kNeighbours];
        assign_pixel(features, centers, F, g, cell, memory.centers, active, place, q);
        if (!active) continue;
        memory.put(i, q);
        memory.place[i] = place;
      }
      __syncthreads();
      memory.add(count, classes, [&](int c, int i) {
        return first + c < F ? features[(first + c) * g.pixels() + memory.place[i]] : T(1);
      });
      __syncthreads();
    }
    memory.write(partial_sums + cell.number * kNeighbours * channels, channels, first, classes);
  }
}

template <class T>
__global__ void __launch_bounds__(kGatherThreads)
    divide(const T* partial_sums, const T* centers, T* updated, int64_t outputs, int F, SuperpixelGrid g) {
  const int64_t i = gather_index();
  if (i >= outputs) return;
  const int64_t cell = i / F, n = cell / g.cells(), index = cell % g.cells();
  const int f = int(i % F), r = int(index / g.w), c = int(index % g.w);
  const T* of_image = partial_sums + n * g.cells() * kNeighbours * (F + 1);
  const double weight = gather_sums(of_image, g, r, c, F + 1, F);
  const int64_t at = (n * F + f) * g.cells() + index;
  updated[at] = weight < kEmpty ? centers[at] : T(gather_sums(of_image, g, r, c, F + 1, f) / weight);
}

}  // namespace

template <class T>
void superpixel_update(const T* features, const T* centers, T* partial_sums, T* updated, int64_t N, int F, int H, int W,
                       int S, Queue queue) {
  const SuperpixelGrid g(S, H, W);
  const int64_t outputs = N * F * g.cells();
  if (outputs == 0) return;
  // All warps assign pixels, which takes longest. With few features some of them find nothing to add.
  launch(pool_assigned<T>, N * g.cells(), cell_threads(g), sizeof(Memory<T>), queue, features, centers, partial_sums, F,
         g);
  launch(divide<T>, gather_blocks(outputs), kGatherThreads, 0, queue, partial_sums, centers, updated, outputs, F, g);
}

#define CFW_INSTANTIATE(T) \
  template void superpixel_update(const T*, const T*, T*, T*, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
