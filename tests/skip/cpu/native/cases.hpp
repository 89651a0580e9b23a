// Random values to check kernels with, and what tells a wrong one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "memory.hpp"

namespace skipvid::checks {

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

extern std::mt19937 generator;
extern std::string context;  // what is being checked
extern int cases;            // of it, so far

int random_int(int least, int most);
float random_float();
Buffer random_values(std::size_t count);

// Prints what is wrong, and ends the program.
void require(bool condition, const std::string& what);
// scale: the sum of the magnitudes that the value was added up from.
void require_close(double actual, double expected, double scale, const std::string& what);
void require_bits(const float* actual, const float* expected, int count, const std::string& what);

// Rows of `channels` random values; the lanes behind them are no numbers, and must not matter. They begin anywhere, as those of a network's
// input do.
template <class Value>
struct Rows {
  Rows(int count, int channels_in)
      : channels(channels_in),
        stride(padded(channels_in)),
        begin(random_int(0, 15)),
        data(begin + static_cast<std::size_t>(count) * stride) {
    for (int row = 0; row < count; ++row) {
      for (int c = 0; c < stride; ++c) at(row)[c] = narrowed<Value>(c < channels ? random_float() : nan);
      pointers.push_back(at(row));
      addresses.push_back(bytes(row));
    }
  }
  Value* at(int row) const {
    return const_cast<Value*>(reinterpret_cast<const Value*>(data.data())) + begin + static_cast<std::ptrdiff_t>(row) * stride;
  }
  std::byte* bytes(int row) const { return reinterpret_cast<std::byte*>(at(row)); }
  float value(int row, int c) const { return widened(at(row)[c]); }
  const std::byte* const* read() const { return addresses.data(); }
  std::byte* const* write() { return addresses.data(); }
  std::ptrdiff_t pitch() const { return stride * static_cast<std::ptrdiff_t>(sizeof(Value)); }

  int channels, stride, begin;
  Buffer data;
  std::vector<Value*> pointers;
  std::vector<std::byte*> addresses;
};
using Floats = Rows<float>;

template <class Value>
float as_stored(float value) {
  return widened(narrowed<Value>(value));
}

}  // namespace skipvid::checks
