#include <algorithm>

#include "../steps.hpp"

namespace skipvid {

PointwiseChain::PointwiseChain(const Program& program, int target, std::vector<Leaf> leaves, std::vector<Link> links)
    : kernels_(program.kernels),
      channels_(padded(program.maps[target].channels)),
      width_(program.maps[target].width),
      leaves_(std::move(leaves)),
      links_(std::move(links)) {
  for (Leaf& leaf : leaves_) {
    constants_.emplace_back(leaf.values.size());
    std::copy(leaf.values.begin(), leaf.values.end(), constants_.back().data());
    leaf.values = {};
  }
}

void PointwiseChain::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int, int) const {
  const int most = std::max(1, 2048 / channels_), leaf_count = static_cast<int>(leaves_.size());
  const std::size_t block = static_cast<std::size_t>(most) * channels_;
  scratch.more.reserve(block * links_.size());
  scratch.pointers.resize(static_cast<std::size_t>(most) * leaf_count);
  for (std::size_t i = 0; i < pixels.size();) {
    const int count = std::min(run_length(pixels, i), most), y = row_of(pixels[i]), x = column_of(pixels[i]);
    for (int pixel = 0; scratch.ahead != nullptr && pixel < count; ++pixel) prefetch(scratch.ahead[i + pixel], channels_);
    const std::ptrdiff_t stride = count > 1 ? rows[i + 1] - rows[i] : channels_;
    const auto operand = [&](int number) -> Operand {
      if (number >= leaf_count) return {scratch.more.data() + (number - leaf_count) * block, channels_, false};
      const Leaf& leaf = leaves_[number];
      if (leaf.map >= 0) {
        const Rows source = frame.state.rows(leaf.map);
        if (!leaf.columns.empty()) {
          const float** looked_up = scratch.pointers.data() + static_cast<std::ptrdiff_t>(number) * most;
          for (int pixel = 0; pixel < count; ++pixel) looked_up[pixel] = source.at(leaf.rows[y], leaf.columns[x + pixel]);
          return {looked_up[0], 0, leaf.scalar, looked_up};
        }
        return {source.at(leaf.by_row ? y : 0, leaf.by_column ? x : 0), leaf.by_column ? source.stride : 0, leaf.scalar};
      }
      const std::ptrdiff_t row = leaf.scalar ? 1 : channels_;
      const std::ptrdiff_t line = leaf.by_column ? row * width_ : row;
      return {constants_[number].data() + (leaf.by_row ? y * line : 0) + (leaf.by_column ? x * row : 0), leaf.by_column ? row : 0,
              leaf.scalar};
    };
    for (std::size_t number = 0; number < links_.size(); ++number) {
      const Link& link = links_[number];
      const Operand operands[3] = {operand(link.operands[0]), operand(link.operands[1]), operand(link.operands[2])};
      const bool last = number + 1 == links_.size();
      float* to = last ? rows[i] : scratch.more.data() + number * block;
      const std::ptrdiff_t to_stride = last ? stride : channels_;
      kernels_.pointwise(link.operation, operands, to, to_stride, count, channels_);
      kernels_.activate(link.activation, to, to_stride, count, channels_);
    }
    i += count;
  }
}

}  // namespace skipvid
