// Description -> program: places for all maps, gates, and steps with their operations.
#include <algorithm>
#include <limits>

#include "make_operation.hpp"

namespace skipvid {

namespace {

double scale_of(Int measured, double scale) { return measured != 0 ? std::numeric_limits<double>::quiet_NaN() : scale; }

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
    step.operation = make_operation(*this, description, row, step);
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
