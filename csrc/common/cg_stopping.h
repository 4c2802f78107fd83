// When conjugate gradients stop: closedform_wsss/solver/stopping.py says why.
#pragma once
#include <cmath>
#include <limits>

#include "common/inline.h"

namespace cfw {

// Below it a direction has no curvature.
template <class T>
constexpr double kLeastCurvature = std::numeric_limits<T>::min();

struct CgStopping {
  double tol;
  int max_iter, every, divisor;  // iterations between two checks: `every`, or those done / `divisor` if that is more
  double min_rate, max_rate;     // bounds of the factor by which the error shrinks from check to check

  CFW_INLINE int check_after(int iterations) const {
    const int more = iterations / divisor;
    return iterations + (more > every ? more : every);
  }
};

// The state of one system.
struct CgState {
  double error = HUGE_VAL, moved = HUGE_VAL;  // the estimated error of x, and its largest change before the last check
  int iterations = 0;
  bool near = false, done = false, failed = false;

  CFW_INLINE bool active() const { return !done && !failed; }

  // x has changed by at most `now` since the last check.
  CFW_INLINE void update(int iteration, double now, const CgStopping& stopping) {
    iterations = iteration;
    if (!(now < HUGE_VAL)) {  // NaN too
      failed = true;
      error = HUGE_VAL;
      return;
    }
    if (moved < HUGE_VAL) {
      double rate = moved > 0 ? now / moved : stopping.min_rate;
      rate = rate < stopping.min_rate ? stopping.min_rate : rate > stopping.max_rate ? stopping.max_rate : rate;
      error = now * rate / (1 - rate);
    }
    moved = now;
    const bool below = error <= stopping.tol;
    done = near && below;
    near = below;
  }

  CFW_INLINE void solved() {
    error = 0;
    near = done = true;
  }

  // Four numbers for Python: iterations, error, whether it has converged, and the norm of the residual relative to b's.
  CFW_INLINE void report(double residual, double norm, double* to) const {
    to[0] = iterations;
    to[1] = error;
    to[2] = done ? 1 : 0;
    to[3] = norm > 0 ? residual / norm : residual;
  }
};

}  // namespace cfw
