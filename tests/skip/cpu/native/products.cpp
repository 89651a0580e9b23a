// Products and depthwise convolutions.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "cases.hpp"
#include "checks.hpp"
#include "thread_pool.hpp"

namespace skipvid::checks {

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

template void check_gemm<float>(const Kernels&);
template void check_gemm<BFloat16>(const Kernels&);
template void check_depthwise<float>(const Kernels&);
template void check_depthwise<BFloat16>(const Kernels&);

}  // namespace skipvid::checks
