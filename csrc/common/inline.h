// Functions that must be inlined, so that sizes known to the caller become constants and loops over them unroll.
#pragma once

#define CFW_INLINE inline __attribute__((always_inline))
