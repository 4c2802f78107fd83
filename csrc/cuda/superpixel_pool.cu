// s_i = sum_p q(p -> i) x_p: pixels to superpixels.
//
// Floor: x and q are read once (q once for each kClasses classes).
#include "cuda/kernels.h"
#include "cuda/superpixel_partial_sums.h"

namespace cfw {
namespace cuda {
namespace {

template <class T>
struct Memory : PartialSums<T> {
  int place[kChunk];  // of the chunk's pixels in a plane
};

// Reading half precision takes some registers more.
template <class T, class X>
__global__ void __launch_bounds__(kChunk, sizeof(X) < sizeof(T) ? 2 : kPoolBlocks<T>)
    pool_cells(const X* x, const T* q, T* partial_sums, int C, SuperpixelGrid g) {
  Memory<T>& memory = shared<Memory<T>>();
  const Cell cell(g, blockIdx.x);
  q += cell.n * kNeighbours * g.pixels();
  for (int first = 0; first < C; first += kClasses) {
    const int classes = smaller(kClasses, C - first);
    memory.clear(classes);
    for (int start = 0; start < cell.pixels; start += kChunk) {
      const int count = smaller(kChunk, cell.pixels - start);
      for (int i = threadIdx.x; i < count; i += blockDim.x) {
        const int place = cell.place(g, start + i);
        T weights[kNeighbours];
        read_weights(q, g, cell, place, weights);
        memory.put(i, weights);
        memory.place[i] = place;
      }
      __syncthreads();
      const X* from = x + (cell.n * C + first) * g.pixels();
      memory.add(count, classes, [&](int c, int i) { return to_arithmetic(from[c * g.pixels() + memory.place[i]]); });
      __syncthreads();
    }
    memory.write(partial_sums + cell.number * kNeighbours * C, C, first, classes);
  }
}

template <class T>
__global__ void __launch_bounds__(kGatherThreads)
    gather(const T* partial_sums, T* s, int64_t outputs, int C, SuperpixelGrid g) {
  const int64_t i = gather_index();
  if (i >= outputs) return;
  const int64_t cell = i / C, n = cell / g.cells(), index = cell % g.cells();
  const int channel = int(i % C);
  const T* of_image = partial_sums + n * g.cells() * kNeighbours * C;
  s[(n * C + channel) * g.cells() + index] =
      T(gather_sums(of_image, g, int(index / g.w), int(index % g.w), C, channel));
}

}  // namespace

template <class T, class X>
void superpixel_pool(const X* x, const T* q, T* partial_sums, T* s, int64_t N, int C, int H, int W, int S,
                     Queue queue) {
  const SuperpixelGrid g(S, H, W);
  const int64_t outputs = N * C * g.cells();
  if (outputs == 0) return;
  launch(pool_cells<T, X>, N * g.cells(), pool_threads<T>(g, C), sizeof(Memory<T>), queue, x, q, partial_sums, C, g);
  launch(gather<T>, gather_blocks(outputs), kGatherThreads, 0, queue, partial_sums, s, outputs, C, g);
}

#define CFW_INSTANTIATE(T, X) \
  template void superpixel_pool(const X*, const T*, T*, T*, int64_t, int, int, int, int, Queue);
CFW_INSTANTIATE(float, float)
CFW_INSTANTIATE(double, double)
CFW_INSTANTIATE(float, Half)
CFW_INSTANTIATE(float, BFloat16)

}  // namespace cuda
}  // namespace cfw
