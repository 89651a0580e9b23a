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

// tanh(x / 2)
SKIPVID_INLINE Floats half_tanh(Floats x) {
  const Floats e = expm1(x);
  return e / (e + 2.0F);
}

// ln(share / (1 - share)) of the share of a normal distribution that lies below x. From |x| = 6 on that is 0 or 1 in a float. A least-squares
// fit, reweighted until x * share was off by 6e-7 at most.
SKIPVID_INLINE Floats normal_logit(Floats x) {
  x = clamp(x, all(-6.0F), all(6.0F));
  const Floats squared = x * x;
  Floats p = all(3.62786186560436e-09F);
  p = p * squared + -2.6756669800746055e-07F;
  p = p * squared + 7.948145860919174e-06F;
  p = p * squared + -0.00011054680039174332F;
  p = p * squared + -6.605333615276455e-05F;
  p = p * squared + 0.07266829820346478F;
  p = p * squared + 1.595768536772839F;
  return p * x;
}

// ln(1 + e^(beta x)) / beta, and x where beta x is large. ln(1 + y) is made exact for small y by y / ((1 + y) - 1).
SKIPVID_INLINE Floats softplus(Floats x, Floats beta, Floats threshold) {
  const Floats scaled = x * beta, small = exp(-absolute(scaled)), sum = 1.0F + small, rest = sum - 1.0F;
  const Floats correction = rest > 0.0F ? log(sum) * small / rest : small;
  const Floats positive = scaled < 0.0F ? all(0.0F) : scaled;
  return scaled > threshold ? x : (positive + correction) / beta;
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
    case Activation::Kind::tanh: body([](Floats x) { return half_tanh(x + x); }); break;
    case Activation::Kind::hardswish: body([=](Floats x) { return x * clamp(x + 3.0F, zero, six) / 6.0F; }); break;
    case Activation::Kind::hardsigmoid: body([=](Floats x) { return clamp(x + 3.0F, zero, six) / 6.0F; }); break;
    case Activation::Kind::leaky_relu: body([=](Floats x) { return x > 0.0F ? x : x * a; }); break;
    case Activation::Kind::elu: body([=](Floats x) { return x > 0.0F ? x : a * expm1(x); }); break;
    case Activation::Kind::gelu: body([](Floats x) { return x * logistic<Value>(normal_logit(x)); }); break;
    case Activation::Kind::gelu_tanh:
      // tanh by way of the logistic function of twice as much
      body([](Floats x) { return x * logistic<Value>((x * x * 0.0713548162726F + 1.5957691216057308F) * x); });
      break;
    case Activation::Kind::mish:
      body([](Floats x) {
        const Floats share = logistic<float>(-x), squared = share * share;  // exactly: 1 is taken away from it
        return x * ((1.0F - squared) / (1.0F + squared));
      });
      break;
    case Activation::Kind::softplus: body([=](Floats x) { return softplus(x, a, b); }); break;
    case Activation::Kind::exp: body([](Floats x) { return full_exp(x); }); break;
    case Activation::Kind::log: body([](Floats x) { return log(x); }); break;
    case Activation::Kind::sqrt: body([](Floats x) { return sqrt(x); }); break;
    case Activation::Kind::rsqrt: body([](Floats x) { return 1.0F / sqrt(x); }); break;
    case Activation::Kind::reciprocal: body([](Floats x) { return 1.0F / x; }); break;
    case Activation::Kind::erf: body([](Floats x) { return half_tanh(normal_logit(x * 1.4142135623730951F)); }); break;
    case Activation::Kind::absolute: body([](Floats x) { return absolute(x); }); break;
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
      int c = 0;
      for (; c + width < channels; c += 2 * width) store_two(to + c, function(load(from + c)), function(load(from + c + width)));
      if (c < channels) store(to + c, function(load(from + c)));
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
    case Pointwise::max: two([](Floats x, Floats y) { return ((x > y) | (x != x)) ? x : y; }); break;
    case Pointwise::min: two([](Floats x, Floats y) { return ((x < y) | (x != x)) ? x : y; }); break;
    case Pointwise::multiply_add:
      combine<Value, 3>(operands, output, stride, pixels, channels, [](Floats x, Floats y, Floats z) { return x * y + z; });
      break;
  }
}

template <class Value>
void scale(const std::byte* const* rows, const std::byte* by, int count, int channels, std::byte* output) {
  const Value* const factors = view<Value>(by);
  Value* to = reinterpret_cast<Value*>(output);
  for (int row = 0; row < count; ++row, to += channels) {
    const Value* const from = view<Value>(rows[row]);
    int c = 0;
    for (; c + 2 * width <= channels; c += 2 * width) {
      store_two(to + c, load(from + c) * load(factors + c), load(from + c + width) * load(factors + c + width));
    }
    for (; c < channels; c += width) store(to + c, load(from + c) * load(factors + c));
  }
}

}  // namespace
}  // namespace skipvid
