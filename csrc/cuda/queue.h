// Where a kernel runs. In a file of its own: csrc/bindings.cpp, which nvcc does not compile, needs no more of CUDA than this.
#pragma once
#include <cstdint>

namespace cfw {
namespace cuda {

// The device's index and a cudaStream_t.
struct Queue {
  int device;
  uintptr_t stream;
};

}  // namespace cuda
}  // namespace cfw
