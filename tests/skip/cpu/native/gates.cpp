// Gates, what they publish, and lists of open pixels.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "cases.hpp"
#include "checks.hpp"

namespace skipvid::checks {

template <class Value>
void check_publish(const Kernels& kernels) {
  const int count = random_int(1, 64), channels = random_int(1, 60);
  const bool copy = random_int(0, 1) != 0, magnitude = random_int(0, 1) != 0, learned = random_int(0, 1) != 0;
  const Floats values(count, channels);
  Rows<Value> published(count, channels), put(count, channels);
  for (int row = 0; row < count; ++row) {
    if (random_int(0, 2) == 0) {
      for (int c = 0; c < channels; ++c) published.at(row)[c] = narrowed<Value>(values.value(row, c));
    }
    if (random_int(0, 9) == 0) values.at(row)[random_int(0, channels - 1)] = nan;
  }
  Buffer weights(padded(channels));
  for (int c = 0; c < channels; ++c) weights.data()[c] = random_float();
  const float limit = static_cast<float>(channels) * 1.1F, bias = -0.5F;
  std::vector<float> before;
  for (int row = 0; row < count; ++row) {
    for (int c = 0; c < channels; ++c) before.push_back(published.value(row, c));
  }
  const auto ask = [&](const float* from, std::byte* const* rows, int number, bool copies) {
    return learned ? kernels.ask(from, values.stride, rows, number, channels, weights.data(), bias, magnitude, copies)
                   : kernels.publish(from, values.stride, rows, number, channels, limit, copies);
  };
  kernels.put(values.at(0), values.stride, put.write(), count, channels);
  for (int row = 0; row < count; ++row) {
    for (int c = 0; c < channels; ++c) require_close(put.value(row, c), as_stored<Value>(values.value(row, c)), 0, "what is stored");
  }
  Floats rounded(count, channels);
  for (int row = 0; row < count; ++row) std::copy_n(values.at(row), channels, rounded.at(row));
  kernels.round(rounded.pointers.data(), count, channels);
  for (int row = 0; row < count; ++row) {
    for (int c = 0; c < channels; ++c) require_close(rounded.value(row, c), put.value(row, c), 0, "what is rounded");
  }
  std::uint64_t apart = 0;
  for (int row = 0; row < count; ++row) apart |= ask(values.at(row), published.write() + row, 1, false) << row;
  const std::uint64_t opened = ask(values.at(0), published.write(), count, copy);
  require(opened == apart, "a row's gate depends on its neighbours");
  require(count == 64 || opened >> count == 0, "a gate opened behind the last row");
  for (int row = 0; row < count; ++row) {
    double distance = learned ? bias : 0, scale = 1;
    for (int c = 0; c < channels; ++c) {
      const double change =
          static_cast<double>(as_stored<Value>(values.value(row, c))) - before[static_cast<std::size_t>(row) * channels + c];
      const double part = (learned && !magnitude ? change : std::abs(change)) * (learned ? weights.data()[c] : 1);
      distance += part;
      scale += std::abs(part);
    }
    const bool open = (opened >> row & 1U) != 0;
    const double margin = learned ? distance : distance - limit;
    if (std::isnan(margin)) require(open, "a gate stays shut before what is no number");
    if (std::abs(margin) > 1e-5 * scale) require(open == (margin > 0), "a gate is wrong about row " + std::to_string(row));
    for (int c = 0; c < channels; ++c) {
      const float kept = open && copy ? as_stored<Value>(values.value(row, c)) : before[static_cast<std::size_t>(row) * channels + c];
      require_close(published.value(row, c), kept, 0, "what is published");
    }
  }
}

template <class Value>
void check_change(const Kernels& kernels) {
  const int channels = random_int(1, 60);
  for (const Norm norm : {Norm::magnitudes, Norm::squares, Norm::largest}) {
    const Rows<Value> now(1, channels);
    Rows<Value> seen(1, channels);
    if (random_int(0, 3) == 0) now.at(0)[random_int(0, channels - 1)] = narrowed<Value>(nan);
    double sum = 0, squares = 0, largest = 0;
    for (int c = 0; c < channels; ++c) {
      const double change = std::abs(static_cast<double>(now.value(0, c)) - seen.value(0, c));
      sum += change;
      squares += change * change;
      largest = std::isnan(change) || std::isnan(largest) ? nan : std::max(largest, change);
    }
    const double expected[] = {sum, squares, largest};
    require_close(kernels.change(now.bytes(0), seen.bytes(0), channels, norm), expected[static_cast<int>(norm)], sum + squares, "change");
    require(std::memcmp(seen.at(0), now.at(0), channels * sizeof(Value)) == 0, "what was seen is another row");
  }
}

template <class Value>
void check_bits(const Kernels& kernels) {
  std::vector<std::uint64_t> words(random_int(1, 5));
  std::vector<std::uint32_t> wanted;
  const std::uint32_t base = static_cast<std::uint32_t>(random_int(0, 1000)) << 16;
  const int density = random_int(0, 4);
  for (std::size_t word = 0; word < words.size(); ++word) {
    for (int bit = 0; bit < 64; ++bit) {
      if (random_int(0, 3) >= density) continue;
      words[word] |= std::uint64_t{1} << bit;
      wanted.push_back(base + static_cast<std::uint32_t>(64 * word) + bit);
    }
  }
  std::vector<std::uint32_t> found(wanted.size() + list_room + 1, 7);
  found.resize(kernels.list_bits(words.data(), static_cast<int>(words.size()), base, found.data()) + list_room + 1);
  require(found.size() == wanted.size() + list_room + 1 && found.back() == 7, "a list of bits is too long");
  require(std::equal(wanted.begin(), wanted.end(), found.begin()), "a list of bits is wrong");
}

template void check_publish<float>(const Kernels&);
template void check_publish<BFloat16>(const Kernels&);
template void check_change<float>(const Kernels&);
template void check_change<BFloat16>(const Kernels&);
template void check_bits<float>(const Kernels&);
template void check_bits<BFloat16>(const Kernels&);

}  // namespace skipvid::checks
