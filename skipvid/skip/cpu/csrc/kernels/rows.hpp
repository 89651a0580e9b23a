// Pooling and adding up rows.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

void absolute_sums(const float* const* rows, int count, int channels, float* sums) {
  const auto row = [&](int number) {
    Floats total{};
    int c = 0;
    for (; c + width <= channels; c += width) total += absolute(load(rows[number] + c));
    return c < channels ? total + first(absolute(load(rows[number] + c)), channels - c) : total;
  };
  int number = 0;
  for (; number + 4 <= count; number += 4) {
    const Floats four = four_sums(row(number), row(number + 1), row(number + 2), row(number + 3));
    for (int i = 0; i < 4; ++i) sums[number + i] = four[i * (width / 4)];
  }
  for (; number < count; ++number) sums[number] = sum(row(number));
}

template <int Vectors>
SKIPVID_INLINE void maximum_from(const float* const* rows, int count, int c, float* output) {
  Floats best[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) best[v] = load(rows[0] + c + v * width);
  for (int row = 1; row < count; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Floats x = load(rows[row] + c + v * width);
      best[v] = ((x > best[v]) | (x != x)) ? x : best[v];  // a NaN wins, and stays
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) store(output + c + v * width, best[v]);
}

void maximum(const float* const* rows, int count, int channels, float* output) {
  int c = 0;
  for (; c + 4 * width <= channels; c += 4 * width) maximum_from<4>(rows, count, c, output);
  for (; c < channels; c += width) maximum_from<1>(rows, count, c, output);
}

void weighted_sum(const float* const* rows, const float* weights, int count, int channels, float* output) {
  for (int c = 0; c < channels; c += width) {
    Floats total{};
    for (int row = 0; row < count; ++row) total += load(rows[row] + c) * weights[row];
    store(output + c, total);
  }
}

template <int Vectors>
SKIPVID_INLINE void row_sum_from(const float* data, std::ptrdiff_t stride, int rows, int c, float* output) {
  Floats totals[Vectors] = {};
  for (int row = 0; row < rows; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) totals[v] += load(data + row * stride + c + v * width);
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) store(output + c + v * width, totals[v]);
}

void row_sum(const float* data, std::ptrdiff_t stride, int rows, int channels, float* output) {
  int c = 0;  // four sums side by side, because a single one would wait for each addition
  for (; c + 4 * width <= channels; c += 4 * width) row_sum_from<4>(data, stride, rows, c, output);
  for (; c < channels; c += width) row_sum_from<1>(data, stride, rows, c, output);
}

}  // namespace
}  // namespace skipvid
