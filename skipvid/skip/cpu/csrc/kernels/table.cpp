// Compiled once per instruction set, with SKIPVID_TABLE naming the table and SKIPVID_WIDTH giving the floats of one vector. For
// bfloat16 alone: with SKIPVID_PAIRS products by vdpbf16ps, with SKIPVID_TILES on tiles of AMX.
#include "attention.hpp"
#include "bits.hpp"
#include "channelwise.hpp"
#include "depthwise.hpp"
#include "gates.hpp"
#include "inputs.hpp"
#include "pointwise.hpp"
#include "rows.hpp"
#ifdef SKIPVID_TILES
#include "tile_exercise.hpp"
#include "tile_gemm.hpp"
#else
#include "exercise.hpp"
#include "gemm.hpp"
#endif

#define SKIPVID_TEXT_(name) #name
#define SKIPVID_TEXT(name) SKIPVID_TEXT_(name)
#define SKIPVID_JOIN_(a, b) a##b
#define SKIPVID_JOIN(a, b) SKIPVID_JOIN_(a, b)

namespace skipvid {

namespace {

#ifdef SKIPVID_TILES
constexpr GemmKernels products_of(const BFloat16*) {
  return {tile_pixels, tile_vectors, tile_depth, piece_lines, tile_speed, tile_gemm_memory, tile_gemm};
}
#else
template <class Value>
constexpr GemmKernels products_of(const Value*) {
  return {tile_pixels, tile_vectors, tile_depth, 1, 1, nullptr, gemm<Value>};
}
#endif

template <class Value>
constexpr Kernels table(Element element) {
  return {
      products_of(static_cast<const Value*>(nullptr)),
      {depthwise_run<Value>, depthwise_scattered<Value>, depthwise_pixel<Value>},
      {pointwise<Value>, scale<Value>, activate<Value>, put_activated<Value>},
      {maximum<Value>, weighted_sum<Value>, row_sum<Value>, row_sum<float>, absolute_sums<Value>, widen<Value>, put<Value>, round<Value>},
      {normalise<Value>, softmax<Value>},
      {attend<Value>},
      {publish<Value>, ask<Value>, distances_to<Value>, smooth, change<Value>},
      {input_changes<Value>, input_distances<Value>, byte_changes, publish_bytes<Value>},
      {list_bits},
      SKIPVID_TEXT(SKIPVID_TABLE),
      element,
      width,
      exercise,
  };
}

}  // namespace

#if !defined(SKIPVID_PAIRS) && !defined(SKIPVID_TILES)
extern const Kernels SKIPVID_JOIN(kernels_, SKIPVID_TABLE);
const Kernels SKIPVID_JOIN(kernels_, SKIPVID_TABLE) = table<float>(Element::f32);
#endif
extern const Kernels SKIPVID_JOIN(half_kernels_, SKIPVID_TABLE);
const Kernels SKIPVID_JOIN(half_kernels_, SKIPVID_TABLE) = table<BFloat16>(Element::bf16);

}  // namespace skipvid
