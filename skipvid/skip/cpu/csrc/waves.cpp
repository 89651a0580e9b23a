// Which steps can be run together: an step's wave is the one after the last of those that complete what it reads.
//
// A map is written by one step alone and keeps its memory for as long as the stream lives, so that nothing else has to be waited for: an
// step never writes what another one still reads. Maps inside others' rows are no exception: a concatenation waits for its parts, a slice
// for what it is cut from.
#include <algorithm>

#include "program.hpp"

namespace skipvid {

std::vector<Wave> find_waves(const Program& program, int first, int last) {
  std::vector<Wave> waves;
  std::vector<int> ready(program.maps.size(), 0);          // by map: the first wave that may read it
  std::vector<int> measured(program.steps.size(), 0);    // by change step: the first wave that may read its measurements
  const auto wave = [&](int number) -> Wave& {
    if (number >= static_cast<int>(waves.size())) waves.resize(number + 1);
    return waves[number];
  };
  for (int index = first; index < last; ++index) {
    const Step& step = program.steps[index];
    if (step.kind == StepKind::fallback) continue;  // complete before the segment runs
    if (step.kind == StepKind::change) {
      wave(ready[step.map]).steps.push_back(index);
      measured[index] = ready[step.map] + 1;
      continue;
    }
    int number = 0;
    for (const int source : step.sources) number = std::max(number, ready[source]);
    if (step.gate) number = std::max(number, measured[step.gate->change]);
    if (step.guard >= 0) number = std::max(number, ready[program.steps[step.guard].map]);
    if (step.is_view()) {
      // Costs next to nothing: looked at when the wave before is done, it holds nobody up.
      number = std::max(number - 1, 0);
      wave(number).views.push_back(index);
    } else {
      wave(number).steps.push_back(index);
    }
    ready[step.map] = number + 1;
  }
  return waves;
}

}  // namespace skipvid
