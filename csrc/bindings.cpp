// The extension module: plain functions on addresses and sizes. It knows nothing of torch, so one build serves every
// release of it; closedform_wsss/_ops allocates, checks and registers. The GIL is released while a kernel runs.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>

#include "common/matting_loss.h"
#include "common/stencil_layout.h"
#include "cpu/dispatch.h"
#include "cpu/kernels.h"
#if CFW_CUDA
#include "cuda/bindings.h"
#endif

namespace py = pybind11;
using Address = uintptr_t;

namespace {

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// Run `call` with the kernels of the current level in scope, in float or double.
#if CFW_X86_LEVELS
#define CFW_DISPATCH(kernel, ...)                                     \
  switch (cfw::current_level()) {                                     \
    case cfw::Level::avx512: return cfw::avx512::kernel(__VA_ARGS__); \
    case cfw::Level::avx2: return cfw::avx2::kernel(__VA_ARGS__);     \
    default: return cfw::baseline::kernel(__VA_ARGS__);               \
  }
#else
#define CFW_DISPATCH(kernel, ...) return cfw::baseline::kernel(__VA_ARGS__)
#endif

template <class T>
void matting_stencil(Address image, Address stencil, Address row_sums, int64_t N, int D, int H, int W, double eps,
                     int threads) {
  CFW_DISPATCH(matting_stencil, at<T>(image), at<T>(stencil), at<T>(row_sums), N, D, H, W, eps, threads);
}

template <class T>
void matting_product(Address stencil, Address x, Address confidence, Address y, int64_t N, int C, int H, int W,
                     int threads) {
  CFW_DISPATCH(matting_product, at<T>(stencil), at<T>(x), at<T>(confidence), at<T>(y), N, C, H, W, threads);
}

template <class T>
void matting_loss(Address stencil, Address row_sums, Address x, Address target, Address weight, double confidence,
                  int64_t ignore_index, bool residual, Address parts, Address loss, Address gradient, int64_t N, int C,
                  int H, int W, int threads) {
  CFW_DISPATCH(matting_loss, at<T>(stencil), at<T>(row_sums), at<T>(x), at<int64_t>(target), at<T>(weight), confidence,
               ignore_index, residual, at<double>(parts), at<double>(loss), at<T>(gradient), N, C, H, W, threads);
}

template <class S, class T>
void tile_product(Address stencil, Address tiles, Address neighbours, Address diagonal, Address x, Address y, int64_t M,
                  int C, int H, int W, int threads) {
  CFW_DISPATCH(tile_product, at<S>(stencil), at<int32_t>(tiles), at<int32_t>(neighbours), at<T>(diagonal), at<T>(x),
               at<T>(y), M, C, H, W, threads);
}

template <class T>
void tile_relax(Address stencil, Address tiles, Address neighbours, Address diagonal, Address x, Address b,
                Address weight, Address y, int64_t M, int C, int H, int W, int threads) {
  CFW_DISPATCH(tile_relax, at<T>(stencil), at<int32_t>(tiles), at<int32_t>(neighbours), at<T>(diagonal), at<T>(x),
               at<T>(b), at<T>(weight), at<T>(y), M, C, H, W, threads);
}

template <class T>
void tile_restrict(Address basis, Address starts, Address x, Address z, int64_t M, int C, int threads) {
  CFW_DISPATCH(tile_restrict, at<T>(basis), at<int32_t>(starts), at<T>(x), at<T>(z), M, C, threads);
}

template <class T>
void tile_prolong(Address basis, Address starts, Address z, Address x, Address y, int64_t M, int C, int threads) {
  CFW_DISPATCH(tile_prolong, at<T>(basis), at<int32_t>(starts), at<T>(z), at<T>(x), at<T>(y), M, C, threads);
}

template <class T>
void tile_energy(Address image, Address basis, Address owners, Address members, Address inside, Address right,
                 Address below, Address corner, int64_t M, int D, int H, int W, double eps, bool learning_based,
                 int threads) {
  CFW_DISPATCH(tile_energy, at<T>(image), at<T>(basis), at<int32_t>(owners), at<int32_t>(members), at<double>(inside),
               at<double>(right), at<double>(below), at<double>(corner), M, D, H, W, eps, learning_based, threads);
}

template <class T>
void block_product(Address matrix, Address offsets, Address starts, Address neighbours, Address x, Address y, int64_t M,
                   int C, int threads) {
  CFW_DISPATCH(block_product, at<T>(matrix), at<int64_t>(offsets), at<int32_t>(starts), at<int32_t>(neighbours),
               at<T>(x), at<T>(y), M, C, threads);
}

template <class T>
void block_relax(Address matrix, Address offsets, Address starts, Address neighbours, Address order, Address ends,
                 Address r, Address z, int C, bool backward, int threads) {
  CFW_DISPATCH(block_relax, at<T>(matrix), at<int64_t>(offsets), at<int32_t>(starts), at<int32_t>(neighbours),
               at<int32_t>(order), at<int32_t>(ends), at<T>(r), at<T>(z), C, backward, threads);
}

template <class T>
void superpixel_pool(Address x, Address q, Address shares, Address s, int64_t N, int C, int H, int W, int S,
                     int threads) {
  CFW_DISPATCH(superpixel_pool, at<T>(x), at<T>(q), at<T>(shares), at<T>(s), N, C, H, W, S, threads);
}

template <class T>
void superpixel_unpool(Address s, Address q, Address x, int64_t N, int C, int H, int W, int S, int threads) {
  CFW_DISPATCH(superpixel_unpool, at<T>(s), at<T>(q), at<T>(x), N, C, H, W, S, threads);
}

template <class T>
void superpixel_dot(Address x, Address s, Address d, int64_t N, int C, int H, int W, int S, int threads) {
  CFW_DISPATCH(superpixel_dot, at<T>(x), at<T>(s), at<T>(d), N, C, H, W, S, threads);
}

template <class T>
void superpixel_assign(Address features, Address centers, Address q, int64_t N, int F, int H, int W, int S,
                       int threads) {
  CFW_DISPATCH(superpixel_assign, at<T>(features), at<T>(centers), at<T>(q), N, F, H, W, S, threads);
}

template <class T>
void superpixel_update(Address features, Address centers, Address shares, Address updated, int64_t N, int F, int H,
                       int W, int S, int threads) {
  CFW_DISPATCH(superpixel_update, at<T>(features), at<T>(centers), at<T>(shares), at<T>(updated), N, F, H, W, S,
               threads);
}

template <class T>
void asam_affinity(Address q, Address pairs, Address result, int64_t N, int H, int W, int S, int threads) {
  CFW_DISPATCH(asam_affinity, at<T>(q), at<T>(pairs), at<T>(result), N, H, W, S, threads);
}

template <class T>
void asam_step(Address A, Address s, Address y, int64_t N, int C, int h, int w, bool transposed, int threads) {
  CFW_DISPATCH(asam_step, at<T>(A), at<T>(s), at<T>(y), N, C, h, w, transposed, threads);
}

}  // namespace

// One Python name a type: <kernel>_f32 and <kernel>_f64.
#define CFW_BIND(kernel)                        \
  m.def(#kernel "_f32", &kernel<float>, nogil); \
  m.def(#kernel "_f64", &kernel<double>, nogil)

PYBIND11_MODULE(_C, m) {
  m.doc() = "Kernels of closedform_wsss on addresses and sizes; see closedform_wsss._ops.";
  const py::call_guard<py::gil_scoped_release> nogil;

  CFW_BIND(matting_stencil);
  CFW_BIND(matting_product);
  CFW_BIND(matting_loss);
  m.def("tile_product_f32", &tile_product<float, float>, nogil);
  m.def("tile_product_f64", &tile_product<double, double>, nogil);
  m.def("tile_product_mixed_f64", &tile_product<float, double>, nogil);
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
  CFW_BIND(asam_step);

  m.def("matting_loss_parts", &cfw::matting_loss_parts, "Parts that the loss of an image of this size needs room for.");
  m.def("stencil_pitch", &cfw::stencil_pitch, "Columns of a stencil's rows for an image of this width.");
  m.attr("TAPS") = cfw::kTaps;
  m.attr("TOP_ROWS") = cfw::kTopRows;
  m.attr("LEFT_PAD") = cfw::kLeftPad;

  m.def("levels", &cfw::levels, "Instruction-set levels that this machine can run, best last.");
  m.def("level", &cfw::level, "The level in use.");
  m.def("set_level", [](const std::string& name) {
    if (!cfw::set_level(name)) throw std::invalid_argument("set_level: this machine cannot run level '" + name + "'");
  });
  m.attr("version") = CFW_VERSION;
  m.attr("compiler") = CFW_COMPILER;
  m.attr("openmp") = bool(CFW_OPENMP);
  m.attr("cuda") = bool(CFW_CUDA);
  m.attr("cuda_version") = CFW_CUDA_VERSION;
  m.attr("cuda_architectures") = py::str(CFW_CUDA_ARCHITECTURES).attr("split")();
  m.attr("cuda_why_not") = CFW_CUDA_WHY_NOT;
#if CFW_CUDA
  cfw::cuda::bind(m);
#endif
}
