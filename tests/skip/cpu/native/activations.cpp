// Activations, and pointwise steps.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cases.hpp"
#include "checks.hpp"

namespace skipvid::checks {

namespace {

double activated(const Activation& activation, double x) {
  const double a = activation.a, b = activation.b;
  switch (activation.kind) {
    case Activation::Kind::none: return x;
    case Activation::Kind::clamp: return std::clamp(x, a, b);
    case Activation::Kind::silu: return x / (1 + std::exp(-x));
    case Activation::Kind::sigmoid: return 1 / (1 + std::exp(-x));
    case Activation::Kind::tanh: return std::tanh(x);
    case Activation::Kind::hardswish: return x * std::clamp(x + 3, 0.0, 6.0) / 6;
    case Activation::Kind::hardsigmoid: return std::clamp(x + 3, 0.0, 6.0) / 6;
    case Activation::Kind::leaky_relu: return x > 0 ? x : x * a;
    case Activation::Kind::elu: return x > 0 ? x : a * std::expm1(x);
    case Activation::Kind::gelu: return x * std::erfc(-x / std::sqrt(2.0)) / 2;
    case Activation::Kind::gelu_tanh: return x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x))) / 2;
    case Activation::Kind::mish: return x * std::tanh(std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))));
    case Activation::Kind::softplus: return x * a > b ? x : (std::max(x * a, 0.0) + std::log1p(std::exp(-std::abs(x * a)))) / a;
    case Activation::Kind::exp: return std::exp(x);
    case Activation::Kind::log: return std::log(x);
    case Activation::Kind::sqrt: return std::sqrt(x);
    case Activation::Kind::rsqrt: return 1 / std::sqrt(x);
    case Activation::Kind::reciprocal: return 1 / x;
    case Activation::Kind::erf: return std::erf(x);
    case Activation::Kind::absolute: return std::abs(x);
  }
  return nan;
}

}  // namespace

template <class Value>
void check_activations(const Kernels& kernels) {
  // What will be rounded to bfloat16 need only be good to 2^-12.
  const double allowed = sizeof(Value) == sizeof(float) ? 1 : 40;
  for (int kind = 0; kind <= static_cast<int>(Activation::Kind::absolute); ++kind) {
    const int pixels = random_int(1, 5), channels = random_int(1, 40), stride = padded(channels) + lanes * random_int(0, 1);
    const Activation activation{static_cast<Activation::Kind>(kind), kind == 1 ? -0.5F : 0.3F, 2.0F};
    Buffer values(static_cast<std::size_t>(pixels) * stride);
    for (int i = 0; i < pixels * stride; ++i) values.data()[i] = random_float() * static_cast<float>(random_int(1, 40));
    if (kind != 1) values.data()[0] = nan;
    const std::vector<float> before(values.data(), values.data() + pixels * stride);
    kernels.activate(activation, values.data(), stride, pixels, padded(channels));
    for (int pixel = 0; pixel < pixels; ++pixel) {
      for (int c = 0; c < padded(channels); ++c) {
        const int at = pixel * stride + c;
        const double expected = static_cast<float>(activated(activation, before[at]));
        require_close(values.data()[at], expected, allowed * (std::abs(before[at]) + std::abs(expected) + 1),
                      "activation " + std::to_string(kind));
      }
      require_bits(values.data() + pixel * stride + padded(channels), before.data() + pixel * stride + padded(channels),
                   stride - padded(channels), "what lies behind a row");
    }
    if (kind == 0) continue;
    Rows<Value> rows(pixels, channels);
    kernels.put_activated(activation, before.data(), stride, rows.write(), pixels, channels);
    for (int pixel = 0; pixel < pixels; ++pixel) {
      for (int c = 0; c < channels; ++c) {
        require_close(rows.value(pixel, c), as_stored<Value>(values.data()[pixel * stride + c]), 0, "what is activated and stored");
      }
    }
  }
}

template <class Value>
void check_pointwise(const Kernels& kernels) {
  const int pixels = random_int(1, 9), channels = random_int(1, 50);
  const Rows<Value> a(pixels, channels), b(pixels, channels);
  const Floats c(1, channels);
  const Value number = narrowed<Value>(random_float());
  for (int operation = 0; operation <= static_cast<int>(Pointwise::min); ++operation) {
    const bool by_pointer = random_int(0, 1) != 0, scalar = random_int(0, 1) != 0;
    const Operand second = by_pointer ? Operand{b.bytes(0), 0, false, false, b.read()}
                           : scalar   ? Operand{reinterpret_cast<const std::byte*>(&number), 0, true, false}
                                      : Operand{b.bytes(0), b.pitch(), false, false};
    const Operand operands[3] = {{a.bytes(0), a.pitch(), false, false}, second, {c.bytes(0), 0, false, true}};
    Floats targets(pixels, channels);
    kernels.pointwise(static_cast<Pointwise>(operation), operands, targets.at(0), targets.stride, pixels, padded(channels));
    for (int pixel = 0; pixel < pixels; ++pixel) {
      for (int i = 0; i < channels; ++i) {
        const double x = a.value(pixel, i), y = !by_pointer && scalar ? widened(number) : b.value(pixel, i), z = c.value(0, i);
        const double results[] = {x, x + y, x - y, x * y, x / y, x * y + z, std::max(x, y), std::min(x, y)};
        require_close(targets.at(pixel)[i], results[operation], std::abs(x / y) + std::abs(x) + std::abs(y),
                      "pointwise " + std::to_string(operation));
      }
    }
  }
}

template void check_activations<float>(const Kernels&);
template void check_activations<BFloat16>(const Kernels&);
template void check_pointwise<float>(const Kernels&);
template void check_pointwise<BFloat16>(const Kernels&);

}  // namespace skipvid::checks
