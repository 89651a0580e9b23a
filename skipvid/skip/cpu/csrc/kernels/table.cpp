// Compiled once per instruction set, with SKIPVID_TABLE naming the table and SKIPVID_WIDTH giving the floats of one vector. With
// SKIPVID_PAIRS for bfloat16 alone, products by vdpbf16ps.
#include "depthwise.hpp"
#include "exercise.hpp"
#include "gates.hpp"
#include "gemm.hpp"
#include "inputs.hpp"
#include "pointwise.hpp"
#include "rows.hpp"

#define SKIPVID_TEXT_(name) #name
#define SKIPVID_TEXT(name) SKIPVID_TEXT_(name)
#define SKIPVID_JOIN_(a, b) a##b
#define SKIPVID_JOIN(a, b) SKIPVID_JOIN_(a, b)

namespace skipvid {

namespace {

template <class Value>
constexpr Kernels table(Element element) {
  return {
      {tile_pixels, tile_vectors, tile_depth, gemm<Value>},
      {depthwise_run<Value>, depthwise_scattered<Value>, depthwise_pixel<Value>},
      {pointwise<Value>, activate},
      {maximum<Value>, weighted_sum<Value>, row_sum<Value>, row_sum<float>, absolute_sums<Value>, widen<Value>, put<Value>},
      {publish<Value>, ask<Value>, distances_to<Value>, smooth, change<Value>},
      {input_changes<Value>, input_distances<Value>, byte_changes},
      SKIPVID_TEXT(SKIPVID_TABLE),
      element,
      width,
      exercise,
  };
}

}  // namespace

#ifndef SKIPVID_PAIRS
extern const Kernels SKIPVID_JOIN(kernels_, SKIPVID_TABLE);
const Kernels SKIPVID_JOIN(kernels_, SKIPVID_TABLE) = table<float>(Element::f32);
#endif
extern const Kernels SKIPVID_JOIN(half_kernels_, SKIPVID_TABLE);
const Kernels SKIPVID_JOIN(half_kernels_, SKIPVID_TABLE) = table<BFloat16>(Element::bf16);

}  // namespace skipvid
