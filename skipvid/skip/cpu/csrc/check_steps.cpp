// Whether each step of a description reads what earlier ones compute, and what its kind needs (check_layers.cpp, check_moves.cpp).
#include "check_steps.hpp"

namespace skipvid {

std::vector<Int> StepChecker::run() {
  for (Int step = 0; step < count<StepRow>(); ++step) check_step(step);
  return step_of_;
}

void StepChecker::check_step(Int row) {
  const StepRow& step = steps_[static_cast<std::size_t>(row)];
  check_range<StepRow>(row, "kind", step.kind, 0, static_cast<Int>(StepKind::select));
  check_range<StepRow>(row, "map", step.map, 0, last<MapRow>());
  check_slice<StepRow, ReadRow>(row, "reads", step.first_read, step.reads);
  for (Int number = 0; number < step.reads; ++number) check_read(row, step, number);
  const auto kind = static_cast<StepKind>(step.kind);
  const bool activates = kind == StepKind::convolution || kind == StepKind::depthwise;
  check_activation<StepRow>(row, activates ? step.activation : 0);
  if (!activates && step.activation != 0) refuse<StepRow>(row, "it has an activation, which its kind does not apply");
  switch (kind) {
    case StepKind::input:
      check_reads(row, step, 0);
      if (map(step.map).inside >= 0) refuse<StepRow>(row, "an input is no part of another map");
      check_range<StepRow>(row, "details", step.details, 0, d_.row<ProgramRow>(0).inputs - 1);
      break;
    case StepKind::view: check_view(row, step); break;
    case StepKind::fallback: check_reads(row, step, 0); break;
    case StepKind::change:
      check_reads(row, step, 0);
      check_range<StepRow>(row, "details", step.details, 0, static_cast<Int>(Norm::largest));
      if (step_of(step.map) < 0) refuse<StepRow>(row, "it measures maps[", step.map, "], which no step before it computes");
      return;  // computes no map
    case StepKind::convolution: check_convolution(row, step); break;
    case StepKind::depthwise: check_depthwise(row, step); break;
    case StepKind::pointwise: check_pointwise(row, step); break;
    case StepKind::pool: check_pool(row, step); break;
    case StepKind::resize: check_resize(row, step); break;
    case StepKind::move: check_move(row, step); break;
    case StepKind::global_mean:
      check_reads(row, step, 1);
      check_same_channels(row, step);
      if (static_cast<Footprint::Kind>(footprint(step, 0).kind) != Footprint::Kind::any)
        refuse<StepRow>(row, "any change must reach a mean");
      break;
    case StepKind::gather: check_gather(row, step); break;
    case StepKind::channelwise: check_channelwise(row, step); break;
    case StepKind::attention: check_attention(row, step); break;
    case StepKind::choice:
    case StepKind::select: break;  // check_choices.cpp
  }
  if (step_of(step.map) >= 0) refuse<StepRow>(row, "maps[", step.map, "] is computed by steps[", step_of(step.map), "] already");
  step_of_[static_cast<std::size_t>(step.map)] = row;
}

void StepChecker::check_read(Int row, const StepRow& step, Int number) const {
  const Int read_row = step.first_read + number;
  check_range<ReadRow>(read_row, "map", read(step, number).map, 0, last<MapRow>());
  check_range<ReadRow>(read_row, "footprint", read(step, number).footprint, 0, last<FootprintRow>());
  if (step_of(read(step, number).map) < 0)
    refuse<StepRow>(row, "it reads maps[", read(step, number).map, "], which no step before it computes");
  check_footprint(read(step, number).footprint, source(step, number), map(step.map));
}

void StepChecker::check_reads(Int row, const StepRow& step, Int wanted) {
  if (step.reads != wanted) refuse<StepRow>(row, "it reads ", step.reads, " maps instead of ", wanted);
}

void StepChecker::check_same_channels(Int row, const StepRow& step) const {
  const Int from = source(step, 0).channels, to = map(step.map).channels;
  if (from != to) refuse<StepRow>(row, "it makes ", to, " channels of ", from);
}

void StepChecker::check_same_size(Int row, const StepRow& step, Int number) const {
  const MapRow &from = source(step, number), &to = map(step.map);
  const bool same = static_cast<Footprint::Kind>(footprint(step, number).kind) == Footprint::Kind::same;
  if (!same || from.height != to.height || from.width != to.width) {
    refuse<StepRow>(row, "it must read maps[", read(step, number).map, "] pixel by pixel");
  }
}

bool StepChecker::reads_as(const StepRow& step, Footprint::Kind kind) const {
  return static_cast<Footprint::Kind>(footprint(step, 0).kind) == kind;
}

std::vector<Int> check_steps(const Description& description) { return StepChecker(description).run(); }

}  // namespace skipvid
