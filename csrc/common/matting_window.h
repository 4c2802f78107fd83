// The arithmetic of one matting window, for any scalar-like type (double, or a SIMD vector of doubles).
#pragma once
#include "common/inline.h"

namespace cfw {

// Levin's window block is G = I - 11^T/n - Z (Z^T Z + eps Id)^-1 Z^T with Z (n, D) the centred colours: multiply the
// covariance form of the paper, S + eps/n Id with S = Z^T Z / n, by n.
//
// With Z^T Z + eps Id = L diag(d) L^T (unit lower triangular L) and u_i = L^-1 z_i this is
//     G_ij = delta_ij - 1/n - sum_k u_ik u_jk / d_k.
// A factor loses only the square root of the condition number that an explicit inverse would lose (grey images stored as
// RGB have 1e8 of it), and LDL^T needs no square root, so one source serves scalars and vectors.
//
// z (n, D): centred colours in, u out.  inverse (D): 1 / d_k out.  exists: 1, or 0 for no window (then inverse = 0).
// gram (D, D): scratch.
template <class V>
CFW_INLINE void whiten_window(V* z, V* inverse, int n, int D, double eps, V exists, V* gram) {
  for (int a = 0; a < D; ++a)
    for (int b = 0; b <= a; ++b) {
      V s = z[a] * z[b];
      for (int i = 1; i < n; ++i) s += z[i * D + a] * z[i * D + b];
      gram[a * D + b] = s;
    }
  for (int a = 0; a < D; ++a) gram[a * D + a] += eps;
  // In place: the diagonal of gram becomes d, the strict lower triangle L. Column by column: when column b is reached,
  // gram[a][b] still holds S_ab - sum_{k<b} L_ak d_k L_bk.
  for (int b = 0; b < D; ++b) {
    inverse[b] = exists / gram[b * D + b];
    for (int a = b + 1; a < D; ++a) {
      const V l = gram[a * D + b] * inverse[b];
      for (int c = b + 1; c <= a; ++c) gram[a * D + c] -= l * gram[c * D + b];
      // gram[c][b] for c > a is still L d there, as needed by later rows; keep L itself apart in the upper triangle.
      gram[b * D + a] = l;
    }
  }
  for (int i = 0; i < n; ++i)
    for (int a = 0; a < D; ++a) {
      V u = z[i * D + a];
      for (int b = 0; b < a; ++b) u -= gram[b * D + a] * z[i * D + b];
      z[i * D + a] = u;
    }
}

// Centre the colours of a window: z (n, D) -= their mean.
template <class V>
CFW_INLINE void centre_window(V* z, int n, int D) {
  for (int a = 0; a < D; ++a) {
    V mean = z[a];
    for (int i = 1; i < n; ++i) mean += z[i * D + a];
    mean *= 1.0 / n;
    for (int i = 0; i < n; ++i) z[i * D + a] -= mean;
  }
}

}  // namespace cfw
