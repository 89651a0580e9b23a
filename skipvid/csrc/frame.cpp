// One frame. Gated, wave by wave: find the pixels to compute, compute them in chunks, publish those that the gates let through. The maps of
// a wave share two parallel loops, because with few active pixels a single map does not keep the threads busy for as long as they need to
// find each other.
//
// At a keyframe all pixels are computed, entry by entry in the order of the program: each has work for all threads, and finds in their
// caches what the one before has left there.
#include "frame.hpp"

#include <algorithm>

namespace skipvid {

namespace {

// Rough numbers of cycles; below, handing the work to other threads costs more.
constexpr double work_worth_sharing = 10000, search_worth_sharing = 4000;
constexpr int chunks_per_worker = 6;

// Find the pixels of some rows.
void search(const Frame& frame, Band& band) {
  const Entry& entry = frame.program.entries[band.entry];
  Bitmap& computed = frame.state.computed[entry.map];
  computed.clear_rows(band.top, band.bottom);
  for (std::size_t i = 0; i < entry.sources.size(); ++i) {
    spread(entry.footprints[i], frame.state.changed(entry.sources[i]), computed, band.top, band.bottom);
  }
  if (!entry.gate) band.count = computed.list(band.top, band.bottom, frame.workspace.list.data() + band.first);
}

// Rough number of cycles that search() takes for a whole map.
double search_work(const Frame& frame, const Entry& entry) {
  const Bitmap& computed = frame.state.computed[entry.map];
  double words = 0;
  for (const Footprint& footprint : entry.footprints) words += 2.0 + footprint.kernel[0] + footprint.kernel[1];
  return computed.height() * (30.0 + words * computed.words() * 3.0);
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
    const auto changed = [&](int source) { return state.changed(source).any(); };
    if (std::none_of(entry.sources.begin(), entry.sources.end(), changed)) {
      state.computed[entry.map].clear();
      if (entry.gate) state.outputs[index].asked = 0;
      continue;
    }
    const MapInfo& info = frame.program.maps[entry.map];
    const double own = search_work(frame, entry);
    const int parts = own > search_worth_sharing ? std::min(frame.lease.workers(), info.height) : 1;
    for (int part = 0; part < parts; ++part) {
      const int top = info.height * part / parts, bottom = info.height * (part + 1) / parts;
      bands.push_back({index, top, bottom, room + static_cast<std::size_t>(top) * info.width, 0});
    }
    room += info.pixels();
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
    if (entry.gate) {
      computed.settle();
      ask_outputs(frame, entry, computed);
      found = computed.any() ? computed.list(0, computed.height(), first) : 0;
    }
    computed.settle(found > 0);
    state.counts[entry.map] = found;
    const std::vector<Pixel>& all = frame.program.all_pixels(entry.map);
    if (found > 0) jobs.push_back({&frame, &entry, found == all.size() ? std::span(all) : std::span<const Pixel>(first, found)});
  }
}

// Whether so few pixels hold so much of all work that their channels are better shared out among the threads.
bool splits_channels(const Job& job, double work, double all_work) {
  const int workers = job.frame->lease.workers(), tile = job.frame->program.kernels.gemm_pixels;
  const int tiles = std::max(1, static_cast<int>(job.pixels.size()) / tile);
  return workers > 1 && job.entry->step->parts() > 1 && work / tiles > all_work / (2 * workers);
}

// Compute jobs that do not wait for each other. Returns whether all of it was done by run_chunk().
bool run_jobs(const Frame& frame, std::span<const Job> jobs) {
  double work = 0;
  for (const Job& job : jobs) {
    job.entry->step->prepare(frame);
    work += job.pixel_work() * static_cast<double>(job.pixels.size());
  }
  const bool shared = frame.lease.workers() > 1 && work > work_worth_sharing;
  const int workers = shared ? frame.lease.workers() : 1, tile = frame.program.kernels.gemm_pixels;
  Workspace& workspace = frame.workspace;
  for (std::vector<Chunk>& share : workspace.shares) share.clear();
  bool staged = false;
  for (std::size_t number = 0; number < jobs.size(); ++number) {
    const Job& job = jobs[number];
    const int pixels = static_cast<int>(job.pixels.size());
    const double pixel_work = job.pixel_work();
    if (job.in_blocks() || (shared && splits_channels(job, pixel_work * pixels, work))) {
      staged = true;
      continue;
    }
    int size = job.entry->step->chunk();
    if (shared) size = std::min(size, static_cast<int>(work / (workers * chunks_per_worker) / pixel_work) / tile * tile);
    size = std::max(size, tile);
    // Chunks follow the rows of a map, so that from wave to wave the same rows meet the same worker.
    const int count = (pixels + size - 1) / size;
    for (int chunk = 0; chunk < count; ++chunk) {
      const int worker = count == 1 ? static_cast<int>(number) % workers : static_cast<int>(std::int64_t{chunk} * workers / count);
      workspace.shares[worker].push_back({static_cast<int>(number), static_cast<std::size_t>(chunk) * size, std::min(size, pixels - chunk * size)});
    }
  }
  workspace.chunks.clear();
  workspace.bounds.assign(1, 0);
  for (const std::vector<Chunk>& share : workspace.shares) {
    workspace.chunks.insert(workspace.chunks.end(), share.begin(), share.end());
    workspace.bounds.push_back(static_cast<int>(workspace.chunks.size()));
  }
  const auto run = [&](int item, int worker) {
    const Chunk& chunk = workspace.chunks[item];
    const Job& job = jobs[chunk.job];
    run_chunk(job, job.pixels.subspan(chunk.from, chunk.count), worker);
  };
  if (shared) {
    frame.lease.run_shares(workspace.bounds, run);
  } else {
    for (int item = 0; item < static_cast<int>(workspace.chunks.size()); ++item) run(item, 0);
  }
  for (const Job& job : jobs) {
    if (staged && (job.in_blocks() || (shared && splits_channels(job, job.pixel_work() * static_cast<double>(job.pixels.size()), work)))) {
      run_staged(job);
    }
    if (job.asks()) frame.state.published[job.entry->map].settle();
  }
  return !staged;
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
  for (std::size_t i = 0; i < entry.sources.size(); ++i) {
    spread(entry.footprints[i], frame.state.changed(entry.sources[i]), computed, 0, computed.height());
  }
  frame.state.counts[entry.map] = computed.count();
  computed.settle(frame.state.counts[entry.map] > 0);
}

void run_wave(const Frame& frame, const Wave& wave, std::vector<Job>& jobs) {
  for (const int index : wave.entries) {
    const Entry& entry = frame.program.entries[index];
    if (entry.kind == Entry::Kind::input) run_input(frame, entry);
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
  bool collected = false;
  if (entry.kind == Entry::Kind::input) {
    run_input(frame, entry);
  } else {
    state.computed[entry.map].fill();
    state.counts[entry.map] = all.size();
  }
  if (entry.kind == Entry::Kind::step) {
    if (measures_scale(frame, entry.map)) frame.workspace.sums.resize(all.size());
    const Job job{&frame, &entry, all};
    collected = run_jobs(frame, {&job, 1});
  }
  if (gated) state.published[entry.map].fill();
  if (!frame.gates) return;
  if (entry.gate) begin_outputs(frame, entry);
  if (gated && !frame.program.gates[entry.map].question) begin_gate(frame, entry.map, collected);
}

}  // namespace

void run_segment(const Frame& frame, const Segment& segment) {
  if (frame.keyframe) {
    for (int index = segment.first; index < segment.last; ++index) run_whole(frame, frame.program.entries[index]);
    return;
  }
  std::vector<Job> jobs;
  for (const Wave& wave : segment.waves) run_wave(frame, wave, jobs);
}

}  // namespace skipvid
