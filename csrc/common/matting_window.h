// The arithmetic of one matting window, for any scalar-like type (double, or a SIMD vector of doubles).
//
// Both Laplacians are sums over windows of what a linear model cannot explain of x there: a ridge regression of the n values of
// x on the columns of X (n, m), with a quadratic penalty E on the coefficients,
//     H = X (X^T X + E)^-1 X^T,   the fitted values being H x.
// Closed form (Levin et al.): columns 1 and Z, the centred colours; slopes are penalised by eps, the constant is free; the cost
// is that of the regression, penalty and all: x^T (I - H) x = x^T (I - 11^T/n - Z (Z^T Z + eps Id)^-1 Z^T) x. (Multiply the
// covariance form of the paper, S + eps/n Id with S = Z^T Z / n, by n.)
// Learning based (Zheng & Kambhamettu): columns 1 and the colours; all coefficients are penalised by eps, the constant too; the
// cost is the squared residual alone: |(I - H) x|^2.
//
// With X^T X + E = L diag(d) L^T (unit lower triangular L) and u_i = L^-1 X_i the window's block is
//     G_ij = delta_ij - sum_k v_ik u_jk,   v = diag(d)^-1 u   or   v = (2 diag(d)^-1 - diag(d)^-1 U^T U diag(d)^-1) u.
// A factor loses only the square root of the condition number that an explicit inverse would lose (grey images stored as
// RGB have 1e8 of it), and LDL^T needs no square root, so one source serves scalars and vectors.
#pragma once
#include "common/inline.h"

namespace cfw {

// Centre the colours of a window: z (n, D) -= their mean, at rows of `stride` values. mean (D): out.
template <class V>
CFW_INLINE void centre_window(V* z, V* mean, int n, int D, int stride) {
  for (int a = 0; a < D; ++a) {
    V sum = z[a];
    for (int i = 1; i < n; ++i) sum += z[i * stride + a];
    mean[a] = sum * (1.0 / n);
    for (int i = 0; i < n; ++i) z[i * stride + a] -= mean[a];
  }
}

// E of the closed form on the columns Z, lower triangle of (D, D).
template <class V>
CFW_INLINE void closed_form_penalty(V* penalty, int D, double eps) {
  for (int a = 0; a < D; ++a)
    for (int b = 0; b <= a; ++b) penalty[a * D + b] = V{} + (a == b ? eps : 0.0);
}

// E of the learning-based Laplacian on the columns [1 Z], lower triangle of (D + 1, D + 1). The constant of the colours
// themselves is that of the centred ones less slope times mean:
//     eps ((b - a^T mean)^2 + |a|^2).
template <class V>
CFW_INLINE void learning_based_penalty(V* penalty, const V* mean, int D, double eps) {
  const int m = D + 1;
  penalty[0] = V{} + eps;
  for (int a = 0; a < D; ++a) {
    penalty[(a + 1) * m] = -eps * mean[a];
    for (int b = 0; b <= a; ++b) penalty[(a + 1) * m + b + 1] = eps * (mean[a] * mean[b] + (a == b ? 1.0 : 0.0));
  }
}

// x (n, m): the columns in, u out.  inverse (m): 1 / d_k out.  exists: 1, or 0 for no window (then inverse = 0).
// gram (m, m): the penalty's lower triangle in; scratch.
template <class V>
CFW_INLINE void whiten_window(V* x, V* inverse, int n, int m, V exists, V* gram) {
  for (int a = 0; a < m; ++a)
    for (int b = 0; b <= a; ++b) {
      V s = x[a] * x[b];
      for (int i = 1; i < n; ++i) s += x[i * m + a] * x[i * m + b];
      gram[a * m + b] += s;
    }
  // In place: the diagonal of gram becomes d, the strict lower triangle L. Column by column: when column b is reached,
  // gram[a][b] still holds S_ab - sum_{k<b} L_ak d_k L_bk.
  for (int b = 0; b < m; ++b) {
    inverse[b] = exists / gram[b * m + b];
    for (int a = b + 1; a < m; ++a) {
      const V l = gram[a * m + b] * inverse[b];
      for (int c = b + 1; c <= a; ++c) gram[a * m + c] -= l * gram[c * m + b];
      // gram[c][b] for c > a is still L d there, as needed by later rows; keep L itself apart in the upper triangle.
      gram[b * m + a] = l;
    }
  }
  for (int i = 0; i < n; ++i)
    for (int a = 0; a < m; ++a) {
      V u = x[i * m + a];
      for (int b = 0; b < a; ++b) u -= gram[b * m + a] * x[i * m + b];
      x[i * m + a] = u;
    }
}

// The learning-based Laplacian's matrix from u to v: twice (m, m) = 2 diag(inverse) - diag(inverse) U^T U diag(inverse).
template <class V>
CFW_INLINE void residual_weights(const V* u, const V* inverse, int n, int m, V* twice) {
  for (int a = 0; a < m; ++a)
    for (int b = 0; b <= a; ++b) {
      V s = u[a] * u[b];
      for (int i = 1; i < n; ++i) s += u[i * m + a] * u[i * m + b];
      s *= -(inverse[a] * inverse[b]);
      if (a == b) s += 2.0 * inverse[a];
      twice[a * m + b] = twice[b * m + a] = s;
    }
}

}  // namespace cfw
