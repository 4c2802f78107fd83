// Maps in tiles: the layout of the solver's vectors.
//
// With a trimap most pixels, and so their mattes, are known. So the solver works on a list of M tiles of 16 x 16 pixels, those
// with unknown pixels or near to some, from all images:
//     tiles (M, 3)            image, tile row, tile column; the tile's first pixel is (16 row, 16 column)
//     neighbours (M, 9)       the places in that list of the 3 x 3 tiles around each, row by row, -1 for a tile not in it
//     x (M, C, 16, 16)        a map; it is zero in all other tiles, and outside of the image
// A row of a tile in float is one cache line, and the rows of the stencil are aligned to it.
//
// Each coarse basis function lives in one tile: basis (F, 16, 16), sorted by tile; tile t has functions starts[t] to
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
