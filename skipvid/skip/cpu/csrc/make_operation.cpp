// A step of a description -> its operation, with its weights packed for the instruction set.
#include "make_operation.hpp"

#include <algorithm>

namespace skipvid {

namespace {

std::array<int, 2> pair(Int y, Int x) { return {number(y), number(x)}; }

Activation activation_of(Int kind, double a, double b) {
  return {static_cast<Activation::Kind>(kind), static_cast<float>(a), static_cast<float>(b)};
}

// Builds the operation of one step.
class Maker {
 public:
  Maker(const Program& program, const Description& description, const StepRow& row, const Step& step)
      : program_(program), d_(description), row_(row), step_(step), activation_(activation_of(row.activation, row.a, row.b)) {}

  std::unique_ptr<Operation> make() const {
    switch (static_cast<StepKind>(row_.kind)) {
      case StepKind::convolution: return convolution();
      case StepKind::depthwise: return depthwise();
      case StepKind::pointwise: return pointwise();
      case StepKind::pool: return pool();
      case StepKind::resize: return resize();
      case StepKind::move: return move();
      case StepKind::global_mean: return std::make_unique<GlobalMean>(program_, step_.sources[0]);
      case StepKind::gather: return gather();
      case StepKind::channelwise: return channelwise();
      case StepKind::attention: return attention();
      case StepKind::select: return select();
      default: return nullptr;
    }
  }

 private:
  const MapInfo& target() const { return program_.maps[step_.map]; }

  std::unique_ptr<Operation> convolution() const {
    const ConvolutionRow& row = d_.row<ConvolutionRow>(row_.details);
    const int source = step_.sources[0];
    const Int group_inputs = program_.maps[source].channels / row.groups;
    std::vector<Convolution::Phase> phases;
    for (Int index = 0; index < row.phases; ++index) {
      const PhaseRow& phase = d_.row<PhaseRow>(row.first_phase + index);
      phases.push_back(
          {integers(d_, phase.offsets, 2 * phase.taps), numbers(d_, phase.weights, phase.taps * group_inputs * target().channels)});
    }
    return std::make_unique<Convolution>(program_, source, step_.map, pair(row.stride_y, row.stride_x), pair(row.period_y, row.period_x),
                                         number(row.groups), phases, numbers(d_, row.bias, target().channels), activation_);
  }

  std::unique_ptr<Operation> depthwise() const {
    const DepthwiseRow& row = d_.row<DepthwiseRow>(row_.details);
    const Footprint& window = step_.footprints[0];
    const int channels = target().channels;
    return std::make_unique<Depthwise>(program_, step_.sources[0], step_.map, window,
                                       numbers(d_, row.weights, Int{window.kernel[0]} * window.kernel[1] * channels),
                                       numbers(d_, row.bias, channels), activation_);
  }

  std::unique_ptr<Operation> pointwise() const {
    const PointwiseRow& row = d_.row<PointwiseRow>(row_.details);
    std::vector<PointwiseChain::Operand> operands;
    for (Int index = 0; index < row.operands; ++index) operands.push_back(operand(d_.row<OperandRow>(row.first_operand + index)));
    std::vector<PointwiseChain::Link> links;
    for (Int index = 0; index < row.operations; ++index) {
      const OperationRow& link = d_.row<OperationRow>(row.first_operation + index);
      links.push_back({static_cast<Pointwise>(link.operation),
                       {number(link.first), number(link.second), number(link.third)},
                       activation_of(link.activation, link.a, link.b)});
    }
    return std::make_unique<PointwiseChain>(program_, step_.map, std::move(operands), std::move(links));
  }

  PointwiseChain::Operand operand(const OperandRow& row) const {
    if (row.read < 0) {
      const bool varies = row.pixels > 1, scalar = row.channels == 1;
      const std::size_t pixels = static_cast<std::size_t>(row.pixels), channels = static_cast<std::size_t>(row.channels);
      const std::size_t stride = scalar ? 1 : padded(number(row.channels));
      const std::span<const float> values = numbers(d_, row.values, row.pixels * row.channels);
      Buffer rows(pixels * stride);
      for (std::size_t pixel = 0; pixel < pixels; ++pixel)
        std::copy_n(values.data() + pixel * channels, channels, rows.data() + pixel * stride);
      return {-1, std::move(rows), varies, varies, scalar, {}, {}};
    }
    const int source = step_.sources[static_cast<std::size_t>(row.read)];
    const MapInfo& info = program_.maps[source];
    const bool scalar = info.channels == 1 && target().channels > 1;
    if (row.rows < 0) return {source, {}, info.height > 1, info.width > 1, scalar, {}, {}};
    return {source, {}, true, true, scalar, integers(d_, row.rows, target().height), integers(d_, row.columns, target().width)};
  }

  std::unique_ptr<Operation> pool() const {
    const PoolRow& row = d_.row<PoolRow>(row_.details);
    return std::make_unique<Pool>(program_, step_.sources[0], step_.map, row.maximum != 0, row.count_padding != 0, step_.footprints[0]);
  }

  std::unique_ptr<Operation> resize() const {
    const ResizeRow& row = d_.row<ResizeRow>(row_.details);
    const auto weights = [&](Int first, int size) {
      const std::span<const float> values = numbers(d_, first, size);
      return std::vector<float>(values.begin(), values.end());
    };
    const auto axis = [&](Int low, Int high, Int low_weights, Int high_weights, int size) -> Resize::Axis {
      if (row.bilinear == 0) return {{integers(d_, low, size), {}}, {}};
      return {{integers(d_, low, size), integers(d_, high, size)}, {weights(low_weights, size), weights(high_weights, size)}};
    };
    return std::make_unique<Resize>(
        program_, step_.sources[0], step_.map, row.bilinear != 0,
        axis(row.low_rows, row.high_rows, row.low_row_weights, row.high_row_weights, target().height),
        axis(row.low_columns, row.high_columns, row.low_column_weights, row.high_column_weights, target().width));
  }

  std::unique_ptr<Operation> move() const {
    const MoveRow& row = d_.row<MoveRow>(row_.details);
    std::vector<Move::Part> parts;
    for (Int index = 0; index < row.parts; ++index) {
      const PartRow& part = d_.row<PartRow>(row.first_part + index);
      std::vector<int> channels = part.listed != 0 ? integers(d_, part.first, part.count) : std::vector<int>{number(part.first)};
      parts.push_back({step_.sources[static_cast<std::size_t>(part.read)], number(part.target), number(part.count), std::move(channels)});
    }
    return std::make_unique<Move>(program_, step_.map, std::move(parts), pair(row.origin_y, row.origin_x), static_cast<float>(row.outside));
  }

  std::unique_ptr<Operation> select() const {
    const SelectRow& row = d_.row<SelectRow>(row_.details);
    std::vector<Move> variants;
    for (Int number = 0; number < row.variants; ++number) {
      const VariantRow& variant = d_.row<VariantRow>(row.first_variant + number);
      std::vector<Move::Part> parts;
      for (Int index = 0; index < variant.parts; ++index) {
        const PartRow& part = d_.row<PartRow>(variant.first_part + index);
        const int source = step_.sources[static_cast<std::size_t>(part.read)];
        parts.push_back({source, skipvid::number(part.target), skipvid::number(part.count), {skipvid::number(part.first)}});
      }
      variants.emplace_back(program_, step_.map, std::move(parts), std::array{0, 0}, 0.0F);
    }
    const auto given = [&](Int first) { return first < 0 ? std::span<const float>() : numbers(d_, first, target().channels); };
    return std::make_unique<Select>(program_, step_.map, step_.selects, std::move(variants), given(row.scale), given(row.shift));
  }

  std::unique_ptr<Operation> gather() const {
    const GatherRow& row = d_.row<GatherRow>(row_.details);
    std::vector<Gather::Place> places;
    for (int pixel = 0; pixel < static_cast<int>(target().pixels()); ++pixel) {
      const int read = d_.integers[static_cast<std::size_t>(row.reads + pixel)];
      if (read < 0) {
        places.push_back({-1, no_pixel, 0});
      } else {
        places.push_back({step_.sources[static_cast<std::size_t>(read)], step_.footprints[static_cast<std::size_t>(read)].pixels[pixel],
                          d_.integers[static_cast<std::size_t>(row.channels + pixel)]});
      }
    }
    return std::make_unique<Gather>(program_, step_.map, std::move(places));
  }

  std::unique_ptr<Operation> channelwise() const {
    const ChannelwiseRow& row = d_.row<ChannelwiseRow>(row_.details);
    const auto given = [&](Int first) { return first < 0 ? std::span<const float>() : numbers(d_, first, target().channels); };
    return std::make_unique<Channelwise>(program_, step_.sources[0], step_.map, static_cast<ChannelOperation>(row.operation),
                                         static_cast<float>(row.epsilon), given(row.weights), given(row.bias));
  }

  std::unique_ptr<Operation> attention() const {
    const AttentionRow& row = d_.row<AttentionRow>(row_.details);
    const Attention::Shape shape{number(row.groups), number(row.heads), number(row.key_size), number(row.value_size),
                                 static_cast<float>(row.scale)};
    const Int pairs =
        static_cast<Int>(target().pixels()) / row.groups * static_cast<Int>(program_.maps[step_.sources[1]].pixels()) / row.groups;
    const bool biased = row.bias >= 0;
    return std::make_unique<Attention>(program_, std::array{step_.sources[0], step_.sources[1], step_.sources[2]}, step_.map, shape,
                                       std::array{integers(d_, row.query_channels, row.heads), integers(d_, row.key_channels, row.heads),
                                                  integers(d_, row.value_channels, row.heads)},
                                       biased ? integers(d_, row.bias_blocks, row.groups) : std::vector<int>(),
                                       biased ? numbers(d_, row.bias, row.blocks * row.heads * pairs) : std::span<const float>());
  }

  const Program& program_;
  const Description& d_;
  const StepRow& row_;
  const Step& step_;
  Activation activation_;
};

}  // namespace

std::unique_ptr<Operation> make_operation(const Program& program, const Description& description, const StepRow& row, const Step& step) {
  return Maker(program, description, row, step).make();
}

}  // namespace skipvid
