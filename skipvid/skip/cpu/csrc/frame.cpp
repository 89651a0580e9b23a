// One frame. Gated, wave by wave: find the pixels to compute, compute them in chunks, publish those that the gates let through. The maps of
// a wave share two parallel loops, because with few active pixels a single map does not keep the threads busy for as long as they need to
// find each other.
//
// At a keyframe all pixels are computed, entry by entry in the order of the program: each has work for all threads, and finds in their
// caches what the one before has left there.
#include "frame.hpp"

#include <algorithm>
#include <limits>

namespace skipvid {

namespace {

// A rough number of cycles; below, handing the work to other threads costs more.
constexpr double search_worth_sharing = 4000;

// The pixels of some rows that the changes in what an entry reads reach.
void spread(const Frame& frame, const Entry& entry, int top, int bottom) {
  for (std::size_t i = 0; i < entry.sources.size(); ++i) {
    spread(entry.footprints[i], frame.state.changed(entry.sources[i]), frame.state.computed[entry.map], top, bottom);
  }
}

// Find the pixels of some rows.
void search(const Frame& frame, Band& band) {
  const Entry& entry = frame.program.entries[band.entry];
  spread(frame, entry, band.top, band.bottom);
  if (!entry.gate) band.count = frame.state.computed[entry.map].list(band.top, band.bottom, frame.workspace.list.data() + band.first);
}

// Rough number of cycles that search() takes for a row.
double search_work(const Frame& frame, const Entry& entry) {
  double words = 0;
  for (const Footprint& footprint : entry.footprints) words += 2.0 + footprint.kernel[0] + footprint.kernel[1];
  return 30.0 + words * frame.state.computed[entry.map].words() * 3.0;
}

// The rows of an entry's map that the changes in what it reads may reach.
std::pair<int, int> reached_rows(const Frame& frame, const Entry& entry) {
  int top = std::numeric_limits<int>::max(), bottom = 0;
  for (std::size_t i = 0; i < entry.sources.size(); ++i) {
    const auto [first, last] = reached_rows(entry.footprints[i], frame.state.changed(entry.sources[i]), frame.program.maps[entry.map].height);
    if (first == last) continue;
    top = std::min(top, first);
    bottom = std::max(bottom, last);
  }
  return {std::min(top, bottom), bottom};
}

// Appends to `jobs` what a wave has to compute.
void search_wave(const Frame& frame, const Wave& wave, std::vector<Job>& jobs) {
  State& state = frame.state;
  std::vector<Band>& bands = frame.workspace.bands;
  bands.clear();
  std::size_t room = 0;
  double work = 0;
  for (const int index : wave.entries) {
    const Entry& entry = frame.program.entries[index];
    if (entry.kind != Entry::Kind::step) continue;
    state.counts[entry.map] = 0;
    if (frame.program.gates[entry.map].gated) state.published[entry.map].clear();
    state.computed[entry.map].clear();
    const auto [top, bottom] = reached_rows(frame, entry);
    if (top == bottom) {
      if (entry.gate) state.outputs[index].asked = 0;
      continue;
    }
    const MapInfo& info = frame.program.maps[entry.map];
    const int rows = bottom - top;
    const double own = search_work(frame, entry) * rows;
    const int parts = own > search_worth_sharing ? std::min(frame.lease.workers(), rows) : 1;
    for (int part = 0; part < parts; ++part) {
      const int from = rows * part / parts, to = rows * (part + 1) / parts;
      bands.push_back({index, top + from, top + to, room + static_cast<std::size_t>(from) * info.width, 0});
    }
    room += entry.gate ? info.pixels() : static_cast<std::size_t>(rows) * info.width;  // an output gate may round up to blocks
    work += own;
  }
  std::vector<Pixel>& list = frame.workspace.list;
  if (list.size() < room) list.resize(room);
  const int count = static_cast<int>(bands.size());
  if (work > search_worth_sharing) {
    frame.lease.run(count, [&](int number, int) { search(frame, bands[number]); });
  } else {
    for (Band& band : bands) search(frame, band);
  }
  for (int from = 0, to = 0; from < count; from = to) {
    const Entry& entry = frame.program.entries[bands[from].entry];
    Bitmap& computed = state.computed[entry.map];
    Pixel* const first = list.data() + bands[from].first;
    std::size_t found = 0;
    for (; to < count && bands[to].entry == entry.index; ++to) {
      if (to > from) std::copy_n(list.data() + bands[to].first, bands[to].count, first + found);
      found += bands[to].count;
    }
    computed.settle(bands[from].top, bands[to - 1].bottom);
    if (entry.gate) {
      ask_outputs(frame, entry, computed);
      found = computed.list(computed.top(), computed.bottom(), first);
    }
    state.counts[entry.map] = found;
    const std::vector<Pixel>& all = frame.program.all_pixels(entry.map);
    if (found > 0) jobs.push_back({&frame, &entry, found == all.size() ? std::span(all) : std::span<const Pixel>(first, found)});
  }
}

void run_input(const Frame& frame, const Entry& entry) {
  State& state = frame.state;
  state.computed[entry.map].fill();
  state.counts[entry.map] = frame.program.maps[entry.map].pixels();
  if (frame.program.gates[entry.map].gated) state.published[entry.map].clear();
  take_input(frame, entry);
}

void update_view(const Frame& frame, const Entry& entry) {
  Bitmap& computed = frame.state.computed[entry.map];
  computed.clear();
  const auto [top, bottom] = reached_rows(frame, entry);
  spread(frame, entry, top, bottom);
  computed.settle(top, bottom);
  frame.state.counts[entry.map] = computed.count();
}

// Returns whether any of the inputs of a wave, which all belong to the first, has changed.
bool run_inputs(const Frame& frame, const Wave& wave) {
  bool changed = false;
  for (const int index : wave.entries) {
    const Entry& entry = frame.program.entries[index];
    if (entry.kind != Entry::Kind::input) continue;
    run_input(frame, entry);
    changed = changed || frame.state.changed(entry.map).any();
  }
  return changed;
}

void run_wave(const Frame& frame, const Wave& wave, std::vector<Job>& jobs) {
  for (const int index : wave.entries) {
    const Entry& entry = frame.program.entries[index];
    if (entry.kind == Entry::Kind::watch) watch(frame, entry);
  }
  jobs.clear();
  search_wave(frame, wave, jobs);
  if (!jobs.empty()) run_jobs(frame, jobs);
  for (const int index : wave.views) update_view(frame, frame.program.entries[index]);
}

void run_whole(const Frame& frame, const Entry& entry) {
  if (entry.kind == Entry::Kind::foreign) return;
  if (entry.kind == Entry::Kind::watch) return watch(frame, entry);
  State& state = frame.state;
  const std::vector<Pixel>& all = frame.program.all_pixels(entry.map);
  const bool gated = frame.program.gates[entry.map].gated;
  if (entry.kind == Entry::Kind::input) {
    run_input(frame, entry);
  } else {
    state.computed[entry.map].fill();
    state.counts[entry.map] = all.size();
  }
  if (entry.kind == Entry::Kind::step) {
    if (measures_scale(frame, entry.map)) frame.workspace.sums.resize(all.size());
    const Job job{&frame, &entry, all};
    run_jobs(frame, {&job, 1});
  }
  if (gated) state.published[entry.map].fill();
  if (!frame.gates) return;
  if (entry.gate) begin_outputs(frame, entry);
  if (gated && !frame.program.gates[entry.map].question) begin_gate(frame, entry);
}

}  // namespace

void run_segment(const Frame& frame, const Segment& segment) {
  bool& quiet = frame.state.quiet;
  if (frame.keyframe) {
    quiet = false;
    for (int index = segment.first; index < segment.last; ++index) run_whole(frame, frame.program.entries[index]);
    return;
  }
  if (segment.waves.empty()) return;
  const bool moved = run_inputs(frame, segment.waves.front());
  // The second frame in a row in which no input changed finds everything as the first has left it.
  if (quiet && !moved && frame.program.whole()) return;
  quiet = !moved;
  std::vector<Job> jobs;
  for (const Wave& wave : segment.waves) {
    run_wave(frame, wave, jobs);
    quiet = quiet && jobs.empty();
  }
}

}  // namespace skipvid
