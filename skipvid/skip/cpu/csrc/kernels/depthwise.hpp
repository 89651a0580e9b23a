// Depthwise convolution, vectorised over channels. A run of adjacent outputs shares its weights and, with stride 1, its input columns;
// a single output reads through a pointer per tap. Both add bias first, then the taps row by row.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

template <class Value, int Kernel, int Stride, int Pixels>
void depthwise_tile(const DepthwiseArgs& args, const std::byte* const* rows, std::ptrdiff_t column, float* const* outputs) {
  const Floats low = all(args.low), high = all(args.high);
  for (int c = 0; c < args.channels; c += width) {
    Floats sums[Pixels];
    const Floats bias = load(args.bias + c);
    for (int p = 0; p < Pixels; ++p) sums[p] = bias;
    const float* weights = args.weights + c;
#pragma GCC unroll 7
    for (int ky = 0; ky < Kernel; ++ky) {
      const std::byte* row = rows[ky] + c * sizeof(Value);
#pragma GCC unroll 7
      for (int kx = 0; kx < Kernel; ++kx) {
        const Floats w = load(weights + (ky * Kernel + kx) * static_cast<std::ptrdiff_t>(args.channels));
        for (int p = 0; p < Pixels; ++p) sums[p] += load(view<Value>(row + (p * Stride + kx) * column)) * w;
      }
    }
    for (int p = 0; p < Pixels; ++p) store(outputs[p] + c, clamp(sums[p], low, high));
  }
}

template <class Value, int Kernel, int Stride>
void depthwise_line(const DepthwiseArgs& args, const std::byte* const* rows, std::ptrdiff_t column, int pixels, float* const* outputs) {
  const std::byte* at[Kernel];
  for (int ky = 0; ky < Kernel; ++ky) at[ky] = rows[ky];
  const auto advance = [&](int count) {
    for (int ky = 0; ky < Kernel; ++ky) at[ky] += count * Stride * column;
    outputs += count;
  };
  for (; pixels >= 4; pixels -= 4, advance(4)) depthwise_tile<Value, Kernel, Stride, 4>(args, at, column, outputs);
  for (; pixels >= 2; pixels -= 2, advance(2)) depthwise_tile<Value, Kernel, Stride, 2>(args, at, column, outputs);
  for (; pixels >= 1; pixels -= 1, advance(1)) depthwise_tile<Value, Kernel, Stride, 1>(args, at, column, outputs);
}

template <class Value, int Pixels, int Vectors>
void depthwise_group(const DepthwiseArgs& args, const std::byte* const* centres, const std::ptrdiff_t* offsets, int from, int to,
                     float* const* outputs) {
  const int taps = args.kernel_height * args.kernel_width;
  const Floats low = all(args.low), high = all(args.high);
  for (int c = from; c < to; c += Vectors * width) {
    Floats sums[Pixels][Vectors];
    const std::byte* rows[Pixels];
#pragma GCC unroll 4
    for (int p = 0; p < Pixels; ++p) rows[p] = centres[p] + c * sizeof(Value);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 4
      for (int p = 0; p < Pixels; ++p) sums[p][v] = load(args.bias + c + v * width);
    }
    const float* weights = args.weights + c;
    for (int tap = 0; tap < taps; ++tap, weights += args.channels) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const Floats w = load(weights + v * width);
#pragma GCC unroll 4
        for (int p = 0; p < Pixels; ++p) sums[p][v] += load(view<Value>(rows[p] + offsets[tap]) + v * width) * w;
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < Pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) store(outputs[p] + c + v * width, clamp(sums[p][v], low, high));
    }
  }
}

// Few pixels take several vectors of channels at a time: one sum would wait for itself at every tap.
template <class Value, int Pixels>
void depthwise_pixels(const DepthwiseArgs& args, const std::byte* const* centres, const std::ptrdiff_t* offsets, float* const* outputs) {
  constexpr int vectors = 8 / Pixels < 4 ? 8 / Pixels : 4;
  const int even = args.channels / (vectors * width) * vectors * width;
  depthwise_group<Value, Pixels, vectors>(args, centres, offsets, 0, even, outputs);
  depthwise_group<Value, Pixels, 1>(args, centres, offsets, even, args.channels, outputs);
}

template <class Value>
void depthwise_scattered(const DepthwiseArgs& args, const std::byte* const* centres, const std::ptrdiff_t* offsets, int pixels,
                         float* const* outputs) {
  for (; pixels >= 4; pixels -= 4, centres += 4, outputs += 4) depthwise_pixels<Value, 4>(args, centres, offsets, outputs);
  for (; pixels >= 2; pixels -= 2, centres += 2, outputs += 2) depthwise_pixels<Value, 2>(args, centres, offsets, outputs);
  if (pixels == 1) depthwise_pixels<Value, 1>(args, centres, offsets, outputs);
}

template <class Value>
void depthwise_pixel(const DepthwiseArgs& args, const std::byte* const* taps, float* output) {
  constexpr int vectors = 4;
  const int count = args.kernel_height * args.kernel_width;
  const Floats low = all(args.low), high = all(args.high);
  int c = 0;
  for (; c + vectors * width <= args.channels; c += vectors * width) {
    Floats sums[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[v] = load(args.bias + c + v * width);
    const float* weights = args.weights + c;
    for (int tap = 0; tap < count; ++tap, weights += args.channels) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[v] += load(view<Value>(taps[tap]) + c + v * width) * load(weights + v * width);
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store(output + c + v * width, clamp(sums[v], low, high));
  }
  for (; c < args.channels; c += width) {
    Floats sum = load(args.bias + c);
    for (int tap = 0; tap < count; ++tap)
      sum += load(view<Value>(taps[tap]) + c) * load(args.weights + tap * static_cast<std::ptrdiff_t>(args.channels) + c);
    store(output + c, clamp(sum, low, high));
  }
}

template <class Value>
void depthwise_run(const DepthwiseArgs& args, const std::byte* const* rows, std::ptrdiff_t column, int pixels, float* const* outputs) {
  if (args.kernel_height == args.kernel_width && args.stride <= 2) {
    switch (args.kernel_width * 2 + args.stride) {
      case 7: return depthwise_line<Value, 3, 1>(args, rows, column, pixels, outputs);
      case 8: return depthwise_line<Value, 3, 2>(args, rows, column, pixels, outputs);
      case 11: return depthwise_line<Value, 5, 1>(args, rows, column, pixels, outputs);
      case 12: return depthwise_line<Value, 5, 2>(args, rows, column, pixels, outputs);
      case 15: return depthwise_line<Value, 7, 1>(args, rows, column, pixels, outputs);
      case 16: return depthwise_line<Value, 7, 2>(args, rows, column, pixels, outputs);
      default: break;
    }
  }
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < args.channels; c += width) {
      Floats sum = load(args.bias + c);
      for (int ky = 0; ky < args.kernel_height; ++ky) {
        for (int kx = 0; kx < args.kernel_width; ++kx) {
          const std::ptrdiff_t tap = ky * args.kernel_width + kx;
          sum += load(view<Value>(rows[ky] + (p * args.stride + kx) * column) + c) * load(args.weights + tap * args.channels + c);
        }
      }
      store(outputs[p] + c, clamp(sum, all(args.low), all(args.high)));
    }
  }
}

}  // namespace
}  // namespace skipvid
