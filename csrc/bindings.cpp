// The extension module: plain functions on addresses and sizes. It knows nothing of torch, so one build serves every
// release of it; closedform_wsss/_ops allocates, checks and registers. The GIL is released while a kernel runs.
#include "binding.h"
#include "common/matting_loss.h"
#include "common/stencil_layout.h"
#include "cpu/bindings.h"
#include "cpu/dispatch.h"
#include "cpu/huge_pages.h"
#if CFW_CUDA
#include "cuda/bindings.h"
#include "cuda/versions.h"
#endif

namespace cfw {
namespace {

#if !CFW_CUDA
namespace cuda {
int driver_version() { return 0; }
int runtime_version() { return 0; }
}  // namespace cuda
#endif

// The words of a text, as a Python list.
PyObject* words(const std::string& text) {
  std::vector<std::string> found(1);
  for (const char letter : text)
    if (letter != ' ')
      found.back() += letter;
    else if (!found.back().empty())
      found.emplace_back();
  if (found.back().empty()) found.pop_back();
  return Result<std::vector<std::string>>::pack(found);
}

int add_functions(PyObject* module) {
  static Table table;
  if (table.empty()) {
    bind(table);
#if CFW_CUDA
    cuda::bind(table);
#endif
    table.add<&matting_loss_parts>("matting_loss_parts",
                                   "Parts that the loss of an image of this size needs room for.");
    table.add<&stencil_pitch>("stencil_pitch", "Columns of a stencil's rows for an image of this width.");
    table.add<&advise_huge_pages>("advise_huge_pages", "Ask for large pages in new memory: address, bytes.");
    table.add<&levels>("levels", "Instruction-set levels that this machine can run, best last.");
    table.add<&level>("level", "The level in use.");
    table.add<&set_level>("set_level", "Use this level.");
    table.add<&cuda::driver_version>("cuda_driver_version",
                                     "1000 * major + 10 * minor of the CUDA that the driver knows, or 0.");
    table.add<&cuda::runtime_version>("cuda_runtime_version", "The same of the runtime that is linked in, or 0.");
  }
  return table.install(module);
}

int fill(PyObject* module) {
  const std::pair<const char*, long> numbers[] = {{"TAPS", kTaps}, {"TOP_ROWS", kTopRows}, {"LEFT_PAD", kLeftPad}};
  const std::pair<const char*, const char*> texts[] = {
      {"version", CFW_VERSION},
      {"compiler", CFW_COMPILER},
      {"cuda_version", CFW_CUDA_VERSION},
      {"cuda_why_not", CFW_CUDA_WHY_NOT},
  };
  for (const auto& [name, value] : numbers)
    if (PyModule_AddIntConstant(module, name, value)) return -1;
  for (const auto& [name, value] : texts)
    if (PyModule_AddStringConstant(module, name, value)) return -1;
  PyObject* const architectures = words(CFW_CUDA_ARCHITECTURES);
  const int added = PyModule_AddObjectRef(module, "cuda_architectures", architectures);
  Py_XDECREF(architectures);
  if (added || PyModule_AddObjectRef(module, "openmp", CFW_OPENMP ? Py_True : Py_False) ||
      PyModule_AddObjectRef(module, "cuda", CFW_CUDA ? Py_True : Py_False))
    return -1;
  return add_functions(module);
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(&fill)},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},  // tests/properties/test_stress.py
#endif
    {0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "_C",
    "Kernels of closedform_wsss on addresses and sizes; see closedform_wsss._ops.",
    0,
    nullptr,
    slots,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace
}  // namespace cfw

PyMODINIT_FUNC PyInit__C() { return PyModuleDef_Init(&cfw::definition); }
