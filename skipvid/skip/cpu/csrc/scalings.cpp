// Which scaled maps are made by what reads them. Squeeze and excitation multiplies a map, channel by channel, with a map of one pixel, and a
// convolution of single pixels reads the product: two passes over the widest maps of a network, and the memory of one of them in each
// stream. A convolution's rows are in a cache when they are multiplied; the product is rounded as if it were stored, so that all bits stay.
// What has changed of it is still told by its own bitmap, as that of a view is.
#include <algorithm>

#include "program.hpp"

namespace skipvid {

namespace {

// The only step that reads a map, if it can do with what it is made of; or null.
Step* reader_of(std::vector<Step>& steps, int map) {
  Step* found = nullptr;
  for (Step& step : steps) {
    const auto reads = std::count(step.sources.begin(), step.sources.end(), map);
    const bool measures = step.kind == StepKind::change && step.map == map;
    if (reads == 0 && !measures) continue;
    if (found != nullptr || reads > 1 || measures || !step.operation || step.adapts()) return nullptr;
    found = &step;
  }
  return found;
}

}  // namespace

void Program::find_scalings(const std::vector<KeptRow>& kept) {
  if (in_floats()) return;
  for (Step& step : steps) {
    const std::optional<Scaling> scaling = step.operation ? step.operation->scaling() : std::nullopt;
    const auto shares = [&](const MapInfo& other) { return other.owner == maps[step.map].owner; };
    const auto is_it = [&](const KeptRow& row) { return row.map == step.map; };
    if (!scaling || gates[step.map].gated || step.gate || step.adapts() || in_floats(scaling->map) || in_floats(scaling->by)) continue;
    if (std::count_if(maps.begin(), maps.end(), shares) != 1 || std::any_of(kept.begin(), kept.end(), is_it)) continue;
    Step* const reader = reader_of(steps, step.map);
    if (reader == nullptr || !reader->operation->take(*scaling)) continue;
    step.taken = true;
    maps[step.map].stored = false;
  }
  // The others lie closer together.
  const std::vector<MapInfo> before = maps;
  values = 0;
  for (std::size_t map = 0; map < maps.size(); ++map) {
    const std::size_t owner = static_cast<std::size_t>(maps[map].owner);
    if (owner != map) {  // parts come behind their owners
      maps[map].offset += maps[owner].offset - before[owner].offset;
    } else {
      maps[map].offset = static_cast<std::ptrdiff_t>(values);
      if (maps[map].stored) values += values_of(maps[map]);
    }
  }
}

}  // namespace skipvid
