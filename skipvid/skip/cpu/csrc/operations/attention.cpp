// Attention: each pixel of the result reads its own query, and the keys and values of all pixels of its group.
#include <algorithm>

#include "../operations.hpp"

namespace skipvid {

Attention::Attention(const Program& program, std::array<int, 3> sources, int target, const Shape& shape,
                     std::array<std::vector<int>, 3> channels, std::vector<int> bias_blocks, std::span<const float> bias)
    : kernels_(program.kernels),
      sources_(sources),
      shape_(shape),
      width_(program.maps[target].width),
      queries_(static_cast<int>(program.maps[target].pixels()) / shape.groups),
      keys_(static_cast<int>(program.maps[sources[1]].pixels()) / shape.groups),
      channels_(std::move(channels)),
      bias_blocks_(std::move(bias_blocks)),
      bias_(bias.begin(), bias.end()) {}

int Attention::chunk() const {
  const int pixel = shape_.heads * keys_ * (shape_.key_size + shape_.value_size);
  return std::clamp(1 << 20 > pixel ? (1 << 20) / pixel : 1, 4, 64);
}

double Attention::work() const {
  return static_cast<double>(shape_.heads) * keys_ * (static_cast<double>(shape_.key_size + shape_.value_size) / lanes + 4.0);
}

void Attention::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int, int) const {
  const Rows queries = frame.state.rows(sources_[0]), keys = frame.state.rows(sources_[1]), values = frame.state.rows(sources_[2]);
  scratch.more.reserve(padded(keys_));
  AttentionArgs args{};
  args.key_stride = keys.stride;
  args.value_stride = values.stride;
  args.count = keys_;
  args.heads = shape_.heads;
  args.key_size = shape_.key_size;
  args.value_size = shape_.value_size;
  args.query_channels = channels_[0].data();
  args.key_channels = channels_[1].data();
  args.value_channels = channels_[2].data();
  args.scale = shape_.scale;
  args.bias_stride = static_cast<std::ptrdiff_t>(queries_) * keys_;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const int number = row_of(pixels[i]) * width_ + column_of(pixels[i]), group = number / queries_;
    args.keys = keys.data + static_cast<std::ptrdiff_t>(group) * keys_ * keys.stride;
    args.values = values.data + static_cast<std::ptrdiff_t>(group) * keys_ * values.stride;
    const float* const bias = bias_.empty() ? nullptr
                                            : bias_.data() + args.bias_stride * shape_.heads * bias_blocks_[group] +
                                                  static_cast<std::ptrdiff_t>(number % queries_) * keys_;
    kernels_.attend(args, queries.at(pixels[i]), bias, scratch.more.data(), rows[i]);
  }
}

}  // namespace skipvid
