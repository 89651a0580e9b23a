// The measure of the machine.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

double exercise(std::int64_t rounds, float* sink) {
  constexpr int chains = width == 16 ? 24 : 12;
  Floats sums[chains];
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) sums[i] = all(sink[0] + static_cast<float>(i));  // equal chains would be computed once
  const Floats a = all(sink[1]), b = all(sink[2]);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (Floats& sum : sums) sum = sum * a + b;
  }
#pragma GCC unroll 24
  for (const Floats& sum : sums) sink[3] += sum[0];
  return 2.0 * chains * width * static_cast<double>(rounds);
}

}  // namespace
}  // namespace skipvid
