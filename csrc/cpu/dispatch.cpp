#include "cpu/dispatch.h"

#include <atomic>
#include <stdexcept>

namespace cfw {
namespace {

const char* const kNames[] = {"baseline", "avx2", "avx512"};

Level best() {
#if CFW_X86_LEVELS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw"))
    return Level::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Level::avx2;
#endif
  return Level::baseline;
}

// Atomic for Python without the GIL.
std::atomic<Level> current{best()};

}  // namespace

std::vector<std::string> levels() { return {kNames, kNames + static_cast<int>(best()) + 1}; }

std::string level() { return kNames[static_cast<int>(current.load())]; }

void set_level(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(best()); ++i)
    if (name == kNames[i]) {
      current = static_cast<Level>(i);
      return;
    }
  throw std::invalid_argument("set_level: this machine cannot run level '" + name + "'");
}

Level current_level() { return current; }

}  // namespace cfw
