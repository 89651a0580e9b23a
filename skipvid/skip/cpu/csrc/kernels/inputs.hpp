// Network inputs, floats or bytes, compared with what was published of them.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

#ifdef __AVX512BW__
// |now - before| of 16 pixels, summed over their bytes, of which `present` of 48 are read.
SKIPVID_INLINE __m512i byte_distances(const std::uint8_t* now, const std::uint8_t* before, __mmask64 present) {
  // Four pixels to each quarter of a vector, and there one to each lane, with a zero behind its three bytes.
  const __m512i quarters = _mm512_setr_epi32(0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11, 15);
  const __m512i pixels = _mm512_maskz_broadcast_i32x4(0xffff, _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
  const __m512i a = _mm512_maskz_loadu_epi8(present, now), b = _mm512_maskz_loadu_epi8(present, before);
  const __m512i distance = _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a));
  const __m512i apart = _mm512_shuffle_epi8(_mm512_maskz_permutexvar_epi32(0xffff, quarters, distance), pixels);
  return _mm512_madd_epi16(_mm512_maddubs_epi16(apart, _mm512_set1_epi8(1)), _mm512_set1_epi16(1));
}

std::pair<std::uint64_t, std::uint64_t> byte_changes(const std::uint8_t* now, const std::uint8_t* before, int pixels, int least, int many) {
  const __m512i low = _mm512_set1_epi32(least), high = _mm512_set1_epi32(many);
  std::uint64_t some = 0, enough = 0;
  for (int from = 0; from < pixels; from += width, now += 3 * width, before += 3 * width) {
    const int bytes = 3 * (pixels - from < width ? pixels - from : width);
    const __m512i distances = byte_distances(now, before, (std::uint64_t{1} << bytes) - 1);
    some |= static_cast<std::uint64_t>(_mm512_cmpge_epi32_mask(distances, low)) << from;
    enough |= static_cast<std::uint64_t>(_mm512_cmpge_epi32_mask(distances, high)) << from;
  }
  return {some, enough};
}
#else
std::pair<std::uint64_t, std::uint64_t> byte_changes(const std::uint8_t* now, const std::uint8_t* before, int pixels, int least, int many) {
  if (__builtin_memcmp(now, before, static_cast<std::size_t>(pixels) * 3) == 0) return {0, 0};
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
#endif

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
