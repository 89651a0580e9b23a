// Network inputs, floats or bytes, compared with what was published of them.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

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

std::pair<std::uint64_t, std::uint64_t> byte_changes(const std::uint8_t* now, const std::uint8_t* before, int pixels, int least, int many) {
  std::uint8_t bytes[192] = {}, some[64], enough[64];
  for (int i = 0; i < 3 * pixels; ++i) bytes[i] = static_cast<std::uint8_t>(now[i] > before[i] ? now[i] - before[i] : before[i] - now[i]);
  const auto low = static_cast<std::uint16_t>(least), high = static_cast<std::uint16_t>(many);
  for (int p = 0; p < 64; ++p) {
    const auto total = static_cast<std::uint16_t>(bytes[3 * p] + bytes[3 * p + 1] + bytes[3 * p + 2]);
    some[p] = total >= low;
    enough[p] = total >= high;
  }
  return {gather_bits(some), gather_bits(enough)};
}

std::uint64_t input_changes(const float* data, std::ptrdiff_t channel_stride, std::ptrdiff_t column_stride, const float* published,
                            std::ptrdiff_t stride, int pixels, int channels, float threshold) {
  float total[64] = {};
  for (int c = 0; c < channels; ++c) {
    const float* plane = data + c * channel_stride;
    if (column_stride == 1 && stride == 4) {
      for (int p = 0; p < pixels; ++p) total[p] += __builtin_fabsf(plane[p] - published[p * 4 + c]);
    } else {
      for (int p = 0; p < pixels; ++p) total[p] += __builtin_fabsf(plane[p * column_stride] - published[p * stride + c]);
    }
  }
  std::uint64_t changed = 0;
  for (int p = 0; p < pixels; ++p) changed |= static_cast<std::uint64_t>(!(total[p] <= threshold)) << p;
  return changed;
}

}  // namespace
}  // namespace skipvid
