#include <cstring>

#include "kernels.hpp"

namespace skipvid {

extern const Kernels kernels_generic, half_kernels_generic;
#ifdef SKIPVID_X86
extern const Kernels kernels_avx2, half_kernels_avx2, kernels_avx512, half_kernels_avx512;
#ifdef SKIPVID_HAS_PAIRS
extern const Kernels half_kernels_avx512_bf16;
#endif
#endif

namespace {

constexpr const char* names[] = {"avx512_bf16", "avx512", "avx2", "generic"};

const Kernels* choose(Element element, const Kernels& floats, const Kernels& halves) { return element == Element::f32 ? &floats : &halves; }

}  // namespace

std::span<const char* const> instruction_sets() { return names; }

const Kernels* find_kernels(const char* name, Element element) {
#ifdef SKIPVID_X86
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw");
#ifdef SKIPVID_HAS_PAIRS
  if (std::strcmp(name, "avx512_bf16") == 0) {
    const bool runs = element == Element::bf16 && avx512 && __builtin_cpu_supports("avx512bf16");
    return runs ? &half_kernels_avx512_bf16 : nullptr;
  }
#endif
  if (std::strcmp(name, "avx512") == 0) return avx512 ? choose(element, kernels_avx512, half_kernels_avx512) : nullptr;
  if (std::strcmp(name, "avx2") == 0) {
    const bool runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return runs ? choose(element, kernels_avx2, half_kernels_avx2) : nullptr;
  }
#endif
  return std::strcmp(name, "generic") == 0 ? choose(element, kernels_generic, half_kernels_generic) : nullptr;
}

const Kernels& best_kernels(Element element) {
  for (const char* name : names) {
    if (const Kernels* kernels = find_kernels(name, element)) return *kernels;
  }
  return *choose(element, kernels_generic, half_kernels_generic);
}

}  // namespace skipvid
