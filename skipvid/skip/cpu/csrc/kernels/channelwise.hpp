// Each row by itself, with sums over its channels: the norm of a layer, and softmax. The order of additions depends on nothing but the
// number of channels.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

// The largest lane; one that is no number does not count.
template <int Distance = width / 2>
SKIPVID_INLINE float largest(Floats x) {
  const Floats other = Lane::partners<Distance>(x);
  x = other > x ? other : x;
  if constexpr (Distance > 1) {
    return largest<Distance / 2>(x);
  } else {
    return x[0];
  }
}

// Calls function(values, c, count) for each vector of a row; the last one may be cut off at `count` lanes.
template <class Value, class Function>
SKIPVID_INLINE void for_vectors(const Value* row, int channels, Function function) {
  for (int c = 0; c < channels; c += width) function(load(row + c), c, channels - c < width ? channels - c : width);
}

// (x - mean) / sqrt(variance + epsilon) * weights + bias
template <class Value>
void normalise(const std::byte* const* rows, int count, int channels, float epsilon, const float* weights, const float* bias,
               float* const* outputs) {
  const float share = 1.0F / static_cast<float>(channels);
  for (int i = 0; i < count; ++i) {
    const Value* const row = view<Value>(rows[i]);
    Floats total{}, squares{};
    for_vectors(row, channels, [&](Floats x, int, int lanes_used) { total += lanes_used < width ? first(x, lanes_used) : x; });
    const float mean = sum(total) * share;
    for_vectors(row, channels, [&](Floats x, int, int lanes_used) {
      const Floats distance = lanes_used < width ? first(x - mean, lanes_used) : x - mean;
      squares += distance * distance;
    });
    const float scale = 1.0F / __builtin_sqrtf(sum(squares) * share + epsilon);
    float* const output = outputs[i];
    for_vectors(row, channels, [&](Floats x, int c, int) { store(output + c, (x - mean) * scale * load(weights + c) + load(bias + c)); });
  }
}

template <class Value>
void softmax(const std::byte* const* rows, int count, int channels, float* const* outputs) {
  for (int i = 0; i < count; ++i) {
    const Value* const row = view<Value>(rows[i]);
    float* const output = outputs[i];
    Floats top = all(static_cast<float>(widened(row[0])));
    const Floats lowest = top;
    for_vectors(row, channels, [&](Floats x, int, int lanes_used) {
      const Floats known = lanes_used < width ? (Lane::numbers < lanes_used ? x : lowest) : x;
      top = known > top ? known : top;
    });
    const float most = largest(top);
    Floats total{};
    for_vectors(row, channels, [&](Floats x, int c, int lanes_used) {
      const Floats power = exp(x - most);
      store(output + c, power);
      total += lanes_used < width ? first(power, lanes_used) : power;
    });
    const float share = 1.0F / sum(total);
    for_vectors(output, channels, [&](Floats x, int c, int) { store(output + c, x * share); });
  }
}

}  // namespace
}  // namespace skipvid
