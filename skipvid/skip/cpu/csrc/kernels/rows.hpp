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

// Bit i = whether byte i, 0 or 1, is set.
SKIPVID_INLINE std::uint64_t gather_bits(const std::uint8_t* flags) {
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) {
    std::uint64_t eight;
    __builtin_memcpy(&eight, flags + 8 * i, 8);
    bits |= (eight * 0x0102040810204080U >> 56) << (8 * i);
  }
  return bits;
}

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
