// The scratch memory of the loss: tiles of an image leave their parts of it there, to be added up in a fixed order.
#pragma once
#include <cstdint>

namespace cfw {

constexpr int kLossTileWidth = 32, kLossTileHeight = 16;  // the smallest tile of any device

// Parts of an image, at most.
inline int64_t matting_loss_parts(int64_t H, int64_t W) {
  return ((H + kLossTileHeight - 1) / kLossTileHeight) * ((W + kLossTileWidth - 1) / kLossTileWidth);
}

}  // namespace cfw
