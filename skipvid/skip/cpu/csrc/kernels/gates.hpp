// Rows of floats stored, or compared with what was published; how much a row has changed since it was last looked at.
#pragma once

#include "distances.hpp"

namespace skipvid {
namespace {

template <class Value>
SKIPVID_INLINE void put_row(const float* from, std::byte* to, int channels) {
  int c = 0;
  for (; c + width < channels; c += 2 * width) store_two(view<Value>(to) + c, load(from + c), load(from + c + width));
  if (c < channels) store(view<Value>(to) + c, load(from + c));
}

template <class Value>
std::uint64_t publish(const float* values, std::ptrdiff_t stride, std::byte* const* published, int count, int channels, float limit,
                      bool copy) {
  std::uint64_t opened = 0;
  const RowDistances<Value> distances(values, stride, published, count, channels);
  for_distances(distances, count, channels, [&](int first, Floats sums, int lanes) { opened |= exceeding(sums, lanes, limit) << first; });
  opened &= ~std::uint64_t{0} >> (64 - count);
  for (std::uint64_t rows = copy ? opened : 0; rows != 0; rows &= rows - 1) {
    const int open = __builtin_ctzll(rows);
    put_row<Value>(values + open * stride, published[open], channels);
  }
  return opened;
}

template <class Value>
void distances_to(const float* values, std::ptrdiff_t stride, const std::byte* const* published, int count, int channels, float* sums) {
  const RowDistances<Value> rows(values, stride, published, count, channels);
  for_distances(rows, count, channels, [&](int first, Floats some, int lanes) {
    for (int i = 0; i < lanes && first + i < count; ++i) sums[first + i] = some[i];
  });
}

std::uint64_t smooth(const float* above, const float* row, const float* below, int pixels, const float* limits, float alone) {
  constexpr float largest_float = 3.40282347e38F;
  const auto counted = [](float change) { return change <= largest_float ? change : 0.0F; };
  float columns[66];
  for (int i = 0; i < 66; ++i) columns[i] = counted(above[i - 1]) + counted(row[i - 1]) + counted(below[i - 1]);
  std::uint8_t open[64];
  for (int i = 0; i < 64; ++i) {
    const float total = columns[i] + columns[i + 1] + columns[i + 2];
    open[i] = static_cast<std::uint8_t>((!(row[i] <= alone)) | ((total > limits[i]) & (row[i] > 0)));
  }
  return gather_bits(open) & (~std::uint64_t{0} >> (64 - pixels));
}

template <class Value>
std::uint64_t ask(const float* values, std::ptrdiff_t stride, std::byte* const* published, int count, int channels, const float* weights,
                  float bias, bool magnitude, bool copy) {
  std::uint64_t opened = 0;
  for (int row = 0; row < count; ++row) {
    const float* from = values + row * stride;
    Floats total{};
    for (int c = 0; c < channels; c += width) {
      Floats change = stored<Value>(load(from + c)) - load(view<Value>(published[row]) + c);
      if (magnitude) change = absolute(change);
      if (c + width > channels) change = first(change, channels - c);  // padding lanes may hold a NaN
      total += change * load(weights + c);
    }
    // Negated, because a NaN must open.
    if (!(sum(total) + bias < 0)) opened |= std::uint64_t{1} << row;
  }
  for (std::uint64_t rows = copy ? opened : 0; rows != 0; rows &= rows - 1) {
    const int open = __builtin_ctzll(rows);
    put_row<Value>(values + open * stride, published[open], channels);
  }
  return opened;
}

template <class Value>
void put(const float* values, std::ptrdiff_t stride, std::byte* const* rows, int count, int channels) {
  for (int row = 0; row < count; ++row) put_row<Value>(values + row * stride, rows[row], channels);
}

template <class Value>
void round(float* const* rows, int count, int channels) {
  for (int row = 0; row < count; ++row) {
    for (int c = 0; c < channels; c += width) store(rows[row] + c, stored<Value>(load(rows[row] + c)));
  }
}

// The largest lane; a NaN wins.
SKIPVID_INLINE float largest(Floats x) {
  float best = x[0];
  for (int lane = 1; lane < width; ++lane) best = x[lane] > best || x[lane] != x[lane] ? x[lane] : best;
  return best;
}

template <class Value>
float change(const std::byte* now_at, std::byte* seen_at, int channels, Norm norm) {
  const Value* const now = view<Value>(now_at);
  Value* const seen = view<Value>(seen_at);
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
