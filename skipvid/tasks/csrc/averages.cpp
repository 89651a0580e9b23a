// Means of boxes of samples, down and across: displaced.cpp.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "displaced.hpp"
#ifdef SKIPVID_HASWELL
#include <immintrin.h>
#endif

namespace displaced {
namespace {

constexpr int dropped = weight_bits - kept_bits;

void down_by_one(const Column& column, std::int16_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    std::int32_t sum = 1 << (dropped - 1);
    for (std::size_t tap = 0; tap < column.rows.size(); ++tap) sum += column.weights[tap] * column.rows[tap][x];
    to[x] = to_word(sum >> dropped);
  }
}

void across_by_one(const std::int16_t* line, const Boxes& boxes, int bits, std::int16_t* to) {
  for (std::ptrdiff_t x = 0; x < boxes.count; ++x) {
    std::int32_t sum = 1 << (bits - 1);
    for (std::ptrdiff_t tap = 0; tap < boxes.taps; ++tap) sum += boxes.weights[x * boxes.taps + tap] * line[boxes.starts[x] + tap];
    to[x] = to_word(sum >> bits);
  }
}

#ifdef SKIPVID_HASWELL
// pairs: of rows; 0: as many as there are.
template <std::ptrdiff_t pairs>
[[gnu::target("avx2,fma")]] void down_haswell(const Column& column, std::int16_t* to, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t lanes = 32, line = 64;
  if (count < lanes) return down_by_one(column, to, count);
  const __m256i rounding = _mm256_set1_epi32(1 << (dropped - 1)), zero = _mm256_setzero_si256();
  const std::ptrdiff_t taps = pairs ? 2 * pairs : static_cast<std::ptrdiff_t>(column.rows.size());
  const std::uint8_t* const* rows = column.rows.data();
  for (std::ptrdiff_t x = 0; x < count; x += lanes) {
    x = std::min(x, count - lanes);
    if (x % line == 0) {
      for (const std::uint8_t* row : column.next) _mm_prefetch(reinterpret_cast<const char*>(row + x), _MM_HINT_T0);
    }
    __m256i sums[4] = {rounding, rounding, rounding, rounding};
    for (std::ptrdiff_t tap = 0; tap < taps; tap += 2) {
      const __m256i one = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[tap] + x));
      const __m256i other = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[tap + 1] + x));
      std::int32_t two;
      std::memcpy(&two, column.weights + tap, sizeof two);
      const __m256i weights = _mm256_set1_epi32(two), low = _mm256_unpacklo_epi8(one, other), high = _mm256_unpackhi_epi8(one, other);
      sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), weights));
      sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), weights));
      sums[2] = _mm256_add_epi32(sums[2], _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), weights));
      sums[3] = _mm256_add_epi32(sums[3], _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), weights));
    }
    for (__m256i& sum : sums) sum = _mm256_srai_epi32(sum, dropped);
    const __m256i low = _mm256_packs_epi32(sums[0], sums[1]), high = _mm256_packs_epi32(sums[2], sums[3]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + x), _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + x + lanes / 2), _mm256_permute2x128_si256(low, high, 0x31));
  }
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m128i eight(const std::int16_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m128i four(const std::int16_t* from) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
}

// Two places side by side: four sums of two samples times their weights, each, or of more.
template <std::ptrdiff_t all>
[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i two_places(const std::int16_t* line, const std::int32_t* starts,
                                                                          const std::int16_t* weights, std::ptrdiff_t taps) {
  const std::int16_t *one = line + starts[0], *other = line + starts[1];
  __m256i sum = _mm256_madd_epi16(_mm256_set_m128i(eight(other), eight(one)), _mm256_set_m128i(eight(weights + taps), eight(weights)));
  for (std::ptrdiff_t tap = group; tap < (all ? all : taps); tap += group) {
    const __m256i values = _mm256_set_m128i(eight(other + tap), eight(one + tap));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(values, _mm256_set_m128i(eight(weights + taps + tap), eight(weights + tap))));
  }
  return sum;
}

// Four places side by side, four samples of each times their weights: two sums for each.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i four_places(const std::int16_t* line, const std::int32_t* starts,
                                                                           const std::int16_t* weights) {
  const __m128i low = _mm_unpacklo_epi64(four(line + starts[0]), four(line + starts[1]));
  const __m128i high = _mm_unpacklo_epi64(four(line + starts[2]), four(line + starts[3]));
  return _mm256_madd_epi16(_mm256_set_m128i(high, low), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights)));
}

// all: the weights of a box; 0: as many as there are, by eight.
template <std::ptrdiff_t all>
[[gnu::target("avx2,fma")]] void across_haswell(const std::int16_t* line, const Boxes& boxes, int bits, std::int16_t* to) {
  const __m256i rounding = _mm256_set1_epi32(1 << (bits - 1)), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m128i shift = _mm_cvtsi32_si128(bits);
  const std::ptrdiff_t taps = all ? all : boxes.taps, count = boxes.count;
  if (count < group) return across_by_one(line, boxes, bits, to);
  for (std::ptrdiff_t x = 0; x < count; x += group) {
    x = std::min(x, count - group);
    const std::int32_t* starts = boxes.starts + x;
    const std::int16_t* weights = boxes.weights + x * taps;
    __m256i sums;  // of all eight places
    if constexpr (all == group / 2) {
      sums = _mm256_hadd_epi32(four_places(line, starts, weights), four_places(line, starts + 4, weights + 4 * taps));
      sums = _mm256_permute4x64_epi64(sums, 0xD8);
    } else {
      const __m256i first = two_places<all>(line, starts, weights, taps),
                    second = two_places<all>(line, starts + 2, weights + 2 * taps, taps);
      const __m256i third = two_places<all>(line, starts + 4, weights + 4 * taps, taps);
      const __m256i fourth = two_places<all>(line, starts + 6, weights + 6 * taps, taps);
      sums = _mm256_hadd_epi32(_mm256_hadd_epi32(first, second), _mm256_hadd_epi32(third, fourth));
      sums = _mm256_permutevar8x32_epi32(sums, order);
    }
    sums = _mm256_sra_epi32(_mm256_add_epi32(sums, rounding), shift);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + x), words);
  }
}
#endif

}  // namespace

void down(const Column& column, std::int16_t* to, std::ptrdiff_t count) {
#ifdef SKIPVID_HASWELL
  if (has_haswell()) {
    switch (column.rows.size()) {
      case 2: return down_haswell<1>(column, to, count);
      case 4: return down_haswell<2>(column, to, count);
      case 6: return down_haswell<3>(column, to, count);
      default: return down_haswell<0>(column, to, count);
    }
  }
#endif
  down_by_one(column, to, count);
}

void across(Line& line, std::ptrdiff_t side, const Boxes& boxes, int bits, Line& to) {
  std::fill(line.begin() + side, line.end(), line[static_cast<std::size_t>(side - 1)]);
#ifdef SKIPVID_HASWELL
  if (has_haswell()) {
    switch (boxes.taps) {
      case group / 2: return across_haswell<group / 2>(line.data(), boxes, bits, to.data());
      case group: return across_haswell<group>(line.data(), boxes, bits, to.data());
      default: return across_haswell<0>(line.data(), boxes, bits, to.data());
    }
  }
#endif
  across_by_one(line.data(), boxes, bits, to.data());
}

}  // namespace displaced
