// Comparing, pooling and adding up rows; and the measure of the machine.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

SKIPVID_INLINE Floats distances(const float* a, const float* b, int channels) {
  Floats total{};
  int c = 0;
  for (; c + width <= channels; c += width) total += absolute(load(a + c) - load(b + c));
  if (c < channels) total += first(absolute(load(a + c) - load(b + c)), channels - c);
  return total;
}

// Negated, because a NaN must open.
SKIPVID_INLINE std::uint64_t opens(float distance, float limit) { return static_cast<std::uint64_t>(!(distance <= limit)); }

std::uint64_t publish(const float* values, std::ptrdiff_t stride, float* const* published, int count, int channels, float limit, bool copy) {
  std::uint64_t opened = 0;
  const auto row = [&](int number) { return distances(values + number * stride, published[number], channels); };
  int number = 0;
  for (; number + 4 <= count; number += 4) {
    const Floats sums = four_sums(row(number), row(number + 1), row(number + 2), row(number + 3));
    const std::uint64_t four = opens(sums[0], limit) | opens(sums[width / 4], limit) << 1 | opens(sums[width / 2], limit) << 2 |
                               opens(sums[width / 4 * 3], limit) << 3;
    opened |= four << number;
  }
  for (; number < count; ++number) opened |= opens(sum(row(number)), limit) << number;
  for (std::uint64_t rows = copy ? opened : 0; rows != 0; rows &= rows - 1) {
    const int open = __builtin_ctzll(rows);
    const float* from = values + open * stride;
    for (int c = 0; c < channels; c += width) store(published[open] + c, load(from + c));
  }
  return opened;
}

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

void maximum(const float* const* rows, int count, int channels, float* output) {
  for (int c = 0; c < channels; c += width) {
    Floats best = load(rows[0] + c);
    for (int row = 1; row < count; ++row) {
      const Floats x = load(rows[row] + c);
      best = (x > best) | (x != x) ? x : best;  // a NaN wins, and stays
    }
    store(output + c, best);
  }
}

void weighted_sum(const float* const* rows, const float* weights, int count, int channels, float* output) {
  for (int c = 0; c < channels; c += width) {
    Floats total{};
    for (int row = 0; row < count; ++row) total += load(rows[row] + c) * weights[row];
    store(output + c, total);
  }
}

void row_sum(const float* data, std::ptrdiff_t stride, int rows, int channels, float* output) {
  for (int c = 0; c < channels; c += width) {
    Floats total{};
    for (int row = 0; row < rows; ++row) total += load(data + row * stride + c);
    store(output + c, total);
  }
}

double exercise(std::int64_t rounds, float* sink) {
  constexpr int chains = width == 16 ? 24 : 12;
  Floats sums[chains];
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) sums[i] = all(sink[0] + static_cast<float>(i));  // equal chains would be computed once
  const Floats a = all(sink[1]), b = all(sink[2]);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (Floats& sum : sums) sum = sum * a + b;
  }
#pragma GCC unroll 24
  for (const Floats& sum : sums) sink[3] += sum[0];
  return 2.0 * chains * width * static_cast<double>(rounds);
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
