#include "cuda/versions.h"

#include <cuda_runtime.h>

namespace cfw {
namespace cuda {

int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

int runtime_version() {
  int version = 0;
  return cudaRuntimeGetVersion(&version) == cudaSuccess ? version : CUDART_VERSION;
}

}  // namespace cuda
}  // namespace cfw
