// exp of a vector, for arguments <= 0.
#pragma once
#include "cpu/simd.h"

namespace cfw {
namespace CFW_LEVEL {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  typedef int32_t integer;
  static constexpr int mantissa = 23, degree = 7;
  static constexpr integer bias = 127;
  static constexpr float lowest = -87.0f, shifter = 12582912.0f;  // 1.5 * 2^23
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
};

template <>
struct ExpConstants<double> {
  typedef int64_t integer;
  static constexpr int mantissa = 52, degree = 13;
  static constexpr integer bias = 1023;
  static constexpr double lowest = -708.0, shifter = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
};

// exp(v) for v <= 0, to rounding; what is below the smallest normal number gives about that number. NaN stays NaN.
// v = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite); Taylor's series of e^r; 2^n by its bits.
// V: a vector of T of any size.
template <class T, class V>
CFW_INLINE V exp_of_any(V v) {
  typedef ExpConstants<T> K;
  typedef typename K::integer Integers __attribute__((vector_size(sizeof(V))));
  const V lowest = V{} + K::lowest;
  v = v < lowest ? lowest : v;
  const V shifted = v * T(1.4426950408889634) + K::shifter;  // n in the low bits
  const V n = shifted - K::shifter;
  const V r = (v - n * K::ln2_high) - n * K::ln2_low;
  T factorial[K::degree + 1] = {1};
#pragma GCC unroll 13
  for (int i = 1; i <= K::degree; ++i) factorial[i] = factorial[i - 1] * T(i);
  V series = V{} + T(1) / factorial[K::degree];
#pragma GCC unroll 13
  for (int i = K::degree - 1; i >= 0; --i) series = series * r + T(1) / factorial[i];
  Integers bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + K::bias) << K::mantissa;
  V scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return series * scale;
}

template <class T>
CFW_INLINE Vector<T> exp_of(Vector<T> v) {
  return exp_of_any<T>(v);
}

}  // namespace CFW_LEVEL
}  // namespace cfw
