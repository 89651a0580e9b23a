#include <algorithm>

#include "../operations.hpp"

namespace skipvid {

namespace {
constexpr int segment = 16;

const std::byte* bytes_of(const float* values) { return reinterpret_cast<const std::byte*>(values); }
}  // namespace

GlobalMean::GlobalMean(const Program& program, int source)
    : kernels_(program.kernels),
      source_(source),
      info_(program.maps[source]),
      channels_(padded(info_.channels)),
      segments_((info_.width + segment - 1) / segment) {}

std::size_t GlobalMean::memory() const { return static_cast<std::size_t>(info_.height) * (segments_ + 1) * channels_; }

void GlobalMean::prepare(const Frame& frame) const {
  const Rows source = frame.state.rows(source_);
  const Bitmap& changed = static_cast<const State&>(frame.state).changed(source_);
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(channels_) * sizeof(float);
  float* row_sums = frame.state.memory[index].data();
  float* segment_sums = row_sums + static_cast<std::size_t>(info_.height) * channels_;
  frame.lease.run(info_.height, [&](int y, int) {
    float* sums = segment_sums + static_cast<std::size_t>(y) * segments_ * channels_;
    bool dirty = false;
    for (int s = 0; s < segments_; ++s) {
      const int x = s * segment;
      if (!frame.keyframe && !frame.shift.any() && (changed.row(y)[x / 64] >> (x % 64) & 0xffffU) == 0) continue;
      kernels_.row_sum(source.at(y, x), source.stride, std::min(segment, info_.width - x), channels_, sums + s * channels_);
      dirty = true;
    }
    if (dirty) kernels_.float_row_sum(bytes_of(sums), row, segments_, channels_, row_sums + static_cast<std::size_t>(y) * channels_);
  });
}

void GlobalMean::compute(const Frame& frame, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const {
  kernels_.float_row_sum(bytes_of(frame.state.memory[index].data()), channels_ * sizeof(float), info_.height, channels_, rows[0]);
  const float count = static_cast<float>(info_.pixels());
  for (int c = 0; c < channels_; ++c) rows[0][c] /= count;
}

}  // namespace skipvid
