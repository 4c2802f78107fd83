// Large pages for new memory, as NumPy asks for them. The system hands out fresh memory page by page. With pages of 4 KB
// that takes longer than most kernels need to fill it, with pages of 2 MB a fraction of that.
#pragma once
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace cfw {

// Ask for large pages in [address, address + bytes). A hint: nothing happens where the system has none.
inline void advise_huge_pages([[maybe_unused]] uintptr_t address, [[maybe_unused]] int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
  const uintptr_t first = (address + page - 1) / page * page, last = (address + uintptr_t(bytes)) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace cfw
