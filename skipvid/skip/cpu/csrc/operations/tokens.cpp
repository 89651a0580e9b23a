// Operations of networks whose values are lists of pixels: pieces of maps in another order, and what needs all channels of a pixel at once.
#include <algorithm>
#include <cstring>

#include "../operations.hpp"

namespace skipvid {

namespace {
constexpr int at_a_time = 64;
}  // namespace

Gather::Gather(const Program& program, int target, std::vector<Place> places)
    : channels_(program.maps[target].channels), width_(program.maps[target].width), places_(std::move(places)) {}

void Gather::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch&, int, int) const {
  const bool floats = frame.program.in_floats();
  int known = -1;
  Rows source{};
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const Place& place = places_[static_cast<std::size_t>(row_of(pixels[i])) * width_ + column_of(pixels[i])];
    if (place.source < 0) {
      std::fill_n(rows[i], channels_, 0.0F);
      continue;
    }
    if (place.source != known) source = frame.state.rows(known = place.source);
    if (floats) {
      std::memcpy(rows[i], reinterpret_cast<const float*>(source.at(place.pixel)) + place.channel, channels_ * sizeof(float));
    } else {
      const BFloat16* const from = reinterpret_cast<const BFloat16*>(source.at(place.pixel)) + place.channel;
      for (int c = 0; c < channels_; ++c) rows[i][c] = widened(from[c]);
    }
  }
}

Channelwise::Channelwise(const Program& program, int source, int target, ChannelOperation operation, float epsilon,
                         std::span<const float> weights, std::span<const float> bias)
    : kernels_(program.kernels),
      source_(source),
      channels_(program.maps[target].channels),
      operation_(operation),
      epsilon_(epsilon),
      weights_(padded(channels_)),
      bias_(padded(channels_)) {
  std::fill_n(weights_.data(), channels_, 1.0F);
  std::copy(weights.begin(), weights.end(), weights_.data());
  std::copy(bias.begin(), bias.end(), bias_.data());
}

void Channelwise::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch&, int, int) const {
  const Rows source = frame.state.rows(source_);
  const std::byte* from[at_a_time];
  for (std::size_t first = 0; first < pixels.size(); first += at_a_time) {
    const int count = static_cast<int>(std::min<std::size_t>(at_a_time, pixels.size() - first));
    for (int i = 0; i < count; ++i) from[i] = source.at(pixels[first + i]);
    if (operation_ == ChannelOperation::normalise) {
      kernels_.normalise(from, count, channels_, epsilon_, weights_.data(), bias_.data(), rows + first);
    } else {
      kernels_.softmax(from, count, channels_, rows + first);
    }
  }
}

}  // namespace skipvid
