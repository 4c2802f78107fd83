// The CUDA kernels' host functions. What they compute, and the order of their arguments, is that of the CPU kernels
// (cpu/kernels.h), with a queue in place of the threads. T is float or double, instantiated in the kernel's own file; where
// an input has a type X of its own, that may be half precision beside a T of float; a stencil of type S, float beside a T of
// double.
#pragma once
#include "common/half.h"
#include "cuda/queue.h"

namespace cfw {
namespace cuda {

template <class T>
void matting_stencil(const T* image /* (N, D, H, W) */, T* stencil /* (N, H + 2, 12, P) */,
                     T* row_sums /* (N, H, W) or null */, int64_t N, int D, int H, int W, double eps, Queue queue);

template <class T, class X = T>
void matting_product(const T* stencil, const X* x /* (N, C, H, W) */, const T* data_weight /* (N, H, W) or null */,
                     T* y /* (N, C, H, W) */, int64_t N, int C, int H, int W, Queue queue);

template <class T>
void matting_cg(const T* stencil, const T* diagonal /* (N, H, W) */, const T* b /* (N, C, H, W) */,
                T* x /* (N, C, H, W) */, T* scratch /* (5, N, C, H, W) */, double* report /* (N, C, 4) */, int64_t N,
                int C, int H, int W, double tol, int max_iter, int every, int divisor, double min_rate, double max_rate,
                Queue queue);

template <class T>
void matting_chebyshev(const T* stencil, const T* diagonal /* (N, H, W) */, const T* preconditioner /* (N, H, W) */,
                       const T* b /* (N, C, H, W) */, const T* start /* (N, C, H, W) */, T* x /* (N, C, H, W) */,
                       T* scratch /* (2, N, C, H, W) */, int64_t N, int C, int H, int W, double low, double high,
                       int num_iters, Queue queue);

template <class T, class X = T>
void matting_loss(const T* stencil, const T* row_sums /* (N, H, W) or null */, const X* x /* (N, C, H, W) */,
                  const int64_t* target /* (N, H, W) */, const T* weight /* (N, C) */, double mark_weight,
                  int64_t ignore_index, bool residual, int activation, double* parts /* (N, matting_loss_parts) */,
                  double* loss /* (N) */, T* gradient /* (N, C, H, W) or null */, int64_t N, int C, int H, int W,
                  Queue queue);

template <class T, class S = T>
void tile_product(const S* stencil, const int32_t* tiles /* (M, 3) */, const int32_t* neighbours /* (M, 9) */,
                  const T* diagonal /* (M, 16, 16) or null */, const T* x /* (M, C, 16, 16) */,
                  T* y /* (M, C, 16, 16) */, int64_t M, int C, int H, int W, Queue queue);

template <class T>
void tile_relax(const T* stencil, const int32_t* tiles /* (M, 3) */, const int32_t* neighbours /* (M, 9) */,
                const T* diagonal /* (M, 16, 16) or null */, const T* x /* (M, C, 16, 16) */,
                const T* b /* (M, C, 16, 16) */, const T* weight /* (M, 16, 16) */, T* y /* (M, C, 16, 16) */,
                int64_t M, int C, int H, int W, Queue queue);

template <class T>
void tile_restrict(const T* basis /* (F, 16, 16) */, const int32_t* starts /* (M + 1) */,
                   const T* x /* (M, C, 16, 16) */, T* z /* (F, C) */, int64_t M, int C, Queue queue);

template <class T>
void tile_prolong(const T* basis /* (F, 16, 16) */, const int32_t* starts /* (M + 1) */, const T* z /* (F, C) */,
                  const T* x /* (M, C, 16, 16) */, T* y /* (M, C, 16, 16) */, int64_t M, int C, Queue queue);

template <class T>
void block_product(const T* matrix, const int64_t* offsets /* (M, 6) */, const int32_t* starts /* (M + 1) */,
                   const int32_t* neighbours /* (M, 9) */, const T* x /* (F, C) */, T* y /* (F, C) */, int64_t M, int C,
                   Queue queue);

template <class T>
void block_relax(const T* matrix, const int64_t* offsets /* (M, 6) */, const int32_t* starts /* (M + 1) */,
                 const int32_t* neighbours /* (M, 9) */, const int32_t* order /* (M) */,
                 const int32_t* ends /* (4), on the host */, const T* r /* (F, C) */, T* z /* (F, C) */, int C,
                 bool backward, Queue queue);

template <class T, class X = T>
void superpixel_pool(const X* x /* (N, C, H, W) */, const T* q /* (N, 9, H, W) */, T* partial_sums /* (N, h w, 9, C) */,
                     T* s /* (N, C, h, w) */, int64_t N, int C, int H, int W, int S, Queue queue);

template <class T>
void superpixel_unpool(const T* s /* (N, C, h, w) */, const T* q /* (N, 9, H, W) */, T* x /* (N, C, H, W) */, int64_t N,
                       int C, int H, int W, int S, Queue queue);

template <class T, class X = T>
void superpixel_dot(const X* x /* (N, C, H, W) */, const T* s /* (N, C, h, w) */, T* d /* (N, 9, H, W) */, int64_t N,
                    int C, int H, int W, int S, Queue queue);

template <class T>
void superpixel_assign(const T* features /* (N, F, H, W) */, const T* centers /* (N, F, h, w) */,
                       T* q /* (N, 9, H, W) */, int64_t N, int F, int H, int W, int S, Queue queue);

template <class T>
void superpixel_update(const T* features /* (N, F, H, W) */, const T* centers /* (N, F, h, w) */,
                       T* partial_sums /* (N, h w, 9, F + 1) */, T* updated /* (N, F, h, w) */, int64_t N, int F, int H,
                       int W, int S, Queue queue);

template <class T>
void asam_affinity(const T* q /* (N, 9, H, W) */, T* pairs /* (N, h w, 9, 9) */, T* result /* (N, 25, h, w) */,
                   int64_t N, int H, int W, int S, Queue queue);

template <class T>
void asam_steps(const T* A /* (N, 25, h, w) */, const T* s /* (N, C, h, w) */, T* y /* (N, C, h, w) */,
                T* iterates /* (num_steps - 1, N, C, h, w), or (N, C, h, w) */, bool keep, int64_t N, int C, int h,
                int w, int num_steps, double decay, double restart, bool transposed, Queue queue);

template <class T>
void lattice_filter(const T* x /* (N, P, C) */, const int32_t* indices /* (N, P, K) */,
                    const T* weights /* (N, P, K) */, const int32_t* neighbours /* (N, A, R, 2) */,
                    const int32_t* starts /* (N, R + 1) or null */, const int32_t* entries /* (N, P K) or null */,
                    T* scratch /* (slots, 2, R, C) */, T* y /* (N, P, C) */, bool transposed, int64_t N, int64_t P,
                    int64_t R, int C, int K, int A, int slots, Queue queue);

template <class T>
void lattice_mean_field(const T* unary /* (N, classes, P) */, const int32_t* indices /* (N, P, K) */,
                        const T* weights /* (N, P, K) */, const int32_t* neighbours /* (N, A, R, 2) */,
                        const int32_t* starts /* (N, R + 1) or null */, const int32_t* entries /* (N, P K) or null */,
                        T* pixels /* (slots, 2, P, C) */, T* scratch /* (slots, 3, R, C) */, T* q /* (N, classes, P) */,
                        int iterations, int64_t N, int64_t P, int64_t R, int classes, int K, int A, int slots,
                        Queue queue);

}  // namespace cuda
}  // namespace cfw
