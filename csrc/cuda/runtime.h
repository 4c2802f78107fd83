// What the kernels take from the CUDA runtime. Kernels are written as for nvcc, but launch through `launch` and take their
// shared memory from `shared`: so the same source is compiled by a C++ compiler, with the header cuda_runner.h of the tests
// in place of the runtime, and runs on a CPU, thread by thread.
//
// Rules that make a training step fit into a CUDA graph: nothing here waits for the device or allocates; memory comes from
// the caller. No atomics: sums have a fixed order, so results have the same bits in every run.
#pragma once
#include <cstdint>

#include "common/inline.h"
#include "cuda/queue.h"

#ifdef CFW_CUDA_RUNNER
#include "cuda_runner.h"
#else
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#endif

namespace cfw {
namespace cuda {

#ifndef CFW_CUDA_RUNNER
inline void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // or the next launch reports this error again
  throw std::runtime_error(std::string("closedform_wsss: CUDA error: ") + cudaGetErrorString(error) +
                           " (of this kernel or an earlier one: run with CUDA_LAUNCH_BLOCKING=1 to find it)");
}

// The current device becomes `device`. Python restores it (_ops/_define.py): cudaSetDevice would create a context on the
// device that was current, even where the process does not use that one.
inline void use_device(int device) {
  int current = 0;
  check(cudaGetDevice(&current));
  if (current != device) check(cudaSetDevice(device));
}

// The block's shared memory. A kernel has one such structure; no more than 48 KB, which every device has.
template <class Shared>
__device__ __forceinline__ Shared& shared() {
  extern __shared__ __align__(16) unsigned char cfw_shared[];
  return *reinterpret_cast<Shared*>(cfw_shared);
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes, Queue queue,
            Arguments... arguments) {
  if (blocks == 0) return;
  if (blocks > INT32_MAX) throw std::length_error("closedform_wsss: a batch too large for one launch of a CUDA kernel");
  use_device(queue.device);
  kernel<<<dim3(unsigned(blocks)), dim3(unsigned(threads)), size_t(shared_bytes), cudaStream_t(queue.stream)>>>(
      Parameters(arguments)...);
  check(cudaGetLastError());
}
#endif

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// The sum over the lanes of a warp, in lane 0.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_down_sync(kAllLanes, value, offset);
  return value;
}

}  // namespace cuda
}  // namespace cfw
