// The CPU kernels, declared once for each instruction-set level that they are compiled for. T is float or double.
//
// Every pointer is contiguous; shapes stand beside it. N images, C classes, D colour channels, F features, H x W pixels (for
// the matting kernels H, W >= 3), h x w cells of S x S pixels. `stencil` is laid out as common/stencil_layout.h says, `q` as
// common/superpixel_grid.h does. `parts`, `partial_sums` and `pairs` are scratch memory. Results do not depend on `threads`.
#pragma once
#include <cstdint>

#include "common/half.h"

#define CFW_DECLARE_KERNELS                                                                                            \
  /* The operator of an image. */                                                                                      \
  template <class T>                                                                                                   \
  void matting_stencil(const T* image /* (N, D, H, W) */, T* stencil /* (N, H + 2, 12, P) */,                          \
                       T* row_sums /* (N, H, W) or null: the learning-based one, or the closed form */, int64_t N,     \
                       int D, int H, int W, double eps, int threads);                                                  \
  /* y = L x + data_weight x. */                                                                                       \
  template <class T>                                                                                                   \
  void matting_product(const T* stencil, const T* x /* (N, C, H, W) */, const T* data_weight /* (N, H, W) or null */,  \
                       T* y /* (N, C, H, W) */, int64_t N, int C, int H, int W, int threads);                          \
  /* (L + diagonal) x = b by conjugate gradients from a start x; see common/cg_stopping.h. CUDA needs the scratch. */  \
  template <class T>                                                                                                   \
  void matting_cg(const T* stencil, const T* diagonal /* (N, H, W) */, const T* b /* (N, C, H, W) */,                  \
                  T* x /* (N, C, H, W) */, T* scratch /* (5, N, C, H, W) */, double* report /* (N, C, 4) */,           \
                  int64_t N, int C, int H, int W, double tol, int max_iter, int every, int divisor, double min_rate,   \
                  double max_rate, int threads);                                                                       \
  /* The same by steps of Chebyshev's method, preconditioner (L + diagonal) having eigenvalues in [low, high]. */      \
  template <class T>                                                                                                   \
  void matting_chebyshev(const T* stencil, const T* diagonal /* (N, H, W) */, const T* preconditioner /* (N, H, W) */, \
                         const T* b /* (N, C, H, W) */, const T* start /* (N, C, H, W) */, T* x /* (N, C, H, W) */,    \
                         T* scratch /* (2, N, C, H, W) */, int64_t N, int C, int H, int W, double low, double high,    \
                         int num_iters, int threads);                                                                  \
  /* The loss of an image and its gradient in one sweep, x in T or in half precision; see cpu/matting_loss.cpp. */     \
  template <class T, class X = T>                                                                                      \
  void matting_loss(const T* stencil, const T* row_sums /* (N, H, W) or null */, const X* x /* (N, C, H, W) */,        \
                    const int64_t* target /* (N, H, W) */, const T* weight /* (N, C) */, double mark_weight,           \
                    int64_t ignore_index, bool residual, int activation /* common/activation.h */,                     \
                    double* parts /* (N, matting_loss_parts) */, double* loss /* (N) */,                               \
                    T* gradient /* (N, C, H, W) or null */, int64_t N, int C, int H, int W, int threads);              \
  /* On tiles (common/tile_layout.h): y = (L + diagonal) x, diagonal 0 if null. */                                     \
  template <class T>                                                                                                   \
  void tile_product(const T* stencil, const int32_t* tiles /* (M, 3) */, const int32_t* neighbours /* (M, 9) */,       \
                    const T* diagonal /* (M, 16, 16) or null */, const T* x /* (M, C, 16, 16) */,                      \
                    T* y /* (M, C, 16, 16) */, int64_t M, int C, int H, int W, int threads);                           \
  /* A step of relaxation: y = x + weight (b - (L + diagonal) x). */                                                   \
  template <class T>                                                                                                   \
  void tile_relax(const T* stencil, const int32_t* tiles /* (M, 3) */, const int32_t* neighbours /* (M, 9) */,         \
                  const T* diagonal /* (M, 16, 16) or null */, const T* x /* (M, C, 16, 16) */,                        \
                  const T* b /* (M, C, 16, 16) */, const T* weight /* (M, 16, 16) */, T* y /* (M, C, 16, 16) */,       \
                  int64_t M, int C, int H, int W, int threads);                                                        \
  /* From pixels to the functions of a coarse space, z = P^T x, and back, y = x + P z. */                              \
  template <class T>                                                                                                   \
  void tile_restrict(const T* basis /* (F, 16, 16) */, const int32_t* starts /* (M + 1) */,                            \
                     const T* x /* (M, C, 16, 16) */, T* z /* (F, C) */, int64_t M, int C, int threads);               \
  template <class T>                                                                                                   \
  void tile_prolong(const T* basis /* (F, 16, 16) */, const int32_t* starts /* (M + 1) */, const T* z /* (F, C) */,    \
                    const T* x /* (M, C, 16, 16) */, T* y /* (M, C, 16, 16) */, int64_t M, int C, int threads);        \
  /* The energies x^T L x of functions in a tile and across its interfaces; see cpu/tile_energy.cpp. */                \
  template <class T>                                                                                                   \
  void tile_energy(const T* image /* (N, D, H, W) */, const T* basis /* (B, D + 1, 16, 16) */,                         \
                   const int32_t* anchor_tiles /* (M, 3) */, const int32_t* corner_tiles /* (M, 4) */,                 \
                   double* inside /* (M, 16 K, 16 K) or null */, double* right /* (M, 8 K, 8 K) or null */,            \
                   double* below /* (M, 8 K, 8 K) or null */, double* corner /* (M, 4 K, 4 K) or null */, int64_t M,   \
                   int D, int H, int W, double eps, bool learning_based, int threads);                                 \
  /* In blocks (common/block_layout.h): y = A x. */                                                                    \
  template <class T>                                                                                                   \
  void block_product(const T* matrix, const int64_t* offsets /* (M, 6) */, const int32_t* starts /* (M + 1) */,        \
                     const int32_t* neighbours /* (M, 9) */, const T* x /* (F, C) */, T* y /* (F, C) */, int64_t M,    \
                     int C, int threads);                                                                              \
  /* A sweep of Gauss-Seidel over A z = r. */                                                                          \
  template <class T>                                                                                                   \
  void block_relax(const T* matrix, const int64_t* offsets /* (M, 6) */, const int32_t* starts /* (M + 1) */,          \
                   const int32_t* neighbours /* (M, 9) */, const int32_t* order /* (M) */,                             \
                   const int32_t* ends /* (4) */, const T* r /* (F, C) */, T* z /* (F, C) */, int C, bool backward,    \
                   int threads);                                                                                       \
  /* Pixels to superpixels: sums, not means. */                                                                        \
  template <class T>                                                                                                   \
  void superpixel_pool(const T* x /* (N, C, H, W) */, const T* q /* (N, 9, H, W) */,                                   \
                       T* partial_sums /* (N, h w, 9, C) */, T* s /* (N, C, h, w) */, int64_t N, int C, int H, int W,  \
                       int S, int threads);                                                                            \
  /* Superpixels to pixels. */                                                                                         \
  template <class T>                                                                                                   \
  void superpixel_unpool(const T* s /* (N, C, h, w) */, const T* q /* (N, 9, H, W) */, T* x /* (N, C, H, W) */,        \
                         int64_t N, int C, int H, int W, int S, int threads);                                          \
  /* Each pixel's inner products with its nine superpixels. */                                                         \
  template <class T>                                                                                                   \
  void superpixel_dot(const T* x /* (N, C, H, W) */, const T* s /* (N, C, h, w) */, T* d /* (N, 9, H, W) */,           \
                      int64_t N, int C, int H, int W, int S, int threads);                                             \
  /* Soft assignment of pixels to centres, and the centres that follow from it. */                                     \
  template <class T>                                                                                                   \
  void superpixel_assign(const T* features /* (N, F, H, W) */, const T* centers /* (N, F, h, w) */,                    \
                         T* q /* (N, 9, H, W) */, int64_t N, int F, int H, int W, int S, int threads);                 \
  template <class T>                                                                                                   \
  void superpixel_update(const T* features /* (N, F, H, W) */, const T* centers /* (N, F, h, w) */,                    \
                         T* partial_sums /* (N, h w, 9, F + 1) */, T* updated /* (N, F, h, w) */, int64_t N, int F,    \
                         int H, int W, int S, int threads);                                                            \
  /* How much neighbouring superpixels share their pixels. */                                                          \
  template <class T>                                                                                                   \
  void asam_affinity(const T* q /* (N, 9, H, W) */, T* pairs /* (N, h w, 9, 9) */, T* result /* (N, 25, h, w) */,      \
                     int64_t N, int H, int W, int S, int threads);                                                     \
  /* y_0 = s, y_t = decay A y_(t-1) + restart s, or with A^T; `iterates` if `keep`, else not used. */                  \
  template <class T>                                                                                                   \
  void asam_steps(const T* A /* (N, 25, h, w) */, const T* s /* (N, C, h, w) */, T* y /* (N, C, h, w) */,              \
                  T* iterates /* (num_steps - 1, N, C, h, w) or (N, C, h, w) */, bool keep, int64_t N, int C, int h,   \
                  int w, int num_steps, double decay, double restart, bool transposed, int threads);                   \
  /* The lattice of an image, R = P K + 1 rows, of which the first `counts` are used (common/lattice.h). */            \
  template <class T>                                                                                                   \
  void lattice_build(const T* image /* (N, D, H, W) */, double position_sigma, double color_sigma,                     \
                     int32_t* indices /* (N, P, K) */, T* weights /* (N, P, K) */,                                     \
                     int32_t* neighbours /* (N, K, R, 2) */, int32_t* counts /* (N) */, int64_t N, int D, int H,       \
                     int W, int threads);                                                                              \
  /* y = W x, W the Gaussian of the lattice, or W^T. */                                                                \
  template <class T>                                                                                                   \
  void lattice_filter(const T* x /* (N, P, C) */, const int32_t* indices /* (N, P, K) */,                              \
                      const T* weights /* (N, P, K) */, const int32_t* neighbours /* (N, A, R, 2) */,                  \
                      const int32_t* starts /* (N, R + 1) or null */, const int32_t* entries /* (N, P K) or null */,   \
                      T* scratch /* (slots, 2, R, C) */, T* y /* (N, P, C) */, bool transposed, int64_t N, int64_t P,  \
                      int64_t R, int C, int K, int A, int slots, int threads);                                         \
  /* Mean field of a dense conditional random field; C is `classes`, rounded up to a multiple of 8. */                 \
  template <class T>                                                                                                   \
  void lattice_mean_field(const T* unary /* (N, classes, P) */, const int32_t* indices /* (N, P, K) */,                \
                          const T* weights /* (N, P, K) */, const int32_t* neighbours /* (N, A, R, 2) */,              \
                          const int32_t* starts /* (N, R + 1) or null */,                                              \
                          const int32_t* entries /* (N, P K) or null */, T* pixels /* (slots, 2, P, C) */,             \
                          T* scratch /* (slots, 3, R, C) */, T* q /* (N, classes, P) */, int iterations, int64_t N,    \
                          int64_t P, int64_t R, int classes, int K, int A, int slots, int threads);

// tile_product of a stencil in float and x in double.
#define CFW_DECLARE_MIXED                                                                                     \
  void tile_product_mixed(const float* stencil, const int32_t* tiles, const int32_t* neighbours,              \
                          const double* diagonal, const double* x, double* y, int64_t M, int C, int H, int W, \
                          int threads);

// At the end of the file that defines a kernel.
#define CFW_INSTANTIATE(kernel)                   \
  template decltype(kernel<float>) kernel<float>; \
  template decltype(kernel<double>) kernel<double>;
#define CFW_INSTANTIATE_HALF(kernel)                          \
  template decltype(kernel<float, Half>) kernel<float, Half>; \
  template decltype(kernel<float, BFloat16>) kernel<float, BFloat16>;

namespace cfw {
#define CFW_DECLARE_LEVEL(level) \
  namespace level {              \
  CFW_DECLARE_KERNELS            \
  CFW_DECLARE_MIXED              \
  }
CFW_DECLARE_LEVEL(baseline)
CFW_DECLARE_LEVEL(avx2)
CFW_DECLARE_LEVEL(avx512)
}  // namespace cfw
