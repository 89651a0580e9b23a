#include <cstring>
#include <initializer_list>

#include "kernels.hpp"

namespace skipvid {

extern const Kernels kernels_generic;
#ifdef SKIPVID_X86
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

const Kernels* find_kernels(const char* name) {
#ifdef SKIPVID_X86
  if (std::strcmp(name, "avx512") == 0) {
    const bool runs = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw");
    return runs ? &kernels_avx512 : nullptr;
  }
  if (std::strcmp(name, "avx2") == 0) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernels_avx2 : nullptr;
#endif
  return std::strcmp(name, "generic") == 0 ? &kernels_generic : nullptr;
}

const Kernels& best_kernels() {
  for (const char* name : {"avx512", "avx2"}) {
    if (const Kernels* kernels = find_kernels(name)) return *kernels;
  }
  return kernels_generic;
}

}  // namespace skipvid
