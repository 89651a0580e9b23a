// Pooling and adding up rows.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

template <class Value>
void absolute_sums(const std::byte* const* rows, int count, int channels, float* sums) {
  const auto row = [&](int number) {
    const Value* const values = view<Value>(rows[number]);
    Floats total{};
    int c = 0;
#ifdef SKIPVID_PAIRS
    // Two vectors of bfloat16 at a time, as products with 1.
    const auto ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    for (; sizeof(Value) == 2 && c + 2 * width <= channels; c += 2 * width) {
      const __m512i magnitudes = _mm512_and_si512(_mm512_loadu_si512(values + c), _mm512_set1_epi16(0x7fff));
      total = (Floats)_mm512_dpbf16_ps((__m512)total, (__m512bh)magnitudes, ones);
    }
#endif
    for (; c + width <= channels; c += width) total += absolute(load(values + c));
    return c < channels ? total + first(absolute(load(values + c)), channels - c) : total;
  };
  int number = 0;
  for (; number + 4 <= count; number += 4) {
    const Floats four = four_sums(row(number), row(number + 1), row(number + 2), row(number + 3));
    for (int i = 0; i < 4; ++i) sums[number + i] = four[i * (width / 4)];
  }
  for (; number < count; ++number) sums[number] = sum(row(number));
}

template <class Value, int Vectors>
SKIPVID_INLINE void maximum_from(const std::byte* const* rows, int count, int c, float* output) {
  Floats best[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) best[v] = load(view<Value>(rows[0]) + c + v * width);
  for (int row = 1; row < count; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Floats x = load(view<Value>(rows[row]) + c + v * width);
      best[v] = ((x > best[v]) | (x != x)) ? x : best[v];  // a NaN wins, and stays
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) store(output + c + v * width, best[v]);
}

template <class Value>
void maximum(const std::byte* const* rows, int count, int channels, float* output) {
  int c = 0;
  for (; c + 4 * width <= channels; c += 4 * width) maximum_from<Value, 4>(rows, count, c, output);
  for (; c < channels; c += width) maximum_from<Value, 1>(rows, count, c, output);
}

template <class Value>
void weighted_sum(const std::byte* const* rows, const float* weights, int count, int channels, float* output) {
  for (int c = 0; c < channels; c += width) {
    Floats total{};
    for (int row = 0; row < count; ++row) total += load(view<Value>(rows[row]) + c) * weights[row];
    store(output + c, total);
  }
}

template <class Value, int Vectors>
SKIPVID_INLINE void row_sum_from(const std::byte* data, std::ptrdiff_t stride, int rows, int c, float* output) {
  Floats totals[Vectors] = {};
  for (int row = 0; row < rows; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) totals[v] += load(view<Value>(data + row * stride) + c + v * width);
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) store(output + c + v * width, totals[v]);
}

template <class Value>
void row_sum(const std::byte* data, std::ptrdiff_t stride, int rows, int channels, float* output) {
  int c = 0;  // four sums side by side, because a single one would wait for each addition
  for (; c + 4 * width <= channels; c += 4 * width) row_sum_from<Value, 4>(data, stride, rows, c, output);
  for (; c < channels; c += width) row_sum_from<Value, 1>(data, stride, rows, c, output);
}

template <class Value>
void widen(const std::byte* row, int channels, float* output) {
  for (int c = 0; c < channels; c += width) store(output + c, load(view<Value>(row) + c));
}

}  // namespace
}  // namespace skipvid
