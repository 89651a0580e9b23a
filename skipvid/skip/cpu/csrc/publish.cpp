// Computing the pixels of one map and publishing those that the gate lets through.
//
// Four ways, all with the same result:
//   direct   no gate to apply (keyframe, dense run, map without a gate): rows are written where they belong, those of bfloat16 by products
//            or by way of scratch rows; what is only read outside, which is kept in floats, is rounded there
//   fused    a chunk is computed into scratch rows, compared with the published rows and copied where the gate opens
//   measured a chunk is computed into a buffer and compared; when all are, a smoothed gate decides (smoothing.cpp)
//   buffered all rows are computed into a buffer first, then compared, then copied: for gates that open in blocks
// Where threads share out the channels of a chunk, the one that completes it applies the gate.
#include <algorithm>

#include "frame.hpp"

namespace skipvid {

namespace {

constexpr std::size_t buffered_floats = std::size_t{1} << 20;  // of rows buffered at a time

void activate_rows(const Kernels& kernels, const Activation& activation, float* const* rows, int count, std::ptrdiff_t stride,
                   int channels) {
  if (!activation.remains()) return;
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
    case Activation::Kind::elu:
    case Activation::Kind::gelu_tanh:
    case Activation::Kind::mish:
    case Activation::Kind::exp:
    case Activation::Kind::log:
    case Activation::Kind::sqrt:
    case Activation::Kind::rsqrt: return 20;
    case Activation::Kind::gelu:
    case Activation::Kind::erf:
    case Activation::Kind::softplus: return 30;
    default: return 4;
  }
}

// Whether rows whose channels are computed by several chunks are complete with this one.
bool completes(const Frame& frame, const Chunk& chunk) {
  return chunk.split < 0 || __atomic_sub_fetch(&frame.workspace.split_rows[chunk.split].left, 1, __ATOMIC_ACQ_REL) == 0;
}

// Adjacent rows of floats for a chunk; chunks of the same pixels share them.
float* rows_for(const Job& job, const Chunk& chunk, Scratch& scratch) {
  Workspace& workspace = job.frame->workspace;
  if (job.smooths()) {
    const std::size_t row = padded(job.frame->program.maps[job.step->map].channels);
    return workspace.values.data() + workspace.buffered[chunk.job] + chunk.from * row;
  }
  if (chunk.split >= 0) return workspace.values.data() + workspace.split_rows[chunk.split].values;
  scratch.values.reserve(static_cast<std::size_t>(chunk.count) * padded(job.frame->program.maps[job.step->map].channels));
  return scratch.values.data();
}

// Compute some pixels, or some of their channels, into adjacent rows; scratch.targets are the published rows.
void compute_rows(const Job& job, std::span<const Pixel> pixels, float* values, int first_part, int last_part, Scratch& scratch) {
  const Frame& frame = *job.frame;
  const Rows target = frame.state.rows(job.step->map);
  const std::size_t row = padded(frame.program.maps[job.step->map].channels), count = pixels.size();
  scratch.rows.resize(count);
  scratch.targets.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    scratch.rows[i] = values + i * row;
    scratch.targets[i] = target.at(pixels[i]);
  }
  scratch.ahead = scratch.targets.data();  // the gate's, far apart and seldom in a cache
  job.step->operation->compute(frame, pixels, scratch.rows.data(), scratch, first_part, last_part);
  scratch.ahead = nullptr;
}

// Activate scratch rows and round them into where they belong, but for what other maps fill of them. Moves the targets.
void put_rows(const Job& job, const float* values, std::vector<std::byte*>& targets, int count) {
  const Program& program = job.frame->program;
  const Operation& operation = *job.step->operation;
  const int channels = program.maps[job.step->map].channels, row = padded(channels);
  const auto put = [&](int from, int some) {
    if (operation.activation.remains()) {
      program.kernels.put_activated(operation.activation, values + from, row, targets.data(), count, some);
    } else {
      program.kernels.put(values + from, row, targets.data(), count, some);
    }
  };
  if (operation.written().empty()) return put(0, channels);
  int at = 0;
  for (const Channels& part : operation.written()) {
    for (std::byte*& target : targets) target += (part.from - at) * program.value_size();
    at = part.from;
    put(at, part.count);
  }
}

// The sum that is stored with some rows; its own are what is written next.
GemmSum sum_for(const Job& job, std::span<const Pixel> pixels, Scratch& scratch) {
  const Frame& frame = *job.frame;
  const Step& step = frame.program.steps[job.step->sum];
  const Addition addition = *step.operation->addition(job.step->map);
  const Rows other = frame.state.rows(addition.other), target = frame.state.rows(step.map);
  scratch.added.resize(pixels.size());
  scratch.sums.resize(pixels.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    scratch.added[i] = other.at(pixels[i]);
    scratch.sums[i] = target.at(pixels[i]);
  }
  return {scratch.added.data(), scratch.sums.data(), addition.low, addition.high};
}

void run_direct(const Job& job, const Chunk& chunk, int worker) {
  const Frame& frame = *job.frame;
  const Operation& operation = *job.step->operation;
  const std::span<const Pixel> pixels = job.pixels.subspan(chunk.from, chunk.count);
  const int map = job.step->map, channels = frame.program.maps[map].channels;
  const Rows target = frame.state.rows(map);
  const Kernels& kernels = frame.program.kernels;
  Scratch& scratch = frame.workspace.threads[worker];
  if (frame.program.in_floats(map)) {
    scratch.rows.resize(chunk.count);
    for (int i = 0; i < chunk.count; ++i) scratch.rows[i] = reinterpret_cast<float*>(target.at(pixels[i]));
    operation.compute(frame, pixels, scratch.rows.data(), scratch, chunk.first_part, chunk.last_part);
    if (!completes(frame, chunk)) return;
    const std::ptrdiff_t stride = target.stride / static_cast<std::ptrdiff_t>(sizeof(float));
    activate_rows(kernels, operation.activation, scratch.rows.data(), chunk.count, stride, padded(channels));
    if (!frame.program.in_floats()) kernels.round(scratch.rows.data(), chunk.count, channels);
  } else if (operation.stores()) {
    scratch.targets.resize(chunk.count);
    for (int i = 0; i < chunk.count; ++i) scratch.targets[i] = target.at(pixels[i]);
    scratch.stored = scratch.targets.data();
    scratch.ahead = scratch.targets.data();
    GemmSum sum;
    if (job.step->sum >= 0 && frame.keyframe) {
      sum = sum_for(job, pixels, scratch);
      scratch.sum = &sum;
    }
    operation.compute(frame, pixels, nullptr, scratch, chunk.first_part, chunk.last_part);
    scratch.sum = nullptr;
    scratch.stored = nullptr;
    scratch.ahead = nullptr;
    if (!completes(frame, chunk)) return;
  } else {
    float* const values = rows_for(job, chunk, scratch);
    compute_rows(job, pixels, values, chunk.first_part, chunk.last_part, scratch);
    if (!completes(frame, chunk)) return;
    put_rows(job, values, scratch.targets, chunk.count);
  }
  // Here, while the rows are in a cache.
  const Step* const sum = measured_sum(frame, *job.step);
  if (sum == nullptr && !measures_scale(frame, map)) return;
  measure_scale(frame, sum != nullptr ? sum->map : map, chunk.from, chunk.from + chunk.count, scratch.targets);
}

// Ask the gate about rows of adjacent memory, one for each pixel, whose published rows are `targets`; marks and, if wanted, publishes those
// that pass.
void apply_gate(const Frame& frame, int map, std::span<const Pixel> pixels, const float* values, std::byte* const* targets, bool copy) {
  Bitmap& published = frame.state.published[map];
  const LearnedGate* learned = frame.program.gates[map].learned.get();
  const int channels = frame.program.maps[map].channels, row = padded(channels);
  for (std::size_t from = 0, to = 0; from < pixels.size(); from = to) {
    // Within a word of the bitmap, so that it can be written at once.
    for (to = from + 1; to < pixels.size() && pixels[to] / 64 == pixels[from] / 64; ++to) {
    }
    const Kernels& kernels = frame.program.kernels;
    const int count = static_cast<int>(to - from);
    std::uint64_t opened = learned == nullptr
                               ? kernels.publish(values + from * row, row, targets + from, count, channels, frame.state.limits[map], copy)
                               : kernels.ask(values + from * row, row, targets + from, count, channels, learned->weights.data(),
                                             learned->bias, learned->magnitude, copy);
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

// What comes behind compute_rows() when the rows are complete.
void finish_rows(const Job& job, std::span<const Pixel> pixels, float* values, const Scratch& scratch, bool copy) {
  const Frame& frame = *job.frame;
  const int map = job.step->map, row = padded(frame.program.maps[map].channels);
  activate_rows(frame.program.kernels, job.step->operation->activation, scratch.rows.data(), static_cast<int>(pixels.size()), row, row);
  apply_gate(frame, map, pixels, values, scratch.targets.data(), copy);
}

void run_fused(const Job& job, const Chunk& chunk, int worker) {
  const Frame& frame = *job.frame;
  const std::span<const Pixel> pixels = job.pixels.subspan(chunk.from, chunk.count);
  Scratch& scratch = frame.workspace.threads[worker];
  float* const values = rows_for(job, chunk, scratch);
  compute_rows(job, pixels, values, chunk.first_part, chunk.last_part, scratch);
  if (completes(frame, chunk)) finish_rows(job, pixels, values, scratch, true);
}

void run_measured(const Job& job, const Chunk& chunk, int worker) {
  const Frame& frame = *job.frame;
  const int map = job.step->map, channels = frame.program.maps[map].channels, row = padded(channels);
  const std::span<const Pixel> pixels = job.pixels.subspan(chunk.from, chunk.count);
  Scratch& scratch = frame.workspace.threads[worker];
  float* const values = rows_for(job, chunk, scratch);
  compute_rows(job, pixels, values, chunk.first_part, chunk.last_part, scratch);
  if (!completes(frame, chunk)) return;
  activate_rows(frame.program.kernels, job.step->operation->activation, scratch.rows.data(), chunk.count, row, row);
  scratch.more.reserve(chunk.count);
  float* const sums = scratch.more.data();
  frame.program.kernels.distances_to(values, row, scratch.targets.data(), chunk.count, channels, sums);
  const ChangePlane& plane = frame.state.changes[map];
  for (int i = 0; i < chunk.count; ++i) plane.row(row_of(pixels[i]))[column_of(pixels[i])] = sums[i];
}

void run_buffer(const Job& job, std::span<const Pixel> pixels) {
  const Frame& frame = *job.frame;
  const Operation& operation = *job.step->operation;
  const int map = job.step->map, row = padded(frame.program.maps[map].channels);
  const Rows target = frame.state.rows(map);
  Bitmap& published = frame.state.published[map];
  const int count = static_cast<int>(pixels.size()), tile = frame.program.kernels.gemm_pixels;
  const int chunk = std::min({operation.chunk(), std::max(tile, count / (frame.lease.workers() * 4) / tile * tile), count});
  frame.workspace.values.reserve(static_cast<std::size_t>(count) * row);
  float* values = frame.workspace.values.data();
  frame.lease.run((count + chunk - 1) / chunk, [&](int item, int worker) {
    Scratch& scratch = frame.workspace.threads[worker];
    const int from = item * chunk;
    const std::span<const Pixel> some = pixels.subspan(from, std::min(chunk, count - from));
    float* first = values + static_cast<std::size_t>(from) * row;
    compute_rows(job, some, first, 0, operation.parts(), scratch);
    finish_rows(job, some, first, scratch, false);
  });
  published.settle();
  published.round_to_blocks(job.gate().block);
  for (int i = 0; i < count; ++i) {
    if (!published.test(pixels[i])) continue;
    std::byte* const to = target.at(pixels[i]);
    frame.program.kernels.put(values + static_cast<std::size_t>(i) * row, row, &to, 1, row);
  }
}

}  // namespace

double Job::pixel_work() const {
  const Operation& operation = *step->operation;
  const int vectors = padded(frame->program.maps[step->map].channels) / lanes;
  return operation.work() + vectors * (activation_work(operation.activation) + (gates() ? 10 : 2)) + 15;
}

void run_chunk(const Job& job, const Chunk& chunk, int worker) {
  if (job.smooths()) {
    run_measured(job, chunk, worker);
  } else if (job.gates()) {
    run_fused(job, chunk, worker);
  } else {
    run_direct(job, chunk, worker);
  }
}

// In parts of complete rows of blocks, so that each block is decided in one part.
void run_buffered(const Job& job) {
  const int block = job.gate().block, row = padded(job.frame->program.maps[job.step->map].channels);
  const std::size_t most = buffered_floats / row;
  for (std::size_t from = 0, to = 0; from < job.pixels.size(); from = to) {
    to = std::min(from + most, job.pixels.size());
    if (to < job.pixels.size()) {
      const int block_row = row_of(job.pixels[to]) / block;
      while (to > from && row_of(job.pixels[to - 1]) / block == block_row) --to;
      while (to == from || (to < job.pixels.size() && row_of(job.pixels[to]) / block == row_of(job.pixels[to - 1]) / block)) ++to;
    }
    run_buffer(job, job.pixels.subspan(from, to - from));
  }
}

bool take_rows(State& state, int map, std::span<const std::int32_t> given, const float* values, float limit) {
  constexpr int at_a_time = 64;
  const MapInfo& info = state.program.maps[map];
  const Kernels& kernels = state.program.kernels;
  const Rows target = state.rows(map);
  const int channels = info.channels, row = padded(channels), pixels = static_cast<int>(given.empty() ? info.pixels() : given.size());
  const auto pixel_of = [&](int number) { return given.empty() ? number : given[static_cast<std::size_t>(number)]; };
  Bitmap& changed = state.changed(map);
  changed.clear();
  // A kernel reads whole vectors: rows that end within one are copied first.
  Buffer copies(row == channels ? 0 : static_cast<std::size_t>(at_a_time) * row);
  std::byte* published[at_a_time];
  for (int first = 0; first < pixels; first += at_a_time) {
    const int count = std::min(at_a_time, pixels - first);
    const float* from = values + static_cast<std::ptrdiff_t>(first) * channels;
    for (int i = 0; i < count; ++i) {
      published[i] = target.at(pixel_of(first + i) / info.width, pixel_of(first + i) % info.width);
      if (row != channels) std::copy_n(from + static_cast<std::ptrdiff_t>(i) * channels, channels, copies.data() + i * row);
    }
    std::uint64_t opened = kernels.publish(row == channels ? from : copies.data(), row, published, count, channels, limit, true);
    for (; opened != 0; opened &= opened - 1) {
      const int pixel = pixel_of(first + __builtin_ctzll(opened)), x = pixel % info.width;
      changed.row(pixel / info.width)[x / 64] |= std::uint64_t{1} << (x % 64);
    }
  }
  changed.settle();
  return changed.any();
}

}  // namespace skipvid
