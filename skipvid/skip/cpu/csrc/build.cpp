// Description -> program: places for all maps, and operations with their weights packed for the instruction set.
#include <algorithm>
#include <limits>

#include "operations.hpp"

namespace skipvid {

namespace {

int number(Int value) { return static_cast<int>(value); }

std::array<int, 2> pair(Int y, Int x) { return {number(y), number(x)}; }

std::vector<int> integers(const Description& description, Int first, Int size) {
  const auto from = description.integers.begin() + first;
  return {from, from + size};
}

std::span<const float> numbers(const Description& description, Int first, Int size) {
  return std::span(description.numbers).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size));
}

double scale_of(Int measured, double scale) { return measured != 0 ? std::numeric_limits<double>::quiet_NaN() : scale; }

Activation activation_of(Int kind, double a, double b) {
  return {static_cast<Activation::Kind>(kind), static_cast<float>(a), static_cast<float>(b)};
}

Footprint footprint_of(const Description& description, const FootprintRow& row, const MapInfo& source, const MapInfo& target) {
  const auto kind = static_cast<Footprint::Kind>(row.kind);
  if (kind == Footprint::Kind::taps) {
    return Footprint::taps(integers(description, row.rows, target.height * row.row_taps),
                           integers(description, row.columns, target.width * row.column_taps), target.width);
  }
  Footprint footprint;
  footprint.kind = kind;
  if (kind == Footprint::Kind::pixels) {
    for (const int read : integers(description, row.rows, target.height * target.width)) {
      footprint.pixels.push_back(read < 0 ? no_pixel : pixel_at(read / source.width, read % source.width));
    }
  }
  if (kind == Footprint::Kind::window) {
    for (int axis = 0; axis < 2; ++axis) {
      footprint.kernel[axis] = number(axis == 0 ? row.kernel_y : row.kernel_x);
      footprint.stride[axis] = number(axis == 0 ? row.stride_y : row.stride_x);
      footprint.dilation[axis] = number(axis == 0 ? row.dilation_y : row.dilation_x);
      footprint.origin[axis] = number(axis == 0 ? row.origin_y : row.origin_x);
    }
  }
  return footprint;
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

std::unique_ptr<ChoiceRule> choice_of(const Description& description, const ChoiceRow& row, int channels) {
  const auto values = [&](Int first, Int size) {
    const std::span<const float> found = numbers(description, first, size);
    return std::vector<double>(found.begin(), found.end());
  };
  const Int features = channels + 1, choices = row.ratios + row.reuse;
  ChoiceRule rule{number(row.ratios),
                  row.reuse != 0,
                  row.hysteresis,
                  number(row.least_stay),
                  number(row.longest_reuse),
                  number(features),
                  {},
                  values(row.inner_bias, row.hidden),
                  values(row.outer, choices * row.hidden),
                  values(row.outer_bias, choices)};
  const std::span<const float> inner = numbers(description, row.inner, row.hidden * features);
  for (Int feature = 0; feature < features; ++feature) {
    for (Int unit = 0; unit < row.hidden; ++unit) rule.inner.push_back(inner[static_cast<std::size_t>(unit * features + feature)]);
  }
  return std::make_unique<ChoiceRule>(std::move(rule));
}

// Maps that are computed here and read outside alone: by the program's caller, who wants floats. As half precision each frame would have to
// convert all of them.
std::vector<bool> read_outside(const Description& description) {
  std::vector<bool> found(description.rows<MapRow>().size(), false);
  const auto leave_out = [&](Int map) { found[static_cast<std::size_t>(map)] = false; };
  for (const KeptRow& row : description.rows<KeptRow>()) found[static_cast<std::size_t>(row.map)] = true;
  for (const ReadRow& row : description.rows<ReadRow>()) leave_out(row.map);
  for (const GateRow& row : description.rows<GateRow>()) leave_out(row.map);
  for (const OutputGateRow& row : description.rows<OutputGateRow>()) leave_out(description.row<StepRow>(row.step).map);
  for (const StepRow& row : description.rows<StepRow>()) {
    switch (static_cast<StepKind>(row.kind)) {
      case StepKind::input:
      case StepKind::view:
      case StepKind::fallback:
      case StepKind::change: leave_out(row.map); break;
      default: break;
    }
  }
  for (std::size_t map = 0; map < found.size(); ++map) {
    const Int inside = description.rows<MapRow>()[map].inside;
    if (inside < 0) continue;
    found[map] = false;
    leave_out(inside);
  }
  return found;
}

}  // namespace

Program::Program(const Description& description, const Kernels& instructions, std::shared_ptr<ThreadPool> threads)
    : kernels(instructions), pool(std::move(threads)), inputs(number(description.row<ProgramRow>(0).inputs)) {
  add_maps(description);
  add_gates(description);
  add_steps(description);
  find_scalings(description.rows<KeptRow>());  // before waves: what is taken is a view there
  for (const SegmentRow& row : description.rows<SegmentRow>()) {
    const int first = number(row.first), last = number(row.last);
    segments_.push_back({first, last, find_waves(*this, first, last)});
  }
  find_sums();
  share(description.rows<KeptRow>());
}

void Program::add_maps(const Description& description) {
  std::vector<bool> given(description.rows<MapRow>().size(), false);
  for (const StepRow& step : description.rows<StepRow>()) {
    if (static_cast<StepKind>(step.kind) == StepKind::input) given[static_cast<std::size_t>(step.map)] = true;
  }
  const std::vector<bool> outside = read_outside(description);
  for (const MapRow& row : description.rows<MapRow>()) {
    const int map = static_cast<int>(maps.size());
    if (row.inside >= 0) {
      MapInfo part = maps[static_cast<std::size_t>(row.inside)];
      part.channels = number(row.channels);
      part.offset += row.offset;
      maps.push_back(part);
      continue;
    }
    // A network input of few channels is stored without padding lanes: it is the largest map, and mostly read by the number.
    const std::ptrdiff_t stride = given[static_cast<std::size_t>(map)] && row.channels <= 4 ? 4 : padded(number(row.channels));
    maps.push_back({number(row.height), number(row.width), number(row.channels), static_cast<std::ptrdiff_t>(values), stride, map,
                    !in_floats() && outside[static_cast<std::size_t>(map)]});
    values += values_of(maps.back());
    const std::size_t line = static_cast<std::size_t>(row.width) * stride;
    zeros_.reserve(line);
    std::vector<Pixel>& pixels = all_pixels_[{number(row.height), number(row.width)}];
    if (!pixels.empty()) continue;
    pixels.reserve(maps.back().pixels());
    for (int y = 0; y < row.height; ++y) {
      for (int x = 0; x < row.width; ++x) pixels.push_back(pixel_at(y, x));
    }
  }
}

void Program::add_gates(const Description& description) {
  gates.resize(maps.size());
  for (const GateRow& row : description.rows<GateRow>()) {
    Gate& gate = gates[static_cast<std::size_t>(row.map)];
    gate = {true, row.threshold, scale_of(row.measured, row.scale), number(row.block), row.smoothed != 0, nullptr};
    if (row.learned < 0) continue;
    const LearnedGateRow& learned = description.row<LearnedGateRow>(row.learned);
    const int channels = maps[static_cast<std::size_t>(row.map)].channels;
    Buffer weights(padded(channels));
    std::copy_n(numbers(description, learned.weights, channels).data(), channels, weights.data());
    gate.learned =
        std::make_unique<const LearnedGate>(LearnedGate{std::move(weights), static_cast<float>(learned.bias), learned.magnitude != 0});
  }
}

void Program::add_steps(const Description& description) {
  const auto step_of = [&](int map) {
    const auto found = std::find_if(steps.begin(), steps.end(), [&](const Step& step) { return step.choice && step.map == map; });
    return static_cast<int>(found - steps.begin());
  };
  for (const StepRow& row : description.rows<StepRow>()) {
    Step step;
    step.kind = static_cast<StepKind>(row.kind);
    step.map = number(row.map);
    step.index = static_cast<int>(steps.size());
    if (step.kind == StepKind::input) step.input = number(row.details);
    if (step.kind == StepKind::change) step.norm = static_cast<Norm>(row.details);
    for (Int index = row.first_read; index < row.first_read + row.reads; ++index) {
      const ReadRow& read = description.row<ReadRow>(index);
      step.sources.push_back(number(read.map));
      step.footprints.push_back(footprint_of(description, description.row<FootprintRow>(read.footprint),
                                             maps[static_cast<std::size_t>(read.map)], maps[step.map]));
    }
    step.guard = number(row.guard);
    step.guard_number = number(row.guard_number);
    if (step.kind == StepKind::choice) {
      step.choice =
          choice_of(description, description.row<ChoiceRow>(row.details), maps[static_cast<std::size_t>(step.sources[0])].channels);
    }
    if (step.kind == StepKind::select) {
      step.selects = step_of(step.sources[0]);
      step.changes_when_reused = description.row<SelectRow>(row.details).scale >= 0;
    }
    step.operation = Maker(*this, description, row, step).make();
    if (step.operation) step.operation->index = step.index;
    steps.push_back(std::move(step));
  }
  for (const OutputGateRow& row : description.rows<OutputGateRow>()) {
    Step& step = steps[static_cast<std::size_t>(row.step)];
    const int change = number(row.change);
    step.gate = std::make_unique<OutputGate>(
        OutputGate{change, steps[change].norm, row.limit, scale_of(row.measured, row.scale), number(row.block), {}});
    if (row.bias < 0) continue;
    const std::span<const float> bias = numbers(description, row.bias, maps[step.map].channels);
    step.gate->bias.assign(bias.begin(), bias.end());
  }
}

}  // namespace skipvid
