// Activations of the rows of a ring, and the gradient's way back through them.
//
// Of a loss with the gradient g with respect to the maps a, the gradient with respect to the logits z is
//     a = softmax(z) over the classes    a_c (g_c - sum_k a_k g_k)
//     a = sigmoid(z)                     a (1 - a) g
//
// A vector of pixels goes through all classes before the next one: it finds them in the first-level cache.
#pragma once
#include "common/activation.h"
#include "cpu/simd_exp.h"
#include "cpu/stencil_rows.h"

namespace cfw {
namespace CFW_LEVEL {

// exp(v) for v <= 0, and 0 where it is no normal number: logits may be -inf.
template <class T>
CFW_INLINE Vector<T> exp_or_zero(Vector<T> v) {
  return v < Vector<T>{} + ExpConstants<T>::lowest ? Vector<T>{} : exp_of<T>(v);
}

template <class T>
CFW_INLINE Vector<T> sigmoid_of(Vector<T> z) {
  const Vector<T> zero = {}, e = exp_or_zero<T>(z < zero ? z : -z), share = T(1) / (T(1) + e);
  return z < zero ? e * share : share;
}

// Logits to maps, in place, of the columns [first, last). `row`: tile column 0 of the first class; classes are
// kRingWidth apart. Columns from `last` on become 0.
template <class T>
void activate(Activation activation, T* row, int classes, int first, int last) {
  if (activation == kNoActivation) return;
  int i = first < 0 ? -kLine : 0;  // from the start of a cache line
  for (; i < last; i += Simd<T>::lanes) {
    T* const z = row + i;
    if (activation == kSigmoid) {
      for (int c = 0; c < classes; ++c) store(z + c * kRingWidth, sigmoid_of<T>(load(z + c * kRingWidth)));
      continue;
    }
    Vector<T> most = load(z), sum = {};
    for (int c = 1; c < classes; ++c) {
      const Vector<T> own = load(z + c * kRingWidth);
      most = own > most ? own : most;
    }
    for (int c = 0; c < classes; ++c) {
      const Vector<T> e = exp_or_zero<T>(load(z + c * kRingWidth) - most);
      store(z + c * kRingWidth, e);
      sum += e;
    }
    const Vector<T> share = T(1) / sum;
    for (int c = 0; c < classes; ++c) store(z + c * kRingWidth, load(z + c * kRingWidth) * share);
  }
  for (int c = 0; c < classes; ++c) std::fill(row + c * kRingWidth + last, row + c * kRingWidth + i, T(0));
}

// `put(c, i, gradient with respect to the logits)` for a row of maps and the gradient r with respect to them, both from
// tile column 0 on and kRingWidth values a class. r holds the first `active` classes, without their factors; it is 0
// for the others.
template <class T, class Put>
CFW_INLINE void pull_back(Activation activation, const T* maps, const T* r, const T* factors, int active, int classes,
                          int width, const Put& put) {
  for (int i = 0; i < width; i += Simd<T>::lanes) {
    Vector<T> sum = {};
    if (activation == kSoftmax)
      for (int c = 0; c < active; ++c)
        sum += load(maps + c * kRingWidth + i) * (factors[c] * load(r + c * kRingWidth + i));
    for (int c = 0; c < active; ++c) {
      const Vector<T> a = load(maps + c * kRingWidth + i), g = factors[c] * load(r + c * kRingWidth + i);
      put(c, i, activation == kSoftmax ? a * (g - sum) : activation == kSigmoid ? a * (T(1) - a) * g : g);
    }
    for (int c = active; c < classes; ++c) put(c, i, -load(maps + c * kRingWidth + i) * sum);
  }
}

}  // namespace CFW_LEVEL
}  // namespace cfw
