// Where the maps of a dense state lie: a map's memory is another's as soon as the last entry that reads it has run. Entries run one after
// the other at a keyframe, and a keyframe writes every map whole before it is read.
#include <algorithm>
#include <limits>
#include <map>

#include "program.hpp"

namespace skipvid {

namespace {

// The entries from the one that first writes a map to the one that last reads it, by the map that owns the memory.
struct Life {
  int from = std::numeric_limits<int>::max(), to = -1;
  void reach(int entry) {
    from = std::min(from, entry);
    to = std::max(to, entry);
  }
};

std::vector<Life> find_lives(const Program& program, const std::vector<int>& kept) {
  std::vector<Life> lives(program.maps.size());
  for (const Entry& entry : program.entries) {
    lives[program.maps[entry.map].owner].reach(entry.index);
    for (const int source : entry.sources) lives[program.maps[source].owner].reach(entry.index);
  }
  const int last = static_cast<int>(program.entries.size());
  for (const int map : kept) {
    lives[program.maps[map].owner].reach(0);
    lives[program.maps[map].owner].reach(last);
  }
  return lives;
}

}  // namespace

void Program::share(const std::vector<int>& kept) {
  const std::vector<Life> lives = find_lives(*this, kept);
  std::vector<int> order;
  for (int map = 0; map < static_cast<int>(maps.size()); ++map) {
    if (maps[map].owner == map) order.push_back(map);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return lives[a].from < lives[b].from; });
  shared.assign(maps.size(), 0);
  std::map<std::size_t, int> taken;  // where a living map starts -> the map
  for (const int map : order) {
    std::erase_if(taken, [&](const auto& other) { return lives[other.second].to < lives[map].from; });
    // The first gap that is large enough: what was just left is still in a cache.
    const std::size_t room = room_of(maps[map]);
    std::size_t at = 0;
    for (const auto& [start, other] : taken) {
      if (start >= at + room) break;
      at = start + room_of(maps[other]);
    }
    taken.emplace(at, map);
    shared[map] = static_cast<std::ptrdiff_t>(at);
    shared_floats = std::max(shared_floats, at + room);
  }
  for (std::size_t map = 0; map < maps.size(); ++map) {  // parts lie where they lay in their owners, and an owner in itself
    const int owner = maps[map].owner;
    shared[map] = shared[owner] + (maps[map].offset - maps[owner].offset);
  }
}

}  // namespace skipvid
