// Depthwise convolution, vectorised over channels. A run of adjacent outputs shares its weights and, with stride 1, its input columns;
// a single output reads through a pointer per tap. Both add bias first, then the taps row by row.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

template <int Kernel, int Stride, int Pixels>
void depthwise_tile(const DepthwiseArgs& args, const float* const* rows, std::ptrdiff_t column, float* const* outputs) {
  const Floats low = all(args.low), high = all(args.high);
  for (int c = 0; c < args.channels; c += width) {
    Floats sums[Pixels];
    const Floats bias = load(args.bias + c);
    for (int p = 0; p < Pixels; ++p) sums[p] = bias;
    const float* weights = args.weights + c;
#pragma GCC unroll 7
    for (int ky = 0; ky < Kernel; ++ky) {
      const float* row = rows[ky] + c;
#pragma GCC unroll 7
      for (int kx = 0; kx < Kernel; ++kx) {
        const Floats w = load(weights + (ky * Kernel + kx) * static_cast<std::ptrdiff_t>(args.channels));
        for (int p = 0; p < Pixels; ++p) sums[p] += load(row + (p * Stride + kx) * column) * w;
      }
    }
    for (int p = 0; p < Pixels; ++p) store(outputs[p] + c, clamp(sums[p], low, high));
  }
}

template <int Kernel, int Stride>
void depthwise_line(const DepthwiseArgs& args, const float* const* rows, std::ptrdiff_t column, int pixels, float* const* outputs) {
  const float* at[Kernel];
  for (int ky = 0; ky < Kernel; ++ky) at[ky] = rows[ky];
  const auto advance = [&](int count) {
    for (int ky = 0; ky < Kernel; ++ky) at[ky] += count * Stride * column;
    outputs += count;
  };
  for (; pixels >= 4; pixels -= 4, advance(4)) depthwise_tile<Kernel, Stride, 4>(args, at, column, outputs);
  for (; pixels >= 2; pixels -= 2, advance(2)) depthwise_tile<Kernel, Stride, 2>(args, at, column, outputs);
  for (; pixels >= 1; pixels -= 1, advance(1)) depthwise_tile<Kernel, Stride, 1>(args, at, column, outputs);
}

void depthwise_pixel(const DepthwiseArgs& args, const float* const* taps, float* output) {
  const int count = args.kernel_height * args.kernel_width;
  for (int c = 0; c < args.channels; c += width) {
    Floats sum = load(args.bias + c);
    for (int tap = 0; tap < count; ++tap) sum += load(taps[tap] + c) * load(args.weights + tap * static_cast<std::ptrdiff_t>(args.channels) + c);
    store(output + c, clamp(sum, all(args.low), all(args.high)));
  }
}

void depthwise_run(const DepthwiseArgs& args, const float* const* rows, std::ptrdiff_t column, int pixels, float* const* outputs) {
  if (args.kernel_height == args.kernel_width && args.stride <= 2) {
    switch (args.kernel_width * 2 + args.stride) {
      case 7: return depthwise_line<3, 1>(args, rows, column, pixels, outputs);
      case 8: return depthwise_line<3, 2>(args, rows, column, pixels, outputs);
      case 11: return depthwise_line<5, 1>(args, rows, column, pixels, outputs);
      case 12: return depthwise_line<5, 2>(args, rows, column, pixels, outputs);
      case 15: return depthwise_line<7, 1>(args, rows, column, pixels, outputs);
      case 16: return depthwise_line<7, 2>(args, rows, column, pixels, outputs);
      default: break;
    }
  }
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < args.channels; c += width) {
      Floats sum = load(args.bias + c);
      for (int ky = 0; ky < args.kernel_height; ++ky) {
        for (int kx = 0; kx < args.kernel_width; ++kx) {
          const std::ptrdiff_t tap = ky * args.kernel_width + kx;
          sum += load(rows[ky] + (p * args.stride + kx) * column + c) * load(args.weights + tap * args.channels + c);
        }
      }
      store(outputs[p] + c, clamp(sum, all(args.low), all(args.high)));
    }
  }
}

}  // namespace
}  // namespace skipvid
