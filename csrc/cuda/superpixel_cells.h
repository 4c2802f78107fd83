// A block works on one cell of the superpixel grid: all pixels of a cell share their nine superpixels.
//
// A thread takes one pixel of the cell at a time. What the nine superpixels hold lies in shared memory, where all
// pixels read it. A plane has fewer than 2^31 pixels; all planes together may have more.
#pragma once
#include "common/superpixel_grid.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {

constexpr int kChunk = 256;   // most pixels at a time, most threads of a block
constexpr int kClasses = 64;  // most classes in shared memory at a time

CFW_INLINE int smaller(int a, int b) { return a < b ? a : b; }

// Threads of a block, a pixel each: whole warps, no more than a cell has pixels.
inline int cell_threads(const SuperpixelGrid& g) {
  const int64_t pixels = int64_t(smaller(g.S, g.H)) * smaller(g.S, g.W);
  return pixels < kChunk ? int(pixels + kWarp - 1) / kWarp * kWarp : kChunk;
}

// The cell of a block: row by row, then image by image.
struct Cell {
  int64_t n, number;  // image; number of the cell among those of all images
  int r, c, width, pixels;
  int first;  // the first pixel's place in a plane

  CFW_INLINE Cell(const SuperpixelGrid& g, int64_t block) : n(block / g.cells()), number(block) {
    const int64_t index = block % g.cells();
    r = int(index / g.w), c = int(index % g.w);
    width = smaller(g.S, g.W - c * g.S), pixels = width * smaller(g.S, g.H - r * g.S);
    first = r * g.S * g.W + c * g.S;
  }

  // The place in a plane of pixel i, row by row.
  CFW_INLINE int place(const SuperpixelGrid& g, int i) const { return first + i / width * g.W + i % width; }
};

// The nine weights of the pixel at `place`, from q (9, H, W); neighbours outside the grid get none, whatever q says.
template <class T>
__device__ __forceinline__ void read_weights(const T* q, const SuperpixelGrid& g, const Cell& cell, int place,
                                             T (&weights)[kNeighbours]) {
#pragma unroll
  for (int k = 0; k < kNeighbours; ++k) weights[k] = g.inside(cell.r, cell.c, k) ? q[k * g.pixels() + place] : T(0);
}

// What the nine superpixels of the cell hold, 0 for those outside the grid. Twelve values a class, so that vector loads
// read nine.
template <class T>
struct Superpixels {
  struct alignas(16) Class {
    T value[12];
  };
  Class classes[kClasses];

  // From s (C, h, w), of one image, from its class `first` on. The whole block takes part.
  __device__ __forceinline__ void read(const T* s, const SuperpixelGrid& g, const Cell& cell, int first, int count) {
    for (int i = threadIdx.x; i < count * kNeighbours; i += blockDim.x) {
      const int c = i / kNeighbours, k = i % kNeighbours;
      classes[c].value[k] =
          g.inside(cell.r, cell.c, k) ? s[(first + c) * g.cells() + g.neighbour(cell.r, cell.c, k)] : T(0);
    }
  }
};

}  // namespace cuda
}  // namespace cfw
