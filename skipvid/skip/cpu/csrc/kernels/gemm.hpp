// Indirect matrix product: tiles of pixels x output channels, each tap's input row found through a pointer. No im2col, no halo, no gather:
// any set of pixels runs at the same speed. One order of additions for every pixel (bias, then taps in order, then input channels in
// order), whatever the tile's size.
//
// Three ways to take in a row:
//   float     a channel at a time
//   bfloat16  two channels at a time, widened in registers; weights are floats
//   pairs     bfloat16, and so are the weights: vdpbf16ps multiplies two channels at a time (SKIPVID_PAIRS)
#pragma once

#include <type_traits>

#include "gates.hpp"
#include "pointwise.hpp"
#include "vector.hpp"
#ifdef SKIPVID_PAIRS
#include <immintrin.h>
#endif

namespace skipvid {
namespace {

#if SKIPVID_WIDTH == 16
constexpr int tile_pixels = 8, tile_vectors = 3;
#elif SKIPVID_WIDTH == 8
constexpr int tile_pixels = 6, tile_vectors = 2;
#else
constexpr int tile_pixels = 4, tile_vectors = 2;
#endif

#ifdef SKIPVID_PAIRS
constexpr int tile_depth = 2;
#else
constexpr int tile_depth = 1;
#endif
// Lines of a block's weights under one tap.
SKIPVID_INLINE int lines_of(int depth) { return (depth + tile_depth - 1) / tile_depth; }

// Two adjacent bfloat16 in each lane, of which the first is in the lower half. A row may begin anywhere.
SKIPVID_INLINE Words pair_at(const BFloat16* from) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return bits - Words{};
}
#ifdef SKIPVID_PAIRS
// The last of an odd number of channels: what lies behind it may be no number.
SKIPVID_INLINE Words last_at(const BFloat16* from) { return static_cast<std::uint32_t>(from->bits) - Words{}; }
#endif

#ifdef SKIPVID_PAIRS
// Each lane with the products of two pairs. Denormal numbers count as 0, in sums too.
template <class Pairs>
SKIPVID_INLINE Floats add_products(Floats sums, Pairs x, Floats weights) {
  return reinterpret_cast<Floats>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sums), (__m512bh)x, (__m512bh)weights));
}
#endif

// What is to be brought near while a tile is computed: a line for each product with an input channel, from `next` on.
struct Ahead {
  const float* next;
  std::ptrdiff_t step;
};

// Adds the products with one line of weights; take(i): what pixel i multiplies them with. Goes on to the next line.
template <int Pixels, int Vectors, class Take>
SKIPVID_INLINE void add_line(Floats (&sums)[Pixels][Vectors], const float*& weights, Ahead& ahead, const Take& take) {
  __builtin_prefetch(ahead.next, 0, 2);
  Floats w[Vectors];
  for (int j = 0; j < Vectors; ++j) w[j] = load(weights + j * width);
  for (int i = 0; i < Pixels; ++i) {
    const auto x = take(i);
    for (int j = 0; j < Vectors; ++j) {
#ifdef SKIPVID_PAIRS
      sums[i][j] = add_products(sums[i][j], x, w[j]);
#else
      sums[i][j] += x * w[j];
#endif
    }
  }
  weights += Vectors * width;
  ahead.next += ahead.step;
}

// A tile's results, activated and rounded to where they belong. Not inlined: the tile's registers are free by then.
template <class Value, int Vectors>
__attribute__((noinline)) void put_tile(const GemmArgs& args, const Floats (*results)[Vectors], int pixel, int pixels, int output) {
  constexpr int channels = Vectors * width;
  std::byte* rows[tile_pixels];
  for (int i = 0; i < pixels; ++i) rows[i] = args.stored[pixel + i] + output * sizeof(Value);
  const float* const values = reinterpret_cast<const float*>(results);
  if (args.activation != nullptr) {
    put_activated<Value>(*args.activation, values, channels, rows, pixels, channels);
  } else {
    put<Value>(values, channels, rows, pixels, channels);
  }
  for (int i = 0; args.sum != nullptr && i < pixels; ++i) {
    const Value* const added = view<Value>(args.sum->added[pixel + i]) + output;
    Value* const to = view<Value>(args.sum->rows[pixel + i]) + output;
    for (int c = 0; c < channels; c += width) {
      const Floats sum = stored<Value>(load(values + i * channels + c)) + load(added + c);
      store(to + c, clamp(sum, all(args.sum->low), all(args.sum->high)));
    }
  }
}

#ifdef SKIPVID_PAIRS
// The same of results that are no denormal numbers, as those of vdpbf16ps never are: the processor's conversion is right then.
template <int Pixels, int Vectors>
SKIPVID_INLINE void put_normal(const GemmArgs& args, Floats (&results)[Pixels][Vectors], int pixel, int output) {
  std::byte* const* const rows = args.stored + pixel;
#pragma GCC unroll 8
  for (int i = 0; i < Pixels; ++i) {
    BFloat16* const to = view<BFloat16>(rows[i]) + output;
    if constexpr (Vectors > 1) store_normal_two(to, results[i][0], results[i][1]);
    if constexpr (Vectors % 2 == 1) store_normal(to + (Vectors - 1) * width, results[i][Vectors - 1]);
  }
  if (args.sum == nullptr) return;
  const std::byte* const* const others = args.sum->added + pixel;
  std::byte* const* const sums = args.sum->rows + pixel;
  const Floats low = all(args.sum->low), high = all(args.sum->high);
#pragma GCC unroll 8
  for (int i = 0; i < Pixels; ++i) {
    const BFloat16* const other = view<BFloat16>(others[i]) + output;
    BFloat16* const to = view<BFloat16>(sums[i]) + output;
    const auto sum = [&](int j) { return clamp(rounded_normal(results[i][j]) + load(other + j * width), low, high); };
    if constexpr (Vectors > 1) store_two(to, sum(0), sum(1));
    if constexpr (Vectors % 2 == 1) store(to + (Vectors - 1) * width, sum(Vectors - 1));
  }
}
#endif

template <class Value, int Pixels, int Vectors>
void gemm_tile(const GemmArgs& args, const GemmBlock& block, int pixel, Ahead ahead) {
  Floats sums[Pixels][Vectors];
#pragma GCC unroll 3
  for (int j = 0; j < Vectors; ++j) {
    const Floats bias = load(args.bias + block.output + j * width);
#pragma GCC unroll 8
    for (int i = 0; i < Pixels; ++i) sums[i][j] = bias;
  }
  for (int i = 0; args.ahead != nullptr && i < Pixels; ++i) {
    const Value* row = view<Value>(args.ahead[pixel + i]) + block.output;
    constexpr int line = 64 / sizeof(Value);
    for (int at = 0; at < Vectors * width; at += line) __builtin_prefetch(row + at, 0, 2);
    if (reinterpret_cast<std::uintptr_t>(row) % 64 != 0) __builtin_prefetch(row + Vectors * width - 1, 0, 2);
  }
  const float* weights = args.weights + block.weights;
  for (int tap = 0; tap < args.taps; ++tap) {
    const std::byte* const* inputs = args.inputs + tap * args.tap_stride + pixel;
    const Value* rows[Pixels];
    for (int i = 0; i < Pixels; ++i) rows[i] = view<Value>(inputs[i]) + block.input;
    if constexpr (std::is_same_v<Value, float>) {
      for (int k = 0; k < block.depth; ++k) {
        add_line(sums, weights, ahead, [&](int i) { return all(rows[i][k]); });
      }
    } else {
      int k = 0;
      for (; k + 2 <= block.depth; k += 2) {
#ifdef SKIPVID_PAIRS
        add_line(sums, weights, ahead, [&](int i) { return pair_at(rows[i] + k); });
#else
        add_line(sums, weights, ahead, [&](int i) { return reinterpret_cast<Floats>(pair_at(rows[i] + k) << 16); });
        add_line(sums, weights, ahead, [&](int i) { return reinterpret_cast<Floats>(pair_at(rows[i] + k) & 0xffff0000U); });
#endif
      }
      if (k < block.depth) {
#ifdef SKIPVID_PAIRS
        add_line(sums, weights, ahead, [&](int i) { return last_at(rows[i] + k); });
#else
        add_line(sums, weights, ahead, [&](int i) { return all(widened(rows[i][k])); });
#endif
      }
    }
  }
  const Floats low = all(args.low), high = all(args.high);
#ifdef SKIPVID_PAIRS
  if (args.stored != nullptr && args.activation == nullptr) {
#pragma GCC unroll 8
    for (int i = 0; i < Pixels; ++i) {
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j) sums[i][j] = clamp(sums[i][j], low, high);
    }
    return put_normal(args, sums, pixel, block.output);
  }
#endif
  if (args.stored != nullptr) {
    Floats results[Pixels][Vectors];
#pragma GCC unroll 8
    for (int i = 0; i < Pixels; ++i) {
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j) results[i][j] = clamp(sums[i][j], low, high);
    }
    return put_tile<Value, Vectors>(args, results, pixel, Pixels, block.output);
  }
#pragma GCC unroll 8
  for (int i = 0; i < Pixels; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) store(args.outputs[pixel + i] + block.output + j * width, clamp(sums[i][j], low, high));
  }
}

template <class Value, int Vectors, int Pixels = tile_pixels>
SKIPVID_INLINE void gemm_tile_of(int pixels, const GemmArgs& args, const GemmBlock& block, int pixel, Ahead ahead) {
  if constexpr (Pixels > 0) {
    if (pixels == Pixels) return gemm_tile<Value, Pixels, Vectors>(args, block, pixel, ahead);
    gemm_tile_of<Value, Vectors, Pixels - 1>(pixels, args, block, pixel, ahead);
  }
}

// after: the block that comes next, or null. With few pixels its weights would be waited for, so that they are fetched meanwhile, a line for
// every three that are read: what three tiles need. (More of them at a time were slower.)
template <class Value, int Vectors>
void gemm_block(const GemmArgs& args, const GemmBlock& block, const GemmBlock* after) {
  Ahead ahead{args.weights + (after != nullptr ? after->weights : block.weights), 0};
  const float* end = ahead.next;
  if (after != nullptr) end += static_cast<std::ptrdiff_t>(args.taps) * lines_of(after->depth) * after->vectors * width;
  for (int pixel = 0; pixel < args.pixels;) {
    const int left = args.pixels - pixel, rest = left - tile_pixels;
    // One or two pixels take as long as three, because their sums wait for each other: rather two halves.
    const int take = rest <= 0 ? left : rest < 3 ? (left + 1) / 2 : tile_pixels;
    ahead.step = ahead.next < end ? 16 : 0;
    gemm_tile_of<Value, Vectors>(take, args, block, pixel, ahead);
    ahead.next += ahead.step * args.taps * lines_of(block.depth);
    pixel += take;
  }
}

template <class Value>
void gemm(const GemmArgs& args) {
  for (int index = 0; index < args.block_count; ++index) {
    const GemmBlock& block = args.blocks[index];
    const GemmBlock* after = index + 1 < args.block_count ? &block + 1 : nullptr;
    switch (block.vectors) {
      case 1: gemm_block<Value, 1>(args, block, after); break;
      case 2: gemm_block<Value, 2>(args, block, after); break;
      default: gemm_block<Value, tile_vectors>(args, block, after); break;
    }
  }
}

}  // namespace
}  // namespace skipvid
