// The type of a map's values in memory: float, or bfloat16, the upper half of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace skipvid {

// As a description names it.
enum class Element : std::int64_t { f32, bf16 };

struct BFloat16 {
  std::uint16_t bits;
};

constexpr std::ptrdiff_t size_of(Element element) { return element == Element::f32 ? sizeof(float) : sizeof(BFloat16); }

// Always inline: a copy of a function that was compiled for one processor must never serve for another.
inline __attribute__((always_inline)) float widened(float value) { return value; }
inline __attribute__((always_inline)) float widened(BFloat16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// The value as it is stored: rounded to the nearest, to even between two; denormal numbers are kept, a NaN becomes the quiet one.
template <class Value>
inline __attribute__((always_inline)) Value narrowed(float value) {
  if constexpr (sizeof(Value) == sizeof(float)) {
    return value;
  } else {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (value != value) return Value{0x7fc0};
    return Value{static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16)};
  }
}

}  // namespace skipvid
