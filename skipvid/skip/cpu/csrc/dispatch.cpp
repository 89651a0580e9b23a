#include <cstring>

#include "kernels.hpp"
#if defined(SKIPVID_HAS_TILES) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace skipvid {

extern const Kernels kernels_generic, half_kernels_generic, half_kernels_amx_emulated;
#ifdef SKIPVID_X86
extern const Kernels kernels_avx2, half_kernels_avx2, kernels_avx512, half_kernels_avx512;
#ifdef SKIPVID_HAS_PAIRS
extern const Kernels half_kernels_avx512_bf16;
#endif
#ifdef SKIPVID_HAS_TILES
extern const Kernels half_kernels_amx_bf16;
#endif
#endif

constinit thread_local Duty before_rest = nullptr;

void rest() {
  if (before_rest != nullptr) before_rest();
  before_rest = nullptr;
}

namespace {

constexpr const char* names[] = {"amx_bf16", "avx512_bf16", "avx512", "avx2", "generic", "amx_emulated"};

const Kernels* choose(Element element, const Kernels& floats, const Kernels& halves) { return element == Element::f32 ? &floats : &halves; }

#if defined(SKIPVID_HAS_TILES) && defined(__linux__)
bool processor_has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const unsigned bf16_and_tiles = 1U << 22 | 1U << 24;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & bf16_and_tiles) != bf16_and_tiles) return false;
  // Palette 1: names and bytes of a row in b, rows in c.
  if (__get_cpuid_count(0x1d, 1, &a, &b, &c, &d) == 0 || b >> 16 < 8 || (b & 0xffffU) < 64 || (c & 0xffffU) < 16) return false;
  const unsigned system_saves = 1U << 27, tile_states = 3U << 17;  // of the configuration, and of the data
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & system_saves) == 0) return false;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & tile_states) == tile_states;
}

// Linux lets a process use the tiles' data, state component 18, when it has asked for that. For all its threads, so once.
bool may_use_tiles() {
  constexpr long request_permission = 0x1023, tile_data = 18;
  static const bool granted = processor_has_tiles() && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return granted;
}
#endif

}  // namespace

std::span<const char* const> instruction_sets() { return names; }

const Kernels* find_kernels(const char* name, Element element) {
  const bool half = element == Element::bf16;
#ifdef SKIPVID_X86
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw");
#if defined(SKIPVID_HAS_TILES) && defined(__linux__)
  if (std::strcmp(name, "amx_bf16") == 0) return half && avx512 && may_use_tiles() ? &half_kernels_amx_bf16 : nullptr;
#endif
#ifdef SKIPVID_HAS_PAIRS
  if (std::strcmp(name, "avx512_bf16") == 0) {
    return half && avx512 && __builtin_cpu_supports("avx512bf16") ? &half_kernels_avx512_bf16 : nullptr;
  }
#endif
  if (std::strcmp(name, "avx512") == 0) return avx512 ? choose(element, kernels_avx512, half_kernels_avx512) : nullptr;
  if (std::strcmp(name, "avx2") == 0) {
    const bool runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return runs ? choose(element, kernels_avx2, half_kernels_avx2) : nullptr;
  }
#endif
  if (std::strcmp(name, "amx_emulated") == 0) return half ? &half_kernels_amx_emulated : nullptr;
  return std::strcmp(name, "generic") == 0 ? choose(element, kernels_generic, half_kernels_generic) : nullptr;
}

const Kernels& best_kernels(Element element) {
  for (const char* name : names) {
    if (const Kernels* kernels = find_kernels(name, element)) return *kernels;
  }
  return *choose(element, kernels_generic, half_kernels_generic);
}

}  // namespace skipvid
