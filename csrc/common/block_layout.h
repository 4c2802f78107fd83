// The layout of the solver's coarse matrices, in blocks.
//
// The unknowns of a level are basis functions, each in one block (a tile, 2 x 2 tiles ...), up to some dozen in a block. They
// are coupled with those of the 3 x 3 blocks around. Block t has functions starts[t] to starts[t + 1] - 1, k(t) of them. The
// matrix is symmetric: a block stores its coupling with itself and with the four neighbours that come after it,
//     offsets (M, 6)          where in `matrix` the parts of a block begin, each stored row by row:
//                             the inverse of its own part (k, k), its own part (k, k), and the links (k, k(neighbour)) to the
//                             neighbours at right, below left, below, and below right; empty where there is no neighbour
//     neighbours (M, 9)       the places of the 3 x 3 blocks around each, row by row, -1 for none
//     x (F, C)                coefficients of the basis functions, for C classes
// kBlockLanes - 1 unused values follow at the end of `matrix`, so that kBlockLanes values can be read at every place.
//
// Blocks of one color, (row % 2, column % 2), are not coupled with each other, and are relaxed in parallel:
//     order (M)               the blocks sorted by color; those of color i end before ends[i]
#pragma once
#include <cstdint>

namespace cfw {

constexpr int kMaxFunctions = 32;  // basis functions of a block
constexpr int kBlockLanes = 4;     // values that the CPU reads together
constexpr int kColors = 4;
enum BlockPart { kInversePart, kOwnPart, kLinkPart, kBlockParts = kLinkPart + 4 };

}  // namespace cfw
