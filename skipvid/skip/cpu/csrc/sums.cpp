// Which sums are stored together with what they add up. At a keyframe all of a map is computed before the next one: a sum of the last product
// and a map that is complete by then, such as a residual block ends in, costs a pass over three maps by itself, and next to nothing while the
// product's rows are in registers. Both roundings stay, and so do all bits. In gated frames the two steps compute different pixels.
#include <algorithm>

#include "program.hpp"

namespace skipvid {

namespace {

// The step that completes a map.
const Step* maker_of(const Program& program, int map) {
  const auto makes = [&](const Step& step) { return step.map == map && step.kind != StepKind::change; };
  const auto found = std::find_if(program.steps.begin(), program.steps.end(), makes);
  return found == program.steps.end() ? nullptr : &*found;
}

// Whether products may write whole vectors to a map.
bool is_whole(const Program& program, int map) {
  const auto same = [&](const MapInfo& other) { return other.owner == program.maps[map].owner; };
  return !program.in_floats(map) && std::count_if(program.maps.begin(), program.maps.end(), same) == 1;
}

// Whether a step does nothing but compute each of its pixels.
bool is_plain(const Step& step) { return step.operation && !step.gate && !step.adapts(); }

}  // namespace

void Program::find_sums() {
  if (in_floats()) return;
  for (const Segment& segment : segments_) {
    for (int index = segment.first; index < segment.last; ++index) {
      Step& sum = steps[index];
      for (const int source : sum.sources) {
        const Step* const maker = maker_of(*this, source);
        if (maker == nullptr || maker->index < segment.first || maker->sum >= 0 || sum.summed_by >= 0) continue;
        if (!is_plain(sum) || !is_plain(*maker) || !maker->operation->sums()) continue;
        const std::optional<Addition> addition = sum.operation->addition(source);
        if (!addition || in_floats(addition->other) || !is_whole(*this, source) || !is_whole(*this, sum.map)) continue;
        const Step* const other = maker_of(*this, addition->other);
        if (other == nullptr || other->index >= maker->index) continue;
        steps[maker->index].sum = index;
        sum.summed_by = maker->index;
      }
    }
  }
}

}  // namespace skipvid
