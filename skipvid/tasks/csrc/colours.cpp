// Pixels of lines of values, and lines of pixels: displaced.cpp.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "displaced.hpp"
#ifdef SKIPVID_HASWELL
#include <immintrin.h>
#endif

namespace displaced {
namespace {

constexpr int left_bits = level_bits + colour_bits - product_bits;  // behind the point, of a level times what makes colours
constexpr std::int32_t neutral = 128 << level_bits;

std::uint8_t to_byte(std::int32_t value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

[[gnu::always_inline]] inline void part_by_one(const std::int16_t* __restrict from, Lines& to, std::ptrdiff_t count) {
  std::int16_t* __restrict blue = to[0].data(), * __restrict green = to[1].data(), * __restrict red = to[2].data();
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    blue[x] = from[3 * x];
    green[x] = from[3 * x + 1];
    red[x] = from[3 * x + 2];
  }
}

std::int32_t product(std::int16_t level, std::int16_t factor) { return (level * factor + (1 << (product_bits - 1))) >> product_bits; }

void mix_by_one(const Lines& levels, const Mixer& mixer, std::uint8_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    const auto at = static_cast<std::size_t>(x);
    const std::int16_t blue = to_word(levels[1][at] - neutral), red = to_word(levels[2][at] - neutral);
    const std::int32_t luma = product(to_word(levels[0][at] - mixer.black), mixer.of_luma) + (1 << (left_bits - 1));
    to[3 * x] = to_byte((luma + product(blue, mixer.blue_blue)) >> left_bits);
    to[3 * x + 1] = to_byte((luma + product(blue, mixer.blue_green) + product(red, mixer.red_green)) >> left_bits);
    to[3 * x + 2] = to_byte((luma + product(red, mixer.red_red)) >> left_bits);
  }
}

void join_by_one(const Lines& values, std::uint8_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t x = 0; x < count * channels; ++x)
    to[x] = to_byte(values[static_cast<std::size_t>(x % channels)][static_cast<std::size_t>(x / channels)]);
}

#ifdef SKIPVID_HASWELL
constexpr std::ptrdiff_t joined = 16;

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i sixteen(const Line& line, std::ptrdiff_t x) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(line.data() + x));
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i all(int value) {
  return _mm256_set1_epi16(static_cast<std::int16_t>(value));
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m128i bytes(__m256i words) {
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// A third of sixteen pixels: those of the bytes of each colour that places say, -1 being none.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline void put(const __m128i* colours, const std::int8_t (*places)[16], std::uint8_t* to) {
  __m128i sum = _mm_setzero_si128();
  for (std::ptrdiff_t n = 0; n < channels; ++n) {
    sum = _mm_or_si128(sum, _mm_shuffle_epi8(colours[n], _mm_loadu_si128(reinterpret_cast<const __m128i*>(places[n]))));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sum);
}

constexpr std::int8_t o = -1;
constexpr std::int8_t mixed[3][channels][16] = {{{0, o, o, 1, o, o, 2, o, o, 3, o, o, 4, o, o, 5},
                                                 {o, 0, o, o, 1, o, o, 2, o, o, 3, o, o, 4, o, o},
                                                 {o, o, 0, o, o, 1, o, o, 2, o, o, 3, o, o, 4, o}},
                                                {{o, o, 6, o, o, 7, o, o, 8, o, o, 9, o, o, 10, o},
                                                 {5, o, o, 6, o, o, 7, o, o, 8, o, o, 9, o, o, 10},
                                                 {o, 5, o, o, 6, o, o, 7, o, o, 8, o, o, 9, o, o}},
                                                {{o, 11, o, o, 12, o, o, 13, o, o, 14, o, o, 15, o, o},
                                                 {o, o, 11, o, o, 12, o, o, 13, o, o, 14, o, o, 15, o},
                                                 {10, o, o, 11, o, o, 12, o, o, 13, o, o, 14, o, o, 15}}};

// Sixteen pixels of three bytes, from sixteen values of each.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline void put_sixteen(__m256i blue, __m256i green, __m256i red, std::uint8_t* to) {
  const __m128i colours[channels] = {bytes(blue), bytes(green), bytes(red)};
  for (std::ptrdiff_t third = 0; third < 3; ++third) put(colours, mixed[third], to + 16 * third);
}

[[gnu::target("avx2,fma")]] void mix_haswell(const Lines& levels, const Mixer& mixer, std::uint8_t* to, std::ptrdiff_t count) {
  if (count < joined) return mix_by_one(levels, mixer, to, count);
  const __m256i half = all(1 << (left_bits - 1)), middle = all(neutral), black = all(mixer.black), of_luma = all(mixer.of_luma);
  const __m256i blue_blue = all(mixer.blue_blue), blue_green = all(mixer.blue_green);
  const __m256i red_green = all(mixer.red_green), red_red = all(mixer.red_red);
  for (std::ptrdiff_t x = 0; x < count; x += joined) {
    x = std::min(x, count - joined);
    const __m256i luma = _mm256_add_epi16(_mm256_mulhrs_epi16(_mm256_subs_epi16(sixteen(levels[0], x), black), of_luma), half);
    const __m256i blue = _mm256_subs_epi16(sixteen(levels[1], x), middle), red = _mm256_subs_epi16(sixteen(levels[2], x), middle);
    const __m256i first = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(blue, blue_blue));
    const __m256i greens = _mm256_add_epi16(_mm256_mulhrs_epi16(blue, blue_green), _mm256_mulhrs_epi16(red, red_green));
    const __m256i second = _mm256_add_epi16(luma, greens), third = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(red, red_red));
    put_sixteen(_mm256_srai_epi16(first, left_bits), _mm256_srai_epi16(second, left_bits), _mm256_srai_epi16(third, left_bits), to + 3 * x);
  }
}

[[gnu::target("avx2,fma")]] void join_haswell(const Lines& values, std::uint8_t* to, std::ptrdiff_t count) {
  if (count < joined) return join_by_one(values, to, count);
  for (std::ptrdiff_t x = 0; x < count; x += joined) {
    x = std::min(x, count - joined);
    put_sixteen(sixteen(values[0], x), sixteen(values[1], x), sixteen(values[2], x), to + 3 * x);
  }
}

[[gnu::target("avx2,fma")]] void part_haswell(const std::int16_t* from, Lines& to, std::ptrdiff_t count) { part_by_one(from, to, count); }
#endif

}  // namespace

void part(const std::int16_t* from, Lines& to, std::ptrdiff_t count) {
#ifdef SKIPVID_HASWELL
  if (has_haswell()) return part_haswell(from, to, count);
#endif
  part_by_one(from, to, count);
}

void join(const Lines& values, std::uint8_t* to, std::ptrdiff_t count) {
#ifdef SKIPVID_HASWELL
  if (has_haswell()) return join_haswell(values, to, count);
#endif
  join_by_one(values, to, count);
}

void mix(const Lines& levels, const Mixer& mixer, std::uint8_t* to, std::ptrdiff_t count) {
#ifdef SKIPVID_HASWELL
  if (has_haswell()) return mix_haswell(levels, mixer, to, count);
#endif
  mix_by_one(levels, mixer, to, count);
}

}  // namespace displaced
