// What both parts of the module skipvid.tasks._registered share.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SKIPVID_HASWELL
// Whether the processor has the instructions of those functions that are compiled for them, too.
inline bool has_haswell() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}
#endif

namespace nb = nanobind;

inline void check(bool fits, const char* problem) {
  if (!fits) throw std::invalid_argument(problem);
}

void bind_patches(nb::module_& m);
