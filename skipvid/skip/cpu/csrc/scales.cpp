// The scales of gates that have none of their own, measured at keyframes: the mean magnitude of a map, or of a layer's output less its bias.
// In half precision a map's is that of a sample of its pixels: measuring all of them took 6 % of a keyframe of EfficientDet-D0.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "frame.hpp"

namespace skipvid {

namespace {

// The pixels of a map that are measured: in row y each `step`-th from column first(y) on, a lattice that meets all phases of patterns in steps
// of 2, 4, ... alike. skipvid/skip/gates/units.py defines it.
struct Sample {
  int step, shift;
  int first(int y) const { return shift * y % step; }
  // How many of them row y has before column x.
  int before(int y, int x) const { return (std::max(0, x - first(y)) + step - 1) / step; }
};

Sample sample_of(const Program& program, int map) {
  constexpr std::size_t fewest = 512;
  const std::size_t pixels = program.maps[map].pixels();
  if (program.in_floats() || pixels < 5 * fewest) return {1, 0};
  return pixels < 13 * fewest ? Sample{5, 2} : Sample{13, 5};
}

// frame.workspace.sums[pixel] = sum of |value - bias| over the channels, of all pixels; an empty bias is none.
void collect_sums(const Frame& frame, int map, const std::vector<float>& bias) {
  const MapInfo& info = frame.program.maps[map];
  const Rows rows = frame.state.rows(map);
  frame.workspace.sums.resize(info.pixels());
  frame.lease.run(info.height, [&](int y, int worker) {
    float* sums = frame.workspace.sums.data() + static_cast<std::size_t>(y) * info.width;
    if (bias.empty()) {
      std::vector<std::byte*>& line = frame.workspace.threads[worker].targets;
      line.resize(info.width);
      for (int x = 0; x < info.width; ++x) line[x] = rows.at(y, x);
      frame.program.kernels.absolute_sums(line.data(), info.width, info.channels, sums);
      return;
    }
    Buffer& wide = frame.workspace.threads[worker].more;
    wide.reserve(padded(info.channels));
    for (int x = 0; x < info.width; ++x) {
      frame.program.kernels.widen(rows.at(y, x), info.channels, wide.data());
      const float* values = wide.data();
      double total = 0;
      for (int c = 0; c < info.channels; ++c) total += std::abs(values[c] - bias[c]);
      sums[x] = static_cast<float>(total);
    }
  });
}

// The mean of what was collected. One that is not finite becomes 0: such a gate lets every change through.
double collected_mean(const Frame& frame, int map, Sample sample) {
  const MapInfo& info = frame.program.maps[map];
  float* const sums = frame.workspace.sums.data();
  std::size_t count = 0;  // the other thread waits: what rows have is brought together, and then added up without a look at where they end
  for (int y = 0; y < info.height; ++y) {
    const std::size_t sampled = sample.before(y, info.width);
    std::memmove(sums + count, sums + static_cast<std::size_t>(y) * info.width, sampled * sizeof(float));
    count += sampled;
  }
  // Eight sums side by side: a single one would wait for each addition.
  double parts[8] = {};
  std::size_t added = 0;
  for (; added + 8 <= count; added += 8) {
    for (std::size_t i = 0; i < 8; ++i) parts[i] += sums[added + i];
  }
  for (; added < count; ++added) parts[added % 8] += sums[added];
  const double mean = std::accumulate(std::begin(parts), std::end(parts), 0.0) / (static_cast<double>(count) * info.channels);
  return std::isfinite(mean) ? mean : 0;
}

}  // namespace

bool measures_scale(const Frame& frame, int map) {
  const Gate& gate = frame.program.gates[map];
  return frame.keyframe && frame.gates && gate.gated && std::isnan(gate.scale) && gate.threshold > 0;
}

void measure_scale(const Frame& frame, int map, std::size_t from, std::size_t to, std::vector<std::byte*>& pointers) {
  const MapInfo& info = frame.program.maps[map];
  const Rows rows = frame.state.rows(map);
  const Sample sample = sample_of(frame.program, map);
  while (from < to) {
    const int y = static_cast<int>(from / info.width), x = static_cast<int>(from % info.width);
    const int end = static_cast<int>(std::min(to - from + x, static_cast<std::size_t>(info.width)));
    const int first = sample.before(y, x), last = sample.before(y, end);
    pointers.resize(info.width);
    for (int i = first; i < last; ++i) pointers[i] = rows.at(y, sample.first(y) + i * sample.step);
    float* const sums = frame.workspace.sums.data() + static_cast<std::size_t>(y) * info.width;
    frame.program.kernels.absolute_sums(pointers.data() + first, last - first, info.channels, sums + first);
    from += end - x;
  }
}

const Step* measured_sum(const Frame& frame, const Step& step) {
  if (step.sum < 0 || measures_scale(frame, step.map)) return nullptr;  // there is room for one map's
  const Step& sum = frame.program.steps[step.sum];
  return measures_scale(frame, sum.map) ? &sum : nullptr;
}

void set_limit(const Frame& frame, const Step& step) {
  const int map = step.map;
  const Gate& gate = frame.program.gates[map];
  double scale = std::isfinite(gate.scale) ? gate.scale : 0;
  if (measures_scale(frame, map)) {
    const bool stored_apart = step.summed_by >= 0 && measured_sum(frame, frame.program.steps[step.summed_by]) == nullptr;
    if (!step.operation || stored_apart) {  // run_chunk() has measured the others
      const std::size_t width = frame.program.maps[map].width;
      frame.workspace.sums.resize(frame.program.maps[map].pixels());
      frame.lease.run(frame.program.maps[map].height, [&](int y, int worker) {
        measure_scale(frame, map, y * width, (y + 1) * width, frame.workspace.threads[worker].targets);
      });
    }
    scale = collected_mean(frame, map, sample_of(frame.program, map));
  }
  frame.state.limits[map] = static_cast<float>(gate.threshold * scale * frame.program.maps[map].channels);
}

void reset_output_gate(const Frame& frame, const Step& step) {
  const OutputGate& gate = *step.gate;
  OutputMemory& memory = frame.state.outputs[step.index];
  std::fill_n(memory.pending.data(), frame.program.maps[step.map].pixels(), 0.0F);
  memory.candidates = 0;
  double scale = std::isfinite(gate.scale) ? gate.scale : 0;
  if (std::isnan(gate.scale)) {
    collect_sums(frame, step.map, gate.bias);
    scale = collected_mean(frame, step.map, {1, 0});
  }
  memory.limit = static_cast<float>(std::isinf(gate.limit) ? gate.limit : gate.limit * scale);
}

}  // namespace skipvid
