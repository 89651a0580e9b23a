// The kernels against scalar code in double precision, for every instruction set and element type that this processor runs; and the thread
// pool.
//
// Built and run by tools/sanitize.sh, tools/clang.sh and tools/aarch64.sh. Prints a line for each family; exits with 1 at the first wrong
// value, which it prints.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "memory.hpp"
#include "thread_pool.hpp"
#define SKIPVID_TILES_EMULATED
#include "kernels/tiles.hpp"

namespace {

using namespace skipvid;

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

std::mt19937 generator{1};
std::string context;
int cases = 0;

int random_int(int least, int most) { return std::uniform_int_distribution<int>(least, most)(generator); }
float random_float() { return std::normal_distribution<float>(0, 1)(generator); }

void require(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("%s: %s\n", context.c_str(), what.c_str());
  std::exit(1);
}

// scale: the sum of the magnitudes that the value was added up from.
void require_close(double actual, double expected, double scale, const std::string& what) {
  const bool close = std::isnan(expected) ? std::isnan(actual) : actual == expected || std::abs(actual - expected) <= 2e-6 * (scale + 1);
  require(close, what + ": " + std::to_string(actual) + " instead of " + std::to_string(expected));
}

void require_bits(const float* actual, const float* expected, int count, const std::string& what) {
  for (int i = 0; i < count; ++i) {
    require(std::memcmp(actual + i, expected + i, sizeof(float)) == 0, what + " differs at " + std::to_string(i));
  }
}

// Rows of `channels` random values; the lanes behind them are no numbers, and must not matter. They begin anywhere, as those of a network's
// input do.
template <class Value>
struct Rows {
  Rows(int count, int channels_in)
      : channels(channels_in),
        stride(padded(channels_in)),
        begin(random_int(0, 15)),
        data(begin + static_cast<std::size_t>(count) * stride) {
    for (int row = 0; row < count; ++row) {
      for (int c = 0; c < stride; ++c) at(row)[c] = narrowed<Value>(c < channels ? random_float() : nan);
      pointers.push_back(at(row));
      addresses.push_back(bytes(row));
    }
  }
  Value* at(int row) const {
    return const_cast<Value*>(reinterpret_cast<const Value*>(data.data())) + begin + static_cast<std::ptrdiff_t>(row) * stride;
  }
  std::byte* bytes(int row) const { return reinterpret_cast<std::byte*>(at(row)); }
  float value(int row, int c) const { return widened(at(row)[c]); }
  const std::byte* const* read() const { return addresses.data(); }
  std::byte* const* write() { return addresses.data(); }
  std::ptrdiff_t pitch() const { return stride * static_cast<std::ptrdiff_t>(sizeof(Value)); }

  int channels, stride, begin;
  Buffer data;
  std::vector<Value*> pointers;
  std::vector<std::byte*> addresses;
};
using Floats = Rows<float>;

template <class Value>
float as_stored(float value) {
  return widened(narrowed<Value>(value));
}

Buffer random_values(std::size_t count) {
  Buffer buffer(count);
  for (std::size_t i = 0; i < count; ++i) buffer.data()[i] = random_float();
  return buffer;
}

template <class Value>
void check_gemm(const Kernels& kernels) {
  const int pixels = random_int(1, 40), taps = random_int(1, 9), inputs = random_int(1, 70), vectors = random_int(1, 8);
  const int outputs = vectors * std::max(kernels.width, lanes);
  Rows<Value> sources(pixels * taps, inputs);
  const bool pairs = kernels.gemm_depth == 2;
  const auto lines = [&](int depth) { return (depth + kernels.gemm_depth - 1) / kernels.gemm_depth; };
  std::vector<GemmBlock> blocks;
  int most_lines = 0;
  std::size_t size = 0;
  for (int output = 0; output < outputs;) {
    const int take = std::min((outputs - output) / kernels.width, random_int(1, kernels.gemm_vectors));
    const int first = random_int(0, inputs - 1), depth = random_int(1, inputs - first);
    const int most = take == kernels.gemm_vectors || take <= 2 ? take : 2;
    blocks.push_back({most, output, first, depth, size});
    const int unit = kernels.gemm_lines, all = (taps * lines(depth) + unit - 1) / unit * unit;
    most_lines = std::max(most_lines, all);
    size += static_cast<std::size_t>(all) * most * kernels.width;
    output += most * kernels.width;
  }
  const Buffer bias = random_values(outputs);
  Buffer weights = random_values(size);
  if (pairs) {
    for (std::size_t at = 0; at < 2 * size; ++at) reinterpret_cast<BFloat16*>(weights.data())[at] = narrowed<BFloat16>(random_float());
  }
  // The second of a last pair is multiplied with nothing, whatever it is: packing makes it 0.
  const auto weight = [&](std::size_t line, int k) {
    return pairs ? widened(reinterpret_cast<const BFloat16*>(weights.data())[2 * line + k % 2]) : weights.data()[line];
  };
  Floats targets(pixels, outputs), alone(1, outputs);
  Rows<Value> ahead(pixels, outputs);
  const float low = random_int(0, 1) != 0 ? 0 : -infinity, high = random_int(0, 1) != 0 ? 6 : infinity;
  // Input rows side by side, at equal distances, or anywhere.
  std::vector<int> places(static_cast<std::size_t>(pixels) * taps);
  std::iota(places.begin(), places.end(), 0);
  if (random_int(0, 1) != 0) std::shuffle(places.begin(), places.end(), generator);
  std::vector<const std::byte*> inputs_at;
  for (const int place : places) inputs_at.push_back(sources.bytes(place));
  Buffer memory;
  if (kernels.gemm_memory != nullptr) memory.reserve(kernels.gemm_memory(most_lines));
  std::fill_n(memory.data(), memory.bytes() / sizeof(float), nan);  // what an earlier layer has left there
  GemmArgs args{inputs_at.data(),
                static_cast<std::size_t>(pixels),
                taps,
                pixels,
                weights.data(),
                bias.data(),
                blocks.data(),
                static_cast<int>(blocks.size()),
                low,
                high,
                targets.pointers.data(),
                nullptr,
                nullptr,
                nullptr,
                nullptr,
                memory.data()};
  args.ahead = random_int(0, 1) != 0 ? ahead.read() : nullptr;
  kernels.gemm(args);
  // What is stored at once has the bits of what is stored afterwards.
  Rows<Value> at_once(pixels, outputs), afterwards(pixels, outputs);
  const Activation activation{static_cast<Activation::Kind>(random_int(0, static_cast<int>(Activation::last))), 0.5F, 1.5F};
  GemmArgs storing = args;
  storing.outputs = nullptr;
  storing.stored = at_once.write();
  if (activation.remains()) {
    storing.activation = &activation;
    kernels.put_activated(activation, targets.at(0), targets.stride, afterwards.write(), pixels, outputs);
  } else {
    kernels.put(targets.at(0), targets.stride, afterwards.write(), pixels, outputs);
  }
  if (!activation.remains() || (low < 0 && high > 6)) {  // a step either clamps or activates
    kernels.gemm(storing);
    for (int pixel = 0; pixel < pixels; ++pixel) {
      require(std::memcmp(at_once.at(pixel), afterwards.at(pixel), outputs * sizeof(Value)) == 0, "what a product stores at once");
    }
  }
  // A sum has the bits of what is stored, read back and added to the other, and what is stored stays the same.
  if (!activation.remains()) {
    Rows<Value> added(pixels, outputs), sums(pixels, outputs);
    const GemmSum sum{added.read(), sums.write(), random_int(0, 1) != 0 ? 0 : -infinity, random_int(0, 1) != 0 ? 6 : infinity};
    storing.sum = &sum;
    kernels.gemm(storing);
    for (int pixel = 0; pixel < pixels; ++pixel) {
      require(std::memcmp(at_once.at(pixel), afterwards.at(pixel), outputs * sizeof(Value)) == 0, "what is stored with a sum");
      for (int c = 0; c < outputs; ++c) {
        const float total = std::min(std::max(at_once.value(pixel, c) + added.value(pixel, c), sum.low), sum.high);
        require(sums.value(pixel, c) == as_stored<Value>(total), "a sum that is stored with what it adds up");
      }
    }
    storing.sum = nullptr;
  }
  rest();  // a thread that goes on after a while
  for (int pixel = 0; pixel < pixels; ++pixel) {
    for (const GemmBlock& block : blocks) {
      for (int lane = 0; lane < block.vectors * kernels.width; ++lane) {
        double total = bias.data()[block.output + lane], scale = std::abs(total);
        for (int tap = 0; tap < taps; ++tap) {
          for (int k = 0; k < block.depth; ++k) {
            const std::size_t line = static_cast<std::size_t>(tap) * lines(block.depth) + k / kernels.gemm_depth;
            const std::size_t at = block.weights + line * block.vectors * kernels.width + lane;
            const double product = static_cast<double>(sources.value(places[tap * pixels + pixel], block.input + k)) * weight(at, k);
            total += product;
            scale += std::abs(product);
          }
        }
        require_close(targets.at(pixel)[block.output + lane], std::clamp<double>(total, low, high), scale, "product");
      }
    }
    std::vector<const std::byte*> own;
    for (int tap = 0; tap < taps; ++tap) own.push_back(inputs_at[tap * pixels + pixel]);
    GemmArgs one = args;
    one.inputs = own.data();
    one.tap_stride = one.pixels = 1;
    one.outputs = alone.pointers.data();
    one.ahead = nullptr;
    kernels.gemm(one);
    require_bits(alone.at(0), targets.at(pixel), outputs, "a pixel computed alone");
  }
}

template <class Value>
void check_depthwise(const Kernels& kernels) {
  const int kernel = 1 + 2 * random_int(0, 3), stride = random_int(1, 3), pixels = random_int(1, 11), channels = padded(random_int(1, 150));
  const int line = (pixels - 1) * stride + kernel, taps = kernel * kernel;
  const Rows<Value> map(kernel * line, channels);
  Floats targets(pixels, channels), scattered(pixels, channels), single(1, channels);
  const Buffer weights = random_values(static_cast<std::size_t>(taps) * channels), bias = random_values(channels);
  const DepthwiseArgs args{weights.data(), bias.data(), kernel, kernel, stride, channels, -2, 3};
  std::vector<const std::byte*> rows, centres;
  std::vector<std::ptrdiff_t> offsets;
  for (int y = 0; y < kernel; ++y) {
    rows.push_back(map.bytes(y * line));
    for (int x = 0; x < kernel; ++x) offsets.push_back((static_cast<std::ptrdiff_t>(y) * line + x) * map.pitch());
  }
  for (int pixel = 0; pixel < pixels; ++pixel) centres.push_back(map.bytes(pixel * stride));
  kernels.depthwise_run(args, rows.data(), map.pitch(), pixels, targets.pointers.data());
  kernels.depthwise_scattered(args, centres.data(), offsets.data(), pixels, scattered.pointers.data());
  for (int pixel = 0; pixel < pixels; ++pixel) {
    std::vector<const std::byte*> own;
    for (const std::ptrdiff_t offset : offsets) own.push_back(centres[pixel] + offset);
    kernels.depthwise_pixel(args, own.data(), single.at(0));
    require_bits(scattered.at(pixel), targets.at(pixel), channels, "a scattered pixel");
    require_bits(single.at(0), targets.at(pixel), channels, "a single pixel");
    for (int c = 0; c < channels; ++c) {
      double total = bias.data()[c], scale = std::abs(total);
      for (int tap = 0; tap < taps; ++tap) {
        const double product = static_cast<double>(widened(reinterpret_cast<const Value*>(own[tap])[c])) *
                               weights.data()[static_cast<std::size_t>(tap) * channels + c];
        total += product;
        scale += std::abs(product);
      }
      require_close(targets.at(pixel)[c], std::clamp(total, -2.0, 3.0), scale, "depthwise");
    }
  }
}

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

template <class Value>
void check_rows(const Kernels& kernels) {
  const int count = random_int(1, 12), channels = random_int(1, 90);
  Rows<Value> rows(count, channels);
  const int nowhere = random_int(0, count * 3);
  if (nowhere < count) rows.at(nowhere)[random_int(0, channels - 1)] = narrowed<Value>(nan);
  Floats best(1, channels), total(1, channels), sum(1, channels), wide(1, channels);
  std::vector<float> weights(count), sums(count);
  for (float& weight : weights) weight = random_float();
  kernels.maximum(rows.read(), count, padded(channels), best.at(0));
  kernels.weighted_sum(rows.read(), weights.data(), count, padded(channels), total.at(0));
  kernels.widen(rows.bytes(0), channels, wide.at(0));
  kernels.row_sum(rows.bytes(0), rows.pitch(), count, padded(channels), sum.at(0));
  kernels.absolute_sums(rows.read(), count, channels, sums.data());
  for (int c = 0; c < channels; ++c) {
    double largest = -infinity, weighted = 0, plain = 0, scale = 0;
    for (int row = 0; row < count; ++row) {
      const double x = rows.value(row, c);
      largest = std::isnan(x) || std::isnan(largest) ? nan : std::max(largest, x);
      weighted += x * weights[row];
      plain += x;
      scale += std::abs(x) * (std::abs(weights[row]) + 1);
    }
    require_close(wide.value(0, c), rows.value(0, c), 0, "a row as floats");
    require_close(best.at(0)[c], largest, 0, "maximum");
    require_close(total.at(0)[c], weighted, scale, "weighted sum");
    require_close(sum.at(0)[c], plain, scale, "sum of rows");
  }
  for (int row = 0; row < count; ++row) {
    double expected = 0;
    for (int c = 0; c < channels; ++c) expected += std::abs(static_cast<double>(rows.value(row, c)));
    require_close(sums[row], expected, expected, "sum of magnitudes");
    float alone = 0;
    kernels.absolute_sums(rows.read() + row, 1, channels, &alone);
    require(std::isnan(alone) ? std::isnan(sums[row]) : alone == sums[row], "the sum of a row depends on its neighbours");
  }
}

// Heads at any channels, in rows behind whose last channel nothing is a number; what lies behind the result must stay.
template <class Value>
void check_attention(const Kernels& kernels) {
  const int count = random_int(1, 40), heads = random_int(1, 3), size = random_int(1, 40), value_size = random_int(1, 70);
  const int channels = std::max(size, value_size) + random_int(0, 20);
  const Rows<Value> query(1, channels), keys(count + 1, channels),
      values(count + 1, channels);  // one more: a vector may be read past the last
  std::vector<int> first[3];
  for (int head = 0; head < heads; ++head) {
    for (int part = 0; part < 3; ++part) first[part].push_back(random_int(0, channels - (part == 2 ? value_size : size)));
  }
  const bool biased = random_int(0, 1) != 0;
  std::vector<float> bias(static_cast<std::size_t>(heads) * count);
  for (float& number : bias) number = random_float();
  const float scale = 0.3F;
  const AttentionArgs args{keys.bytes(0), values.bytes(0), keys.pitch(),    values.pitch(),  count, heads, size,
                           value_size,    first[0].data(), first[1].data(), first[2].data(), scale, count};
  Buffer weights(padded(count));
  std::vector<float> output(static_cast<std::size_t>(heads) * value_size + lanes, 7.0F);
  kernels.attend(args, query.bytes(0), biased ? bias.data() : nullptr, weights.data(), output.data());
  for (int head = 0; head < heads; ++head) {
    std::vector<double> products(count);
    for (int row = 0; row < count; ++row) {
      double product = 0;
      for (int c = 0; c < size; ++c) {
        product += static_cast<double>(query.value(0, first[0][head] + c)) * keys.value(row, first[1][head] + c);
      }
      products[row] = product * scale + (biased ? bias[static_cast<std::size_t>(head) * count + row] : 0.0F);
    }
    const double most = *std::max_element(products.begin(), products.end());
    double total = 0;
    for (double& product : products) total += product = std::exp(product - most);
    for (int c = 0; c < value_size; ++c) {
      double expected = 0, magnitude = 0;
      for (int row = 0; row < count; ++row) {
        const double part = products[row] / total * values.value(row, first[2][head] + c);
        expected += part;
        magnitude += std::abs(part);
      }
      require_close(output[static_cast<std::size_t>(head) * value_size + c], expected, 10 * magnitude, "attention");
    }
  }
  for (int lane = 0; lane < lanes; ++lane) {
    require(output[static_cast<std::size_t>(heads) * value_size + lane] == 7.0F, "attention writes behind its heads");
  }
}

template <class Value>
void check_publish(const Kernels& kernels) {
  const int count = random_int(1, 64), channels = random_int(1, 60);
  const bool copy = random_int(0, 1) != 0, magnitude = random_int(0, 1) != 0, learned = random_int(0, 1) != 0;
  const Floats values(count, channels);
  Rows<Value> published(count, channels), put(count, channels);
  for (int row = 0; row < count; ++row) {
    if (random_int(0, 2) == 0) {
      for (int c = 0; c < channels; ++c) published.at(row)[c] = narrowed<Value>(values.value(row, c));
    }
    if (random_int(0, 9) == 0) values.at(row)[random_int(0, channels - 1)] = nan;
  }
  Buffer weights(padded(channels));
  for (int c = 0; c < channels; ++c) weights.data()[c] = random_float();
  const float limit = static_cast<float>(channels) * 1.1F, bias = -0.5F;
  std::vector<float> before;
  for (int row = 0; row < count; ++row) {
    for (int c = 0; c < channels; ++c) before.push_back(published.value(row, c));
  }
  const auto ask = [&](const float* from, std::byte* const* rows, int number, bool copies) {
    return learned ? kernels.ask(from, values.stride, rows, number, channels, weights.data(), bias, magnitude, copies)
                   : kernels.publish(from, values.stride, rows, number, channels, limit, copies);
  };
  kernels.put(values.at(0), values.stride, put.write(), count, channels);
  for (int row = 0; row < count; ++row) {
    for (int c = 0; c < channels; ++c) require_close(put.value(row, c), as_stored<Value>(values.value(row, c)), 0, "what is stored");
  }
  Floats rounded(count, channels);
  for (int row = 0; row < count; ++row) std::copy_n(values.at(row), channels, rounded.at(row));
  kernels.round(rounded.pointers.data(), count, channels);
  for (int row = 0; row < count; ++row) {
    for (int c = 0; c < channels; ++c) require_close(rounded.value(row, c), put.value(row, c), 0, "what is rounded");
  }
  std::uint64_t apart = 0;
  for (int row = 0; row < count; ++row) apart |= ask(values.at(row), published.write() + row, 1, false) << row;
  const std::uint64_t opened = ask(values.at(0), published.write(), count, copy);
  require(opened == apart, "a row's gate depends on its neighbours");
  require(count == 64 || opened >> count == 0, "a gate opened behind the last row");
  for (int row = 0; row < count; ++row) {
    double distance = learned ? bias : 0, scale = 1;
    for (int c = 0; c < channels; ++c) {
      const double change =
          static_cast<double>(as_stored<Value>(values.value(row, c))) - before[static_cast<std::size_t>(row) * channels + c];
      const double part = (learned && !magnitude ? change : std::abs(change)) * (learned ? weights.data()[c] : 1);
      distance += part;
      scale += std::abs(part);
    }
    const bool open = (opened >> row & 1U) != 0;
    const double margin = learned ? distance : distance - limit;
    if (std::isnan(margin)) require(open, "a gate stays shut before what is no number");
    if (std::abs(margin) > 1e-5 * scale) require(open == (margin > 0), "a gate is wrong about row " + std::to_string(row));
    for (int c = 0; c < channels; ++c) {
      const float kept = open && copy ? as_stored<Value>(values.value(row, c)) : before[static_cast<std::size_t>(row) * channels + c];
      require_close(published.value(row, c), kept, 0, "what is published");
    }
  }
}

template <class Value>
void check_change(const Kernels& kernels) {
  const int channels = random_int(1, 60);
  for (const Norm norm : {Norm::magnitudes, Norm::squares, Norm::largest}) {
    const Rows<Value> now(1, channels);
    Rows<Value> seen(1, channels);
    if (random_int(0, 3) == 0) now.at(0)[random_int(0, channels - 1)] = narrowed<Value>(nan);
    double sum = 0, squares = 0, largest = 0;
    for (int c = 0; c < channels; ++c) {
      const double change = std::abs(static_cast<double>(now.value(0, c)) - seen.value(0, c));
      sum += change;
      squares += change * change;
      largest = std::isnan(change) || std::isnan(largest) ? nan : std::max(largest, change);
    }
    const double expected[] = {sum, squares, largest};
    require_close(kernels.change(now.bytes(0), seen.bytes(0), channels, norm), expected[static_cast<int>(norm)], sum + squares, "change");
    require(std::memcmp(seen.at(0), now.at(0), channels * sizeof(Value)) == 0, "what was seen is another row");
  }
}

template <class Value>
void check_bits(const Kernels& kernels) {
  std::vector<std::uint64_t> words(random_int(1, 5));
  std::vector<std::uint32_t> wanted;
  const std::uint32_t base = static_cast<std::uint32_t>(random_int(0, 1000)) << 16;
  const int density = random_int(0, 4);
  for (std::size_t word = 0; word < words.size(); ++word) {
    for (int bit = 0; bit < 64; ++bit) {
      if (random_int(0, 3) >= density) continue;
      words[word] |= std::uint64_t{1} << bit;
      wanted.push_back(base + static_cast<std::uint32_t>(64 * word) + bit);
    }
  }
  std::vector<std::uint32_t> found(wanted.size() + list_room + 1, 7);
  found.resize(kernels.list_bits(words.data(), static_cast<int>(words.size()), base, found.data()) + list_room + 1);
  require(found.size() == wanted.size() + list_room + 1 && found.back() == 7, "a list of bits is too long");
  require(std::equal(wanted.begin(), wanted.end(), found.begin()), "a list of bits is wrong");
}

template <class Value>
void check_inputs(const Kernels& kernels) {
  const int pixels = random_int(1, 64), channels = random_int(1, 4);
  const bool planar = random_int(0, 1) != 0;
  const std::ptrdiff_t stride = random_int(0, 1) != 0 ? 4 : 16;
  const Buffer data = random_values(static_cast<std::size_t>(pixels) * channels);
  std::vector<Value> published(static_cast<std::size_t>(pixels) * stride);
  const std::ptrdiff_t channel = planar ? pixels : 1, column = planar ? 1 : channels;
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < channels; ++c) {
      published[p * stride + c] = narrowed<Value>(data.data()[c * channel + p * column] + (random_int(0, 2) == 0 ? 0.5F : 0.0F));
    }
    if (random_int(0, 9) == 0) published[p * stride] = narrowed<Value>(nan);
  }
  const std::uint64_t changed = kernels.input_changes(data.data(), channel, column, reinterpret_cast<const std::byte*>(published.data()),
                                                      stride * sizeof(Value), pixels, channels, 0.25F);
  for (int p = 0; p < 64; ++p) {
    double distance = 0;
    for (int c = 0; p < pixels && c < channels; ++c)
      distance +=
          std::abs(static_cast<double>(as_stored<Value>(data.data()[c * channel + p * column])) - widened(published[p * stride + c]));
    require((changed >> p & 1U) == static_cast<std::uint64_t>(!(distance <= 0.25)), "an input's change");
  }
  std::vector<std::uint8_t> now(3 * pixels), before(3 * pixels);
  for (int i = 0; i < 3 * pixels; ++i) {
    now[i] = static_cast<std::uint8_t>(random_int(0, 255));
    before[i] = random_int(0, 1) != 0 ? now[i] : static_cast<std::uint8_t>(random_int(0, 255));
  }
  const int least = random_int(1, 400), many = random_int(least, 1000);
  const auto [some, enough] = kernels.byte_changes(now.data(), before.data(), pixels, least, many);
  for (int p = 0; p < 64; ++p) {
    int distance = 0;
    for (int c = 0; p < pixels && c < 3; ++c) distance += std::abs(now[3 * p + c] - before[3 * p + c]);
    require((some >> p & 1U) == (distance >= least) && (enough >> p & 1U) == (distance >= many), "a change of bytes");
  }
}

template <class Value>
void check_bytes(const Kernels& kernels) {
  const int pixels = random_int(1, 64), stride = random_int(0, 3) == 0 ? 7 : 4, density = random_int(0, 8);
  std::vector<std::uint8_t> now(3 * pixels), bytes(3 * pixels);
  for (int i = 0; i < 3 * pixels; ++i) {
    now[i] = static_cast<std::uint8_t>(random_int(0, 255));
    bytes[i] = static_cast<std::uint8_t>(random_int(0, 255));
  }
  std::vector<Value> tables[3], rows(pixels * stride, narrowed<Value>(1234.0F));
  ByteValues values;
  const int turn = random_int(0, 2), step = random_int(1, 2);
  for (int c = 0; c < 3; ++c) {
    for (int byte = 0; byte < 256; ++byte) tables[c].push_back(narrowed<Value>(random_float()));
    values.tables[c] = reinterpret_cast<const std::byte*>(tables[c].data());
    values.bytes[c] = (turn + c * step) % 3;
  }
  std::uint64_t open = 0;
  for (int p = 0; p < pixels; ++p) open |= static_cast<std::uint64_t>(random_int(1, 8) <= density) << p;
  const std::vector<Value> rows_before = rows;
  const std::vector<std::uint8_t> bytes_before = bytes;
  kernels.publish_bytes(values, now.data(), pixels, open, reinterpret_cast<std::byte*>(rows.data()), stride * sizeof(Value), bytes.data());
  for (int p = 0; p < pixels; ++p) {
    const bool taken = (open >> p & 1U) != 0;
    for (int c = 0; c < 3; ++c) {
      require(bytes[3 * p + c] == (taken ? now : bytes_before)[3 * p + c], "a pixel's bytes");
      const Value wanted = taken ? tables[c][now[3 * p + values.bytes[c]]] : rows_before[p * stride + c];
      require(widened(rows[p * stride + c]) == widened(wanted), "a pixel's values");
    }
    const bool zero = taken && sizeof(Value) < sizeof(float);
    require(widened(rows[p * stride + 3]) == (zero ? 0 : widened(rows_before[p * stride + 3])), "what lies behind a pixel's values");
  }
}

// The emulated tile instruction: a sum for the first values of all pairs and one for the second ones, each rounded at every step, are added
// up, and only then to what is there; denormal numbers are zeros.
void check_emulated_tiles() {
  struct Case {
    std::vector<float> left, right;  // pairs
    float before, after;
  };
  const float far = 16777216, tiny = 1e-39F;
  const Case cases_of[] = {
      {{1, 2, 3, 4}, {5, 6, 7, 8}, 9, 79},        {{far, -far, 1, 1}, {1, 1, 1, 1}, 0, 1},  // far + 1 = far, but 1 - far is exact
      {{1, 1, 1, 1}, {1, 1, 1, 1}, far, far + 4}, {{1, 0, 0, 0}, {1, 0, 0, 0}, far, far},
      {{tiny, tiny}, {1e30F, 1e30F}, 0, 0},       {{1e-20F, 1e-20F}, {1e-19F, 1e-19F}, 0, 0},
      {{1e-20F, 1e-20F}, {1e-19F, 1e-19F}, 1, 1}, {{0, 0}, {0, 0}, tiny, 0},
      {{infinity, 0}, {1, 0}, 1, infinity},       {{nan, 0}, {0, 0}, 1, nan},
  };
  context = "emulated tiles";
  for (const Case& one : cases_of) {
    TileShapes shapes;
    const int pairs = static_cast<int>(one.left.size()) / 2;
    shapes.rows[0] = shapes.rows[1] = 2;
    shapes.bytes[0] = shapes.bytes[2] = 12;
    shapes.bytes[1] = static_cast<std::uint16_t>(4 * pairs);
    shapes.rows[2] = static_cast<std::uint8_t>(pairs);
    SKIPVID_TILE_CONFIGURE(shapes);
    BFloat16 left[2][32], right[16][6];
    float sums[2][3];
    for (int i = 0; i < 2 * pairs; ++i) {
      left[0][i] = left[1][i] = narrowed<BFloat16>(one.left[i]);
      for (int column = 0; column < 3; ++column) right[i / 2][2 * column + i % 2] = narrowed<BFloat16>(one.right[i]);
    }
    for (auto& row : sums) std::fill(std::begin(row), std::end(row), one.before);
    SKIPVID_TILE_LOAD(0, sums, sizeof sums[0]);
    SKIPVID_TILE_LOAD(1, left, sizeof left[0]);
    SKIPVID_TILE_LOAD(2, right, sizeof right[0]);
    SKIPVID_TILE_MULTIPLY(0, 1, 2);
    SKIPVID_TILE_STORE(0, sums, sizeof sums[0]);
    for (const auto& row : sums) {
      for (const float value : row) {
        require(std::isnan(one.after) ? std::isnan(value) : value == one.after, "a sum is " + std::to_string(value));
      }
    }
    SKIPVID_TILE_ZERO(0);
    SKIPVID_TILE_STORE(0, sums, sizeof sums[0]);
    require(sums[1][2] == 0, "a tile was not cleared");
    SKIPVID_TILE_RELEASE();
    for (const Tile& tile : tiles) require(tile.rows == 0, "a tile was not released");
  }
  std::printf("%s: %d cases\n", context.c_str(), static_cast<int>(std::size(cases_of)));
}

// Every item once, whoever runs it; an exception comes out when nobody uses the loop any more, and the next loop is as good as any.
void check_pool(int threads) {
  ThreadPool pool(threads);
  for (int round = 0; round < 200; ++round) {
    ThreadPool::Lease lease(pool);
    for (int loop = 0; loop < 3; ++loop) {
      const int items = random_int(0, 300), bad = random_int(0, 3) == 0 ? random_int(0, 300) : -1;
      std::vector<std::atomic<int>> runs(items);
      std::atomic<int> inside{0};
      bool thrown = false;
      const auto task = [&](int item, int worker) {
        ++inside;
        require(worker >= 0 && worker < lease.workers(), "a worker's number");
        ++runs[item];
        if (bad >= 0 && (item == bad || item == bad + 1)) {
          --inside;
          throw std::runtime_error("bad item");
        }
        --inside;
      };
      try {
        lease.run(items, task);
      } catch (const std::runtime_error&) {
        thrown = true;
      }
      require(inside == 0, "a worker is still in a loop that is over");
      require(thrown == (bad >= 0 && bad < items), "an exception was lost, or invented");
      for (const std::atomic<int>& run : runs) require(thrown ? run <= 1 : run == 1, "an item was not run once");
    }
    ++cases;
  }
}

// A worker that has something to do before it rests does it before it sleeps, or ends.
void check_rest(int threads) {
  static std::atomic<int> rested;
  rested = 0;
  std::atomic<int> busy{0};
  {
    ThreadPool pool(threads);
    for (int frame = 0; frame < 20; ++frame) {
      ThreadPool::Lease lease(pool);
      lease.run(8 * threads, [&](int, int worker) {
        if (worker > 0 && before_rest == nullptr) {
          ++busy;
          before_rest = [] { ++rested; };
        }
      });
    }
  }
  require(rested == busy, "workers that slept with their duties undone");
  before_rest = [] { ++rested; };
  rest();
  require(rested == busy + 1 && before_rest == nullptr, "a duty is not done once");
}

template <class Value>
void check_tables(Element element) {
  const std::pair<const char*, std::function<void(const Kernels&)>> families[] = {
      {"gemm", check_gemm<Value>},           {"depthwise", check_depthwise<Value>}, {"activations", check_activations<Value>},
      {"pointwise", check_pointwise<Value>}, {"rows", check_rows<Value>},           {"gates", check_publish<Value>},
      {"changes", check_change<Value>},      {"inputs", check_inputs<Value>},       {"bits", check_bits<Value>},
      {"attention", check_attention<Value>}, {"bytes", check_bytes<Value>},
  };
  const char* const type = element == Element::f32 ? "f32" : "bf16";
  for (const char* name : instruction_sets()) {
    const Kernels* kernels = find_kernels(name, element);
    if (kernels == nullptr) continue;
    require(std::string(kernels->name) == name && kernels->element == element, "a table's name");
    for (const auto& [family, check] : families) {
      context = std::string(name) + " " + type + " " + family;
      for (cases = 0; cases < 300; ++cases) check(*kernels);
      std::printf("%-12s %-4s %-12s %d cases\n", name, type, family, cases);
    }
  }
}

}  // namespace

int main() {
  check_emulated_tiles();
  check_tables<float>(Element::f32);
  check_tables<BFloat16>(Element::bf16);
  for (const int threads : {1, 2, 3, 8}) {
    context = "pool of " + std::to_string(threads);
    cases = 0;
    check_pool(threads);
    check_rest(threads);
    std::printf("%-21s %d frames\n", context.c_str(), cases);
  }
  return 0;
}
