// Operations that read a few pixels and multiply by nothing learned: pools, resizing, copies.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "../operations.hpp"

namespace skipvid {

Pool::Pool(const Program& program, int source, int target, bool maximum, bool count_padding, const Footprint& window)
    : kernels_(program.kernels),
      source_(source),
      channels_(padded(program.maps[target].channels)),
      maximum_(maximum),
      count_padding_(count_padding),
      kernel_(std::to_array(window.kernel)),
      stride_(std::to_array(window.stride)),
      dilation_(std::to_array(window.dilation)),
      origin_(std::to_array(window.origin)),
      table_{window.table[0], window.table[1]} {
  if (!table_[0].empty()) {
    kernel_ = {static_cast<int>(table_[0].size()) / program.maps[target].height,
               static_cast<int>(table_[1].size()) / program.maps[target].width};
  }
  equal_ = Buffer(static_cast<std::size_t>(kernel_[0]) * kernel_[1]);
  const int taps = kernel_[0] * kernel_[1];
  std::fill_n(equal_.data(), taps, 1.0F / static_cast<float>(taps));
}

void Pool::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int, int) const {
  const Rows source = frame.state.rows(source_);
  const int window = kernel_[0] * kernel_[1];
  const int height = (kernel_[0] - 1) * dilation_[0], width = (kernel_[1] - 1) * dilation_[1];
  scratch.more.reserve(window);
  scratch.pointers.resize(window);
  const std::byte** pointers = scratch.pointers.data();
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const int top = row_of(pixels[i]) * stride_[0] + origin_[0], left = column_of(pixels[i]) * stride_[1] + origin_[1];
    const bool inside = top >= 0 && left >= 0 && top + height < source.height && left + width < source.width;
    int count = 0;
    for (int row = 0; !table_[0].empty() && row < window; ++row) {
      const int y = table_[0][row_of(pixels[i]) * kernel_[0] + row / kernel_[1]];
      const int x = table_[1][column_of(pixels[i]) * kernel_[1] + row % kernel_[1]];
      if (y >= 0 && x >= 0) pointers[count++] = source.at(y, x);
    }
    for (int y = top; table_[0].empty() && y <= top + height; y += dilation_[0]) {
      for (int x = left; x <= left + width; x += dilation_[1]) {
        if (inside || source.contains(y, x)) pointers[count++] = source.at(y, x);
      }
    }
    if (!maximum_) {
      const float* weights = equal_.data();
      if (!count_padding_ && count < window) {
        std::fill_n(scratch.more.data(), count, 1.0F / static_cast<float>(std::max(count, 1)));
        weights = scratch.more.data();
      }
      kernels_.weighted_sum(pointers, weights, count, channels_, rows[i]);
    } else if (count > 0) {
      kernels_.maximum(pointers, count, channels_, rows[i]);
    } else {
      std::fill_n(rows[i], channels_, -std::numeric_limits<float>::infinity());
    }
  }
}

Resize::Resize(const Program& program, int source, int target, bool bilinear, Axis rows, Axis columns)
    : kernels_(program.kernels),
      source_(source),
      channels_(padded(program.maps[target].channels)),
      bilinear_(bilinear),
      rows_(std::move(rows)),
      columns_(std::move(columns)) {}

void Resize::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch&, int, int) const {
  const Rows source = frame.state.rows(source_);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const int y = row_of(pixels[i]), x = column_of(pixels[i]);
    if (!bilinear_) {
      kernels_.widen(source.at(rows_.index[0][y], columns_.index[0][x]), channels_, rows[i]);
      continue;
    }
    const std::byte* taps[4];
    float weights[4];
    for (int tap = 0; tap < 4; ++tap) {
      taps[tap] = source.at(rows_.index[tap / 2][y], columns_.index[tap % 2][x]);
      weights[tap] = rows_.weight[tap / 2][y] * columns_.weight[tap % 2][x];
    }
    kernels_.weighted_sum(taps, weights, 4, channels_, rows[i]);
  }
}

namespace {

// Of a row, `count` adjacent channels from index[0] on, or those of the index.
template <class Value>
void pick(const std::byte* row, const std::vector<int>& index, int count, float* to) {
  const Value* const from = reinterpret_cast<const Value*>(row);
  if (index.size() > 1) {
    for (int c = 0; c < count; ++c) to[c] = widened(from[index[c]]);
  } else if constexpr (std::is_same_v<Value, float>) {
    std::memcpy(to, from + index[0], count * sizeof(float));
  } else {
    for (int c = 0; c < count; ++c) to[c] = widened(from[index[0] + c]);
  }
}

}  // namespace

Move::Move(const Program& program, int target, std::vector<Part> parts, std::array<int, 2> origin, float outside)
    : channels_(program.maps[target].channels), parts_(std::move(parts)), origin_(origin), outside_(outside) {
  for (const Part& part : parts_) {
    if (!written_.empty() && written_.back().from + written_.back().count == part.target) {
      written_.back().count += part.count;
    } else {
      written_.push_back({part.target, part.count});
    }
  }
  if (written_.size() == 1 && written_[0].count == channels_) written_.clear();
}

void Move::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch&, int, int) const {
  for (const Part& part : parts_) {
    const Rows source = frame.state.rows(part.source);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const int y = row_of(pixels[i]) + origin_[0], x = column_of(pixels[i]) + origin_[1];
      float* to = rows[i] + part.target;
      if (!source.contains(y, x)) {
        std::fill_n(to, part.count, outside_);
      } else if (frame.program.in_floats()) {
        pick<float>(source.at(y, x), part.index, part.count, to);
      } else {
        pick<BFloat16>(source.at(y, x), part.index, part.count, to);
      }
    }
  }
}

}  // namespace skipvid
