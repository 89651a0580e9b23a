// Comparing, pooling and adding up rows; and the measure of the machine.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

SKIPVID_INLINE float distance(const float* a, const float* b, int channels) {
  Floats total{};
  int c = 0;
  for (; c + width <= channels; c += width) total += absolute(load(a + c) - load(b + c));
  if (c < channels) total += first(absolute(load(a + c) - load(b + c)), channels - c);
  return sum(total);
}

std::uint64_t publish(const float* values, std::ptrdiff_t stride, float* const* published, int count, int channels, float limit, bool copy) {
  std::uint64_t opened = 0;
  for (int row = 0; row < count; ++row, values += stride) {
    // Negated, because a NaN must open.
    if (!(distance(values, published[row], channels) <= limit)) opened |= std::uint64_t{1} << row;
  }
  for (std::uint64_t rows = copy ? opened : 0; rows != 0; rows &= rows - 1) {
    const int row = __builtin_ctzll(rows);
    const float* from = values - (count - row) * stride;
    for (int c = 0; c < channels; c += width) store(published[row] + c, load(from + c));
  }
  return opened;
}

double absolute_sum(const float* data, std::ptrdiff_t stride, int pixels, int channels) {
  double total = 0;
  for (int p = 0; p < pixels; ++p, data += stride) {
    Floats row{};
    int c = 0;
    for (; c + width <= channels; c += width) row += absolute(load(data + c));
    if (c < channels) row += first(absolute(load(data + c)), channels - c);
    total += static_cast<double>(sum(row));
  }
  return total;
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
  for (Floats& sum : sums) sum = all(sink[0]);
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
