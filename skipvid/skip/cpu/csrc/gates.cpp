#include "gates.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "work.hpp"

namespace skipvid {

namespace {

constexpr std::size_t pixels_worth_sharing = 4096;  // below, waking the other threads costs more

template <class Callable>
void for_rows(const Frame& frame, int height, bool shared, const Callable& callable) {
  if (shared) {
    frame.lease.run(height, [&](int y, int) { callable(y); });
  } else {
    for (int y = 0; y < height; ++y) callable(y);
  }
}

// The input rows or columns (axis 1) behind an output's, in order; -1 where there is none.
class Taps {
 public:
  Taps(const Footprint& footprint, int axis, int extent) : footprint_(footprint), axis_(axis) {
    const std::vector<std::int32_t>& table = footprint.table[axis];
    count_ = footprint.kind == Footprint::Kind::window ? footprint.kernel[axis] : static_cast<int>(table.size()) / extent;
  }
  int count() const { return count_; }
  int at(int output, int tap, int inputs) const {
    if (footprint_.kind != Footprint::Kind::window) return footprint_.table[axis_][static_cast<std::size_t>(output) * count_ + tap];
    const int from = output * footprint_.stride[axis_] + footprint_.origin[axis_] + tap * footprint_.dilation[axis_];
    return from < inputs ? from : -1;
  }

 private:
  const Footprint& footprint_;
  int axis_, count_;
};

}  // namespace

std::size_t change_memory(const Program& program, const MapInfo& map) {
  return map.pixels() * (1 + padded(map.channels) * program.value_size() / sizeof(float));
}

void measure_change(const Frame& frame, const Step& step) {
  if (!frame.gates) return;
  const Rows rows = frame.state.rows(step.map);
  const MapInfo& info = frame.program.maps[step.map];
  const Bitmap& changed = static_cast<const State&>(frame.state).changed(step.map);
  float* amounts = frame.state.memory[step.index].data();
  std::byte* const seen = reinterpret_cast<std::byte*>(amounts + info.pixels());
  const int row = padded(info.channels);
  const std::ptrdiff_t size = frame.program.value_size();
  const auto seen_at = [&](int y, int x) { return seen + (static_cast<std::ptrdiff_t>(y) * info.width + x) * row * size; };
  std::size_t& measured = frame.state.outputs[step.index].candidates;
  measured = 0;
  if (frame.keyframe) {
    for_rows(frame, info.height, true, [&](int y) {
      for (int x = 0; x < info.width; ++x) std::memcpy(seen_at(y, x), rows.at(y, x), info.channels * size);
    });
    return;
  }
  if (!changed.any()) return;
  std::atomic<std::size_t> total{0};
  for_rows(frame, info.height, changed.count() * row > pixels_worth_sharing * lanes, [&](int y) {
    float* line = amounts + static_cast<std::size_t>(y) * info.width;
    std::fill_n(line, info.width, 0.0F);
    total += for_each_set(changed.row(y), changed.words(),
                          [&](int x) { line[x] = frame.program.kernels.change(rows.at(y, x), seen_at(y, x), info.channels, step.norm); });
  });
  measured = total;
}

void gate_outputs(const Frame& frame, const Step& step, Bitmap& computed) {
  const OutputGate& gate = *step.gate;
  OutputMemory& memory = frame.state.outputs[step.index];
  memory.candidates = 0;
  if (!computed.any()) return;
  const MapInfo& source = frame.program.maps[step.sources[0]];
  const MapInfo& target = frame.program.maps[step.map];
  const float* amounts = frame.state.memory[gate.change].data();
  float* pending = memory.pending.data();
  const Footprint& footprint = step.footprints[0];
  const Taps rows(footprint, 0, target.height), columns(footprint, 1, target.width);
  std::atomic<std::size_t> candidates{0};
  for_rows(frame, target.height, computed.count() > pixels_worth_sharing, [&](int y) {
    std::uint64_t* bits = computed.row(y);
    float* line = pending + static_cast<std::size_t>(y) * target.width;
    candidates += for_each_set(bits, computed.words(), [&](int x) {
      float amount = 0;
      for (int i = 0; i < rows.count(); ++i) {
        const int from_y = rows.at(y, i, source.height);
        if (from_y < 0) continue;
        for (int j = 0; j < columns.count(); ++j) {
          const int from_x = columns.at(x, j, source.width);
          if (from_x < 0) continue;
          const float value = amounts[static_cast<std::size_t>(from_y) * source.width + from_x];
          if (gate.norm != Norm::largest) {
            amount += value;
          } else if (value > amount || value != value) {
            amount = value;
          }
        }
      }
      line[x] += gate.norm == Norm::squares ? std::sqrt(amount) : amount;
      if (line[x] <= memory.limit) {
        bits[x / 64] &= ~(std::uint64_t{1} << (x % 64));
      } else {
        line[x] = 0;  // a NaN opens, too
      }
    });
  });
  memory.candidates = candidates;
  computed.settle();
  if (gate.block == 1 || !computed.any()) return;
  computed.round_to_blocks(gate.block);
  for (int y = 0; y < target.height; ++y) {
    float* line = pending + static_cast<std::size_t>(y) * target.width;
    for_each_set(computed.row(y), computed.words(), [&](int x) { line[x] = 0; });
  }
}

}  // namespace skipvid
