// A SIMD vector as wide as the instruction-set level that this translation unit is compiled for. GCC's and Clang's vector
// extension gives arithmetic, and leaves the choice of instructions to the compiler.
#pragma once
#include <cstdint>
#include <cstring>

#include "common/inline.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#if !defined(__GNUC__) && !defined(__clang__)  // clang-cl, on Windows, defines the second only
#error "the CPU kernels need the vector extension of GCC or Clang"
#endif

#if defined(__AVX512F__)
#define CFW_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define CFW_VECTOR_BYTES 32
#else
#define CFW_VECTOR_BYTES 16
#endif

// Keep a value in a register from here on. Without it GCC folds the load of a coefficient into each arithmetic
// instruction that uses it, and one load becomes one per class.
#if defined(__x86_64__)
#define CFW_PIN(v) asm volatile("" : "+v"(v))
#elif defined(__aarch64__)
#define CFW_PIN(v) asm volatile("" : "+w"(v))
#else
#define CFW_PIN(v) (void)0
#endif

namespace cfw {
namespace CFW_LEVEL {

template <class T>
struct Simd {
  typedef T vector __attribute__((vector_size(CFW_VECTOR_BYTES)));
  // In memory: at any address. (GCC turns a memcpy into a round trip over the stack.)
  typedef T unaligned __attribute__((vector_size(CFW_VECTOR_BYTES), aligned(alignof(T)), may_alias));
  static constexpr int lanes = CFW_VECTOR_BYTES / sizeof(T);
};

template <class T>
using Vector = typename Simd<T>::vector;

template <class T>
CFW_INLINE Vector<T> load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::unaligned*>(p);
}

// Values of a narrower type, widened.
template <class T, class S>
CFW_INLINE Vector<T> load_as(const S* p) {
  if constexpr (sizeof(S) == sizeof(T)) {
    return load(p);
  } else {
    typedef S narrow
        __attribute__((vector_size(CFW_VECTOR_BYTES / sizeof(T) * sizeof(S)), aligned(alignof(S)), may_alias));
    return __builtin_convertvector(*reinterpret_cast<const narrow*>(p), Vector<T>);
  }
}

template <class T>
CFW_INLINE void store(T* p, Vector<T> v) {
  *reinterpret_cast<typename Simd<T>::unaligned*>(p) = v;
}

// Values as a narrower type.
template <class S, class V>
CFW_INLINE void store_as(S* p, V v) {
  typedef S narrow __attribute__((vector_size(sizeof(V) / sizeof(v[0]) * sizeof(S)), aligned(alignof(S)), may_alias));
  *reinterpret_cast<narrow*>(p) = __builtin_convertvector(v, narrow);
}

// The first n lanes only, or all of them where there are not more. Loaded lanes behind them are zeros.
template <class T>
CFW_INLINE Vector<T> load_first(const T* p, int n) {
  if (n >= Simd<T>::lanes) return load(p);
  Vector<T> v{};
  std::memcpy(&v, p, sizeof(T) * n);
  return v;
}

template <class T>
CFW_INLINE void store_first(T* p, Vector<T> v, int n) {
  if (n >= Simd<T>::lanes)
    store(p, v);
  else
    std::memcpy(p, &v, sizeof(T) * n);
}

// The vectors at p + kShift, |kShift| <= 2, which share their loads. A load across the end of a cache line costs two,
// and of those with 64 bytes every one that is not aligned does: so the neighbours of an aligned p are shifted into
// place.
template <class T>
class Neighbours {
 public:
  CFW_INLINE explicit Neighbours(const T* p) : p_(p), centre_(load(p)) {
#ifdef __AVX512F__
    left_ = load(p - Simd<T>::lanes);
    right_ = load(p + Simd<T>::lanes);
#endif
  }
  template <int kShift>
  CFW_INLINE Vector<T> at() const {
    if constexpr (kShift == 0) return centre_;
#ifdef __AVX512F__
    // (With a mask of ones: GCC 12 warns of an undefined value in the function that has none.)
    constexpr int from = (kShift + Simd<T>::lanes) % Simd<T>::lanes;
    const __m512i low = (__m512i)(kShift < 0 ? left_ : centre_), high = (__m512i)(kShift < 0 ? centre_ : right_);
    if constexpr (sizeof(T) == 4)
      return (Vector<T>)_mm512_maskz_alignr_epi32(__mmask16(-1), high, low, from);
    else
      return (Vector<T>)_mm512_maskz_alignr_epi64(__mmask8(-1), high, low, from);
#else
    return load(p_ + kShift);
#endif
  }

 private:
  [[maybe_unused]] const T* p_;
  Vector<T> centre_;
#ifdef __AVX512F__
  Vector<T> left_, right_;
#endif
};

template <class T>
CFW_INLINE double sum_lanes(Vector<T> v) {
  double s = 0;
  for (int i = 0; i < Simd<T>::lanes; ++i) s += static_cast<double>(v[i]);
  return s;
}

}  // namespace CFW_LEVEL
}  // namespace cfw
