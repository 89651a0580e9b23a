// Bits as lists of numbers.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

std::size_t list_bits(const std::uint64_t* words, int count, std::uint32_t base, std::uint32_t* numbers) {
  std::uint32_t* to = numbers;
  for (int word = 0; word < count; ++word, base += 64) {
    std::uint64_t bits = words[word];
#ifdef __AVX512F__
    // Runs of all lengths, as noise makes them, would each cost a branch that is guessed wrongly.
    if (bits == 0) continue;
    __m512i each = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(base)), (__m512i)Lane::numbers);
    for (int part = 0; part < 4; ++part, bits >>= width) {
      const auto some = static_cast<__mmask16>(bits);
      _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(some, each));
      to += __builtin_popcount(some);
      each = _mm512_add_epi32(each, _mm512_set1_epi32(width));
    }
#else
    while (bits != 0) {  // run by run
      const int first = __builtin_ctzll(bits);
      const std::uint64_t behind = ~(bits >> first);
      const int length = behind == 0 ? 64 : __builtin_ctzll(behind);
      for (int i = 0; i < length; ++i) to[i] = base + static_cast<std::uint32_t>(first + i);
      to += length;
      bits &= bits + (bits & -bits);
    }
#endif
  }
  return static_cast<std::size_t>(to - numbers);
}

}  // namespace
}  // namespace skipvid
