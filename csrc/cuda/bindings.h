// Names of the CUDA kernels: <kernel>_cuda_f32 and <kernel>_cuda_f64; _f16 and _bf16 for those that read half precision;
// tile_product_mixed_cuda_f64 for a stencil in float, all else in double.
#pragma once
#include <string>

#include "binding.h"
#include "cuda/kernels.h"

namespace cfw {

// A queue comes as (device, stream).
template <>
struct Argument<cuda::Queue> {
  static std::string type() { return "tuple[int, int]"; }
  static cuda::Queue unpack(PyObject* pair) {
    PyObject* const device = PyTuple_GetItem(pair, 0);  // borrowed; null with Python's error where `pair` is no pair
    PyObject* const stream = device ? PyTuple_GetItem(pair, 1) : nullptr;
    if (!stream) return {};
    return {Argument<int>::unpack(device), Argument<uintptr_t>::unpack(stream)};
  }
};

namespace cuda {

inline void bind(Table& table) {
#define CFW_BIND_CUDA(kernel)                     \
  table.add<&kernel<float>>(#kernel "_cuda_f32"); \
  table.add<&kernel<double>>(#kernel "_cuda_f64")
  CFW_BIND_CUDA(matting_stencil);
  CFW_BIND_CUDA(matting_product);
  CFW_BIND_CUDA(matting_cg);
  CFW_BIND_CUDA(matting_chebyshev);
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
#define CFW_BIND_CUDA_HALF(kernel)                      \
  table.add<&kernel<float, Half>>(#kernel "_cuda_f16"); \
  table.add<&kernel<float, BFloat16>>(#kernel "_cuda_bf16")
  CFW_BIND_CUDA_HALF(matting_product);
  CFW_BIND_CUDA_HALF(matting_loss);
  CFW_BIND_CUDA_HALF(superpixel_pool);
  CFW_BIND_CUDA_HALF(superpixel_dot);
  table.add<&tile_product<double, float>>("tile_product_mixed_cuda_f64");
#undef CFW_BIND_CUDA
#undef CFW_BIND_CUDA_HALF
}

}  // namespace cuda
}  // namespace cfw
