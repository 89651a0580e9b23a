#include <algorithm>

#include "../operations.hpp"

namespace skipvid {

Depthwise::Depthwise(const Program& program, int source, int target, const Footprint& window, std::span<const float> weights,
                     std::span<const float> bias, Activation act)
    : kernels_(program.kernels),
      source_(source),
      target_(target),
      kernel_(std::to_array(window.kernel)),
      stride_(std::to_array(window.stride)),
      dilation_(std::to_array(window.dilation)),
      origin_(std::to_array(window.origin)) {
  activation = act;
  const int channels = program.maps[target].channels, row = padded(channels), taps = kernel_[0] * kernel_[1];
  weights_ = Buffer(static_cast<std::size_t>(taps) * row);
  bias_ = Buffer(row);
  for (int tap = 0; tap < taps; ++tap) std::copy_n(weights.begin() + tap * channels, channels, weights_.data() + tap * row);
  std::copy(bias.begin(), bias.end(), bias_.data());
  const MapInfo& map = program.maps[source];
  for (int tap = 0; tap < taps; ++tap) {
    const int y = origin_[0] + tap / kernel_[1] * dilation_[0], x = origin_[1] + tap % kernel_[1] * dilation_[1];
    offsets_.push_back((static_cast<std::ptrdiff_t>(y) * map.width + x) * map.stride * program.value_size());
  }
  args_ = {weights_.data(), bias_.data(), kernel_[0], kernel_[1], stride_[1], row, clamp_low(act), clamp_high(act)};
}

void Depthwise::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int, int) const {
  const Rows source = frame.state.rows(source_);
  const std::byte* zeros = frame.program.zeros();
  const int taps = kernel_[0] * kernel_[1];
  scratch.pointers.resize(taps);
  const std::byte** pointers = scratch.pointers.data();
  // Rows and columns whose whole window lies inside the map.
  std::array<int, 2> from{}, to{};
  for (int axis = 0; axis < 2; ++axis) {
    const int reach = (axis == 0 ? source.height : source.width) - 1 - (kernel_[axis] - 1) * dilation_[axis] - origin_[axis];
    from[axis] = (std::max(-origin_[axis], 0) + stride_[axis] - 1) / stride_[axis];
    to[axis] = reach < 0 ? from[axis] : reach / stride_[axis] + 1;
  }
  constexpr int group = 4, most = 4 * group;
  const std::byte* centres[most];
  float* scattered[most];
  int waiting = 0;
  const std::ptrdiff_t row = args_.channels * frame.program.value_size();
  const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(source.width) * source.stride * dilation_[0];
  const std::ptrdiff_t reach = (kernel_[1] - 1) * dilation_[1] * source.stride + row;
  const auto flush = [&] {
    kernels_.depthwise_scattered(args_, centres, offsets_.data(), waiting, scattered);
    waiting = 0;
  };
  const auto bring = [&](std::size_t first, int count) {
    if (scratch.ahead == nullptr) return;
    for (int i = 0; i < count; ++i) prefetch(scratch.ahead[first + i], row);
  };
  const Bitmap& computed = frame.state.computed[target_];
  // Ask for what the run at pixels[i] reads, but for what the run above it has read.
  const auto bring_window = [&](std::size_t i) {
    if (i >= pixels.size()) return;
    const int y = row_of(pixels[i]), length = run_length(pixels, i);
    const bool below = y > 0 && computed.test(pixels[i] - one_row) && computed.test(pixels[i] + length - 1 - one_row);
    const int first = std::max(column_of(pixels[i]) * stride_[1] + origin_[1], 0);
    const int last =
        std::min((column_of(pixels[i]) + length - 1) * stride_[1] + origin_[1] + (kernel_[1] - 1) * dilation_[1] + 1, source.width);
    for (int ky = below ? std::max(kernel_[0] - stride_[0], 0) : 0; ky < kernel_[0]; ++ky) {
      const int from_y = y * stride_[0] + origin_[0] + ky * dilation_[0];
      if (from_y >= 0 && from_y < source.height) prefetch(source.at(from_y, first), (last - first) * source.stride);
    }
  };
  if (!frame.keyframe) bring_window(0);
  for (std::size_t i = 0; i < pixels.size();) {
    const int y = row_of(pixels[i]), x = column_of(pixels[i]);
    if (!frame.keyframe && (i == 0 || pixels[i] != pixels[i - 1] + 1)) bring_window(i + run_length(pixels, i));
    const int top = y * stride_[0] + origin_[0], left = x * stride_[1] + origin_[1];
    const bool inside = y >= from[0] && y < to[0];
    if (x < from[1] || x >= to[1] || (dilation_[1] != 1 && !inside)) {
      for (int tap = 0; tap < taps; ++tap) {
        const int from_y = top + tap / kernel_[1] * dilation_[0], from_x = left + tap % kernel_[1] * dilation_[1];
        pointers[tap] = source.contains(from_y, from_x) ? source.at(from_y, from_x) : zeros;
      }
      bring(i, 1);
      kernels_.depthwise_pixel(args_, pointers, rows[i]);
      ++i;
      continue;
    }
    // The outputs of a run share their input columns. What is left of it, and what is dilated, waits for others to share the weights with.
    const int length = std::min(run_length(pixels, i), to[1] - x);
    const int run = dilation_[1] != 1 ? 0 : inside ? length / group * group : length;
    bring(i, length);
    if (run > 0) {
      for (int ky = 0; ky < kernel_[0]; ++ky) {
        const int from_y = top + ky * dilation_[0];
        pointers[ky] = from_y >= 0 && from_y < source.height ? source.at(from_y, left) : zeros;
      }
      kernels_.depthwise_run(args_, pointers, source.stride, run, rows + i);
    }
    for (int at = run; at < length; ++at) {
      centres[waiting] = source.at(y * stride_[0], (x + at) * stride_[1]);
      for (int ky = 0; ky < kernel_[0]; ++ky) prefetch(centres[waiting] + offsets_[0] + ky * line, reach);
      scattered[waiting++] = rows[i + at];
      if (waiting == most) flush();
    }
    i += length;
  }
  if (waiting > 0) flush();
}

}  // namespace skipvid
