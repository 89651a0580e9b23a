// One frame, map by map: find the pixels to compute, compute them in chunks, publish those that the gate lets through.
//
// Three ways, all with the same result:
//   direct   no gate to ask (keyframe, dense run, map without a gate): rows are written where they belong
//   fused    a chunk is computed into scratch rows, compared with the published rows and copied where the gate opens
//   staged   all rows are computed into a buffer first, then compared, then copied: for gates that open in blocks, and for maps of few
//            pixels, whose channels are shared out among the threads
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "program.hpp"

namespace skipvid {

namespace {

constexpr double work_worth_sharing = 10000;  // cycles; below, handing it to other threads costs more
constexpr std::size_t staged_floats = std::size_t{1} << 20;  // of rows staged at a time

struct Job {
  const Frame& frame;
  const Step& step;
  int map;
  std::span<const Pixel> pixels;
  bool shared;  // worth several threads

  int workers() const { return shared ? frame.lease.workers() : 1; }
  template <class Callable>
  void run(int items, const Callable& callable) const {
    if (shared) {
      frame.lease.run(items, callable);
    } else {
      for (int item = 0; item < items; ++item) callable(item, 0);
    }
  }
  int chunk() const {
    const int tile = frame.program.kernels.gemm_pixels;
    const int even = static_cast<int>(pixels.size()) / (workers() * 4) / tile * tile;
    return std::max(tile, workers() == 1 ? step.chunk() : std::min(step.chunk(), even));
  }
};

void activate_rows(const Kernels& kernels, const Activation& activation, float* const* rows, int count, std::ptrdiff_t stride, int channels) {
  if (activation.kind == Activation::Kind::none || activation.kind == Activation::Kind::clamp) return;  // clamped by the step itself
  for (int from = 0; from < count;) {
    int to = from + 1;
    while (to < count && rows[to] == rows[to - 1] + stride) ++to;
    kernels.activate(activation, rows[from], stride, to - from, channels);
    from = to;
  }
}

// Rough number of cycles for a vector.
double activation_work(const Activation& activation) {
  switch (activation.kind) {
    case Activation::Kind::none:
    case Activation::Kind::clamp: return 0;  // part of the step
    case Activation::Kind::silu:
    case Activation::Kind::sigmoid:
    case Activation::Kind::tanh:
    case Activation::Kind::elu: return 20;
    default: return 4;
  }
}

// Whether a gate's limit is measured in this frame: a threshold of 0 needs no scale.
bool measures(const Frame& frame, int map) {
  const Gate& gate = frame.program.gates[map];
  return frame.keyframe && frame.gates && gate.gated && std::isnan(gate.scale) && gate.threshold > 0;
}

void run_direct(const Job& job) {
  const Frame& frame = job.frame;
  const Rows target = frame.state.rows(job.map);
  const Kernels& kernels = frame.program.kernels;
  const int channels = frame.program.maps[job.map].channels, row = padded(channels);
  const int chunk = job.chunk(), count = static_cast<int>(job.pixels.size());
  const bool measured = measures(frame, job.map);  // here, while the rows are in a cache
  if (measured) frame.workspace.sums.resize(count);
  job.run((count + chunk - 1) / chunk, [&](int item, int worker) {
    Scratch& scratch = frame.workspace.threads[worker];
    const auto pixels = job.pixels.subspan(item * chunk, std::min(chunk, count - item * chunk));
    const int size = static_cast<int>(pixels.size());
    scratch.rows.resize(size);
    for (int i = 0; i < size; ++i) scratch.rows[i] = target.at(pixels[i]);
    job.step.compute(frame, pixels, scratch.rows.data(), scratch, 0, job.step.parts());
    activate_rows(kernels, job.step.activation, scratch.rows.data(), size, target.stride, row);
    if (measured) kernels.absolute_sums(scratch.rows.data(), size, channels, frame.workspace.sums.data() + item * chunk);
  });
}

// Ask the gate about rows of adjacent memory, one for each pixel, whose published rows are `targets`; marks and, if wanted, publishes those
// that pass.
void ask_gate(const Frame& frame, int map, std::span<const Pixel> pixels, const float* values, float* const* targets, bool copy) {
  Bitmap& published = frame.state.published[map];
  const Question* question = frame.program.gates[map].question.get();
  const int channels = frame.program.maps[map].channels, row = padded(channels);
  for (std::size_t from = 0, to = 0; from < pixels.size(); from = to) {
    // Within a word of the bitmap, so that it can be written at once.
    for (to = from + 1; to < pixels.size() && pixels[to] / 64 == pixels[from] / 64; ++to) {
    }
    const Kernels& kernels = frame.program.kernels;
    const int count = static_cast<int>(to - from);
    std::uint64_t opened = question == nullptr
                               ? kernels.publish(values + from * row, row, targets + from, count, channels, frame.state.limits[map], copy)
                               : kernels.ask(values + from * row, row, targets + from, count, channels, question->weights.data(),
                                             question->bias, question->magnitude, copy);
    if (opened == 0) continue;
    std::uint64_t bits = 0;
    if (pixels[to - 1] - pixels[from] == to - from - 1) {
      bits = opened << (pixels[from] % 64);
    } else {
      for (; opened != 0; opened &= opened - 1) bits |= std::uint64_t{1} << (pixels[from + __builtin_ctzll(opened)] % 64);
    }
    published.merge(row_of(pixels[from]), column_of(pixels[from]) / 64, bits);
  }
}

void run_fused(const Job& job) {
  const Frame& frame = job.frame;
  const Rows target = frame.state.rows(job.map);
  const int row = padded(frame.program.maps[job.map].channels);
  const int chunk = job.chunk(), count = static_cast<int>(job.pixels.size());
  job.run((count + chunk - 1) / chunk, [&](int item, int worker) {
    Scratch& scratch = frame.workspace.threads[worker];
    const auto pixels = job.pixels.subspan(item * chunk, std::min(chunk, count - item * chunk));
    const int size = static_cast<int>(pixels.size());
    scratch.values.reserve(static_cast<std::size_t>(chunk) * row);
    scratch.rows.resize(size);
    scratch.targets.resize(size);
    for (int i = 0; i < size; ++i) {
      scratch.rows[i] = scratch.values.data() + static_cast<std::size_t>(i) * row;
      scratch.targets[i] = target.at(pixels[i]);
    }
    scratch.ahead = scratch.targets.data();  // the gate's, far apart and seldom in a cache
    job.step.compute(frame, pixels, scratch.rows.data(), scratch, 0, job.step.parts());
    scratch.ahead = nullptr;
    activate_rows(frame.program.kernels, job.step.activation, scratch.rows.data(), size, row, row);
    ask_gate(frame, job.map, pixels, scratch.values.data(), scratch.targets.data(), true);
  });
  frame.state.published[job.map].settle();
}

void run_stage(const Job& job, std::span<const Pixel> pixels) {
  const Frame& frame = job.frame;
  const Kernels& kernels = frame.program.kernels;
  const Rows target = frame.state.rows(job.map);
  const Gate& gate = frame.program.gates[job.map];
  Bitmap& published = frame.state.published[job.map];
  const int row = padded(frame.program.maps[job.map].channels);
  const int count = static_cast<int>(pixels.size()), chunk = std::min(job.chunk(), std::max(count, 1));
  const int chunks = (count + chunk - 1) / chunk, all_parts = job.step.parts();
  const int splits = chunks >= job.workers() * 2 ? 1 : std::min(all_parts, job.workers() * 2);
  frame.workspace.values.reserve(static_cast<std::size_t>(count) * row);
  float* values = frame.workspace.values.data();
  job.run(chunks * splits, [&](int item, int worker) {
    Scratch& scratch = frame.workspace.threads[worker];
    const int from = item / splits * chunk, size = std::min(chunk, count - from), split = item % splits;
    scratch.rows.resize(size);
    for (int i = 0; i < size; ++i) scratch.rows[i] = values + static_cast<std::size_t>(from + i) * row;
    job.step.compute(frame, pixels.subspan(from, size), scratch.rows.data(), scratch, all_parts * split / splits,
                     all_parts * (split + 1) / splits);
  });
  const auto publish = [&](int i) { std::memcpy(target.at(pixels[i]), values + static_cast<std::size_t>(i) * row, row * sizeof(float)); };
  const bool single = gate.block == 1 || !gate.gated;
  const bool ask = gate.gated && !frame.keyframe;
  job.run(chunks, [&](int item, int worker) {
    const int from = item * chunk, size = std::min(chunk, count - from);
    float* first = values + static_cast<std::size_t>(from) * row;
    if (job.step.activation.kind > Activation::Kind::clamp) kernels.activate(job.step.activation, first, row, size, row);
    if (ask) {
      std::vector<float*>& targets = frame.workspace.threads[worker].targets;
      targets.resize(size);
      for (int i = 0; i < size; ++i) targets[i] = target.at(pixels[from + i]);
      ask_gate(frame, job.map, pixels.subspan(from, size), first, targets.data(), single);
    } else {
      for (int i = from; i < from + size; ++i) publish(i);
    }
  });
  if (!ask) return;
  published.settle();
  if (single) return;
  published.round_to_blocks(gate.block);
  for (int i = 0; i < count; ++i) {
    if (published.test(pixels[i])) publish(i);
  }
}

// Cuts at block rows, so that each block is decided in one stage.
void run_staged(const Job& job) {
  const int block = job.frame.program.gates[job.map].block, row = padded(job.frame.program.maps[job.map].channels);
  const std::size_t most = staged_floats / row;
  for (std::size_t from = 0, to = 0; from < job.pixels.size(); from = to) {
    to = std::min(from + most, job.pixels.size());
    if (to < job.pixels.size()) {
      const int block_row = row_of(job.pixels[to]) / block;
      while (to > from && row_of(job.pixels[to - 1]) / block == block_row) --to;
      while (to == from || (to < job.pixels.size() && row_of(job.pixels[to]) / block == row_of(job.pixels[to - 1]) / block)) ++to;
    }
    run_stage(job, job.pixels.subspan(from, to - from));
  }
}

// Sums of |value| over the channels of each pixel of a whole map, where run_direct has not left them.
void collect_sums(const Frame& frame, int map) {
  const MapInfo& info = frame.program.maps[map];
  const Rows rows = frame.state.rows(map);
  frame.workspace.sums.resize(info.pixels());
  frame.lease.run(info.height, [&](int y, int worker) {
    std::vector<float*>& line = frame.workspace.threads[worker].rows;
    line.resize(info.width);
    for (int x = 0; x < info.width; ++x) line[x] = rows.at(y, x);
    frame.program.kernels.absolute_sums(line.data(), info.width, info.channels, frame.workspace.sums.data() + y * info.width);
  });
}

void set_limit(const Frame& frame, int map) {
  const Gate& gate = frame.program.gates[map];
  const MapInfo& info = frame.program.maps[map];
  double scale = gate.scale;
  if (measures(frame, map)) {
    // Eight sums side by side: a single one would wait for each addition.
    const std::vector<float>& sums = frame.workspace.sums;
    double parts[8] = {};
    for (std::size_t i = 0; i < sums.size(); ++i) parts[i % 8] += sums[i];
    const double total = std::accumulate(std::begin(parts), std::end(parts), 0.0);
    scale = total / (static_cast<double>(info.pixels()) * info.channels);
  }
  if (!std::isfinite(scale)) scale = 0;  // such a gate lets every change through
  frame.state.limits[map] = static_cast<float>(gate.threshold * scale * info.channels);
}

// Returns whether the sums of the map's pixels were collected on the way.
bool run_step(const Frame& frame, const Entry& entry, std::span<const Pixel> pixels) {
  const Gate& gate = frame.program.gates[entry.map];
  entry.step->prepare(frame);
  const bool ask = gate.gated && !frame.keyframe;
  const int vectors = padded(frame.program.maps[entry.map].channels) / lanes;
  const double pixel_work = entry.step->work() + vectors * (activation_work(entry.step->activation) + (ask ? 10 : 2)) + 15;
  const bool shared = pixel_work * static_cast<double>(pixels.size()) > work_worth_sharing;
  const Job job{frame, *entry.step, entry.map, pixels, shared};
  const int tiles = static_cast<int>(pixels.size()) / frame.program.kernels.gemm_pixels;
  const bool few = job.workers() > 1 && entry.step->parts() > 1 && tiles < job.workers() * 2;
  if (few || (ask && gate.block > 1)) {
    run_staged(job);
    return false;
  }
  if (ask) {
    run_fused(job);
  } else {
    run_direct(job);
  }
  return !ask;
}

}  // namespace

void run_entry(const Frame& frame, const Entry& entry) {
  State& state = frame.state;
  Bitmap& computed = state.computed[entry.map];
  const bool gated = frame.program.gates[entry.map].gated;
  if (entry.kind == Entry::Kind::foreign) return;
  if (entry.kind == Entry::Kind::watch) return watch(frame, entry);
  std::span<const Pixel> pixels = frame.program.all_pixels(entry.map);
  if (frame.keyframe || entry.kind == Entry::Kind::input) {
    computed.fill();
  } else {
    computed.clear();
    for (std::size_t i = 0; i < entry.sources.size(); ++i) {
      spread(entry.footprints[i], static_cast<const State&>(state).changed(entry.sources[i]), computed);
    }
    if (entry.gate) ask_outputs(frame, entry, computed);
    std::vector<Pixel>& list = frame.workspace.list;
    if (list.size() < pixels.size()) list.resize(pixels.size());
    const std::size_t count = computed.any() ? computed.list(list.data()) : 0;
    if (count != pixels.size()) pixels = std::span(list).first(count);
  }
  state.counts[entry.map] = pixels.size();
  if (gated) state.published[entry.map].clear();
  if (pixels.empty()) return;
  bool collected = false;
  if (entry.kind == Entry::Kind::input) {
    take_input(frame, entry);
  } else if (entry.kind == Entry::Kind::step) {
    collected = run_step(frame, entry, pixels);
  }
  if (!frame.keyframe) return;
  if (gated) state.published[entry.map].fill();
  if (!frame.gates) return;
  if (entry.gate) begin_outputs(frame, entry);
  if (gated && !frame.program.gates[entry.map].question) {
    if (measures(frame, entry.map) && !collected) collect_sums(frame, entry.map);
    set_limit(frame, entry.map);
  }
}

}  // namespace skipvid
