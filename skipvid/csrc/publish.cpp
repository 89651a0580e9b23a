// Computing the pixels of one map and publishing those that the gate lets through.
//
// Three ways, all with the same result:
//   direct   no gate to ask (keyframe, dense run, map without a gate): rows are written where they belong
//   fused    a chunk is computed into scratch rows, compared with the published rows and copied where the gate opens
//   staged   all rows are computed into a buffer first, then compared, then copied: for gates that open in blocks, and for maps of few
//            pixels, whose channels are shared out among the threads
#include <algorithm>
#include <cstring>

#include "frame.hpp"

namespace skipvid {

namespace {

constexpr std::size_t staged_floats = std::size_t{1} << 20;  // of rows staged at a time

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

void run_direct(const Job& job, std::span<const Pixel> pixels, int worker) {
  const Frame& frame = *job.frame;
  const Step& step = *job.entry->step;
  const int map = job.entry->map, channels = frame.program.maps[map].channels, count = static_cast<int>(pixels.size());
  const Rows target = frame.state.rows(map);
  Scratch& scratch = frame.workspace.threads[worker];
  scratch.rows.resize(count);
  for (int i = 0; i < count; ++i) scratch.rows[i] = target.at(pixels[i]);
  step.compute(frame, pixels, scratch.rows.data(), scratch, 0, step.parts());
  activate_rows(frame.program.kernels, step.activation, scratch.rows.data(), count, target.stride, padded(channels));
  if (measures_scale(frame, map)) {  // here, while the rows are in a cache
    float* sums = frame.workspace.sums.data() + (pixels.data() - job.pixels.data());
    frame.program.kernels.absolute_sums(scratch.rows.data(), count, channels, sums);
  }
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

void run_fused(const Job& job, std::span<const Pixel> pixels, int worker) {
  const Frame& frame = *job.frame;
  const Step& step = *job.entry->step;
  const int map = job.entry->map, row = padded(frame.program.maps[map].channels), count = static_cast<int>(pixels.size());
  const Rows target = frame.state.rows(map);
  Scratch& scratch = frame.workspace.threads[worker];
  scratch.values.reserve(static_cast<std::size_t>(count) * row);
  scratch.rows.resize(count);
  scratch.targets.resize(count);
  for (int i = 0; i < count; ++i) {
    scratch.rows[i] = scratch.values.data() + static_cast<std::size_t>(i) * row;
    scratch.targets[i] = target.at(pixels[i]);
  }
  scratch.ahead = scratch.targets.data();  // the gate's, far apart and seldom in a cache
  step.compute(frame, pixels, scratch.rows.data(), scratch, 0, step.parts());
  scratch.ahead = nullptr;
  activate_rows(frame.program.kernels, step.activation, scratch.rows.data(), count, row, row);
  ask_gate(frame, map, pixels, scratch.values.data(), scratch.targets.data(), true);
}

void run_stage(const Job& job, std::span<const Pixel> pixels) {
  const Frame& frame = *job.frame;
  const Kernels& kernels = frame.program.kernels;
  const Step& step = *job.entry->step;
  const int map = job.entry->map, row = padded(frame.program.maps[map].channels);
  const Rows target = frame.state.rows(map);
  Bitmap& published = frame.state.published[map];
  const int count = static_cast<int>(pixels.size()), workers = frame.lease.workers();
  const int tile = kernels.gemm_pixels, even = std::max(tile, count / (workers * 4) / tile * tile);
  const int chunk = std::min({step.chunk(), even, count});
  const int chunks = (count + chunk - 1) / chunk, all_parts = step.parts();
  const int splits = chunks >= workers * 2 ? 1 : std::min(all_parts, workers * 2);
  frame.workspace.values.reserve(static_cast<std::size_t>(count) * row);
  float* values = frame.workspace.values.data();
  frame.lease.run(chunks * splits, [&](int item, int worker) {
    Scratch& scratch = frame.workspace.threads[worker];
    const int from = item / splits * chunk, size = std::min(chunk, count - from), split = item % splits;
    scratch.rows.resize(size);
    for (int i = 0; i < size; ++i) scratch.rows[i] = values + static_cast<std::size_t>(from + i) * row;
    step.compute(frame, pixels.subspan(from, size), scratch.rows.data(), scratch, all_parts * split / splits,
                 all_parts * (split + 1) / splits);
  });
  const auto publish = [&](int i) { std::memcpy(target.at(pixels[i]), values + static_cast<std::size_t>(i) * row, row * sizeof(float)); };
  const bool at_once = !job.in_blocks();
  frame.lease.run(chunks, [&](int item, int worker) {
    const int from = item * chunk, size = std::min(chunk, count - from);
    float* first = values + static_cast<std::size_t>(from) * row;
    if (step.activation.kind > Activation::Kind::clamp) kernels.activate(step.activation, first, row, size, row);
    if (job.asks()) {
      std::vector<float*>& targets = frame.workspace.threads[worker].targets;
      targets.resize(size);
      for (int i = 0; i < size; ++i) targets[i] = target.at(pixels[from + i]);
      ask_gate(frame, map, pixels.subspan(from, size), first, targets.data(), at_once);
    } else {
      for (int i = from; i < from + size; ++i) publish(i);
    }
  });
  if (at_once) return;
  published.settle();
  published.round_to_blocks(job.gate().block);
  for (int i = 0; i < count; ++i) {
    if (published.test(pixels[i])) publish(i);
  }
}

}  // namespace

double Job::pixel_work() const {
  const Step& step = *entry->step;
  const int vectors = padded(frame->program.maps[entry->map].channels) / lanes;
  return step.work() + vectors * (activation_work(step.activation) + (asks() ? 10 : 2)) + 15;
}

void run_chunk(const Job& job, std::span<const Pixel> pixels, int worker) {
  if (job.asks()) {
    run_fused(job, pixels, worker);
  } else {
    run_direct(job, pixels, worker);
  }
}

// In stages of whole rows of blocks where the gate opens in blocks, so that each block is decided in one stage.
void run_staged(const Job& job) {
  const int block = job.in_blocks() ? job.gate().block : 1, row = padded(job.frame->program.maps[job.entry->map].channels);
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

}  // namespace skipvid
