// The CUDA release that the driver knows and the one of the runtime that is linked into the module, as 1000 * major + 10 * minor.
// Neither starts CUDA in the process.
#pragma once

namespace cfw {
namespace cuda {

int driver_version();  // 0 where there is no driver
int runtime_version();

}  // namespace cuda
}  // namespace cfw
