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

SKIPVID_INLINE Floats logistic(Floats x) { return 1.0F / (1.0F + exp(-x)); }

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

void activate(const Activation& activation, float* data, std::ptrdiff_t stride, int pixels, int channels) {
  const Floats a = all(activation.a), b = all(activation.b), zero{}, six = all(6.0F);
  switch (activation.kind) {
    case Activation::Kind::none: break;
    case Activation::Kind::clamp: for_each(data, stride, pixels, channels, [=](Floats x) { return clamp(x, a, b); }); break;
    case Activation::Kind::silu: for_each(data, stride, pixels, channels, [](Floats x) { return x / (1.0F + exp(-x)); }); break;
    case Activation::Kind::sigmoid: for_each(data, stride, pixels, channels, [](Floats x) { return logistic(x); }); break;
    case Activation::Kind::tanh: for_each(data, stride, pixels, channels, [](Floats x) { return half_tanh(x + x); }); break;
    case Activation::Kind::hardswish:
      for_each(data, stride, pixels, channels, [=](Floats x) { return x * clamp(x + 3.0F, zero, six) / 6.0F; });
      break;
    case Activation::Kind::hardsigmoid:
      for_each(data, stride, pixels, channels, [=](Floats x) { return clamp(x + 3.0F, zero, six) / 6.0F; });
      break;
    case Activation::Kind::leaky_relu: for_each(data, stride, pixels, channels, [=](Floats x) { return x > 0.0F ? x : x * a; }); break;
    case Activation::Kind::elu: for_each(data, stride, pixels, channels, [=](Floats x) { return x > 0.0F ? x : a * expm1(x); }); break;
    case Activation::Kind::gelu: for_each(data, stride, pixels, channels, [](Floats x) { return x * logistic(normal_logit(x)); }); break;
    case Activation::Kind::gelu_tanh:
      for_each(data, stride, pixels, channels, [](Floats x) {
        // tanh by way of the logistic function of twice as much
        return x * logistic((x * x * 0.0713548162726F + 1.5957691216057308F) * x);
      });
      break;
    case Activation::Kind::mish:
      for_each(data, stride, pixels, channels, [](Floats x) {
        const Floats share = logistic(-x), squared = share * share;
        return x * ((1.0F - squared) / (1.0F + squared));
      });
      break;
    case Activation::Kind::softplus: for_each(data, stride, pixels, channels, [=](Floats x) { return softplus(x, a, b); }); break;
    case Activation::Kind::exp: for_each(data, stride, pixels, channels, [](Floats x) { return full_exp(x); }); break;
    case Activation::Kind::log: for_each(data, stride, pixels, channels, [](Floats x) { return log(x); }); break;
    case Activation::Kind::sqrt: for_each(data, stride, pixels, channels, [](Floats x) { return sqrt(x); }); break;
    case Activation::Kind::rsqrt: for_each(data, stride, pixels, channels, [](Floats x) { return 1.0F / sqrt(x); }); break;
    case Activation::Kind::reciprocal: for_each(data, stride, pixels, channels, [](Floats x) { return 1.0F / x; }); break;
    case Activation::Kind::erf:
      for_each(data, stride, pixels, channels, [](Floats x) { return half_tanh(normal_logit(x * 1.4142135623730951F)); });
      break;
    case Activation::Kind::absolute: for_each(data, stride, pixels, channels, [](Floats x) { return absolute(x); }); break;
  }
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
