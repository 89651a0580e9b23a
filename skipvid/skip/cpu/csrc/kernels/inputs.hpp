// Network inputs, floats or bytes, compared with what was published of them.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

#ifdef __AVX512BW__
// 16 pixels of three bytes, one to each lane, with a zero behind.
SKIPVID_INLINE __m512i pixels_apart(__m512i bytes) {
  const __m512i quarters = _mm512_setr_epi32(0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11, 15);
  const __m512i pixels = _mm512_maskz_broadcast_i32x4(0xffff, _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
  return _mm512_shuffle_epi8(_mm512_maskz_permutexvar_epi32(0xffff, quarters, bytes), pixels);
}
// The other way round.
SKIPVID_INLINE __m512i pixels_together(__m512i pixels) {
  const __m512i quarters = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 3, 3, 3);
  const __m512i bytes = _mm512_maskz_broadcast_i32x4(0xffff, _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  return _mm512_maskz_permutexvar_epi32(0xffff, quarters, _mm512_shuffle_epi8(pixels, bytes));
}

// |now - before| of 16 pixels, summed over their bytes, of which `present` of 48 are read.
SKIPVID_INLINE __m512i byte_distances(const std::uint8_t* now, const std::uint8_t* before, __mmask64 present) {
  const __m512i a = _mm512_maskz_loadu_epi8(present, now), b = _mm512_maskz_loadu_epi8(present, before);
  const __m512i distance = _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a));
  const __m512i apart = pixels_apart(distance);
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

#ifdef __AVX512BW__
// Entries of a table of 256 words.
SKIPVID_INLINE __m512i looked_up(const std::byte* table, __m512i places) {
  const auto quarter = [&](int number) {
    const std::byte* const from = table + number * 128;
    return _mm512_permutex2var_epi16(_mm512_loadu_si512(from), places, _mm512_loadu_si512(from + 64));
  };
  const __mmask32 odd = _mm512_test_epi16_mask(places, _mm512_set1_epi16(64)),
                  upper = _mm512_test_epi16_mask(places, _mm512_set1_epi16(128));
  return _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(quarter(0), odd, quarter(1)), upper,
                               _mm512_mask_mov_epi16(quarter(2), odd, quarter(3)));
}

// As publish_bytes(), of 32 pixels of bfloat16, four values each.
SKIPVID_INLINE void publish_many(const ByteValues& values, const std::uint8_t* now, std::uint32_t open, std::byte* rows,
                                 std::uint8_t* bytes) {
  constexpr __mmask64 present = (std::uint64_t{1} << 48) - 1;
  const __m512i picture[2] = {_mm512_maskz_loadu_epi8(present, now), _mm512_maskz_loadu_epi8(present, now + 48)};
  const __m512i apart[2] = {pixels_apart(picture[0]), pixels_apart(picture[1])};
  // Four pixels of the first half and four of the second take turns.
  __m512i words[3];
  for (int channel = 0; channel < 3; ++channel) {
    const __m128i shift = _mm_cvtsi32_si128(8 * values.bytes[channel]);
    const auto places = [&](__m512i half) { return _mm512_and_si512(_mm512_maskz_srl_epi32(0xffff, half, shift), _mm512_set1_epi32(255)); };
    words[channel] = looked_up(values.tables[channel], _mm512_packus_epi32(places(apart[0]), places(apart[1])));
  }
  const __m512i zero = _mm512_setzero_si512();
  const __m512i order[2] = {_mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15)};
  for (int half = 0; half < 2; ++half, open >>= 16) {
    const auto some = static_cast<__mmask16>(open);
    if (some == 0) continue;
    const __m512i pairs = half == 0 ? _mm512_unpacklo_epi16(words[0], words[1]) : _mm512_unpackhi_epi16(words[0], words[1]);
    const __m512i others = half == 0 ? _mm512_unpacklo_epi16(words[2], zero) : _mm512_unpackhi_epi16(words[2], zero);
    const __m512i first = _mm512_maskz_unpacklo_epi32(0xffff, pairs, others), second = _mm512_maskz_unpackhi_epi32(0xffff, pairs, others);
    std::byte* const to = rows + half * 128;
    _mm512_mask_storeu_epi64(to, static_cast<__mmask8>(some), _mm512_permutex2var_epi64(first, order[0], second));
    _mm512_mask_storeu_epi64(to + 64, static_cast<__mmask8>(some >> 8), _mm512_permutex2var_epi64(first, order[1], second));
    const __mmask64 taken = _mm512_movepi8_mask(pixels_together(_mm512_maskz_set1_epi32(some, -1)));
    const __m512i old = _mm512_maskz_loadu_epi8(present, bytes + half * 48), all = _mm512_mask_mov_epi8(old, taken, picture[half]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + half * 48), _mm512_maskz_extracti64x4_epi64(0xf, all, 0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes + half * 48 + 32), _mm512_maskz_extracti32x4_epi32(0xf, all, 2));
  }
}
#endif

template <class Value>
void publish_bytes(const ByteValues& values, const std::uint8_t* now, int pixels, std::uint64_t open, std::byte* rows,
                   std::ptrdiff_t stride, std::uint8_t* bytes) {
#ifdef __AVX512BW__
  constexpr int many = 32, few = 3;  // fewer are looked up by themselves
  for (int from = 0; sizeof(Value) == 2 && stride == 8 && from + many <= pixels; from += many) {
    const auto some = static_cast<std::uint32_t>(open >> from);
    if (__builtin_popcount(some) <= few) continue;
    publish_many(values, now + std::ptrdiff_t{3} * from, some, rows + from * stride, bytes + std::ptrdiff_t{3} * from);
    open &= ~(std::uint64_t{0xffffffffU} << from);
  }
#else
  static_cast<void>(pixels);
#endif
  const Value* const tables[3] = {view<Value>(values.tables[0]), view<Value>(values.tables[1]), view<Value>(values.tables[2])};
  const int order[3] = {values.bytes[0], values.bytes[1], values.bytes[2]};  // copies: what is written could be any other's bytes
  for (; open != 0; open &= open - 1) {
    const std::ptrdiff_t pixel = __builtin_ctzll(open);
    const std::uint8_t* const from = now + 3 * pixel;
    Value* const to = view<Value>(rows + pixel * stride);
    for (int channel = 0; channel < 3; ++channel) to[channel] = tables[channel][from[order[channel]]];
    if constexpr (sizeof(Value) < sizeof(float)) to[3] = Value{};  // see Convolution::join()
    __builtin_memcpy(bytes + 3 * pixel, from, 3);
  }
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
