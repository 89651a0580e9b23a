// Indirect matrix product: tiles of pixels x output channels, each tap's input row found through a pointer. No im2col, no halo, no gather:
// any set of pixels runs at the same speed. One order of additions for every pixel (bias, then taps in order, then input channels in
// order), whatever the tile's size.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

#if SKIPVID_WIDTH == 16
constexpr int tile_pixels = 8, tile_vectors = 3;
#elif SKIPVID_WIDTH == 8
constexpr int tile_pixels = 6, tile_vectors = 2;
#else
constexpr int tile_pixels = 4, tile_vectors = 2;
#endif

// What is to be brought near while a tile is computed: a line for each product with an input channel, from `next` on.
struct Ahead {
  const float* next;
  std::ptrdiff_t step;
};

template <int Pixels, int Vectors>
void gemm_tile(const GemmArgs& args, const GemmBlock& block, int pixel, Ahead ahead) {
  Floats sums[Pixels][Vectors];
#pragma GCC unroll 3
  for (int j = 0; j < Vectors; ++j) {
    const Floats bias = load(args.bias + block.output + j * width);
#pragma GCC unroll 8
    for (int i = 0; i < Pixels; ++i) sums[i][j] = bias;
  }
  for (int i = 0; args.ahead != nullptr && i < Pixels; ++i) {
    const float* row = args.ahead[pixel + i] + block.output;
    for (int at = 0; at < Vectors * width; at += 16) __builtin_prefetch(row + at, 0, 2);
  }
  const float* weights = args.weights + block.weights;
  for (int tap = 0; tap < args.taps; ++tap) {
    const float* const* inputs = args.inputs + tap * args.tap_stride + pixel;
    const float* rows[Pixels];
    for (int i = 0; i < Pixels; ++i) rows[i] = inputs[i] + block.input;
    for (int k = 0; k < block.depth; ++k, weights += Vectors * width, ahead.next += ahead.step) {
      __builtin_prefetch(ahead.next, 0, 2);
      Floats w[Vectors];
      for (int j = 0; j < Vectors; ++j) w[j] = load(weights + j * width);
      for (int i = 0; i < Pixels; ++i) {
        const Floats x = all(rows[i][k]);
        for (int j = 0; j < Vectors; ++j) sums[i][j] += x * w[j];
      }
    }
  }
  const Floats low = all(args.low), high = all(args.high);
#pragma GCC unroll 8
  for (int i = 0; i < Pixels; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) store(args.outputs[pixel + i] + block.output + j * width, clamp(sums[i][j], low, high));
  }
}

template <int Vectors, int Pixels = tile_pixels>
SKIPVID_INLINE void gemm_tile_of(int pixels, const GemmArgs& args, const GemmBlock& block, int pixel, Ahead ahead) {
  if constexpr (Pixels > 0) {
    if (pixels == Pixels) return gemm_tile<Pixels, Vectors>(args, block, pixel, ahead);
    gemm_tile_of<Vectors, Pixels - 1>(pixels, args, block, pixel, ahead);
  }
}

// after: the block that comes next, or null. With few pixels its weights would be waited for, so that they are fetched meanwhile, a line for
// every three that are read: what three tiles need. (More of them at a time were slower.)
template <int Vectors>
void gemm_block(const GemmArgs& args, const GemmBlock& block, const GemmBlock* after) {
  Ahead ahead{args.weights + (after != nullptr ? after->weights : block.weights), 0};
  const float* end = ahead.next;
  if (after != nullptr) end += static_cast<std::ptrdiff_t>(args.taps) * after->depth * after->vectors * width;
  for (int pixel = 0; pixel < args.pixels;) {
    const int left = args.pixels - pixel, rest = left - tile_pixels;
    // One or two pixels take as long as three, because their sums wait for each other: rather two halves.
    const int take = rest <= 0 ? left : rest < 3 ? (left + 1) / 2 : tile_pixels;
    ahead.step = ahead.next < end ? 16 : 0;
    gemm_tile_of<Vectors>(take, args, block, pixel, ahead);
    ahead.next += ahead.step * args.taps * block.depth;
    pixel += take;
  }
}

void gemm(const GemmArgs& args) {
  for (int index = 0; index < args.block_count; ++index) {
    const GemmBlock& block = args.blocks[index];
    const GemmBlock* after = index + 1 < args.block_count ? &block + 1 : nullptr;
    switch (block.vectors) {
      case 1: gemm_block<1>(args, block, after); break;
      case 2: gemm_block<2>(args, block, after); break;
      default: gemm_block<tile_vectors>(args, block, after); break;
    }
  }
}

}  // namespace
}  // namespace skipvid
