// Half precision as it lies in memory. Kernels read it and calculate in float; none of them writes it.
#pragma once
#include <cstdint>
#include <cstring>

#include "common/inline.h"

namespace cfw {

struct Half {  // IEEE 754 binary16
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

CFW_INLINE float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

CFW_INLINE float to_arithmetic(float value) { return value; }
CFW_INLINE double to_arithmetic(double value) { return value; }
CFW_INLINE float to_arithmetic(BFloat16 value) { return as_float(uint32_t(value.bits) << 16); }
CFW_INLINE float to_arithmetic(Half value) {
#ifdef __CUDA_ARCH__
  float converted;
  asm("cvt.f32.f16 %0, %1;" : "=f"(converted) : "h"(value.bits));
  return converted;
#else
  const uint32_t sign = uint32_t(value.bits & 0x8000u) << 16;
  const uint32_t rest = uint32_t(value.bits & 0x7fffu) << 13;
  // Exponent and fraction in the places of a float's. Its exponent is 112 higher, that of infinity and NaN another 112; a
  // product with 2^112 does that for subnormal numbers too.
  const float magnitude = as_float(rest) * as_float(0x77800000u);
  return (value.bits & 0x7c00u) == 0x7c00u ? as_float(sign | rest | 0x7f800000u) : sign ? -magnitude : magnitude;
#endif
}

}  // namespace cfw
