// Python names of the CPU kernels: <kernel>_f32 and <kernel>_f64; _f16 and _bf16 for those that read half precision.
// Each runs the kernel of the current instruction-set level.
#pragma once
#include <array>
#include <string>

#include "binding.h"
#include "cpu/dispatch.h"
#include "cpu/kernels.h"

namespace cfw {

// A kernel in float or double, which its first parameter tells.
template <class T, class... P>
using Kernel = void (*)(const T*, P...);

// The levels in the order of `Level`.
template <class T, class... P>
void bind(pybind11::module_& m, const std::string& name, Kernel<T, P...> baseline, Kernel<T, P...> avx2 = nullptr,
          Kernel<T, P...> avx512 = nullptr) {
  define<const T*, P...>(m, name, [levels = std::array{baseline, avx2, avx512}](const T* first, P... rest) {
    levels[static_cast<size_t>(current_level())](first, rest...);
  });
}

inline void bind(pybind11::module_& m) {
#if CFW_X86_LEVELS
#define CFW_LEVELS(...) &baseline::__VA_ARGS__, &avx2::__VA_ARGS__, &avx512::__VA_ARGS__
#else
#define CFW_LEVELS(...) &baseline::__VA_ARGS__
#endif
#define CFW_BIND(kernel)                                     \
  bind<float>(m, #kernel "_f32", CFW_LEVELS(kernel<float>)); \
  bind<double>(m, #kernel "_f64", CFW_LEVELS(kernel<double>))
  CFW_BIND(matting_stencil);
  CFW_BIND(matting_product);
  CFW_BIND(matting_cg);
  CFW_BIND(matting_loss);
  CFW_BIND(tile_product);
  CFW_BIND(tile_relax);
  CFW_BIND(tile_restrict);
  CFW_BIND(tile_prolong);
  CFW_BIND(tile_energy);
  CFW_BIND(block_product);
  CFW_BIND(block_relax);
  CFW_BIND(superpixel_pool);
  CFW_BIND(superpixel_unpool);
  CFW_BIND(superpixel_dot);
  CFW_BIND(superpixel_assign);
  CFW_BIND(superpixel_update);
  CFW_BIND(asam_affinity);
  CFW_BIND(asam_steps);
  CFW_BIND(lattice_build);
  CFW_BIND(lattice_filter);
  CFW_BIND(lattice_mean_field);
#define CFW_BIND_HALF(kernel)                                      \
  bind<float>(m, #kernel "_f16", CFW_LEVELS(kernel<float, Half>)); \
  bind<float>(m, #kernel "_bf16", CFW_LEVELS(kernel<float, BFloat16>))
  CFW_BIND_HALF(matting_loss);
  bind<float>(m, "tile_product_mixed_f64", CFW_LEVELS(tile_product_mixed));
#undef CFW_BIND
#undef CFW_BIND_HALF
#undef CFW_LEVELS
}

}  // namespace cfw
