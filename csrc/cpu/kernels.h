// The CPU kernels, declared once for each instruction-set level that they are compiled for.
//
// Every pointer is contiguous; shapes stand beside it. N images, C classes, D colour channels, H x W pixels (H, W >= 3).
// `stencil` is laid out as common/stencil_layout.h says. Results do not depend on `threads`.
#pragma once
#include <cstdint>

#define CFW_DECLARE_KERNELS(T)                                                                                       \
  /* The operator of an image. */                                                                                    \
  void matting_stencil(const T* image /* (N, D, H, W) */, T* stencil /* (N, H + 2, 12, P) */, int64_t N, int D, \
                       int H, int W, double eps, int threads);                                                       \
  /* y = L x + confidence x. */                                                                                      \
  void matting_product(const T* stencil, const T* x /* (N, C, H, W) */, const T* confidence /* (N, H, W) or null */, \
                       T* y /* (N, C, H, W) */, int64_t N, int C, int H, int W, int threads);                        \
  /* The loss of an image and its gradient in one sweep; see cpu/matting_loss.cpp. */                                \
  void matting_loss(const T* stencil, const T* x /* (N, C, H, W) */, const int64_t* target /* (N, H, W) */,          \
                    const T* weight /* (N, C) */, double confidence, int64_t ignore_index, bool residual,            \
                    double* loss /* (N) */, T* gradient /* (N, C, H, W) or null */, int64_t N, int C, int H, int W,  \
                    int threads);

namespace cfw {
#define CFW_DECLARE_LEVEL(level)  \
  namespace level {               \
  CFW_DECLARE_KERNELS(float)      \
  CFW_DECLARE_KERNELS(double)     \
  }
CFW_DECLARE_LEVEL(baseline)
CFW_DECLARE_LEVEL(avx2)
CFW_DECLARE_LEVEL(avx512)
}  // namespace cfw
