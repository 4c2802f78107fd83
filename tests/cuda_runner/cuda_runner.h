// Runs CUDA kernels on the CPU, for tests: a block is a set of fibers, one a thread, that give way at barriers and shuffles.
//
// Blocks run one after the other. Shared memory is a fresh heap block of exactly the size asked for, filled with NaN: the
// address sanitizer sees what reaches beyond it, and a value read before it was written shows. A thread runs on until it
// must wait, so a missing barrier shows as wrong results in one of the three orders of the threads; to prove that it would,
// tests take barriers away one at a time (`drop_barrier`).
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <dlfcn.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __syncthreads() ::cfw::cuda::runner::barrier(__FILE__, __LINE__)
#define threadIdx (::cfw::cuda::runner::current().thread)
#define blockIdx (::cfw::cuda::runner::current().block)
#define blockDim (::cfw::cuda::runner::current().block_size)
#define gridDim (::cfw::cuda::runner::current().grid_size)

struct int2 {
  int x, y;
};
inline int2 make_int2(int x, int y) { return {x, y}; }

namespace cfw {
namespace cuda {
namespace runner {

struct Index {
  unsigned x;
};

struct Context {
  ucontext_t start;
  jmp_buf now;
  bool started = false;
  const void* stack = nullptr;
  size_t stack_bytes = 0;
};

#ifdef __SANITIZE_ADDRESS__
// The sanitizer is told of every new stack and of every change. Its own longjmp forgets the edges of arrays on the stack that
// it leaves, so this is the C library's.
inline void begin(Context& to) { __asan_unpoison_memory_region(to.stack, to.stack_bytes); }
inline void jump(Context& to) {
  using Longjmp = void (*)(jmp_buf, int);
  static const auto longjmp = reinterpret_cast<Longjmp>(dlsym(dlopen("libc.so.6", RTLD_LAZY), "_longjmp"));
  longjmp(to.now, 1);
}
inline void leave_for(Context& to) { __sanitizer_start_switch_fiber(nullptr, to.stack, to.stack_bytes); }
inline void arrive_from(Context& from) { __sanitizer_finish_switch_fiber(nullptr, &from.stack, &from.stack_bytes); }
#else
inline void begin(Context&) {}
inline void jump(Context& to) { _longjmp(to.now, 1); }
inline void leave_for(Context&) {}
inline void arrive_from(Context&) {}
#endif

// Stop here, go on there. Jumps spare the two system calls of swapcontext.
inline void change(Context& from, Context& to) {
  if (_setjmp(from.now)) {
    arrive_from(to);
    return;
  }
  from.started = true;
  leave_for(to);
  if (to.started) jump(to);
  setcontext(&to.start);
}

enum class Wait { none, barrier, shuffle, finished };

struct Fiber {
  Index thread, block, block_size, grid_size;
  Wait wait;
  double exchanged;  // what this lane offers to its warp
  Context context;
};

struct State {
  int order = 0;                      // 0 ascending, 1 descending, 2 shuffled
  std::string dropped;                // file:line of a barrier to leave out
  std::vector<std::string> barriers;  // all that were met
  std::vector<Fiber> fibers;
  std::vector<std::unique_ptr<char[]>> stacks;
  Fiber* running = nullptr;
  Context scheduler;
  std::function<void()> body;
  char* shared = nullptr;
};

State& state();

inline Fiber& current() { return *state().running; }

inline void give_way(Wait wait) {
  Fiber& own = current();
  own.wait = wait;
  change(own.context, state().scheduler);
}

inline void barrier(const char* file, int line) {
  const char* name = std::strrchr(file, '/');
  const std::string site = std::string(name ? name + 1 : file) + ":" + std::to_string(line);
  bool known = false;
  for (const std::string& other : state().barriers) known = known || other == site;
  if (!known) state().barriers.push_back(site);
  if (site != state().dropped) give_way(Wait::barrier);
}

void run_grid(int64_t blocks, int threads, int64_t shared_bytes);

}  // namespace runner

struct Queue;

template <class Shared>
inline Shared& shared() {
  return *reinterpret_cast<Shared*>(runner::state().shared);
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes, const Queue&,
            Arguments... arguments) {
  if (threads < 1 || threads > 1024 || shared_bytes > 48 * 1024 || blocks > INT32_MAX)
    throw std::runtime_error("cuda_runner: no device launches that");
  runner::state().body = [=] { kernel(Parameters(arguments)...); };
  runner::run_grid(blocks, threads, shared_bytes);
}

// What lane `from` of the warp offers; its own value where there is no such lane.
template <class T>
inline T shuffle(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(double), "one value a lane");
  runner::Fiber& own = runner::current();
  std::memcpy(&own.exchanged, &value, sizeof(T));
  runner::give_way(runner::Wait::shuffle);
  const unsigned lane = own.thread.x % 32, thread = from < 32 ? own.thread.x - lane + from : own.thread.x;
  std::memcpy(&value, &runner::state().fibers.at(thread).exchanged, sizeof(T));
  runner::give_way(runner::Wait::shuffle);  // nobody offers the next value before all have read this one
  return value;
}

template <class T>
inline T __shfl_sync(unsigned, T value, int from) {
  return shuffle(value, from);
}

template <class T>
inline T __shfl_down_sync(unsigned, T value, int offset) {
  return shuffle(value, threadIdx.x % 32 + offset);
}

template <class T>
inline T __shfl_xor_sync(unsigned, T value, int mask) {
  return shuffle(value, threadIdx.x % 32 ^ mask);
}

}  // namespace cuda
}  // namespace cfw

using cfw::cuda::__shfl_down_sync;
using cfw::cuda::__shfl_sync;
using cfw::cuda::__shfl_xor_sync;
