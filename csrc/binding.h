// How a C++ function becomes a Python function: its type says it all. Pointers come as addresses, all else as it is.
//
// Plain C of Python's stable ABI (PEP 384), so that one build serves every Python from 3.10 on.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <array>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cfw {

// From a Python object to a parameter of type P. A failure sets Python's error, and the value is not used.
template <class P, class = void>
struct Argument;

template <class T>
struct Argument<T*> {
  static std::string type() { return "int"; }
  static T* unpack(PyObject* address) { return reinterpret_cast<T*>(uintptr_t(PyLong_AsUnsignedLongLong(address))); }
};

template <>
struct Argument<uintptr_t> {
  static std::string type() { return "int"; }
  static uintptr_t unpack(PyObject* value) { return uintptr_t(PyLong_AsUnsignedLongLong(value)); }
};

template <class P>
struct Argument<P, std::enable_if_t<std::is_integral_v<P> && std::is_signed_v<P>>> {
  static std::string type() { return "int"; }
  static P unpack(PyObject* object) {
    const long long value = PyLong_AsLongLong(object);
    if (value != P(value)) PyErr_Format(PyExc_OverflowError, "%lld does not fit into %d bytes", value, int(sizeof(P)));
    return P(value);
  }
};

template <>
struct Argument<double> {
  static std::string type() { return "float"; }
  static double unpack(PyObject* value) { return PyFloat_AsDouble(value); }
};

template <>
struct Argument<bool> {
  static std::string type() { return "bool"; }
  static bool unpack(PyObject* value) {
    if (value != Py_True && value != Py_False) PyErr_SetString(PyExc_TypeError, "expected a bool");
    return value == Py_True;
  }
};

template <>
struct Argument<std::string> {
  static std::string type() { return "str"; }
  static std::string unpack(PyObject* value) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(value, &size);
    return text ? std::string(text, size_t(size)) : std::string();
  }
};

// From a result to a Python object.
template <class R, class = void>
struct Result;

template <class R>
struct Result<R, std::enable_if_t<std::is_integral_v<R>>> {
  static std::string type() { return "int"; }
  static PyObject* pack(R value) { return PyLong_FromLongLong(value); }
};

template <>
struct Result<std::string> {
  static std::string type() { return "str"; }
  static PyObject* pack(const std::string& value) {
    return PyUnicode_FromStringAndSize(value.data(), Py_ssize_t(value.size()));
  }
};

template <>
struct Result<std::vector<std::string>> {
  static std::string type() { return "list[str]"; }
  static PyObject* pack(const std::vector<std::string>& values) {
    PyObject* list = PyList_New(0);
    for (const std::string& value : values) {
      PyObject* item = list ? Result<std::string>::pack(value) : nullptr;
      const bool added = item && PyList_Append(list, item) == 0;
      Py_XDECREF(item);
      if (!added) Py_CLEAR(list);
    }
    return list;
  }
};

template <>
struct Result<void> {
  static std::string type() { return "None"; }
};

// Other Python threads run as long as this lives.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() { PyEval_RestoreThread(state_); }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

template <class R, class... P>
R run(R (*function)(P...), std::tuple<std::decay_t<P>...>& arguments) {
  const WithoutGil released;
  return std::apply(function, arguments);
}

template <class R, class... P, size_t... I>
PyObject* call(R (*function)(P...), PyObject* const* objects, Py_ssize_t count, std::index_sequence<I...>) {
  if (count != Py_ssize_t(sizeof...(P)))
    return PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", Py_ssize_t(sizeof...(P)), count);
  std::tuple<std::decay_t<P>...> arguments{Argument<std::decay_t<P>>::unpack(objects[I])...};
  if (PyErr_Occurred()) return nullptr;
  try {
    if constexpr (std::is_void_v<R>) {
      run(function, arguments);
      Py_RETURN_NONE;
    } else {
      return Result<R>::pack(run(function, arguments));
    }
  } catch (const std::logic_error& error) {  // invalid_argument, length_error
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

template <class R, class... P>
constexpr auto indices(R (*)(P...)) {
  return std::index_sequence_for<P...>();
}

template <class R, class... P>
std::string signature(const std::string& name, R (*)(P...)) {
  std::string list;
  ((list += (list.empty() ? "" : ", ") + Argument<std::decay_t<P>>::type()), ...);
  return name + "(" + list + ") -> " + Result<R>::type();
}

// What Python calls. `choose` returns the function to run.
template <auto choose>
PyObject* entry(PyObject*, PyObject* const* objects, Py_ssize_t count) {
  const auto function = choose();
  return call(function, objects, count, indices(function));
}

template <auto function>
auto always() {
  return function;
}

// The functions of a module. Python keeps their addresses, so it lives as long as the process.
class Table {
 public:
  // A Python function `name`. Its docstring begins with its types.
  template <auto choose>
  void add_choice(const std::string& name, const std::string& about = "") {
    texts_.push_back(name);
    const char* const stored = texts_.back().c_str();
    texts_.push_back(signature(name, choose()) + (about.empty() ? "" : "\n\n" + about));
    // The cast that Python asks for: a function with METH_FASTCALL has another type than the field.
    const auto function = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&entry<choose>));
    methods_.push_back({stored, function, METH_FASTCALL, texts_.back().c_str()});
  }

  template <auto function>
  void add(const std::string& name, const std::string& about = "") {
    add_choice<&always<function>>(name, about);
  }

  bool empty() const { return methods_.empty(); }

  // Into the module, after the last function: -1 and Python's error if that fails.
  int install(PyObject* module) {
    methods_.push_back({nullptr, nullptr, 0, nullptr});
    const int status = PyModule_AddFunctions(module, methods_.data());
    methods_.pop_back();
    return status;
  }

 private:
  std::deque<std::string> texts_;  // whose entries stay where they are
  std::vector<PyMethodDef> methods_;
};

}  // namespace cfw
