// Activations and point-wise arithmetic on blocks of adjacent pixels.
#pragma once

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

void activate(const Activation& activation, float* data, std::ptrdiff_t stride, int pixels, int channels) {
  const Floats a = all(activation.a), b = all(activation.b), zero{}, six = all(6.0F);
  switch (activation.kind) {
    case Activation::Kind::none: break;
    case Activation::Kind::clamp:
      for_each(data, stride, pixels, channels, [=](Floats x) { return clamp(x, a, b); });
      break;
    case Activation::Kind::silu:
      for_each(data, stride, pixels, channels, [](Floats x) { return x / (1.0F + exp(-x)); });
      break;
    case Activation::Kind::sigmoid:
      for_each(data, stride, pixels, channels, [](Floats x) { return logistic(x); });
      break;
    case Activation::Kind::tanh:
      for_each(data, stride, pixels, channels, [](Floats x) {
        const Floats e = expm1(x + x);
        return e / (e + 2.0F);
      });
      break;
    case Activation::Kind::hardswish:
      for_each(data, stride, pixels, channels, [=](Floats x) { return x * clamp(x + 3.0F, zero, six) / 6.0F; });
      break;
    case Activation::Kind::hardsigmoid:
      for_each(data, stride, pixels, channels, [=](Floats x) { return clamp(x + 3.0F, zero, six) / 6.0F; });
      break;
    case Activation::Kind::leaky_relu:
      for_each(data, stride, pixels, channels, [=](Floats x) { return x > 0.0F ? x : x * a; });
      break;
    case Activation::Kind::elu:
      for_each(data, stride, pixels, channels, [=](Floats x) { return x > 0.0F ? x : a * expm1(x); });
      break;
  }
}

SKIPVID_INLINE Floats fetch(const Operand& operand, int pixel, int channel) {
  const float* row = operand.data + pixel * operand.stride;
  return operand.scalar ? all(*row) : load(row + channel);
}

template <class Function>
SKIPVID_INLINE void combine(float* output, std::ptrdiff_t stride, int pixels, int channels, Function function) {
  for (int p = 0; p < pixels; ++p, output += stride) {
    for (int c = 0; c < channels; c += width) store(output + c, function(p, c));
  }
}

void pointwise(Pointwise operation, const Operand* operands, float* output, std::ptrdiff_t stride, int pixels, int channels) {
  const Operand x = operands[0], y = operands[1], z = operands[2];
  const auto run = [&](auto function) { combine(output, stride, pixels, channels, function); };
  switch (operation) {
    case Pointwise::copy: run([=](int p, int c) { return fetch(x, p, c); }); break;
    case Pointwise::add: run([=](int p, int c) { return fetch(x, p, c) + fetch(y, p, c); }); break;
    case Pointwise::sub: run([=](int p, int c) { return fetch(x, p, c) - fetch(y, p, c); }); break;
    case Pointwise::mul: run([=](int p, int c) { return fetch(x, p, c) * fetch(y, p, c); }); break;
    case Pointwise::div: run([=](int p, int c) { return fetch(x, p, c) / fetch(y, p, c); }); break;
    case Pointwise::multiply_add: run([=](int p, int c) { return fetch(x, p, c) * fetch(y, p, c) + fetch(z, p, c); }); break;
  }
}

}  // namespace
}  // namespace skipvid
