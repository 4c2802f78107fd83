// The extension module: plain functions on addresses and sizes. It knows nothing of torch, so one build serves every
// release of it; closedform_wsss/_ops allocates, checks and registers. The GIL is released while a kernel runs.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>

#include "common/matting_loss.h"
#include "common/stencil_layout.h"
#include "cpu/bindings.h"
#include "cpu/dispatch.h"
#include "cpu/huge_pages.h"
#if CFW_CUDA
#include "cuda/bindings.h"
#include "cuda/versions.h"
#endif

namespace py = pybind11;

PYBIND11_MODULE(_C, m) {
  m.doc() = "Kernels of closedform_wsss on addresses and sizes; see closedform_wsss._ops.";
  cfw::bind(m);
#if CFW_CUDA
  cfw::cuda::bind(m);
#endif

  m.def("matting_loss_parts", &cfw::matting_loss_parts, "Parts that the loss of an image of this size needs room for.");
  m.def("stencil_pitch", &cfw::stencil_pitch, "Columns of a stencil's rows for an image of this width.");
  m.attr("TAPS") = cfw::kTaps;
  m.attr("TOP_ROWS") = cfw::kTopRows;
  m.attr("LEFT_PAD") = cfw::kLeftPad;

  m.def("advise_huge_pages", &cfw::advise_huge_pages, "Ask for large pages in new memory: address, bytes.");

  m.def("levels", &cfw::levels, "Instruction-set levels that this machine can run, best last.");
  m.def("level", &cfw::level, "The level in use.");
  m.def("set_level", [](const std::string& name) {
    if (!cfw::set_level(name)) throw std::invalid_argument("set_level: this machine cannot run level '" + name + "'");
  });
  m.attr("version") = CFW_VERSION;
  m.attr("compiler") = CFW_COMPILER;
  m.attr("openmp") = bool(CFW_OPENMP);
  m.attr("cuda") = bool(CFW_CUDA);
#if CFW_CUDA
  m.def("cuda_driver_version", &cfw::cuda::driver_version,
        "1000 * major + 10 * minor of the CUDA that the driver knows.");
  m.def("cuda_runtime_version", &cfw::cuda::runtime_version, "The same of the runtime that is linked in.");
#else
  m.def("cuda_driver_version", [] { return 0; }, "0: the CUDA kernels were not built.");
  m.def("cuda_runtime_version", [] { return 0; }, "0: the CUDA kernels were not built.");
#endif
  m.attr("cuda_version") = CFW_CUDA_VERSION;
  m.attr("cuda_architectures") = py::str(CFW_CUDA_ARCHITECTURES).attr("split")();
  m.attr("cuda_why_not") = CFW_CUDA_WHY_NOT;
}
