// Attention of one pixel to a list of rows: products with all keys, their softmax, and the sum of the values with these weights. A pixel's
// result does not depend on which others are computed, and its sums have one order whatever the number of threads.
#pragma once

#include "channelwise.hpp"
#include "vector.hpp"

namespace skipvid {
namespace {

// What a key's vectors are multiplied with; only the first `used` lanes of the last one belong to the head.
template <class Value>
SKIPVID_INLINE Floats product(const Value* query, const Value* key, int size) {
  Floats total{};
  int c = 0;
  for (; c + width <= size; c += width) total += load(query + c) * load(key + c);
  // Behind a head lie others' channels, or padding, which may be no numbers.
  if (c < size) total += first(load(query + c), size - c) * first(load(key + c), size - c);
  return total;
}

template <class Value>
SKIPVID_INLINE void multiply_keys(const AttentionArgs& args, const Value* query, int channel, float* products) {
  const auto key = [&](int number) { return view<Value>(args.keys + number * args.key_stride) + channel; };
  int number = 0;
  for (; number + 4 <= args.count; number += 4) {
    const Floats four = four_sums(product(query, key(number), args.key_size), product(query, key(number + 1), args.key_size),
                                  product(query, key(number + 2), args.key_size), product(query, key(number + 3), args.key_size));
    for (int i = 0; i < 4; ++i) products[number + i] = four[i * (width / 4)];
  }
  for (; number < args.count; ++number) products[number] = sum(product(query, key(number), args.key_size));
}

// Products in place become e^(scale * product + bias - the largest of these). Returns their sum.
SKIPVID_INLINE float exponentiate(float* products, int count, float scale, const float* bias) {
  const Floats lowest = all(-__builtin_inff());
  Floats top = lowest;
  for (int j = 0; j < count; j += width) {
    const int used = count - j < width ? count - j : width;
    Floats x = load(products + j) * scale;
    if (bias != nullptr && used == width) {
      x += load(bias + j);
    } else if (bias != nullptr) {
      for (int i = 0; i < used; ++i) x[i] += bias[j + i];
    }
    x = Lane::numbers < used ? x : lowest;
    top = x > top ? x : top;
    store(products + j, x);
  }
  const float most = largest(top);
  Floats total{};
  for (int j = 0; j < count; j += width) {
    const Floats power = exp(load(products + j) - most), known = count - j < width ? first(power, count - j) : power;
    total += known;
    store(products + j, known);
  }
  return sum(total);
}

template <class Value, int Vectors>
SKIPVID_INLINE void add_values(const AttentionArgs& args, int channel, const float* weights, float share, int size, float* output) {
  Floats totals[Vectors] = {};
  for (int number = 0; number < args.count; ++number) {
    const Value* const row = view<Value>(args.values + number * args.value_stride) + channel;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) totals[v] += load(row + v * width) * weights[number];
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const Floats result = totals[v] * share;
    if ((v + 1) * width <= size) {
      store(output + v * width, result);
    } else {  // what comes behind belongs to others
      for (int i = 0; i < size - v * width; ++i) output[v * width + i] = result[i];
    }
  }
}

template <class Value>
void attend(const AttentionArgs& args, const std::byte* query, const float* bias, float* weights, float* output) {
  for (int head = 0; head < args.heads; ++head) {
    multiply_keys(args, view<Value>(query) + args.query_channels[head], args.key_channels[head], weights);
    const float total = exponentiate(weights, args.count, args.scale, bias == nullptr ? nullptr : bias + head * args.bias_stride);
    const float share = 1.0F / total;
    const int channel = args.value_channels[head];
    float* const to = output + head * args.value_size;
    int c = 0;
    for (; c + 4 * width <= args.value_size; c += 4 * width) add_values<Value, 4>(args, channel + c, weights, share, 4 * width, to + c);
    for (; c + 2 * width <= args.value_size; c += 2 * width) add_values<Value, 2>(args, channel + c, weights, share, 2 * width, to + c);
    for (; c < args.value_size; c += width) add_values<Value, 1>(args, channel + c, weights, share, args.value_size - c, to + c);
  }
}

}  // namespace
}  // namespace skipvid
