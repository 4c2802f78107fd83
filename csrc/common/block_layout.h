// Coarse systems in blocks: how the solver keeps the matrices of its levels below the pixels.
//
// A level's unknowns are functions that live in blocks (tiles, 2 x 2 tiles ...), a few to some dozen in each, and are coupled
// to those of the 3 x 3 blocks around. Block t has functions starts[t] to starts[t + 1] - 1, k(t) of them. The matrix is
// symmetric: a block holds its couplings to itself and to the four of its neighbours that come after it,
//     offsets (M, 6)          where in `matrix` the parts of a block begin, each of them row by row:
//                             the inverse of its own part (k, k), its own part (k, k), and the links (k, k(neighbour)) to the
//                             neighbours at right, below left, below, and below right; nothing where there is no neighbour
//     neighbours (M, 9)       the places of the 3 x 3 blocks around each, row by row, -1 for none
//     x (F, C)                values of the functions, for C classes
// and kBlockLanes - 1 more values at the end of `matrix`, of any kind, so that kBlockLanes can be read from any place on.
//
// Blocks of one color, (row % 2, column % 2), are not coupled, and are relaxed at once:
//     order (M)               the blocks sorted by color; those of color i end before ends[i]
#pragma once
#include <cstdint>

namespace cfw {

constexpr int kMaxFunctions = 32;  // of a block
constexpr int kBlockLanes = 4;     // values that the CPU reads at once
constexpr int kColors = 4;
enum BlockPart { kInversePart, kOwnPart, kLinkPart, kBlockParts = kLinkPart + 4 };

}  // namespace cfw
