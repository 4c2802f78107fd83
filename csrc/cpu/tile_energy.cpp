// The energies x^T L x of candidate functions in tiles. They select the coarse basis, and its Galerkin matrix is assembled
// from them.
//
// L is a sum over windows. A window belongs to the tile of its first pixel, the anchor tile, and lies inside that tile, across
// its interface to the right or below, or on the corner of four tiles; each window is added once. Candidates live in cells of
// 4 x 4 pixels, K = D + 1 of them in a cell. With the block of the window G = Id - c 11^T - sum_a v_a u_a^T
// (common/matting_window.h) and the candidates' values phi_i at its pixel i,
//     P^T G P = sum_i phi_i phi_i^T - c s s^T - sum_a w_a t_a^T,   s = sum_i phi_i,  t_a = sum_i u_ia phi_i,
//     w_a = sum_i v_ia phi_i.
// All in float64, because the basis functions of interest have an energy of nearly zero.
#include "cpu/kernels.h"

#include <algorithm>
#include <vector>

#include "common/matting_window.h"
#include "common/tile_layout.h"
#include "cpu/parallel.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int kCell = 4, kCellsAcross = kTileSide / kCell;
constexpr int kWindow = 9;
constexpr int kMaxChannels = 8;  // images with more channels have another preconditioner
// Candidates of a cell in a vector: all four of a colour image.
constexpr int kLanes = 4;
typedef double Lanes __attribute__((vector_size(kLanes * sizeof(double))));
enum Part { kInside, kRight, kBelow, kCorner, kParts };
// Cells of a part's matrix.
constexpr int kCells[kParts] = {kCellsAcross * kCellsAcross, 2 * kCellsAcross, 2 * kCellsAcross, 4};

// The place of a cell in the matrix of a part; cy and cx count from the first cell of the anchor tile.
inline int place(Part part, int cy, int cx) {
  switch (part) {
    case kInside: return cy * kCellsAcross + cx;
    case kRight: return (cx - kCellsAcross + 1) * kCellsAcross + cy;
    case kBelow: return (cy - kCellsAcross + 1) * kCellsAcross + cx;
    default: return (cy - kCellsAcross + 1) * 2 + cx - kCellsAcross + 1;
  }
}

// kD: the number of channels if it is known at compile time, else 0.
template <int kD, class T>
struct Tile {
  const T* image;     // (D, H, W) of the anchor tile
  const T* basis[4];  // (K, 16, 16) of the four tiles, null where there is none
  double* energy[kParts];
  int channels, H, W, y0, x0;
  double eps;
  bool learning_based;

  // The window with centre (y, x), counted from the first pixel of the anchor tile.
  CFW_INLINE void add_window(Part part, int y, int x) const {
    const int D = kD > 0 ? kD : channels, K = D + 1, m = learning_based ? D + 1 : D;
    constexpr int kMaxInCell = (kD > 0 ? kD : kMaxChannels) + 1;
    double u[kWindow * kMaxInCell], inverse[kMaxInCell], gram[kMaxInCell * kMaxInCell], twice[kMaxInCell * kMaxInCell],
        mean[kMaxInCell];
    double* const z = learning_based ? u + 1 : u;
    for (int i = 0; i < kWindow; ++i) {
      const int64_t pixel = int64_t(y0 + y - 1 + i / 3) * W + x0 + x - 1 + i % 3;
      for (int d = 0; d < D; ++d) z[i * m + d] = image[int64_t(d) * H * W + pixel];
    }
    centre_window(z, mean, kWindow, D, m);
    if (learning_based) {
      for (int i = 0; i < kWindow; ++i) u[i * m] = 1.0;
      learning_based_penalty(gram, mean, D, eps);
    } else {
      closed_form_penalty(gram, D, eps);
    }
    whiten_window(u, inverse, kWindow, m, 1.0, gram);
    if (learning_based) residual_weights(u, inverse, kWindow, m, twice);

    // The cells of the window, up to 2 x 2, and for each the sums over its pixels in the window.
    const int cy = (y - 1) / kCell, cx = (x - 1) / kCell;
    const int down = (y + 1) / kCell - cy + 1, across = (x + 1) / kCell - cx + 1, cells = down * across;
    constexpr int kGroups = (kMaxInCell + kLanes - 1) / kLanes;
    int at[4];
    Lanes s[4][kGroups] = {}, t[kMaxInCell][4][kGroups] = {}, square[4][kGroups * kLanes][kGroups] = {};
    for (int c = 0; c < cells; ++c) {
      const int row = cy + c / across, column = cx + c % across;
      at[c] = place(part, row, column);
      const T* of = basis[row / kCellsAcross * 2 + column / kCellsAcross];
      if (!of) continue;
      const int first_y = std::max(row * kCell, y - 1), last_y = std::min(row * kCell + kCell - 1, y + 1);
      const int first_x = std::max(column * kCell, x - 1), last_x = std::min(column * kCell + kCell - 1, x + 1);
      for (int py = first_y; py <= last_y; ++py)
        for (int px = first_x; px <= last_x; ++px) {
          const int i = (py - y + 1) * 3 + px - x + 1;
          const T* value = of + py % kTileSide * kTileSide + px % kTileSide;
          Lanes phi[kGroups] = {};
          for (int k = 0; k < K; ++k) phi[k / kLanes][k % kLanes] = value[k * kTilePixels];
          for (int g = 0; g < kGroups; ++g) {
            s[c][g] += phi[g];
            for (int k = 0; k < K; ++k) square[c][k][g] += phi[k / kLanes][k % kLanes] * phi[g];
            for (int a = 0; a < m; ++a) t[a][c][g] += u[i * m + a] * phi[g];
          }
        }
    }

    const double constant = learning_based ? 0.0 : 1.0 / kWindow;
    const int size = kCells[part] * K;
    for (int c = 0; c < cells; ++c)
      for (int k = 0; k < K; ++k) {
        const int group = k / kLanes, lane = k % kLanes;
        double w[kMaxInCell];
        for (int a = 0; a < m; ++a) {
          if (learning_based) {
            w[a] = 0;
            for (int b = 0; b < m; ++b) w[a] += twice[a * m + b] * t[b][c][group][lane];
          } else {
            w[a] = inverse[a] * t[a][c][group][lane];
          }
        }
        const double own = constant * s[c][group][lane];
        double* row = energy[part] + int64_t(at[c] * K + k) * size;
        for (int o = 0; o < cells; ++o)
          for (int g = 0; g < kGroups; ++g) {
            Lanes value = -own * s[o][g];
            if (o == c) value += square[c][k][g];
            for (int a = 0; a < m; ++a) value -= w[a] * t[a][o][g];
            double* out = row + at[o] * K + g * kLanes;
            for (int l = 0; l < std::min(kLanes, K - g * kLanes); ++l) out[l] += value[l];
          }
      }
  }

  void add_windows() const {
    // Centres of windows that exist.
    const int last_y = std::min(kTileSide, H - 2 - y0), last_x = std::min(kTileSide, W - 2 - x0);
    for (int y = 1; y <= last_y; ++y)
      for (int x = 1; x <= last_x; ++x) {
        const bool right = x >= kTileSide - 1, below = y >= kTileSide - 1;
        const Part part = right ? (below ? kCorner : kRight) : below ? kBelow : kInside;
        if (energy[part]) add_window(part, y, x);
      }
  }
};

template <int kD, class T>
void add_energies(const T* image, const T* basis, const int32_t* anchor_tiles, const int32_t* corner_tiles,
                  double* const (&energies)[kParts], int64_t M, int D, int H, int W, double eps, bool learning_based,
                  int threads) {
  const int K = D + 1;
  parallel_for(M, threads, [&](int64_t item) {
    Tile<kD, T> tile;
    tile.image = image + int64_t(anchor_tiles[3 * item]) * D * H * W;
    tile.y0 = anchor_tiles[3 * item + 1] * kTileSide, tile.x0 = anchor_tiles[3 * item + 2] * kTileSide;
    for (int i = 0; i < 4; ++i) {
      const int64_t corner_tile = corner_tiles[4 * item + i];
      tile.basis[i] = corner_tile < 0 ? nullptr : basis + corner_tile * K * kTilePixels;
    }
    for (int part = 0; part < kParts; ++part) {
      const int64_t size = int64_t(kCells[part]) * K;
      tile.energy[part] = energies[part] ? energies[part] + item * size * size : nullptr;
    }
    tile.channels = D, tile.H = H, tile.W = W, tile.eps = eps, tile.learning_based = learning_based;
    tile.add_windows();
  });
}

}  // namespace

template <class T>
void tile_energy(const T* image, const T* basis, const int32_t* anchor_tiles, const int32_t* corner_tiles,
                 double* inside, double* right, double* below, double* corner, int64_t M, int D, int H, int W,
                 double eps, bool learning_based, int threads) {
  double* const energies[kParts] = {inside, right, below, corner};
  const auto add = D == 3 ? add_energies<3, T> : D == 1 ? add_energies<1, T> : add_energies<0, T>;
  add(image, basis, anchor_tiles, corner_tiles, energies, M, D, H, W, eps, learning_based, threads);
}

CFW_INSTANTIATE(tile_energy)

}  // namespace CFW_LEVEL
}  // namespace cfw
