// The CUDA kernels of csrc/cuda, compiled for the CPU, as a Python module for the tests.
#include "cuda_runner.h"

#include <algorithm>
#include <random>

#include "cuda/bindings.h"

namespace cfw {
namespace cuda {
namespace runner {

constexpr size_t kStackBytes = 128 * 1024;

State& state() {
  static State own;
  return own;
}

namespace {

int64_t missing_shared = 0;  // bytes less than a kernel asks for, to prove that sanitizers notice

// A thread of one block after the other.
void enter() {
  arrive_from(state().scheduler);
  for (;;) {
    state().body();
    give_way(Wait::finished);
  }
}

// Run every thread of the list until it waits.
void run_all(const std::vector<Fiber*>& fibers) {
  for (Fiber* fiber : fibers) {
    if (fiber->wait != Wait::none) continue;
    state().running = fiber;
    change(state().scheduler, fiber->context);
  }
}

// Threads that wait together go on; false if nobody can.
bool release(std::vector<Fiber>& fibers) {
  bool any = false;
  for (size_t first = 0; first < fibers.size(); first += 32) {
    const size_t last = std::min(first + 32, fibers.size());
    auto warp = [&](Wait wait) {
      return std::all_of(fibers.begin() + first, fibers.begin() + last, [&](const Fiber& f) { return f.wait == wait; });
    };
    if (!warp(Wait::shuffle)) continue;
    for (size_t i = first; i < last; ++i) fibers[i].wait = Wait::none;
    any = true;
  }
  if (any) return true;
  if (!std::all_of(fibers.begin(), fibers.end(), [](const Fiber& f) { return f.wait == Wait::barrier; })) return false;
  for (Fiber& fiber : fibers) fiber.wait = Wait::none;
  return true;
}

}  // namespace

void run_grid(int64_t blocks, int threads, int64_t wanted) {
  State& own = state();
  const int64_t shared_bytes = wanted - std::min(wanted, missing_shared);
  own.fibers.assign(threads, Fiber{});
  while (own.stacks.size() < size_t(threads)) own.stacks.emplace_back(new char[kStackBytes]);
  std::vector<Fiber*> order(threads);
  for (int i = 0; i < threads; ++i) {
    order[i] = &own.fibers[i];
    ucontext_t& start = own.fibers[i].context.start;
    getcontext(&start);
    start.uc_stack.ss_sp = own.stacks[i].get();
    start.uc_stack.ss_size = kStackBytes;
    start.uc_link = nullptr;
    own.fibers[i].context.stack = start.uc_stack.ss_sp;
    own.fibers[i].context.stack_bytes = kStackBytes;
    begin(own.fibers[i].context);
    makecontext(&start, enter, 0);
  }
  if (own.order == 1) std::reverse(order.begin(), order.end());
  if (own.order == 2) std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (int64_t block = 0; block < blocks; ++block) {
    const std::unique_ptr<double[]> memory(new double[(shared_bytes + 7) / 8]);
    std::fill_n(memory.get(), (shared_bytes + 7) / 8, std::nan(""));
    std::memset(reinterpret_cast<char*>(memory.get()), 0xff, shared_bytes);  // NaN in every floating-point type
    own.shared = reinterpret_cast<char*>(memory.get());
    for (int i = 0; i < threads; ++i) {
      Fiber& fiber = own.fibers[i];
      fiber.thread = {unsigned(i)}, fiber.block = {unsigned(block)};
      fiber.block_size = {unsigned(threads)}, fiber.grid_size = {unsigned(blocks)};
      fiber.wait = Wait::none;
    }
    do run_all(order);
    while (release(own.fibers));
    for (const Fiber& fiber : own.fibers)
      if (fiber.wait != Wait::finished) throw std::runtime_error("cuda_runner: threads wait where others do not");
  }
}

namespace {

void set_order(int order) { state().order = order; }
void drop_barrier(const std::string& site) { state().dropped = site; }
std::vector<std::string> barriers() { return state().barriers; }
void forget_barriers() { state().barriers.clear(); }
void shorten_shared(int64_t bytes) { missing_shared = bytes; }

Table table;

int fill(PyObject* module) {
  if (table.empty()) {
    cuda::bind(table);
    table.add<&set_order>("set_order");
    table.add<&drop_barrier>("drop_barrier");
    table.add<&barriers>("barriers");
    table.add<&forget_barriers>("forget_barriers");
    table.add<&shorten_shared>("shorten_shared");
  }
  return table.install(module);
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(&fill)}, {0, nullptr}};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "cfw_cuda_runner", nullptr, 0, nullptr, slots, nullptr, nullptr, nullptr,
};

}  // namespace
}  // namespace runner
}  // namespace cuda
}  // namespace cfw

PyMODINIT_FUNC PyInit_cfw_cuda_runner() { return PyModuleDef_Init(&cfw::cuda::runner::definition); }
