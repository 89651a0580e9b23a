// The kernels: one table of function pointers for each instruction set and element type that they were compiled for.
//
// All of them work on rows: a row holds the channels of one pixel, its length padded to a multiple of `lanes` values (16 everywhere, so
// that layouts do not depend on the instruction set). Padding lanes hold unspecified values; nothing observable depends on them.
// Rows of maps are of the table's element type, and addressed in bytes; what is computed from them are floats.
// A row's result depends on that row's inputs alone, never on its neighbours in a call: skipping must not change a single bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "element.hpp"

namespace skipvid {

constexpr int lanes = 16;
constexpr int padded(int channels) { return (channels + lanes - 1) / lanes * lanes; }

struct Activation {
  enum class Kind : int {
    none,
    clamp,
    silu,
    sigmoid,
    tanh,
    hardswish,
    hardsigmoid,
    leaky_relu,
    elu,
    gelu,
    gelu_tanh,
    mish,
    softplus,
    exp,
    log,
    sqrt,
    rsqrt,
    reciprocal,
    erf,
    absolute,
  };
  static constexpr Kind last = Kind::absolute;
  Kind kind = Kind::none;
  float a = 0, b = 0;  // clamp: bounds; leaky_relu: slope; elu: alpha; softplus: beta, and where it becomes x
  // Whether it is still to come when a step has computed its rows: steps clamp by themselves.
  bool remains() const { return kind != Kind::none && kind != Kind::clamp; }
};

// A group of adjacent output channels that are computed together.
struct GemmBlock {
  int vectors;          // its width, in vectors of the instruction set
  int output;           // first output channel
  int input, depth;     // the input channels that it reads
  std::size_t weights;  // where its weights start: [tap][input channel][output channel], or, of pairs, [tap][pair][output channel][2];
                        // zeros behind, to a multiple of gemm_lines lines
};

// What is added to rows as they are stored: stored, the sum is clamped and rounded once more.
struct GemmSum {
  const std::byte* const* added;  // a row of the element type for each pixel
  std::byte* const* rows;         // of the sums
  float low, high;
};

struct GemmArgs {
  const std::byte* const* inputs;  // [taps][tap_stride]: the input row under each tap, for each pixel; a zero row where that is padding
  std::size_t tap_stride;
  int taps, pixels;
  const float* weights;
  const float* bias;  // padded
  const GemmBlock* blocks;
  int block_count;
  float low, high;  // the result is clamped
  float* const* outputs;
  std::byte* const* stored;       // rows of a map, to which the result is rounded, in place of `outputs`; or null
  const Activation* activation;   // of what is stored; null = none. Without one, no bound of the clamp is a denormal number
  const GemmSum* sum;             // with what is stored, where there is no activation; or null
  const std::byte* const* ahead;  // rows of as many channels to be prefetched, or null
  float* memory;                  // gemm_memory() floats, aligned to a cache line
};

struct DepthwiseArgs {
  const float* weights;  // [tap][padded channels]
  const float* bias;
  int kernel_height, kernel_width, stride;
  int channels;  // padded
  float low, high;
};

// An operand of a point-wise operation over adjacent pixels.
struct Operand {
  const std::byte* data;
  std::ptrdiff_t stride;  // from pixel to pixel, in bytes; 0: the same row for all
  bool scalar;            // one number for all channels
  bool floats;            // whatever the element type
  const std::byte* const* rows = nullptr;  // of each pixel, in place of data and stride
};

// How a change is measured over channels: sum of magnitudes, sum of squares, largest magnitude.
enum class Norm : int { magnitudes, squares, largest };

// What is computed of a pixel from all of its channels.
enum class ChannelOperation : int { normalise, softmax };

// What a pixel attends to: rows of keys and values, whose heads lie at the given channels.
struct AttentionArgs {
  const std::byte* keys;
  const std::byte* values;
  std::ptrdiff_t key_stride, value_stride;  // from row to row, in bytes
  int count;                                // of rows
  int heads, key_size, value_size;
  const int* query_channels;
  const int* key_channels;
  const int* value_channels;
  float scale;
  std::ptrdiff_t bias_stride;  // from head to head
};

// Of the larger and the smaller of two: a NaN wins.
enum class Pointwise : int { copy, add, sub, mul, div, multiply_add, max, min };

// Matrix products (kernels/gemm.hpp).
struct GemmKernels {
  int gemm_pixels;   // pixels per tile: lists should be cut at multiples of it
  int gemm_vectors;  // most vectors per block
  int gemm_depth;    // adjacent input channels whose weights lie together: 1, or 2 where weights are bfloat16
  int gemm_lines;    // a block has a multiple of as many lines of weights, each for gemm_depth channels under one tap
  double gemm_speed;  // vectors that a cycle multiplies with a line's channels, roughly
  // Floats of working memory for blocks of so many lines, or null where none is needed.
  std::size_t (*gemm_memory)(int lines);
  void (*gemm)(const GemmArgs&);
};

// Depthwise convolutions (kernels/depthwise.hpp).
struct DepthwiseKernels {
  // Adjacent outputs of a row whose windows lie inside the map from left to right. rows: [kernel_height], at the first window's left edge.
  void (*depthwise_run)(const DepthwiseArgs&, const std::byte* const* rows, std::ptrdiff_t column, int pixels, float* const* outputs);
  // Outputs anywhere whose windows lie inside the map. centres: an input row for each; offsets: from there to the row under each tap.
  void (*depthwise_scattered)(const DepthwiseArgs&, const std::byte* const* centres, const std::ptrdiff_t* offsets, int pixels,
                              float* const* outputs);
  // One output; taps: [kernel_height * kernel_width].
  void (*depthwise_pixel)(const DepthwiseArgs&, const std::byte* const* taps, float* output);
};

// Values by themselves (kernels/pointwise.hpp).
struct PointwiseKernels {
  void (*pointwise)(Pointwise, const Operand* operands, float* output, std::ptrdiff_t stride, int pixels, int channels);
  // Rows times the one at `by`, rounded as if stored, one behind the other.
  void (*scale)(const std::byte* const* rows, const std::byte* by, int count, int channels, std::byte* output);
  // In place; in a table of bfloat16 good to a small part of the rounding that is to come.
  void (*activate)(const Activation&, float* data, std::ptrdiff_t stride, int pixels, int channels);
  // Rows of floats, `stride` apart, with any activation but `none`, rounded and stored.
  void (*put_activated)(const Activation&, const float* values, std::ptrdiff_t stride, std::byte* const* rows, int count, int channels);
};

// Rows reduced to one, or to a number (kernels/rows.hpp).
struct RowKernels {
  // Maximum or sum of some rows, times scale.
  void (*maximum)(const std::byte* const* rows, int count, int channels, float* output);
  void (*weighted_sum)(const std::byte* const* rows, const float* weights, int count, int channels, float* output);
  // output[i] = sum over rows of data[row * stride + i]; the second for rows of floats, whatever the element type.
  void (*row_sum)(const std::byte* data, std::ptrdiff_t stride, int rows, int channels, float* output);
  void (*float_row_sum)(const std::byte* data, std::ptrdiff_t stride, int rows, int channels, float* output);
  // sums[i] = the sum over channels (not padded) of |row i|.
  void (*absolute_sums)(const std::byte* const* rows, int count, int channels, float* sums);
  // A row as floats.
  void (*widen)(const std::byte* row, int channels, float* output);
  // Rows of floats, `stride` apart, rounded and stored.
  void (*put)(const float* values, std::ptrdiff_t stride, std::byte* const* rows, int count, int channels);
  // Rows of floats, rounded in their place to what would be stored.
  void (*round)(float* const* rows, int count, int channels);
};

// Rows by themselves, with sums over their channels (kernels/channelwise.hpp).
struct ChannelKernels {
  // (x - mean) / sqrt(variance + epsilon) * weights + bias; weights and bias are padded, channels are not.
  void (*normalise)(const std::byte* const* rows, int count, int channels, float epsilon, const float* weights, const float* bias,
                    float* const* outputs);
  void (*softmax)(const std::byte* const* rows, int count, int channels, float* const* outputs);
};

// Attention (kernels/attention.hpp).
struct AttentionKernels {
  // bias: by key, or null. weights: room for `count` floats, padded. output: heads * value_size floats, and no other ones are written.
  void (*attend)(const AttentionArgs&, const std::byte* query, const float* bias, float* weights, float* output);
};

// Rows compared with what was published, or last seen (kernels/gates.hpp).
struct GateKernels {
  // The norm gate on up to 64 rows: bit i = the sum over channels (not padded) of |new - published row i|, the new one rounded as it would be
  // stored, exceeds the limit, or is no number. copy: replace the published rows where it does.
  std::uint64_t (*publish)(const float* values, std::ptrdiff_t stride, std::byte* const* published, int count, int channels, float limit,
                           bool copy);
  // The same for a learned gate: bit i = sum over channels of weights * (change, or its magnitude) + bias is not negative.
  std::uint64_t (*ask)(const float* values, std::ptrdiff_t stride, std::byte* const* published, int count, int channels,
                       const float* weights, float bias, bool magnitude, bool copy);
  // The sums that the norm gate compares, of any number of rows: the sum over channels of |new - published row i|.
  void (*distances_to)(const float* values, std::ptrdiff_t stride, const std::byte* const* published, int count, int channels, float* sums);
  // The smoothed gate on up to 64 adjacent pixels of a row of such sums: bit i = the sum over the 3 x 3 around pixel i exceeds limits[i], and
  // its own is more than 0; or its own exceeds `alone`, or is no number. What is no finite number counts as 0 at its neighbours. Reads, but
  // does not depend on, 64 pixels whatever their number, and one on each side.
  std::uint64_t (*smooth)(const float* above, const float* row, const float* below, int pixels, const float* limits, float alone);
  // How much a row differs from the row last seen, which then becomes this one.
  float (*change)(const std::byte* now, std::byte* seen, int channels, Norm norm);
};

// What the bytes of a picture stand for.
struct ByteValues {
  const std::byte* tables[3];  // 256 values of the element type for each channel
  int bytes[3];                // which of a pixel's three a channel is made of
};

// Network inputs compared with what was published (kernels/inputs.hpp).
struct InputKernels {
  // Of up to 64 adjacent pixels of an input with any strides, those that differ from the published row by more than the threshold.
  std::uint64_t (*input_changes)(const float* data, std::ptrdiff_t channel_stride, std::ptrdiff_t column_stride, const std::byte* published,
                                 std::ptrdiff_t stride, int pixels, int channels, float threshold);
  // The sums that are compared there.
  void (*input_distances)(const float* data, std::ptrdiff_t channel_stride, std::ptrdiff_t column_stride, const std::byte* published,
                          std::ptrdiff_t stride, int pixels, int channels, float* sums);
  // Of up to 64 pixels of three bytes, those whose sum of |now - before| is at least `least` > 0 (first), and those with `many` >= `least`
  // of it (second).
  std::pair<std::uint64_t, std::uint64_t> (*byte_changes)(const std::uint8_t* now, const std::uint8_t* before, int pixels, int least,
                                                          int many);
  // Of up to 64 adjacent pixels of three bytes, those whose bits are set: their values, into rows `stride` apart, with a zero behind that of
  // bfloat16 have room for, and their bytes.
  void (*publish_bytes)(const ByteValues&, const std::uint8_t* now, int pixels, std::uint64_t open, std::byte* rows, std::ptrdiff_t stride,
                        std::uint8_t* bytes);
};

// Of numbers, behind those that list_bits() writes.
constexpr std::size_t list_room = 16;

// Bitmaps (kernels/bits.hpp).
struct BitKernels {
  // Writes base + i for each bit i that is set, in order; returns their number. There must be room for them and `list_room` more, which may
  // be overwritten.
  std::size_t (*list_bits)(const std::uint64_t* words, int count, std::uint32_t base, std::uint32_t* numbers);
};

struct Kernels : GemmKernels,
                 DepthwiseKernels,
                 PointwiseKernels,
                 RowKernels,
                 ChannelKernels,
                 AttentionKernels,
                 GateKernels,
                 InputKernels,
                 BitKernels {
  const char* name;
  Element element;
  int width;  // floats per vector
  // Multiply-adds in registers, at least the given number of times: what the processor can do at best. Returns the floating-point operations done.
  double (*exercise)(std::int64_t rounds, float* sink);
};

// What the kernels of this thread want done before it sleeps or leaves the native code, or null.
using Duty = void (*)();
extern constinit thread_local Duty before_rest;
// Do it.
void rest();

// Names of all instruction sets, the fastest first: amx_bf16 and avx512_bf16, for bfloat16 alone, avx512, avx2, generic; and amx_emulated, for
// tests: what amx_bf16 does, in plain C++.
std::span<const char* const> instruction_sets();
// The kernels of an instruction set; null where they were not compiled for this element type, or this processor lacks it.
const Kernels* find_kernels(const char* name, Element element);
// The fastest that this processor runs.
const Kernels& best_kernels(Element element);

}  // namespace skipvid
