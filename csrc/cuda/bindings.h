// Python names of the CUDA kernels: <kernel>_cuda_f32 and <kernel>_cuda_f64; _f16 and _bf16 for those that read half precision;
// tile_product_mixed_cuda_f64 for a stencil in float, all else in double.
#pragma once
#include <string>
#include <utility>

#include "binding.h"
#include "cuda/kernels.h"

namespace cfw {

// A queue comes as (device, stream).
template <>
struct Argument<cuda::Queue> {
  using Passed = std::pair<int, uintptr_t>;
  static cuda::Queue unpack(Passed value) { return {value.first, value.second}; }
};

namespace cuda {

template <class... P>
void bind(pybind11::module_& m, const std::string& name, void (*kernel)(P...)) {
  define<P...>(m, name, kernel);
}

inline void bind(pybind11::module_& m) {
#define CFW_BIND_CUDA(kernel)                   \
  bind(m, #kernel "_cuda_f32", &kernel<float>); \
  bind(m, #kernel "_cuda_f64", &kernel<double>)
  CFW_BIND_CUDA(matting_stencil);
  CFW_BIND_CUDA(matting_product);
  CFW_BIND_CUDA(matting_cg);
  CFW_BIND_CUDA(matting_loss);
  CFW_BIND_CUDA(tile_product);
  CFW_BIND_CUDA(tile_relax);
  CFW_BIND_CUDA(tile_restrict);
  CFW_BIND_CUDA(tile_prolong);
  CFW_BIND_CUDA(block_product);
  CFW_BIND_CUDA(block_relax);
  CFW_BIND_CUDA(superpixel_pool);
  CFW_BIND_CUDA(superpixel_unpool);
  CFW_BIND_CUDA(superpixel_dot);
  CFW_BIND_CUDA(superpixel_assign);
  CFW_BIND_CUDA(superpixel_update);
  CFW_BIND_CUDA(asam_affinity);
  CFW_BIND_CUDA(asam_steps);
  CFW_BIND_CUDA(lattice_filter);
  CFW_BIND_CUDA(lattice_mean_field);
#define CFW_BIND_CUDA_HALF(kernel)                    \
  bind(m, #kernel "_cuda_f16", &kernel<float, Half>); \
  bind(m, #kernel "_cuda_bf16", &kernel<float, BFloat16>)
  CFW_BIND_CUDA_HALF(matting_product);
  CFW_BIND_CUDA_HALF(matting_loss);
  CFW_BIND_CUDA_HALF(superpixel_pool);
  CFW_BIND_CUDA_HALF(superpixel_dot);
  bind(m, "tile_product_mixed_cuda_f64", &tile_product<double, float>);
#undef CFW_BIND_CUDA
#undef CFW_BIND_CUDA_HALF
}

}  // namespace cuda
}  // namespace cfw
