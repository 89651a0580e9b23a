// Where the maps of a dense state lie: a map's memory is another's as soon as the last step that reads it has run. Steps run one after
// the other at a keyframe, and a keyframe writes all of a map before it is read.
#include <algorithm>
#include <limits>
#include <map>

#include "program.hpp"

namespace skipvid {

namespace {

// The steps from the one that first writes a map to the one that last reads it, by the map that owns the memory.
struct Life {
  int from = std::numeric_limits<int>::max(), to = -1;
  void reach(int step) {
    from = std::min(from, step);
    to = std::max(to, step);
  }
};

// By map: whether nobody but a sum reads it, with which it is stored. Then it may lie where the sum lies, which is written next.
std::vector<bool> find_passing(const Program& program, const std::vector<KeptRow>& kept) {
  std::vector<bool> passing(program.maps.size(), false);
  std::vector<int> sum_of(program.maps.size(), -1);
  for (const Step& step : program.steps) {
    if (step.kind == StepKind::change) continue;
    passing[step.map] = step.sum >= 0;
    sum_of[step.map] = step.sum;
  }
  for (const Step& step : program.steps) {
    if (step.kind == StepKind::change) passing[step.map] = false;
    for (const int source : step.sources) passing[source] = passing[source] && step.index == sum_of[source];
  }
  for (const KeptRow& row : kept) passing[static_cast<std::size_t>(row.map)] = false;
  return passing;
}

std::vector<Life> find_lives(const Program& program, const std::vector<KeptRow>& kept, const std::vector<bool>& passing) {
  std::vector<Life> lives(program.maps.size());
  const auto reach = [&](int map, int step) {
    if (!passing[map]) lives[program.maps[map].owner].reach(step);
  };
  for (const Step& step : program.steps) {
    reach(step.map, step.index);
    for (const int source : step.sources) {
      reach(source, step.index);
      if (program.maps[source].stored) continue;
      // What it is made of is read.
      const auto makes = [&](const Step& other) { return other.taken && other.map == source; };
      const auto maker = std::find_if(program.steps.begin(), program.steps.end(), makes);
      for (const int made_of : maker->sources) reach(made_of, step.index);
    }
    if (step.sum >= 0) reach(program.steps[step.sum].map, step.index);
  }
  const int last = static_cast<int>(program.steps.size());
  for (const KeptRow& row : kept) {
    reach(static_cast<int>(row.map), 0);
    reach(static_cast<int>(row.map), last);
  }
  return lives;
}

}  // namespace

void Program::share(const std::vector<KeptRow>& kept) {
  const std::vector<bool> passing = find_passing(*this, kept);
  const std::vector<Life> lives = find_lives(*this, kept, passing);
  std::vector<int> order;
  for (int map = 0; map < static_cast<int>(maps.size()); ++map) {
    if (maps[map].owner == map && maps[map].stored && !passing[map]) order.push_back(map);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return lives[a].from < lives[b].from; });
  shared.assign(maps.size(), 0);
  std::map<std::size_t, int> living;  // where a living map starts -> the map
  for (const int map : order) {
    std::erase_if(living, [&](const auto& other) { return lives[other.second].to < lives[map].from; });
    // The first gap that is large enough: what was just left is still in a cache.
    const std::size_t size = values_of(maps[map]);
    std::size_t at = 0;
    for (const auto& [start, other] : living) {
      if (start >= at + size) break;
      at = start + values_of(maps[other]);
    }
    living.emplace(at, map);
    shared[map] = static_cast<std::ptrdiff_t>(at);
    shared_values = std::max(shared_values, at + size);
  }
  for (const Step& step : steps) {
    if (step.sum >= 0 && passing[step.map]) shared[step.map] = shared[steps[step.sum].map];
  }
  for (std::size_t map = 0; map < maps.size(); ++map) {  // parts lie where they lay in their owners, and an owner in itself
    const int owner = maps[map].owner;
    shared[map] = shared[owner] + (maps[map].offset - maps[owner].offset);
  }
}

}  // namespace skipvid
