// Network inputs, floats or bytes, compared with what was published of them.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

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

template <class Value>
SKIPVID_INLINE void add_distances(const float* data, std::ptrdiff_t channel_stride, std::ptrdiff_t column_stride,
                                  const std::byte* published_at, std::ptrdiff_t stride, int pixels, int channels, float* total) {
  const Value* const published = view<Value>(published_at);
  stride /= static_cast<std::ptrdiff_t>(sizeof(Value));
  const auto change = [](float now, Value before) { return __builtin_fabsf(widened(narrowed<Value>(now)) - widened(before)); };
  for (int c = 0; c < channels; ++c) {
    const float* plane = data + c * channel_stride;
    if (column_stride == 1 && stride == 4) {
      for (int p = 0; p < pixels; ++p) total[p] += change(plane[p], published[p * 4 + c]);
    } else {
      for (int p = 0; p < pixels; ++p) total[p] += change(plane[p * column_stride], published[p * stride + c]);
    }
  }
}

template <class Value>
std::uint64_t input_changes(const float* data, std::ptrdiff_t channel_stride, std::ptrdiff_t column_stride, const std::byte* published,
                            std::ptrdiff_t stride, int pixels, int channels, float threshold) {
  float total[64] = {};
  add_distances<Value>(data, channel_stride, column_stride, published, stride, pixels, channels, total);
  std::uint64_t changed = 0;
  for (int p = 0; p < pixels; ++p) changed |= static_cast<std::uint64_t>(!(total[p] <= threshold)) << p;
  return changed;
}

template <class Value>
void input_distances(const float* data, std::ptrdiff_t channel_stride, std::ptrdiff_t column_stride, const std::byte* published,
                     std::ptrdiff_t stride, int pixels, int channels, float* sums) {
  for (int p = 0; p < pixels; ++p) sums[p] = 0;
  add_distances<Value>(data, channel_stride, column_stride, published, stride, pixels, channels, sums);
}

}  // namespace
}  // namespace skipvid
