// What learned gates ask of rows, and how much a row has changed since it was last looked at.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

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
