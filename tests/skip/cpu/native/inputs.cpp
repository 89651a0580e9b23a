// Inputs: what changed in them, and bytes that become values.
#include <cmath>
#include <cstdint>
#include <vector>

#include "cases.hpp"
#include "checks.hpp"

namespace skipvid::checks {

template <class Value>
void check_inputs(const Kernels& kernels) {
  const int pixels = random_int(1, 64), channels = random_int(1, 4);
  const bool planar = random_int(0, 1) != 0;
  const std::ptrdiff_t stride = random_int(0, 1) != 0 ? 4 : 16;
  const Buffer data = random_values(static_cast<std::size_t>(pixels) * channels);
  std::vector<Value> published(static_cast<std::size_t>(pixels) * stride);
  const std::ptrdiff_t channel = planar ? pixels : 1, column = planar ? 1 : channels;
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < channels; ++c) {
      published[p * stride + c] = narrowed<Value>(data.data()[c * channel + p * column] + (random_int(0, 2) == 0 ? 0.5F : 0.0F));
    }
    if (random_int(0, 9) == 0) published[p * stride] = narrowed<Value>(nan);
  }
  const std::uint64_t changed = kernels.input_changes(data.data(), channel, column, reinterpret_cast<const std::byte*>(published.data()),
                                                      stride * sizeof(Value), pixels, channels, 0.25F);
  for (int p = 0; p < 64; ++p) {
    double distance = 0;
    for (int c = 0; p < pixels && c < channels; ++c)
      distance +=
          std::abs(static_cast<double>(as_stored<Value>(data.data()[c * channel + p * column])) - widened(published[p * stride + c]));
    require((changed >> p & 1U) == static_cast<std::uint64_t>(!(distance <= 0.25)), "an input's change");
  }
  std::vector<std::uint8_t> now(3 * pixels), before(3 * pixels);
  for (int i = 0; i < 3 * pixels; ++i) {
    now[i] = static_cast<std::uint8_t>(random_int(0, 255));
    before[i] = random_int(0, 1) != 0 ? now[i] : static_cast<std::uint8_t>(random_int(0, 255));
  }
  const int least = random_int(1, 400), many = random_int(least, 1000);
  const auto [some, enough] = kernels.byte_changes(now.data(), before.data(), pixels, least, many);
  for (int p = 0; p < 64; ++p) {
    int distance = 0;
    for (int c = 0; p < pixels && c < 3; ++c) distance += std::abs(now[3 * p + c] - before[3 * p + c]);
    require((some >> p & 1U) == (distance >= least) && (enough >> p & 1U) == (distance >= many), "a change of bytes");
  }
}

template <class Value>
void check_bytes(const Kernels& kernels) {
  const int pixels = random_int(1, 64), stride = random_int(0, 3) == 0 ? 7 : 4, density = random_int(0, 8);
  std::vector<std::uint8_t> now(3 * pixels), bytes(3 * pixels);
  for (int i = 0; i < 3 * pixels; ++i) {
    now[i] = static_cast<std::uint8_t>(random_int(0, 255));
    bytes[i] = static_cast<std::uint8_t>(random_int(0, 255));
  }
  std::vector<Value> tables[3], rows(pixels * stride, narrowed<Value>(1234.0F));
  ByteValues values;
  const int turn = random_int(0, 2), step = random_int(1, 2);
  for (int c = 0; c < 3; ++c) {
    for (int byte = 0; byte < 256; ++byte) tables[c].push_back(narrowed<Value>(random_float()));
    values.tables[c] = reinterpret_cast<const std::byte*>(tables[c].data());
    values.bytes[c] = (turn + c * step) % 3;
  }
  std::uint64_t open = 0;
  for (int p = 0; p < pixels; ++p) open |= static_cast<std::uint64_t>(random_int(1, 8) <= density) << p;
  const std::vector<Value> rows_before = rows;
  const std::vector<std::uint8_t> bytes_before = bytes;
  kernels.publish_bytes(values, now.data(), pixels, open, reinterpret_cast<std::byte*>(rows.data()), stride * sizeof(Value), bytes.data());
  for (int p = 0; p < pixels; ++p) {
    const bool taken = (open >> p & 1U) != 0;
    for (int c = 0; c < 3; ++c) {
      require(bytes[3 * p + c] == (taken ? now : bytes_before)[3 * p + c], "a pixel's bytes");
      const Value wanted = taken ? tables[c][now[3 * p + values.bytes[c]]] : rows_before[p * stride + c];
      require(widened(rows[p * stride + c]) == widened(wanted), "a pixel's values");
    }
    const bool zero = taken && sizeof(Value) < sizeof(float);
    require(widened(rows[p * stride + 3]) == (zero ? 0 : widened(rows_before[p * stride + 3])), "what lies behind a pixel's values");
  }
}

template void check_inputs<float>(const Kernels&);
template void check_inputs<BFloat16>(const Kernels&);
template void check_bytes<float>(const Kernels&);
template void check_bytes<BFloat16>(const Kernels&);

}  // namespace skipvid::checks
