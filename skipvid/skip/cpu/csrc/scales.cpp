// The scales of gates that have none of their own, measured at keyframes: the mean magnitude of a map, or of a layer's output less its bias.
#include <cmath>
#include <numeric>

#include "frame.hpp"

namespace skipvid {

namespace {

// frame.workspace.sums[pixel] = sum of |value - bias| over the channels; an empty bias is none.
void collect_sums(const Frame& frame, int map, const std::vector<float>& bias) {
  const MapInfo& info = frame.program.maps[map];
  const Rows rows = frame.state.rows(map);
  frame.workspace.sums.resize(info.pixels());
  frame.lease.run(info.height, [&](int y, int worker) {
    float* sums = frame.workspace.sums.data() + static_cast<std::size_t>(y) * info.width;
    if (bias.empty()) {
      std::vector<float*>& line = frame.workspace.threads[worker].rows;
      line.resize(info.width);
      for (int x = 0; x < info.width; ++x) line[x] = rows.at(y, x);
      frame.program.kernels.absolute_sums(line.data(), info.width, info.channels, sums);
      return;
    }
    for (int x = 0; x < info.width; ++x) {
      const float* values = rows.at(y, x);
      double total = 0;
      for (int c = 0; c < info.channels; ++c) total += std::abs(values[c] - bias[c]);
      sums[x] = static_cast<float>(total);
    }
  });
}

// The mean of what was collected. One that is not finite becomes 0: such a gate lets every change through.
double collected_mean(const Frame& frame, int map) {
  // Eight sums side by side: a single one would wait for each addition.
  const std::vector<float>& sums = frame.workspace.sums;
  double parts[8] = {};
  for (std::size_t i = 0; i < sums.size(); ++i) parts[i % 8] += sums[i];
  const MapInfo& info = frame.program.maps[map];
  const double mean = std::accumulate(std::begin(parts), std::end(parts), 0.0) / (static_cast<double>(info.pixels()) * info.channels);
  return std::isfinite(mean) ? mean : 0;
}

}  // namespace

bool measures_scale(const Frame& frame, int map) {
  const Gate& gate = frame.program.gates[map];
  return frame.keyframe && frame.gates && gate.gated && std::isnan(gate.scale) && gate.threshold > 0;
}

void set_limit(const Frame& frame, const Step& step) {
  const int map = step.map;
  const Gate& gate = frame.program.gates[map];
  double scale = std::isfinite(gate.scale) ? gate.scale : 0;
  if (measures_scale(frame, map)) {
    if (!step.operation) collect_sums(frame, map, {});  // run_chunk() has left those of a step
    scale = collected_mean(frame, map);
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
    scale = collected_mean(frame, step.map);
  }
  memory.limit = static_cast<float>(std::isinf(gate.limit) ? gate.limit : gate.limit * scale);
}

}  // namespace skipvid
