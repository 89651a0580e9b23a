#include <algorithm>
#include <utility>

#include "../operations.hpp"

namespace skipvid {

namespace {
const std::byte* bytes_of(const float* values) { return reinterpret_cast<const std::byte*>(values); }
}  // namespace

PointwiseChain::PointwiseChain(const Program& program, int target, std::vector<Operand> operands, std::vector<Link> links)
    : kernels_(program.kernels),
      channels_(padded(program.maps[target].channels)),
      width_(program.maps[target].width),
      operands_(std::move(operands)),
      links_(std::move(links)) {}

std::optional<Addition> PointwiseChain::addition(int map) const {
  if (links_.size() != 1 || links_[0].operation != Pointwise::add || links_[0].activation.remains()) return {};
  if (activation.kind != Activation::Kind::none) return {};
  const Operand &first = operands_[links_[0].operands[0]], &second = operands_[links_[0].operands[1]];
  for (const Operand* operand : {&first, &second}) {
    if (operand->map < 0 || !operand->by_row || !operand->by_column || operand->scalar || !operand->columns.empty()) return {};
  }
  if (first.map == second.map || (first.map != map && second.map != map)) return {};
  return Addition{first.map == map ? second.map : first.map, clamp_low(links_[0].activation), clamp_high(links_[0].activation)};
}

std::optional<Scaling> PointwiseChain::scaling() const {
  if (links_.size() != 1 || links_[0].operation != Pointwise::mul || links_[0].activation.kind != Activation::Kind::none) return {};
  if (activation.kind != Activation::Kind::none) return {};
  const Operand *first = &operands_[links_[0].operands[0]], *second = &operands_[links_[0].operands[1]];
  if (!first->by_row) std::swap(first, second);
  for (const Operand* operand : {first, second}) {
    if (operand->map < 0 || operand->scalar || !operand->columns.empty()) return {};
  }
  if (!first->by_row || !first->by_column || second->by_row || second->by_column) return {};
  return Scaling{first->map, second->map};
}

void PointwiseChain::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int, int) const {
  const int most = std::max(1, 2048 / channels_), operand_count = static_cast<int>(operands_.size());
  const std::ptrdiff_t size = frame.program.value_size(), float_size = sizeof(float);
  const std::size_t block = static_cast<std::size_t>(most) * channels_;
  scratch.more.reserve(block * links_.size());
  scratch.pointers.resize(static_cast<std::size_t>(most) * operand_count);
  for (std::size_t i = 0; i < pixels.size();) {
    const int count = std::min(run_length(pixels, i), most), y = row_of(pixels[i]), x = column_of(pixels[i]);
    for (int pixel = 0; scratch.ahead != nullptr && pixel < count; ++pixel) prefetch(scratch.ahead[i + pixel], channels_ * size);
    const std::ptrdiff_t stride = count > 1 ? rows[i + 1] - rows[i] : channels_;
    const auto operand = [&](int number) -> skipvid::Operand {
      if (number >= operand_count) {
        return {bytes_of(scratch.more.data() + (number - operand_count) * block), channels_ * float_size, false, true};
      }
      const Operand& own = operands_[number];
      if (own.map >= 0) {
        const Rows source = frame.state.rows(own.map);
        if (!own.columns.empty()) {
          const std::byte** looked_up = scratch.pointers.data() + static_cast<std::ptrdiff_t>(number) * most;
          for (int pixel = 0; pixel < count; ++pixel) looked_up[pixel] = source.at(own.rows[y], own.columns[x + pixel]);
          return {looked_up[0], 0, own.scalar, false, looked_up};
        }
        return {source.at(own.by_row ? y : 0, own.by_column ? x : 0), own.by_column ? source.stride : 0, own.scalar, false};
      }
      const std::ptrdiff_t row = own.scalar ? 1 : channels_;
      const std::ptrdiff_t line = own.by_column ? row * width_ : row;
      return {bytes_of(own.values.data() + (own.by_row ? y * line : 0) + (own.by_column ? x * row : 0)),
              own.by_column ? row * float_size : 0, own.scalar, true};
    };
    for (std::size_t number = 0; number < links_.size(); ++number) {
      const Link& link = links_[number];
      const skipvid::Operand operands[3] = {operand(link.operands[0]), operand(link.operands[1]), operand(link.operands[2])};
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
