// Functions that must be inlined, so that sizes known to the caller become constants and loops over them unroll. They run on
// the GPU too.
#pragma once

#ifdef __CUDACC__
#define CFW_INLINE __host__ __device__ __forceinline__
#else
#define CFW_INLINE inline __attribute__((always_inline))
#endif
