#include <algorithm>

#include "../steps.hpp"

namespace skipvid {

Depthwise::Depthwise(const Program& program, int source, int target, std::array<int, 2> kernel, std::array<int, 2> stride,
                     std::array<int, 2> dilation, std::array<int, 2> origin, const std::vector<float>& weights,
                     const std::vector<float>& bias, Activation act)
    : kernels_(program.kernels), source_(source), kernel_(kernel), stride_(stride), dilation_(dilation), origin_(origin) {
  activation = act;
  const int channels = program.maps[target].channels, row = padded(channels), taps = kernel[0] * kernel[1];
  weights_ = Buffer(static_cast<std::size_t>(taps) * row);
  bias_ = Buffer(row);
  for (int tap = 0; tap < taps; ++tap) std::copy_n(weights.begin() + tap * channels, channels, weights_.data() + tap * row);
  std::copy(bias.begin(), bias.end(), bias_.data());
  args_ = {weights_.data(), bias_.data(), kernel[0], kernel[1], stride[1], row, clamp_low(act), clamp_high(act)};
}

void Depthwise::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int, int) const {
  const Rows source = frame.state.rows(source_);
  const float* zeros = frame.program.zeros();
  const int taps = kernel_[0] * kernel_[1];
  scratch.pointers.resize(taps);
  const float** pointers = scratch.pointers.data();
  // Columns whose whole window lies inside the map.
  const int inside_from = (std::max(-origin_[1], 0) + stride_[1] - 1) / stride_[1];
  const int reach = source.width - 1 - (kernel_[1] - 1) * dilation_[1] - origin_[1];
  const int inside_to = dilation_[1] != 1 || reach < 0 ? inside_from : reach / stride_[1] + 1;
  for (std::size_t i = 0; i < pixels.size();) {
    const int y = row_of(pixels[i]), x = column_of(pixels[i]);
    const int top = y * stride_[0] + origin_[0], left = x * stride_[1] + origin_[1];
    if (x >= inside_from && x < inside_to) {
      const int length = std::min(run_length(pixels, i), inside_to - x);
      for (int ky = 0; ky < kernel_[0]; ++ky) {
        const int from = top + ky * dilation_[0];
        pointers[ky] = from >= 0 && from < source.height ? source.at(from, left) : zeros;
      }
      kernels_.depthwise_run(args_, pointers, source.stride, length, rows + i);
      i += length;
      continue;
    }
    for (int ky = 0; ky < kernel_[0]; ++ky) {
      for (int kx = 0; kx < kernel_[1]; ++kx) {
        const int from_y = top + ky * dilation_[0], from_x = left + kx * dilation_[1];
        pointers[ky * kernel_[1] + kx] = source.contains(from_y, from_x) ? source.at(from_y, from_x) : zeros;
      }
    }
    kernels_.depthwise_pixel(args_, pointers, rows[i]);
    ++i;
  }
}

}  // namespace skipvid
