#include <algorithm>

#include "../operations.hpp"

namespace skipvid {

Select::Select(const Program& program, int target, int choice, std::vector<Move> variants, std::span<const float> scale,
               std::span<const float> shift)
    : kernels_(program.kernels),
      target_(target),
      choice_(choice),
      channels_(program.maps[target].channels),
      variants_(std::move(variants)),
      scale_(scale.begin(), scale.end()),
      shift_(shift.begin(), shift.end()) {}

void Select::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int first_part,
                     int last_part) const {
  const int number = frame.state.choices[choice_].number;
  if (number < static_cast<int>(variants_.size())) {
    return variants_[number].compute(frame, pixels, rows, scratch, first_part, last_part);
  }
  const Rows last = frame.state.rows(target_);
  scratch.more.reserve(padded(channels_));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const float* values = reinterpret_cast<const float*>(last.at(pixels[i]));
    if (!frame.program.in_floats(target_)) {
      kernels_.widen(last.at(pixels[i]), channels_, scratch.more.data());
      values = scratch.more.data();
    }
    if (scale_.empty()) {
      std::copy_n(values, channels_, rows[i]);
      continue;
    }
    for (int c = 0; c < channels_; ++c) {
      const float product = values[c] * scale_[c];
      rows[i][c] = product + shift_[c];
    }
  }
}

}  // namespace skipvid
