#include "choices.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "frame.hpp"

namespace skipvid {

namespace {

constexpr double tiny = 1e-12;  // mean magnitude below which an input counts as zero

// target |= source, rows alone that have bits.
void join(const Bitmap& source, Bitmap& target) {
  if (!source.any()) return;
  for (int y = source.top(); y < source.bottom(); ++y) {
    const std::uint64_t* from = source.row(y);
    std::uint64_t* to = target.row(y);
    for (int word = 0; word < source.words(); ++word) to[word] |= from[word];
  }
  const int top = target.any() ? std::min(source.top(), target.top()) : source.top();
  target.settle(top, target.any() ? std::max(source.bottom(), target.bottom()) : source.bottom());
}

int largest(std::span<const double> values) { return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin()); }

std::vector<double> logits_of(const Frame& frame, const Step& step, double active) {
  const int mean = step.sources[0], channels = frame.program.maps[mean].channels;
  const Rows rows = frame.state.rows(mean);
  Buffer values(padded(channels));
  if (frame.program.in_floats(mean)) {
    std::copy_n(reinterpret_cast<const float*>(rows.at(0, 0)), channels, values.data());
  } else {
    frame.program.kernels.widen(rows.at(0, 0), channels, values.data());
  }
  return step.choice->logits({values.data(), static_cast<std::size_t>(channels)}, active);
}

// The number as a value, for whoever reads the map.
void write(const Frame& frame, const Step& step, int number) {
  Buffer value(padded(1));
  value.data()[0] = static_cast<float>(number);
  std::byte* const row = frame.state.rows(step.map).at(0, 0);
  if (frame.program.in_floats(step.map)) {
    *reinterpret_cast<float*>(row) = value.data()[0];
  } else {
    frame.program.kernels.put(value.data(), padded(1), &row, 1, 1);
  }
}

// After a change; returns the ratio.
int next_ratio(const ChoiceRule& rule, const ChoiceMemory& memory, std::span<const double> logits) {
  if (memory.stayed < rule.least_stay && std::isfinite(logits[memory.ratio])) return memory.ratio;
  std::vector<double> kept(logits.begin(), logits.begin() + rule.ratios);
  kept[memory.ratio] += rule.hysteresis;
  return largest(kept);
}

const ChoiceMemory& memory_of(const Frame& frame, int choice) { return frame.state.choices[choice]; }

}  // namespace

std::vector<double> ChoiceRule::logits(std::span<const float> means, double active) const {
  double magnitude = 0;
  for (const float mean : means) magnitude += std::abs(static_cast<double>(mean));
  magnitude /= static_cast<double>(means.size());
  if (magnitude < tiny) magnitude = tiny;
  std::vector<double> hidden = inner_bias;
  const std::size_t width = hidden.size();
  for (int feature = 0; feature < features; ++feature) {
    const double value = feature + 1 < features ? means[feature] / magnitude : active;
    const double* weights = inner.data() + static_cast<std::size_t>(feature) * width;
    for (std::size_t unit = 0; unit < width; ++unit) hidden[unit] += weights[unit] * value;
  }
  std::vector<double> found = outer_bias;
  for (std::size_t choice = 0; choice < found.size(); ++choice) {
    for (std::size_t unit = 0; unit < width; ++unit) {
      // Written so that a NaN stays one.
      const double positive = hidden[unit] < 0 ? 0 : hidden[unit];
      found[choice] += outer[choice * width + unit] * positive;
    }
    if (std::isnan(found[choice])) found[choice] = -std::numeric_limits<double>::infinity();
  }
  return found;
}

bool choose(const Frame& frame, const Step& step) {
  State& state = frame.state;
  const ChoiceRule& rule = *step.choice;
  ChoiceMemory& memory = state.choices[step.index];
  Bitmap& computed = state.computed[step.map];
  if (frame.keyframe) {
    const std::vector<double> logits = logits_of(frame, step, 1.0);
    memory.number = memory.ratio = largest(std::span(logits).first(rule.ratios));
    memory.stayed = 1;
    memory.age = 0;
    if (!state.dense) memory.news.clear();
    computed.fill();
    state.counts[step.map] = 1;
    write(frame, step, memory.number);
    return true;
  }
  computed.clear();
  state.counts[step.map] = 0;
  join(static_cast<const State&>(state).changed(step.sources[1]), memory.news);
  if (!memory.news.any()) return false;
  state.counts[step.map] = 1;
  const double pixels = static_cast<double>(frame.program.maps[step.sources[1]].pixels());
  const std::vector<double> logits = logits_of(frame, step, static_cast<double>(memory.news.count()) / pixels);
  const std::span<const double> widths = std::span(logits).first(rule.ratios);
  const int before = memory.number;
  if (rule.reuse && memory.age < rule.longest_reuse && logits[rule.ratios] > widths[largest(widths)]) {
    memory.number = rule.ratios;
    ++memory.age;
  } else {
    memory.number = next_ratio(rule, memory, logits);
    memory.stayed = memory.number == memory.ratio ? std::min(memory.stayed, std::numeric_limits<int>::max() - 1) + 1 : 1;
    memory.ratio = memory.number;
    memory.age = 0;
    memory.news.clear();
  }
  if (memory.number != before) {
    computed.fill();
    write(frame, step, memory.number);
  }
  return true;
}

bool is_off(const Frame& frame, const Step& step) { return step.guard >= 0 && memory_of(frame, step.guard).number != step.guard_number; }

bool is_reused(const Frame& frame, const Step& step) {
  return step.selects >= 0 && memory_of(frame, step.selects).number == frame.program.steps[step.selects].choice->ratios;
}

std::pair<int, int> adapted_rows(const Frame& frame, const Step& step, std::pair<int, int> reached) {
  State& state = frame.state;
  const int height = frame.program.maps[step.map].height;
  if (step.selects >= 0) {
    if (!is_reused(frame, step)) return reached;
    if (!step.changes_when_reused) return {0, 0};
    state.computed[step.map].fill();
    return {0, height};
  }
  Bitmap& pending = state.pending[step.index];
  if (is_off(frame, step)) {
    if (reached.first == reached.second) return {0, 0};
    const int top = pending.any() ? std::min(pending.top(), reached.first) : reached.first;
    const int bottom = pending.any() ? std::max(pending.bottom(), reached.second) : reached.second;
    for (std::size_t i = 0; i < step.sources.size(); ++i) {
      spread(step.footprints[i], static_cast<const State&>(state).changed(step.sources[i]), pending, reached.first, reached.second);
    }
    pending.settle(top, bottom);
    return {0, 0};
  }
  if (!pending.any()) return reached;
  const int top = reached.first == reached.second ? pending.top() : std::min(pending.top(), reached.first);
  const int bottom = reached.first == reached.second ? pending.bottom() : std::max(pending.bottom(), reached.second);
  join(pending, state.computed[step.map]);
  pending.clear();
  return {top, bottom};
}

bool starts(const Frame& frame, const Step& step) {
  if (step.guard < 0) return true;
  State& state = frame.state;
  const bool off = is_off(frame, step);
  if (!state.dense) off ? state.pending[step.index].fill() : state.pending[step.index].clear();
  if (!off) return true;
  state.computed[step.map].clear();
  state.counts[step.map] = 0;
  return false;
}

}  // namespace skipvid
