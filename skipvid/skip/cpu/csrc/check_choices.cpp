// Whether the choices of adaptive layers, the steps that wait for them and the selections fit each other.
#include <cmath>

#include "check.hpp"

namespace skipvid {

namespace {

constexpr Int most_ratios = 64;
constexpr Int most_frames = Int{1} << 30;

class ChoiceChecker : public Checks {
 public:
  ChoiceChecker(const Description& description, std::vector<Int> step_of) : Checks(description) { step_of_ = std::move(step_of); }

  void run() const {
    for (Int row = 0; row < count<StepRow>(); ++row) {
      const StepRow& step = steps_[static_cast<std::size_t>(row)];
      if (kind_of(row) == StepKind::choice) check_choice(row, step);
      check_guard(row, step);
      if (kind_of(row) == StepKind::select) check_select(row, step);
    }
    for (Int row = 0; row < count<GateRow>(); ++row) check_gated<GateRow>(row, step_of(d_.row<GateRow>(row).map));
    for (Int row = 0; row < count<OutputGateRow>(); ++row) check_gated<OutputGateRow>(row, d_.row<OutputGateRow>(row).step);
  }

 private:
  StepKind kind_of(Int row) const { return static_cast<StepKind>(steps_[static_cast<std::size_t>(row)].kind); }

  const ChoiceRow& choice(Int step) const { return d_.row<ChoiceRow>(steps_[static_cast<std::size_t>(step)].details); }

  void check_choice(Int row, const StepRow& step) const {
    if (step.reads != 2) refuse<StepRow>(row, "it reads ", step.reads, " maps instead of a mean and a map");
    for (Int number = 0; number < 2; ++number) {
      if (static_cast<Footprint::Kind>(footprint(step, number).kind) != Footprint::Kind::any)
        refuse<StepRow>(row, "any change must reach a choice");
    }
    const MapRow &mean = source(step, 0), &own = map(step.map);
    if (mean.height != 1 || mean.width != 1 || own.height != 1 || own.width != 1 || own.channels != 1 || own.inside >= 0)
      refuse<StepRow>(row, "a choice is a number of its own, made from a single pixel");
    check_range<StepRow>(row, "details", step.details, 0, last<ChoiceRow>());
    const ChoiceRow& c = choice(row);
    check_range<ChoiceRow>(step.details, "ratios", c.ratios, 1, most_ratios);
    check_flag<ChoiceRow>(step.details, "reuse", c.reuse);
    check_range<ChoiceRow>(step.details, "least_stay", c.least_stay, 1, most_frames);
    check_range<ChoiceRow>(step.details, "longest_reuse", c.longest_reuse, 1, most_frames);
    check_range<ChoiceRow>(step.details, "hidden", c.hidden, 1, most_channels);
    if (!(c.hysteresis >= 0) || !std::isfinite(c.hysteresis))
      refuse<ChoiceRow>(step.details, "hysteresis is ", c.hysteresis, ", not a number from 0 on");
    check_numbers<ChoiceRow>(step.details, "inner", c.inner, product({c.hidden, mean.channels + 1}));
    check_numbers<ChoiceRow>(step.details, "inner_bias", c.inner_bias, c.hidden);
    check_numbers<ChoiceRow>(step.details, "outer", c.outer, product({c.ratios + c.reuse, c.hidden}));
    check_numbers<ChoiceRow>(step.details, "outer_bias", c.outer_bias, c.ratios + c.reuse);
  }

  void check_guard(Int row, const StepRow& step) const {
    check_range<StepRow>(row, "guard", step.guard, -1, row - 1);
    if (step.guard < 0) return;
    if (kind_of(step.guard) != StepKind::choice) refuse<StepRow>(row, "steps[", step.guard, "], which it waits for, is no choice");
    check_range<StepRow>(row, "guard_number", step.guard_number, 0, choice(step.guard).ratios - 1);
    const StepKind kind = kind_of(row);
    if (kind != StepKind::convolution && kind != StepKind::depthwise && kind != StepKind::move)
      refuse<StepRow>(row, "only convolutions and moves may wait for a choice");
    if (map(step.map).inside >= 0) refuse<StepRow>(row, "what waits for a choice is no part of another map");
  }

  void check_select(Int row, const StepRow& step) const {
    if (step.reads < 1) refuse<StepRow>(row, "it reads no choice");
    const Int chosen = step_of(read(step, 0).map);
    if (kind_of(chosen) != StepKind::choice) refuse<StepRow>(row, "maps[", read(step, 0).map, "] is no choice");
    for (Int number = 0; number < step.reads; ++number) check_alike(row, step, number);
    check_range<StepRow>(row, "details", step.details, 0, last<SelectRow>());
    const SelectRow& select = d_.row<SelectRow>(step.details);
    check_slice<SelectRow, VariantRow>(step.details, "variants", select.first_variant, select.variants);
    if (select.variants != choice(chosen).ratios)
      refuse<SelectRow>(step.details, "it has ", select.variants, " variants for ", choice(chosen).ratios, " ratios");
    for (Int number = 0; number < select.variants; ++number) check_variant(step, select.first_variant + number);
    if ((select.scale < 0) != (select.shift < 0)) refuse<SelectRow>(step.details, "it has a scale alone, or a shift alone");
    if (select.scale < 0) return;
    check_numbers<SelectRow>(step.details, "scale", select.scale, map(step.map).channels);
    check_numbers<SelectRow>(step.details, "shift", select.shift, map(step.map).channels);
  }

  void check_alike(Int row, const StepRow& step, Int number) const {
    const MapRow &from = source(step, number), &to = map(step.map);
    const bool same = static_cast<Footprint::Kind>(footprint(step, number).kind) == Footprint::Kind::same;
    if (!same || (number > 0 && (from.height != to.height || from.width != to.width)))
      refuse<StepRow>(row, "it must read maps[", read(step, number).map, "] pixel by pixel");
  }

  void check_variant(const StepRow& step, Int row) const {
    const VariantRow& variant = d_.row<VariantRow>(row);
    check_slice<VariantRow, PartRow>(row, "parts", variant.first_part, variant.parts);
    Int channel = 0;
    for (Int number = 0; number < variant.parts; ++number) {
      const Int part_row = variant.first_part + number;
      const PartRow& part = d_.row<PartRow>(part_row);
      check_range<PartRow>(part_row, "read", part.read, 1, step.reads - 1);
      check_range<PartRow>(part_row, "listed", part.listed, 0, 0);
      check_range<PartRow>(part_row, "target", part.target, channel, channel);
      check_range<PartRow>(part_row, "count", part.count, 1, map(step.map).channels - channel);
      check_range<PartRow>(part_row, "first", part.first, 0, source(step, part.read).channels - part.count);
      channel += part.count;
    }
    if (channel != map(step.map).channels) refuse<VariantRow>(row, "its parts fill ", channel, " channels of ", map(step.map).channels);
  }

  // A gate compares with what was published, and has a unit that each keyframe measures.
  template <class Row>
  void check_gated(Int row, Int step) const {
    if (steps_[static_cast<std::size_t>(step)].guard >= 0) refuse<Row>(row, "steps[", step, "] waits for a choice and has no gate");
    if (kind_of(step) == StepKind::choice) refuse<Row>(row, "a choice has no gate");
  }
};

}  // namespace

void check_choices(const Description& description, const std::vector<Int>& step_of) { ChoiceChecker(description, step_of).run(); }

}  // namespace skipvid
