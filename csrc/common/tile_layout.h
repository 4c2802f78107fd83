// Maps in tiles: how the solver keeps what it works on.
//
// A trimap leaves most pixels known, and the mattes there are known too. So the solver works on a list of M tiles of 16 x 16
// pixels, those with something to find, whatever images they belong to:
//     tiles (M, 3)            image, tile row, tile column; the tile's first pixel is (16 row, 16 column)
//     neighbours (M, 9)       the places of the 3 x 3 tiles around each in that list, row by row, -1 for one that is not in it
//     x (M, C, 16, 16)        a map; it is zero in all other tiles, and beyond the border of the image
// A row of a tile is one line of the cache in float, and the stencil's rows are aligned to it.
//
// Functions of a coarse space live in one tile each: basis (F, 16, 16), sorted by tile; tile t has functions starts[t] to
// starts[t + 1] - 1.
#pragma once
#include <cstdint>

#include "common/inline.h"

namespace cfw {

constexpr int kTileSide = 16;
constexpr int kTilePixels = kTileSide * kTileSide;
constexpr int kNeighbours = 9;
constexpr int kOwnTile = 4;  // a tile among its neighbours

}  // namespace cfw
