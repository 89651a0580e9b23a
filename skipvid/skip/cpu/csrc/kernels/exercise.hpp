// The measure of the machine.
#pragma once

#include "gemm.hpp"

namespace skipvid {
namespace {

// What products are made of.
SKIPVID_INLINE Floats multiply_add(Floats sum, Floats a, Floats b) {
#ifdef SKIPVID_PAIRS
  return add_products(sum, a, b);
#else
  return sum * a + b;  // not a * b + sum: those products would be computed once
#endif
}

double exercise(std::int64_t rounds, float* sink) {
  constexpr int chains = width == 16 ? 24 : 12;
  Floats sums[chains];
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) sums[i] = all(sink[0] + static_cast<float>(i));  // equal chains would be computed once
  const Floats a = all(sink[1]), b = all(sink[2]);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (Floats& sum : sums) sum = multiply_add(sum, a, b);
  }
#pragma GCC unroll 24
  for (const Floats& sum : sums) sink[3] += sum[0];
  return 2.0 * tile_depth * chains * width * static_cast<double>(rounds);
}

}  // namespace
}  // namespace skipvid
