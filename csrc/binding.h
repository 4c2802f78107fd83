// How a kernel becomes a Python function: its parameters say it all. Pointers come as addresses, all else as it is.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace cfw {

// What comes from Python for a parameter of type P.
template <class P>
struct Argument {
  using Passed = P;
  static P unpack(Passed value) { return value; }
};

template <class T>
struct Argument<T*> {
  using Passed = uintptr_t;
  static T* unpack(Passed address) { return reinterpret_cast<T*>(address); }
};

// A Python function `name` of the parameters P, which runs `call` without the GIL.
template <class... P, class Call>
void define(pybind11::module_& m, const std::string& name, Call call) {
  m.def(
      name.c_str(), [call](typename Argument<P>::Passed... values) { call(Argument<P>::unpack(values)...); },
      pybind11::call_guard<pybind11::gil_scoped_release>());
}

}  // namespace cfw
