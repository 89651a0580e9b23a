// Whether a description fits together. What is built from one that passes reads and writes its own memory alone, whatever frames it is given.
//
// Not checked: whether the result is what a network means. A weight that was changed gives other numbers, no fault.
#include "check.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "kernels.hpp"

namespace skipvid {

namespace {

class Checker : public Checks {
 public:
  explicit Checker(const Description& description) : Checks(description) {}

  void run() {
    check_program();
    check_maps();
    step_of_ = check_steps(d_);
    check_gates();
    check_writes();
    check_output_gates();
    check_choices(d_, step_of_);
    check_segments();
    for (Int row = 0; row < count<KeptRow>(); ++row) check_range<KeptRow>(row, "map", d_.row<KeptRow>(row).map, 0, last<MapRow>());
    check_inputs();
  }

 private:
  void check_program() const {
    if (count<ProgramRow>() != 1)
      throw DescriptionError("program: there are " + std::to_string(count<ProgramRow>()) + " rows instead of one");
    check_range<ProgramRow>(0, "element", d_.row<ProgramRow>(0).element, 0, static_cast<Int>(Element::bf16));
  }

  void check_maps() {
    Int values = 0;
    for (Int row = 0; row < count<MapRow>(); ++row) {
      const MapRow& map = this->map(row);
      check_range<MapRow>(row, "height", map.height, 1, most_rows);
      check_range<MapRow>(row, "width", map.width, 1, most_rows);
      check_range<MapRow>(row, "channels", map.channels, 1, most_channels);
      check_range<MapRow>(row, "inside", map.inside, -1, row - 1);
      if (map.inside < 0) {
        if (map.offset != 0) refuse<MapRow>(row, "offset is ", map.offset, " although it is no part");
        values = std::min(most_values, values + product({map.height, map.width, map.channels}));
        owner_.push_back(row);
        start_.push_back(0);
        continue;
      }
      const MapRow& owner = this->map(map.inside);
      check_range<MapRow>(row, "offset", map.offset, 0, owner.channels - map.channels);
      if (map.height != owner.height || map.width != owner.width) {
        refuse<MapRow>(row, "it is ", map.height, " x ", map.width, ", and maps[", map.inside, "], which it is a part of, ", owner.height,
                       " x ", owner.width);
      }
      owner_.push_back(owner_[static_cast<std::size_t>(map.inside)]);
      start_.push_back(start_[static_cast<std::size_t>(map.inside)] + map.offset);
    }
    const Int stated = d_.row<ProgramRow>(0).values;
    if (stated != values || values >= most_values) refuse<ProgramRow>(0, "values is ", stated, ", and the maps hold ", values);
  }

  StepKind kind_of_step_for(Int map) const { return static_cast<StepKind>(steps_[static_cast<std::size_t>(step_of(map))].kind); }

  template <class Row>
  static void check_gate(Int row, double threshold, const char* what, Int measured, double scale, Int block) {
    if (!(threshold >= 0)) refuse<Row>(row, what, " is ", threshold, ", not a number from 0 on");
    check_flag<Row>(row, "measured", measured);
    if (!(scale >= 0) || !std::isfinite(scale)) refuse<Row>(row, "scale is ", scale, ", not a number from 0 on");
    check_range<Row>(row, "block", block, 1, most_block);
    if ((block & (block - 1)) != 0) refuse<Row>(row, "block is ", block, ", not a power of two");
  }

  void check_gates() {
    gated_.assign(maps_.size(), false);
    for (Int row = 0; row < count<GateRow>(); ++row) {
      const GateRow& gate = d_.row<GateRow>(row);
      check_range<GateRow>(row, "map", gate.map, 0, last<MapRow>());
      check_gate<GateRow>(row, gate.threshold, "threshold", gate.measured, gate.scale, gate.block);
      if (!std::isfinite(gate.threshold)) refuse<GateRow>(row, "threshold is not finite");
      if (step_of(gate.map) < 0) refuse<GateRow>(row, "maps[", gate.map, "] is computed by no step");
      const StepKind kind = kind_of_step_for(gate.map);
      if (kind == StepKind::view || kind == StepKind::fallback)
        refuse<GateRow>(row, "maps[", gate.map, "] is not computed here, so that nothing can be skipped");
      if (gated_[static_cast<std::size_t>(gate.map)]) refuse<GateRow>(row, "maps[", gate.map, "] has another gate");
      gated_[static_cast<std::size_t>(gate.map)] = true;
      check_range<GateRow>(row, "learned", gate.learned, -1, last<LearnedGateRow>());
      check_flag<GateRow>(row, "smoothed", gate.smoothed);
      if (gate.learned < 0) continue;
      if (gate.smoothed != 0) refuse<GateRow>(row, "a learned gate is not smoothed");
      if (kind == StepKind::input) refuse<GateRow>(row, "an input has no learned gate");
      const LearnedGateRow& learned = d_.row<LearnedGateRow>(gate.learned);
      check_flag<LearnedGateRow>(gate.learned, "magnitude", learned.magnitude);
      const Int channels = map(gate.map).channels;
      check_numbers<LearnedGateRow>(gate.learned, "weights", learned.weights, channels);
      const float* weights = d_.numbers.data() + learned.weights;
      if (!std::all_of(weights, weights + channels, [](float weight) { return std::isfinite(weight); }) ||
          !std::isfinite(static_cast<float>(learned.bias))) {
        refuse<LearnedGateRow>(gate.learned, "a weight or the bias is not finite");
      }
    }
  }

  // No number of a map is written by two steps, and a row that is written in full vectors covers nobody else's.
  void check_writes() const {
    struct Write {
      Int owner, from, to, step;
    };
    std::vector<Write> writes;
    for (Int row = 0; row < count<StepRow>(); ++row) {
      const StepRow& step = steps_[static_cast<std::size_t>(row)];
      const auto kind = static_cast<StepKind>(step.kind);
      if (kind == StepKind::view || kind == StepKind::change) continue;
      const Int owner = owner_[static_cast<std::size_t>(step.map)], start = start_[static_cast<std::size_t>(step.map)];
      const MapRow& map = this->map(step.map);
      if (owner != step.map) {
        const bool ends = map.channels % lanes == 0 || start + map.channels == this->map(owner).channels;
        if (start % lanes != 0 || !ends)
          refuse<MapRow>(step.map, "it is computed, so it must begin and end at a multiple of ", lanes, " channels");
        check_owner(row, step.map);
      }
      if (kind != StepKind::move) {
        writes.push_back({owner, start, start + map.channels, row});
        continue;
      }
      const MoveRow& move = d_.row<MoveRow>(step.details);
      Int filled = 0;
      for (Int number = 0; number < move.parts; ++number) {
        const PartRow& part = d_.row<PartRow>(move.first_part + number);
        writes.push_back({owner, start + part.target, start + part.target + part.count, row});
        filled += part.count;
      }
      if (gated_[static_cast<std::size_t>(step.map)] && filled != map.channels)
        refuse<StepRow>(row, "a map with a gate holds no parts that others compute");
    }
    std::sort(writes.begin(), writes.end(),
              [](const Write& a, const Write& b) { return std::tie(a.owner, a.from) < std::tie(b.owner, b.from); });
    for (std::size_t i = 1; i < writes.size(); ++i) {
      if (writes[i].owner == writes[i - 1].owner && writes[i].from < writes[i - 1].to) {
        refuse<StepRow>(writes[i].step, "it writes channels of maps[", writes[i].owner, "] that steps[", writes[i - 1].step,
                        "] writes, too");
      }
    }
  }

  // A part that is computed is one of what a later view, or a later move, puts together.
  void check_owner(Int row, Int part) const {
    for (Int inner = part; map(inner).inside >= 0; inner = map(inner).inside) {
      const Int outer = map(inner).inside;
      const bool joined = step_of(outer) > row && (kind_of_step_for(outer) == StepKind::view || kind_of_step_for(outer) == StepKind::move);
      if (!joined) refuse<StepRow>(row, "it computes a part of maps[", outer, "], which no later step puts together");
    }
  }

  void check_output_gates() const {
    std::vector<bool> gated(steps_.size(), false);
    for (Int row = 0; row < count<OutputGateRow>(); ++row) {
      const OutputGateRow& gate = d_.row<OutputGateRow>(row);
      check_gate<OutputGateRow>(row, gate.limit, "limit", gate.measured, gate.scale, gate.block);
      check_range<OutputGateRow>(row, "step", gate.step, 0, last<StepRow>());
      const StepRow& step = steps_[static_cast<std::size_t>(gate.step)];
      const auto kind = static_cast<StepKind>(step.kind);
      if (kind != StepKind::convolution && kind != StepKind::depthwise)
        refuse<OutputGateRow>(row, "steps[", gate.step, "] is no convolution");
      const auto read = static_cast<Footprint::Kind>(footprint(step, 0).kind);
      if (read != Footprint::Kind::window && read != Footprint::Kind::taps)
        refuse<OutputGateRow>(row, "steps[", gate.step, "] reads no window");
      if (gated[static_cast<std::size_t>(gate.step)]) refuse<OutputGateRow>(row, "steps[", gate.step, "] has another gate");
      gated[static_cast<std::size_t>(gate.step)] = true;
      check_range<OutputGateRow>(row, "change", gate.change, 0, gate.step - 1);
      const StepRow& change = steps_[static_cast<std::size_t>(gate.change)];
      if (static_cast<StepKind>(change.kind) != StepKind::change || change.map != this->read(step, 0).map) {
        refuse<OutputGateRow>(row, "steps[", gate.change, "] does not measure the change of what steps[", gate.step, "] reads");
      }
      if (gate.bias < -1) refuse<OutputGateRow>(row, "bias is ", gate.bias);
      if (gate.bias >= 0) check_numbers<OutputGateRow>(row, "bias", gate.bias, map(step.map).channels);
    }
  }

  void check_segments() const {
    Int next = 0;
    for (Int row = 0; row < count<SegmentRow>(); ++row) {
      const SegmentRow& segment = d_.row<SegmentRow>(row);
      if (segment.first != next || segment.last <= segment.first || segment.last > count<StepRow>()) {
        refuse<SegmentRow>(row, "it has steps ", segment.first, " to ", segment.last, " of ", count<StepRow>(),
                           ", and the one before ends at ", next);
      }
      next = segment.last;
    }
    if (next != count<StepRow>())
      throw DescriptionError("segments: they end at step " + std::to_string(next) + " of " + std::to_string(count<StepRow>()));
  }

  void check_inputs() const {
    const Int inputs = d_.row<ProgramRow>(0).inputs;
    std::vector<bool> seen(static_cast<std::size_t>(count<StepRow>()), false);
    Int found = 0;
    for (Int row = 0; row < count<StepRow>(); ++row) {
      const StepRow& step = steps_[static_cast<std::size_t>(row)];
      if (static_cast<StepKind>(step.kind) == StepKind::fallback) {
        const auto& kept = d_.rows<KeptRow>();
        if (std::none_of(kept.begin(), kept.end(), [&](const KeptRow& other) { return other.map == step.map; })) {
          refuse<StepRow>(row, "maps[", step.map, "] is written from outside, so it must be kept");
        }
      }
      if (static_cast<StepKind>(step.kind) != StepKind::input) continue;
      if (step.details >= count<StepRow>() || seen[static_cast<std::size_t>(step.details)])
        refuse<StepRow>(row, "input ", step.details, " is read twice, or there are too many");
      seen[static_cast<std::size_t>(step.details)] = true;
      ++found;
    }
    if (found != inputs) refuse<ProgramRow>(0, "inputs is ", inputs, ", and steps read ", found);
  }

  std::vector<Int> owner_, start_;  // by map: whose memory it lives in, and the channel there at which it begins
  std::vector<bool> gated_;  // by map
};

}  // namespace

void check_description(const Description& description) { Checker(description).run(); }

}  // namespace skipvid
