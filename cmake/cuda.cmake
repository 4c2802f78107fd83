# Whether the CUDA kernels are built, with which nvcc and for which architectures. Included before the first target, because
# targets take CMAKE_CUDA_ARCHITECTURES as it is when they are made.
#
# Sets CFW_CUDA_BUILT, and either CFW_CUDA_VERSION ("13.0"), CFW_CUDA_LIBRARIES (a folder the linker needs, or empty) and
# CFW_CUDA_CODES ("sm_75 ... compute_120", named as torch.cuda.get_arch_list() does), or CFW_CUDA_WHY_NOT.
include(${CMAKE_CURRENT_LIST_DIR}/cuda_architectures.cmake)

set(CFW_CUDA AUTO CACHE STRING "CUDA kernels: AUTO (where a working nvcc is found), ON, OFF, PYPI (nvcc of PyPI's packages)")
set_property(CACHE CFW_CUDA PROPERTY STRINGS AUTO ON OFF PYPI)
string(TOUPPER "${CFW_CUDA}" CFW_CUDA_WANTED)
# The oldest that knows Ada and Hopper.
set(CFW_CUDA_OLDEST 11.8)

# The nvcc to use, or an empty string. CMake by itself would not look in /usr/local/cuda, and take an empty CUDACXX for a name.
function(cfw_find_nvcc result)
  if(CFW_CUDA_WANTED STREQUAL "PYPI")
    # `nvidia` is a namespace package; its parts may lie in several folders.
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c "
import pathlib
try:
    import nvidia
    folders = list(nvidia.__path__)
except ImportError:
    folders = []
found = sorted(nvcc for folder in folders for nvcc in pathlib.Path(folder).glob('cu*/bin/nvcc'))
print(found[-1] if found else '', end='')"
      OUTPUT_VARIABLE nvcc)
  elseif(CMAKE_CUDA_COMPILER)
    get_filename_component(nvcc "${CMAKE_CUDA_COMPILER}" ABSOLUTE)
  elseif(NOT "$ENV{CUDACXX}" STREQUAL "")
    find_program(CFW_FOUND_NVCC "$ENV{CUDACXX}")  # its path, if that is a name
    set(nvcc "${CFW_FOUND_NVCC}")
    if(NOT nvcc)
      set(nvcc "$ENV{CUDACXX}")
    endif()
    unset(CFW_FOUND_NVCC CACHE)
  else()
    foreach(root "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}" /usr/local/cuda)
      if(NOT root STREQUAL "")
        list(APPEND places "${root}/bin")
      endif()
    endforeach()
    find_program(CFW_FOUND_NVCC nvcc PATHS ${places} NO_DEFAULT_PATH)
    find_program(CFW_FOUND_NVCC nvcc)
    set(nvcc "${CFW_FOUND_NVCC}")
    unset(CFW_FOUND_NVCC CACHE)  # looked for again in every run
  endif()
  if(NOT nvcc)
    set(nvcc "")
  endif()
  set(${result} "${nvcc}" PARENT_SCOPE)
endfunction()

# Compile and link a kernel as the real ones are; `failure` is the output if that fails, or empty.
function(cfw_try_nvcc nvcc flags failure)
  set(folder "${CMAKE_BINARY_DIR}/cfw_try_nvcc")
  file(WRITE "${folder}/try.cu" "
#include <cuda_runtime.h>
__global__ void kernel(int* x) { if constexpr (sizeof(int) == 4) x[threadIdx.x] = 1; }
extern \"C\" int try_it(int* x) { kernel<<<1, 32>>>(x); return int(cudaGetLastError()); }\n")
  execute_process(
    COMMAND "${nvcc}" -std=c++17 ${flags} -ccbin "${CMAKE_CUDA_HOST_COMPILER}" -Xcompiler -fPIC -shared try.cu -o try.so
    WORKING_DIRECTORY "${folder}" OUTPUT_VARIABLE text ERROR_VARIABLE text RESULT_VARIABLE status)
  if(status EQUAL 0)
    set(text "")
  elseif(text STREQUAL "")
    set(text "${status}")
  endif()
  set(${failure} "${text}" PARENT_SCOPE)
endfunction()

# Find nvcc and see that it works. Sets in the caller's scope the result variables above, and `reason` (one line) and `detail`
# where there is no nvcc to build with.
macro(cfw_prepare_cuda)
  set(reason "")
  set(detail "")
  set(CFW_CUDA_LIBRARIES "")
  cfw_find_nvcc(cfw_nvcc)
  if(cfw_nvcc STREQUAL "")
    set(reason "nvcc not found")
    if(CFW_CUDA_WANTED STREQUAL "PYPI")
      set(detail "the Python packages of pyproject.toml's CFW_CUDA=PYPI must be installed for ${Python_EXECUTABLE}")
    endif()
  else()
    execute_process(COMMAND "${cfw_nvcc}" --version OUTPUT_VARIABLE detail ERROR_VARIABLE detail RESULT_VARIABLE status)
    if(NOT status EQUAL 0 OR NOT detail MATCHES "release ([0-9]+\\.[0-9]+)")
      set(reason "${cfw_nvcc} --version fails")
      set(detail "${status} ${detail}")
    else()
      set(CFW_CUDA_VERSION "${CMAKE_MATCH_1}")
      if(CFW_CUDA_VERSION VERSION_LESS CFW_CUDA_OLDEST)
        set(reason "CUDA ${CFW_CUDA_VERSION} is too old, ${CFW_CUDA_OLDEST} or later is needed")
      endif()
    endif()
  endif()
  if(reason STREQUAL "")
    # One C++ compiler for everything, unless told otherwise.
    if(NOT CMAKE_CUDA_HOST_COMPILER AND "$ENV{CUDAHOSTCXX}" STREQUAL "")
      set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
    elseif(NOT CMAKE_CUDA_HOST_COMPILER)
      set(CMAKE_CUDA_HOST_COMPILER "$ENV{CUDAHOSTCXX}")
    endif()
    # The packages of PyPI have lib where nvcc looks for lib64.
    get_filename_component(cfw_cuda_root "${cfw_nvcc}" REALPATH)
    get_filename_component(cfw_cuda_root "${cfw_cuda_root}/../.." ABSOLUTE)
    if(EXISTS "${cfw_cuda_root}/lib/libcudart_static.a" AND NOT EXISTS "${cfw_cuda_root}/lib64")
      set(CFW_CUDA_LIBRARIES "${cfw_cuda_root}/lib")
      set(ENV{LIBRARY_PATH} "${CFW_CUDA_LIBRARIES}:$ENV{LIBRARY_PATH}")  # CMake's own trial links with no other flags
    endif()
    cfw_choose_architectures("${cfw_nvcc}")
    cfw_try_nvcc("${cfw_nvcc}" "${CFW_CUDA_FLAGS}" detail)
    if(NOT detail STREQUAL "")
      set(reason "CUDA ${CFW_CUDA_VERSION} does not compile with ${CMAKE_CUDA_HOST_COMPILER} for ${CFW_CUDA_CODES}")
    endif()
  endif()
endmacro()

set(CFW_CUDA_BUILT 0)
if(CFW_CUDA_WANTED STREQUAL "OFF" OR CFW_CUDA_WANTED MATCHES "^(0|NO|FALSE|N)$")
  set(CFW_CUDA_WHY_NOT "CFW_CUDA=OFF")
elseif(CFW_CUDA_WANTED MATCHES "^(AUTO|ON|PYPI|1|YES|TRUE|Y)$")
  cfw_prepare_cuda()
  set(CFW_CUDA_WHY_NOT "${reason}")
  if(reason STREQUAL "")
    set(CFW_CUDA_BUILT 1)
  elseif(NOT CFW_CUDA_WANTED STREQUAL "AUTO")
    message(FATAL_ERROR "closedform_wsss: CFW_CUDA=${CFW_CUDA}, but ${reason}\n${detail}")
  elseif(NOT cfw_nvcc STREQUAL "")
    message(WARNING "closedform_wsss: no CUDA kernels: ${reason}\n${detail}")
  endif()
else()
  message(FATAL_ERROR "closedform_wsss: CFW_CUDA must be AUTO, ON, OFF or PYPI, got ${CFW_CUDA}")
endif()

if(CFW_CUDA_BUILT)
  set(CMAKE_CUDA_COMPILER "${cfw_nvcc}")
  enable_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER STREQUAL cfw_nvcc)  # CMake never changes the compiler of a build folder
    message(FATAL_ERROR "closedform_wsss: ${CMAKE_BINARY_DIR} was made with ${CMAKE_CUDA_COMPILER}: delete it to use ${cfw_nvcc}")
  endif()
  set(CMAKE_CUDA_STANDARD 17)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
  message(STATUS "closedform_wsss: CUDA kernels by nvcc ${CFW_CUDA_VERSION} (${cfw_nvcc}): ${CFW_CUDA_CODES}, ${CFW_CUDA_CHOICE}")
else()
  message(STATUS "closedform_wsss: no CUDA kernels: ${CFW_CUDA_WHY_NOT}")
endif()
