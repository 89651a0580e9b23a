// One frame. Gated, wave by wave: find the pixels to compute, compute them in chunks, publish those that the gates let through. The maps of
// a wave share two parallel loops, because with few active pixels a single map does not keep the threads busy for as long as they need to
// find each other.
//
// At a keyframe all pixels are computed, step by step in the order of the program: each has work for all threads, and finds in their
// caches what the one before has left there.
#include "frame.hpp"

#include <algorithm>
#include <limits>

namespace skipvid {

namespace {

// A rough number of cycles; below, handing the work to other threads costs more.
constexpr double search_worth_sharing = 4000;

// The pixels of some rows that the changes in what an step reads reach.
void spread(const Frame& frame, const Step& step, int top, int bottom) {
  for (std::size_t i = 0; i < step.sources.size(); ++i) {
    spread(step.footprints[i], frame.state.changed(step.sources[i]), frame.state.computed[step.map], top, bottom);
  }
}

// Find the pixels of some rows.
void search(const Frame& frame, Band& band) {
  const Step& step = frame.program.steps[band.step];
  spread(frame, step, band.top, band.bottom);
  if (step.gate) return;
  Pixel* const first = frame.workspace.list.data() + band.first;
  band.count = frame.state.computed[step.map].list(band.top, band.bottom, frame.program.kernels, first);
}

// Rough number of cycles that search() takes for a row.
double search_work(const Frame& frame, const Step& step) {
  double words = 0;
  for (const Footprint& footprint : step.footprints) words += 2.0 + footprint.kernel[0] + footprint.kernel[1];
  return 30.0 + words * frame.state.computed[step.map].words() * 3.0;
}

// The rows of an step's map that the changes in what it reads may reach.
std::pair<int, int> reached_rows(const Frame& frame, const Step& step) {
  int top = std::numeric_limits<int>::max(), bottom = 0;
  for (std::size_t i = 0; i < step.sources.size(); ++i) {
    const auto [first, last] = reached_rows(step.footprints[i], frame.state.changed(step.sources[i]), frame.program.maps[step.map].height);
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
  std::size_t listed = 0;  // pixels that the bands may list
  double work = 0;
  for (const int index : wave.steps) {
    const Step& step = frame.program.steps[index];
    if (!step.operation) continue;
    state.counts[step.map] = 0;
    if (frame.program.gates[step.map].gated) state.published[step.map].clear();
    state.computed[step.map].clear();
    const std::pair<int, int> reached = reached_rows(frame, step);
    const auto [top, bottom] = step.adapts() ? adapted_rows(frame, step, reached) : reached;
    if (top == bottom) {
      if (step.gate) state.outputs[index].candidates = 0;
      continue;
    }
    const MapInfo& info = frame.program.maps[step.map];
    const int rows = bottom - top;
    const double own = search_work(frame, step) * rows;
    const int parts = own > search_worth_sharing ? std::min(frame.lease.workers(), rows) : 1;
    for (int part = 0; part < parts; ++part) {
      const int from = rows * part / parts, to = rows * (part + 1) / parts;
      bands.push_back({index, top + from, top + to, listed + static_cast<std::size_t>(from) * info.width + part * list_room, 0});
    }
    // An output gate may round up to blocks.
    listed += (step.gate ? info.pixels() : static_cast<std::size_t>(rows) * info.width) + parts * list_room;
    work += own;
  }
  std::vector<Pixel>& list = frame.workspace.list;
  if (list.size() < listed) list.resize(listed);
  const int count = static_cast<int>(bands.size());
  if (work > search_worth_sharing) {
    frame.lease.run(count, [&](int number, int) { search(frame, bands[number]); });
  } else {
    for (Band& band : bands) search(frame, band);
  }
  for (int from = 0, to = 0; from < count; from = to) {
    const Step& step = frame.program.steps[bands[from].step];
    Bitmap& computed = state.computed[step.map];
    Pixel* const first = list.data() + bands[from].first;
    std::size_t found = 0;
    for (; to < count && bands[to].step == step.index; ++to) {
      if (to > from) std::copy_n(list.data() + bands[to].first, bands[to].count, first + found);
      found += bands[to].count;
    }
    computed.settle(bands[from].top, bands[to - 1].bottom);
    if (step.gate) {
      gate_outputs(frame, step, computed);
      found = computed.list(computed.top(), computed.bottom(), frame.program.kernels, first);
    }
    state.counts[step.map] = found;
    const std::vector<Pixel>& all = frame.program.all_pixels(step.map);
    if (found > 0) jobs.push_back({&frame, &step, found == all.size() ? std::span(all) : std::span<const Pixel>(first, found)});
  }
}

void run_input(const Frame& frame, const Step& step) {
  State& state = frame.state;
  state.computed[step.map].fill();
  state.counts[step.map] = frame.program.maps[step.map].pixels();
  if (frame.program.gates[step.map].gated) state.published[step.map].clear();
  read_input(frame, step);
}

void update_view(const Frame& frame, const Step& step) {
  Bitmap& computed = frame.state.computed[step.map];
  computed.clear();
  const auto [top, bottom] = reached_rows(frame, step);
  spread(frame, step, top, bottom);
  computed.settle(top, bottom);
  frame.state.counts[step.map] = computed.count();
}

// Returns whether any of the inputs of a wave, which all belong to the first, has changed.
bool run_inputs(const Frame& frame, const Wave& wave) {
  bool changed = false;
  for (const int index : wave.steps) {
    const Step& step = frame.program.steps[index];
    if (step.kind != StepKind::input) continue;
    run_input(frame, step);
    changed = changed || frame.state.changed(step.map).any();
  }
  return changed;
}

// Returns whether anything was computed, or decided.
bool run_wave(const Frame& frame, const Wave& wave, std::vector<Job>& jobs) {
  bool decided = false;
  for (const int index : wave.steps) {
    const Step& step = frame.program.steps[index];
    if (step.kind == StepKind::change) measure_change(frame, step);
    if (step.kind == StepKind::choice && choose(frame, step)) decided = true;
  }
  jobs.clear();
  frame.shift.any() ? search_shifted(frame, wave, jobs) : search_wave(frame, wave, jobs);
  if (!jobs.empty()) run_jobs(frame, jobs);
  const auto update = frame.shift.any() ? update_shifted_view : update_view;
  for (const int index : wave.views) update(frame, frame.program.steps[index]);
  return decided || !jobs.empty();
}

void compute_all(const Frame& frame, const Step& step) {
  if (step.kind == StepKind::fallback) return;
  if (step.kind == StepKind::change) return measure_change(frame, step);
  if (step.kind == StepKind::choice) {
    choose(frame, step);
    return;
  }
  if (!starts(frame, step)) return;
  State& state = frame.state;
  const std::vector<Pixel>& all = frame.program.all_pixels(step.map);
  const bool gated = frame.program.gates[step.map].gated;
  if (step.kind == StepKind::input) {
    run_input(frame, step);
  } else {
    state.computed[step.map].fill();
    state.counts[step.map] = all.size();
  }
  const Step* const sum = measured_sum(frame, step);
  const bool is_summed = step.summed_by >= 0;
  if (step.operation && !is_summed && !step.taken) {
    if (sum != nullptr || measures_scale(frame, step.map)) frame.workspace.sums.resize(all.size());
    const Job job{&frame, &step, all};
    run_jobs(frame, {&job, 1});
  }
  if (sum != nullptr) set_limit(frame, *sum);
  if (gated) state.published[step.map].fill();
  if (!frame.gates) return;
  if (step.gate) reset_output_gate(frame, step);
  if (frame.program.gates[step.map].smoothed) state.changes[step.map].clear();
  const bool is_set = is_summed && measured_sum(frame, state.program.steps[step.summed_by]) != nullptr;  // with the product's
  if (gated && !frame.program.gates[step.map].learned && !is_set) set_limit(frame, step);
}

}  // namespace

void run_segment(const Frame& frame, const Segment& segment) {
  bool& unchanged = frame.state.unchanged;
  if (frame.keyframe) {
    unchanged = false;
    for (int index = segment.first; index < segment.last; ++index) compute_all(frame, frame.program.steps[index]);
    return;
  }
  if (segment.waves.empty()) return;
  if (frame.shift.any()) move_state(frame);
  const bool moved = run_inputs(frame, segment.waves.front());
  // The second frame in a row in which no input changed finds everything as the first has left it.
  if (unchanged && !moved && !frame.shift.any() && frame.program.in_one_segment()) return;
  unchanged = !moved && !frame.shift.any();
  std::vector<Job> jobs;
  for (const Wave& wave : segment.waves) {
    if (run_wave(frame, wave, jobs)) unchanged = false;
  }
}

}  // namespace skipvid
