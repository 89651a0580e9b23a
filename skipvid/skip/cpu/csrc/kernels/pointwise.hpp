// Activations and point-wise arithmetic on blocks of adjacent pixels.
#pragma once

#include <type_traits>

#include "vector.hpp"

namespace skipvid {
namespace {

template <class Function>
SKIPVID_INLINE void for_each(float* data, std::ptrdiff_t stride, int pixels, int channels, Function function) {
  if (stride == channels) {  // one long row
    channels *= pixels;
    pixels = 1;
  }
  for (int p = 0; p < pixels; ++p, data += stride) {
    for (int c = 0; c < channels; c += width) store(data + c, function(load(data + c)));
  }
}

// 1 / (1 + e^-x). NaN stays.
template <class Value>
SKIPVID_INLINE Floats logistic(Floats x) {
  if constexpr (std::is_same_v<Value, float>) return 1.0F / (1.0F + exp(-x));
  return short_reciprocal(1.0F + short_exp2(x * -1.44269504F));
}

template <class Value>
SKIPVID_INLINE Floats silu(Floats x) {
  if constexpr (std::is_same_v<Value, float>) return x / (1.0F + exp(-x));
  return x * logistic<Value>(x);
}

// Calls body with the function of one vector that an activation is, for what will be stored as Value.
template <class Value, class Body>
SKIPVID_INLINE void with_function(const Activation& activation, Body body) {
  const Floats a = all(activation.a), b = all(activation.b), zero{}, six = all(6.0F);
  switch (activation.kind) {
    case Activation::Kind::none: break;
    case Activation::Kind::clamp: body([=](Floats x) { return clamp(x, a, b); }); break;
    case Activation::Kind::silu: body([](Floats x) { return silu<Value>(x); }); break;
    case Activation::Kind::sigmoid: body([](Floats x) { return logistic<Value>(x); }); break;
    case Activation::Kind::tanh:
      body([](Floats x) {
        const Floats e = expm1(x + x);
        return e / (e + 2.0F);
      });
      break;
    case Activation::Kind::hardswish: body([=](Floats x) { return x * clamp(x + 3.0F, zero, six) / 6.0F; }); break;
    case Activation::Kind::hardsigmoid: body([=](Floats x) { return clamp(x + 3.0F, zero, six) / 6.0F; }); break;
    case Activation::Kind::leaky_relu: body([=](Floats x) { return x > 0.0F ? x : x * a; }); break;
    case Activation::Kind::elu: body([=](Floats x) { return x > 0.0F ? x : a * expm1(x); }); break;
  }
}

template <class Value>
void activate(const Activation& activation, float* data, std::ptrdiff_t stride, int pixels, int channels) {
  with_function<Value>(activation, [&](auto function) { for_each(data, stride, pixels, channels, function); });
}

template <class Value>
void put_activated(const Activation& activation, const float* values, std::ptrdiff_t stride, std::byte* const* rows, int count,
                   int channels) {
  with_function<Value>(activation, [&](auto function) {
    for (int row = 0; row < count; ++row) {
      const float* const from = values + row * stride;
      Value* const to = view<Value>(rows[row]);
      for (int c = 0; c < channels; c += width) store(to + c, function(load(from + c)));
    }
  });
}

// Calls function with as many operands as it takes, for each vector of each pixel.
template <class Value, int Count, class Function>
SKIPVID_INLINE void combine(const Operand* operands, float* output, std::ptrdiff_t stride, int pixels, int channels, Function function) {
  for (int p = 0; p < pixels; ++p, output += stride) {
    const std::byte* rows[3];
    bool scalar[3], floats[3];
    Floats numbers[3];
    for (int i = 0; i < Count; ++i) {
      const Operand& operand = operands[i];
      rows[i] = operand.rows != nullptr ? operand.rows[p] : operand.data + p * operand.stride;
      scalar[i] = operand.scalar;
      floats[i] = std::is_same_v<Value, float> || operand.floats;
      numbers[i] = all(floats[i] ? *view<float>(rows[i]) : widened(*view<Value>(rows[i])));
    }
    const auto fetch = [&](int i, int c) {
      if (scalar[i]) return numbers[i];
      return std::is_same_v<Value, float> || floats[i] ? load(view<float>(rows[i]) + c) : load(view<Value>(rows[i]) + c);
    };
    for (int c = 0; c < channels; c += width) {
      if constexpr (Count == 1) store(output + c, fetch(0, c));
      if constexpr (Count == 2) store(output + c, function(fetch(0, c), fetch(1, c)));
      if constexpr (Count == 3) store(output + c, function(fetch(0, c), fetch(1, c), fetch(2, c)));
    }
  }
}

template <class Value>
void pointwise(Pointwise operation, const Operand* operands, float* output, std::ptrdiff_t stride, int pixels, int channels) {
  const auto two = [&](auto function) { combine<Value, 2>(operands, output, stride, pixels, channels, function); };
  switch (operation) {
    case Pointwise::copy: combine<Value, 1>(operands, output, stride, pixels, channels, 0); break;
    case Pointwise::add: two([](Floats x, Floats y) { return x + y; }); break;
    case Pointwise::sub: two([](Floats x, Floats y) { return x - y; }); break;
    case Pointwise::mul: two([](Floats x, Floats y) { return x * y; }); break;
    case Pointwise::div: two([](Floats x, Floats y) { return x / y; }); break;
    case Pointwise::multiply_add:
      combine<Value, 3>(operands, output, stride, pixels, channels, [](Floats x, Floats y, Floats z) { return x * y + z; });
      break;
  }
}

}  // namespace
}  // namespace skipvid
