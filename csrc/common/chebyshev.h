// The numbers of Chebyshev's method (Saad: Iterative methods for sparse linear systems. 2nd edition, SIAM 2003, algorithm
// 12.1): x += d with d = keep d + add r, of the residual r of a system whose eigenvalues lie in [low, high].
#pragma once

#include "common/inline.h"

namespace cfw {

struct ChebyshevSteps {
  double keep = 0, add;  // of the next step

  CFW_INLINE ChebyshevSteps(double low, double high)
      : add(2 / (high + low)), half_((high - low) / 2), sigma_((high + low) / (high - low)), rho_(1 / sigma_) {}

  CFW_INLINE void next() {
    const double following = 1 / (2 * sigma_ - rho_);
    keep = following * rho_;
    add = 2 * following / half_;
    rho_ = following;
  }

 private:
  double half_, sigma_, rho_;
};

}  // namespace cfw
