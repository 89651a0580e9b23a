// What norm gates and learned gates ask of rows, and how much a row has changed since it was last looked at.
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

std::uint64_t publish(const float* values, std::ptrdiff_t stride, float* const* published, int count, int channels, float limit,
                      bool copy) {
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

std::uint64_t ask(const float* values, std::ptrdiff_t stride, float* const* published, int count, int channels, const float* weights,
                  float bias, bool magnitude, bool copy) {
  std::uint64_t opened = 0;
  for (int row = 0; row < count; ++row) {
    const float* from = values + row * stride;
    Floats total{};
    for (int c = 0; c < channels; c += width) {
      Floats change = load(from + c) - load(published[row] + c);
      if (magnitude) change = absolute(change);
      if (c + width > channels) change = first(change, channels - c);  // padding lanes may hold a NaN
      total += change * load(weights + c);
    }
    // Negated, because a NaN must open.
    if (!(sum(total) + bias < 0)) opened |= std::uint64_t{1} << row;
  }
  for (std::uint64_t rows = copy ? opened : 0; rows != 0; rows &= rows - 1) {
    const int row = __builtin_ctzll(rows);
    for (int c = 0; c < channels; c += width) store(published[row] + c, load(values + row * stride + c));
  }
  return opened;
}

// The largest lane; a NaN wins.
SKIPVID_INLINE float largest(Floats x) {
  float best = x[0];
  for (int lane = 1; lane < width; ++lane) best = x[lane] > best || x[lane] != x[lane] ? x[lane] : best;
  return best;
}

float change(const float* now, float* seen, int channels, Norm norm) {
  Floats total{};
  for (int c = 0; c < channels; c += width) {
    const Floats value = load(now + c);
    Floats difference = absolute(value - load(seen + c));
    if (c + width > channels) difference = first(difference, channels - c);
    if (norm == Norm::largest) {
      total = ((difference > total) | (difference != difference)) ? difference : total;
    } else {
      total += norm == Norm::squares ? difference * difference : difference;
    }
    store(seen + c, value);
  }
  return norm == Norm::largest ? largest(total) : sum(total);
}

}  // namespace
}  // namespace skipvid
