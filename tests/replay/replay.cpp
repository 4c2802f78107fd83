// Replays recorded calls of the CPU kernels (see __init__.py) on a system that has no Python and no torch: reads a file of
// calls with the contents of every array before and after, runs them, and compares.
//
//   replay FILE [LEVEL]     a line for each kernel; the status is 1 if a kernel is wrong
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu/bindings.h"

namespace cfw {
namespace replay {

constexpr size_t kAlignment = 64;  // as torch aligns its memory

struct Free {
  void operator()(char* memory) const { ::operator delete[](memory, std::align_val_t(kAlignment)); }
};

// An argument: a number, or an array with its contents after the call.
struct Value {
  long long integer = 0;
  double real = 0;
  std::string dtype;  // of an array: f32, f64, exact (its bytes must be equal) or scratch (not compared)
  size_t bytes = 0;
  std::shared_ptr<char[]> memory;
  std::vector<char> after;
};

template <class P>
P take(const Value& value) {
  if constexpr (std::is_pointer_v<P>)
    return reinterpret_cast<P>(value.memory.get());
  else if constexpr (std::is_floating_point_v<P>)
    return P(value.real);
  else
    return P(value.integer);
}

template <class... P, size_t... I>
void call(void (*kernel)(P...), const std::vector<Value>& values, std::index_sequence<I...>) {
  if (values.size() != sizeof...(P)) throw std::runtime_error("the file has another number of arguments");
  kernel(take<P>(values[I])...);
}

template <class... P>
constexpr auto indices(void (*)(P...)) {
  return std::index_sequence_for<P...>();
}

struct Table {
  std::map<std::string, std::function<void(const std::vector<Value>&)>> kernels;

  template <auto choose>
  void add_choice(const std::string& name) {
    kernels[name] = [](const std::vector<Value>& values) {
      const auto kernel = choose();
      call(kernel, values, indices(kernel));
    };
  }
};

// Of the arrays of a call: the largest value and the largest difference. As the self-test does, the latter is compared with
// the former: the row sums of a Laplacian are small beside it.
struct Comparison {
  double largest = 0, difference = 0;

  template <class T>
  void values(const char* found, const char* expected, size_t bytes) {
    for (size_t i = 0; i < bytes; i += sizeof(T)) {
      T a, b;
      std::memcpy(&a, found + i, sizeof(T));
      std::memcpy(&b, expected + i, sizeof(T));
      if (std::isfinite(b)) largest = std::max(largest, std::abs(double(b)));
      if (std::memcmp(&a, &b, sizeof(T)) == 0 || (std::isnan(a) && std::isnan(b))) continue;
      difference =
          std::isfinite(a) && std::isfinite(b) ? std::max(difference, std::abs(double(a) - double(b))) : INFINITY;
    }
  }

  void add(const Value& value) {
    const char* const found = value.memory.get();
    if (value.dtype == "f32") values<float>(found, value.after.data(), value.bytes);
    if (value.dtype == "f64") values<double>(found, value.after.data(), value.bytes);
    if (value.dtype == "exact" && std::memcmp(found, value.after.data(), value.bytes) != 0) difference = INFINITY;
  }
};

Value read(std::istream& file, const std::vector<Value>& before) {
  Value value;
  std::string kind;
  if (!(file >> kind)) return value;  // the caller says so
  if (kind == "integer") {
    file >> value.integer;
  } else if (kind == "real") {
    std::string text;
    file >> text;  // hexadecimal: exact
    value.real = std::strtod(text.c_str(), nullptr);
  } else if (kind == "array") {
    file >> value.dtype >> value.bytes;
    file.get();  // the end of the line
    value.memory.reset(new (std::align_val_t(kAlignment)) char[value.bytes + 1], Free());
    value.after.resize(value.bytes);
    file.read(value.memory.get(), std::streamsize(value.bytes));
    file.read(value.after.data(), std::streamsize(value.bytes));
  } else if (kind == "same") {  // the memory of an argument before it
    size_t which = 0;
    file >> which;
    value.memory = before.at(which).memory;
  } else if (kind != "null") {
    throw std::runtime_error("the file has an argument of kind '" + kind + "'");
  }
  return value;
}

struct Outcome {
  int calls = 0;
  double worst = 0;
};

int run(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + name);
  Table table;
  bind(table);
  std::map<std::string, Outcome> outcomes;
  std::string kernel;
  double tolerance = 0;
  for (int count = 0; file >> kernel >> tolerance >> count;) {
    std::vector<Value> values;
    for (int i = 0; i < count; ++i) values.push_back(read(file, values));
    if (!file) throw std::runtime_error("the file ends in a call of " + kernel);
    table.kernels.at(kernel)(values);
    Outcome& outcome = outcomes[kernel];
    outcome.calls += 1;
    Comparison comparison;
    for (const Value& value : values) comparison.add(value);
    outcome.worst = std::max(outcome.worst, comparison.difference / (tolerance * std::max(comparison.largest, 1e-12)));
  }
  int wrong = 0;
  for (const auto& [called, outcome] : outcomes) {
    const bool right = outcome.worst <= 1;
    wrong += !right;
    std::printf("%-26s %3d calls, worst difference %8.1e of what is allowed%s\n", called.c_str(), outcome.calls,
                outcome.worst, right ? "" : "  WRONG");
  }
  for (const auto& [bound, unused] : table.kernels)
    if (!outcomes.count(bound)) std::printf("%-26s never called\n", bound.c_str()), ++wrong;
  std::printf("level %s: %zu kernels, %d wrong\n", level().c_str(), table.kernels.size(), wrong);
  return wrong != 0;
}

}  // namespace replay
}  // namespace cfw

int main(int count, char** arguments) {
  try {
    if (count < 2) throw std::runtime_error("usage: replay FILE [LEVEL]");
    if (count > 2) cfw::set_level(arguments[2]);
    return cfw::replay::run(arguments[1]);
  } catch (const std::exception& error) {
    std::cerr << "replay: " << error.what() << "\n";
    return 2;
  }
}
