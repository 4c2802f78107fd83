// Names of the CPU kernels: <kernel>_f32 and <kernel>_f64; _f16 and _bf16 for those that read half precision. Each runs the
// kernel of the current instruction-set level.
#pragma once
#include <array>
#include <string>

#include "cpu/dispatch.h"
#include "cpu/kernels.h"

namespace cfw {

// The levels in the order of `Level`.
template <auto... levels>
auto of_current_level() {
  static constexpr std::array kernels{levels...};
  return kernels[static_cast<size_t>(current_level())];
}

// Into a table of functions: Python's in binding.h, another one in tests/replay.
template <class Table>
void bind(Table& table) {
#if CFW_X86_LEVELS
#define CFW_LEVELS(...) &baseline::__VA_ARGS__, &avx2::__VA_ARGS__, &avx512::__VA_ARGS__
#else
#define CFW_LEVELS(...) &baseline::__VA_ARGS__
#endif
#define CFW_BIND(kernel)                                                                   \
  table.template add_choice<&of_current_level<CFW_LEVELS(kernel<float>)>>(#kernel "_f32"); \
  table.template add_choice<&of_current_level<CFW_LEVELS(kernel<double>)>>(#kernel "_f64")
  CFW_BIND(matting_stencil);
  CFW_BIND(matting_product);
  CFW_BIND(matting_cg);
  CFW_BIND(matting_chebyshev);
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
#define CFW_BIND_HALF(kernel)                                                                    \
  table.template add_choice<&of_current_level<CFW_LEVELS(kernel<float, Half>)>>(#kernel "_f16"); \
  table.template add_choice<&of_current_level<CFW_LEVELS(kernel<float, BFloat16>)>>(#kernel "_bf16")
  CFW_BIND_HALF(matting_loss);
  table.template add_choice<&of_current_level<CFW_LEVELS(tile_product_mixed)>>("tile_product_mixed_f64");
#undef CFW_BIND
#undef CFW_BIND_HALF
#undef CFW_LEVELS
}

}  // namespace cfw
