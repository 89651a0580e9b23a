// Vectors of the instruction set at hand, by the compiler's vector types. Included only by files compiled once per instruction set:
// everything is in an unnamed namespace, so that the linker can never merge code for one processor into code for another.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "../kernels.hpp"

#define SKIPVID_INLINE inline __attribute__((always_inline))

namespace skipvid {
namespace {

constexpr int width = SKIPVID_WIDTH;

using Floats = float __attribute__((vector_size(width * 4)));
using Ints = std::int32_t __attribute__((vector_size(width * 4)));

// From and to any address. Clang forgets the smaller alignment of such a type on the way to a load; GCC's code is to stay as measured.
#ifdef __clang__
SKIPVID_INLINE Floats load(const float* from) {
  Floats value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
SKIPVID_INLINE void store(float* to, Floats value) { __builtin_memcpy(to, &value, sizeof value); }
#else
using LooseFloats = float __attribute__((vector_size(width * 4), aligned(4), may_alias));
SKIPVID_INLINE Floats load(const float* from) { return *reinterpret_cast<const LooseFloats*>(from); }
SKIPVID_INLINE void store(float* to, Floats value) { *reinterpret_cast<LooseFloats*>(to) = value; }
#endif
SKIPVID_INLINE Floats all(float value) { return value - Floats{}; }
SKIPVID_INLINE Floats as_floats(Ints bits) { return reinterpret_cast<Floats>(bits); }
SKIPVID_INLINE Ints as_ints(Floats value) { return reinterpret_cast<Ints>(value); }

// bfloat16 in memory, floats in registers.
using Words = std::uint32_t __attribute__((vector_size(width * 4)));
using Uppers = std::uint16_t __attribute__((vector_size(width * 2)));
// Of vectors that GCC 12 converts in pieces otherwise. "maskz", all lanes: it warns of the undefined ones of the plain forms.
SKIPVID_INLINE Floats widened_lanes(Uppers bits) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)bits), 16);
#elif defined(__AVX2__)
  return (Floats)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)bits), 16);
#else
  return reinterpret_cast<Floats>(__builtin_convertvector(bits, Words) << 16);
#endif
}
SKIPVID_INLINE Uppers lower_halves(Words words) {
#ifdef __AVX512F__
  return (Uppers)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)words);
#else
  return __builtin_convertvector(words, Uppers);
#endif
}
// narrowed<BFloat16>() of each lane.
SKIPVID_INLINE Uppers narrowed_lanes(Floats value) {
#ifdef SKIPVID_PAIRS
  // The processor's own conversion takes denormal numbers for 0.
  if (__builtin_expect(_mm512_fpclass_ps_mask((__m512)value, 0x20) == 0, 1)) return (Uppers)_mm512_cvtneps_pbh((__m512)value);
#endif
  const Words bits = reinterpret_cast<Words>(value), quiet = Words{} + 0x7fc0U;
  return lower_halves(value == value ? (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16 : quiet);
}
SKIPVID_INLINE Floats load(const BFloat16* from) {
  Uppers bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return widened_lanes(bits);
}
SKIPVID_INLINE void store(BFloat16* to, Floats value) {
  const Uppers bits = narrowed_lanes(value);
  __builtin_memcpy(to, &bits, sizeof bits);
}
#ifdef SKIPVID_PAIRS
// narrowed_lanes() of two vectors, one behind the other.
SKIPVID_INLINE Words narrowed_two(Floats first, Floats second) {
  const __mmask16 denormal = _mm512_fpclass_ps_mask((__m512)first, 0x20) | _mm512_fpclass_ps_mask((__m512)second, 0x20);
  if (__builtin_expect(denormal == 0, 1)) return (Words)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  const Uppers halves[2] = {narrowed_lanes(first), narrowed_lanes(second)};
  Words both;
  __builtin_memcpy(&both, halves, sizeof both);
  return both;
}
#endif
#ifdef SKIPVID_PAIRS
// Of values that are no denormal numbers.
SKIPVID_INLINE Floats rounded_normal(Floats value) { return widened_lanes((Uppers)_mm512_cvtneps_pbh((__m512)value)); }
SKIPVID_INLINE void store_normal(BFloat16* to, Floats value) {
  const auto bits = _mm512_cvtneps_pbh((__m512)value);
  __builtin_memcpy(to, &bits, sizeof bits);
}
SKIPVID_INLINE void store_normal_two(BFloat16* to, Floats first, Floats second) {
  const auto bits = _mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  __builtin_memcpy(to, &bits, sizeof bits);
}
#endif
// Two vectors, one behind the other.
template <class Value>
SKIPVID_INLINE void store_two(Value* to, Floats first, Floats second) {
#ifdef SKIPVID_PAIRS
  if constexpr (sizeof(Value) == sizeof(BFloat16)) {
    const Words both = narrowed_two(first, second);
    __builtin_memcpy(to, &both, sizeof both);
    return;
  }
#endif
  store(to, first);
  store(to + width, second);
}
// What load() finds after store().
template <class Value>
SKIPVID_INLINE Floats stored(Floats value) {
  if constexpr (sizeof(Value) == sizeof(float)) {
    return value;
  } else {
    return widened_lanes(narrowed_lanes(value));
  }
}
// The values at an address in bytes.
template <class Value>
SKIPVID_INLINE const Value* view(const std::byte* address) {
  return reinterpret_cast<const Value*>(address);
}
template <class Value>
SKIPVID_INLINE Value* view(std::byte* address) {
  return reinterpret_cast<Value*>(address);
}

// Comparisons are written so that a NaN in x stays a NaN: the processor's, too, return the second operand then.
SKIPVID_INLINE Floats at_least(Floats low, Floats x) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_max_ps(0xffff, (__m512)low, (__m512)x);
#elif defined(__AVX2__)
  return (Floats)_mm256_max_ps((__m256)low, (__m256)x);
#else
  return low > x ? low : x;
#endif
}
SKIPVID_INLINE Floats at_most(Floats high, Floats x) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_min_ps(0xffff, (__m512)high, (__m512)x);
#elif defined(__AVX2__)
  return (Floats)_mm256_min_ps((__m256)high, (__m256)x);
#else
  return high < x ? high : x;
#endif
}
SKIPVID_INLINE Floats clamp(Floats x, Floats low, Floats high) { return at_most(high, at_least(low, x)); }
SKIPVID_INLINE Floats absolute(Floats x) { return as_floats(as_ints(x) & 0x7fffffff); }

// Lane i of the result is lane Number_i of a, or of b where the number is `width` or more.
template <int... Number>
SKIPVID_INLINE Floats shuffled(Floats a, Floats b) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, Number...);
#else  // GCC has the other builtin from version 12 on only
  return __builtin_shuffle(a, b, Ints{Number...});
#endif
}

template <int... Lane>
struct Lanes {
  static constexpr Ints numbers{Lane...};
  // Each lane beside the one at a distance from it.
  template <int Distance>
  static SKIPVID_INLINE Floats partners(Floats x) {
    return shuffled<(Lane ^ Distance)...>(x, x);
  }
};
template <int Count, int... Lane>
struct MakeLanes : MakeLanes<Count - 1, Count - 1, Lane...> {};
template <int... Lane>
struct MakeLanes<0, Lane...> : Lanes<Lane...> {};
using Lane = MakeLanes<width>;

// Lanes are added in a fixed order: halves, then quarters, ...
template <int Distance = width / 2>
SKIPVID_INLINE float sum(Floats x) {
  x += Lane::partners<Distance>(x);
  if constexpr (Distance > 1) {
    return sum<Distance / 2>(x);
  } else {
    return x[0];
  }
}

// Two vectors' lanes added at a distance, side by side in one vector: what sum() does to each of them, for several at a time.
template <int Distance, int Offset, class Numbers>
struct Halves;
template <int Distance, int Offset, int... Number>
struct Halves<Distance, Offset, Lanes<Number...>> {
  static SKIPVID_INLINE Floats of(Floats a, Floats b) {
    return shuffled<(Number / (width / 2) * width + Number % (width / 2) / Distance * 2 * Distance + Number % (width / 2) % Distance +
                     Offset)...>(a, b);
  }
};
template <int... Number>
Lanes<Number...> lanes_of(const Lanes<Number...>&);
using LaneNumbers = decltype(lanes_of(Lane{}));

template <int Distance>
SKIPVID_INLINE Floats add_pairs(Floats a, Floats b) {
  return Halves<Distance, 0, LaneNumbers>::of(a, b) + Halves<Distance, Distance, LaneNumbers>::of(a, b);
}

// The sums of four vectors, each the same bits as sum(): of vector i in lane i * (width / 4).
SKIPVID_INLINE Floats four_sums(Floats a, Floats b, Floats c, Floats d) {
  Floats total = add_pairs<width / 4>(add_pairs<width / 2>(a, b), add_pairs<width / 2>(c, d));
  if constexpr (width >= 16) total += Lane::partners<2>(total);
  if constexpr (width >= 8) total += Lane::partners<1>(total);
  return total;
}

// x with the lanes from `count` on set to zero.
SKIPVID_INLINE Floats first(Floats x, int count) { return as_floats(as_ints(x) & (Lane::numbers < count)); }

// Bit i = whether byte i, 0 or 1, is set.
SKIPVID_INLINE std::uint64_t gather_bits(const std::uint8_t* flags) {
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) {
    std::uint64_t eight;
    __builtin_memcpy(&eight, flags + 8 * i, 8);
    bits |= (eight * 0x0102040810204080U >> 56) << (8 * i);
  }
  return bits;
}

// e^x - 1 = (2^n - 1) + 2^n q, with q = e^r - 1 from a polynomial on |r| <= ln 2 / 2 (coefficients: Cephes expf). Relative error < 2e-7.
struct Exponential {
  Floats scale, q;
};

SKIPVID_INLINE Exponential exponential(Floats x) {
  x = clamp(x, all(-87.0F), all(88.0F));
  const Floats shift = all(12582912.0F);  // 1.5 * 2^23: rounds to a whole number, kept in the low bits
  const Floats shifted = x * 1.44269504F + shift;
  const Floats n = shifted - shift;
  const Floats r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  Floats p = all(1.9875691500e-4F);
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  return {as_floats((as_ints(shifted) << 23) + 0x3f800000), p * (r * r) + r};
}

SKIPVID_INLINE Floats exp(Floats x) {
  const Exponential e = exponential(x);
  return e.scale + e.scale * e.q;
}

SKIPVID_INLINE Floats expm1(Floats x) {
  const Exponential e = exponential(x);
  return e.scale * e.q + (e.scale - 1.0F);
}

// 2^x for what will be rounded to bfloat16, of which half a step is 2^-9.
SKIPVID_INLINE Floats short_exp2(Floats x) {
#ifdef __AVX512DQ__
  // 2^n 2^f with the polynomial of degree 3 whose largest relative error on 0 <= f <= 1 is least, 7.5e-5. 0 and infinity at the ends.
  const Floats f = (Floats)_mm512_maskz_reduce_ps(0xffff, (__m512)x, 1);  // 1: less the largest whole number below
  Floats p = all(0.07802483F);
  p = p * f + 0.22606674F;
  p = p * f + 0.6958337F;
  p = p * f + 0.9999252F;
  return (Floats)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)x);
#else
  // 2^n 2^f, with the polynomial of degree 4 whose largest relative error on |f| <= 1/2 is least, 2.7e-6.
  x = clamp(x, all(-126.0F), all(126.0F));
  const Floats shift = all(12582912.0F);  // as above
  const Floats shifted = x + shift;
  const Floats f = x - (shifted - shift);
  Floats p = all(0.0095701041F);
  p = p * f + 0.0559179038F;
  p = p * f + 0.2402474582F;
  p = p * f + 0.6931217909F;
  p = p * f + 0.9999992847F;
  return as_floats(as_ints(p) + (as_ints(shifted) << 23));
#endif
}

// 1 / x for the same: where there is one, the processor's estimate, which is good to 2^-14.
SKIPVID_INLINE Floats short_reciprocal(Floats x) {
#ifdef __AVX512F__
  return (Floats)_mm512_maskz_rcp14_ps(0xffff, (__m512)x);  // all lanes: GCC warns of the other's undefined ones
#else
  return 1.0F / x;
#endif
}

// As exp(), to the ends of what a float can hold.
SKIPVID_INLINE Floats full_exp(Floats x) {
  const Floats half = exp(x * 0.5F);
  const Floats inside = exp(x), outside = half * half;
  return ((x < -87.0F) | (x > 88.0F)) ? outside : inside;
}

SKIPVID_INLINE Floats sqrt(Floats x) {
  for (int i = 0; i < width; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}

// ln x = ln m + e ln 2 with sqrt(1/2) <= m < sqrt(2), by a polynomial (coefficients: Cephes logf).
SKIPVID_INLINE Floats log(Floats x) {
  const Floats tiny = all(1.17549435e-38F), scaled = x < tiny ? x * 33554432.0F : x;  // 2^25, for denormal numbers
  Ints bits = as_ints(scaled) - 0x3f3504f3;
  const Ints exponent = bits >> 23;
  const Floats m = as_floats((bits & 0x007fffff) + 0x3f3504f3) - 1.0F;
  const Floats n = __builtin_convertvector(exponent, Floats) - (x < tiny ? all(25.0F) : all(0.0F));
  const Floats squared = m * m;
  Floats p = all(7.0376836292e-2F);
  p = p * m - 1.1514610310e-1F;
  p = p * m + 1.1676998740e-1F;
  p = p * m - 1.2420140846e-1F;
  p = p * m + 1.4249322787e-1F;
  p = p * m - 1.6668057665e-1F;
  p = p * m + 2.0000714765e-1F;
  p = p * m - 2.4999993993e-1F;
  p = p * m + 3.3333331174e-1F;
  Floats result = p * m * squared + n * -2.12194440e-4F - squared * 0.5F;
  result = result + m + n * 0.693359375F;
  const Floats infinite = all(__builtin_inff());
  result = x == 0.0F ? -infinite : result;
  result = x < 0.0F ? all(__builtin_nanf("")) : result;
  return ((x == infinite) | (x != x)) ? x : result;
}

}  // namespace
}  // namespace skipvid
