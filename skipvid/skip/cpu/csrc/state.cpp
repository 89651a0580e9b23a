#include "state.hpp"

namespace skipvid {

namespace {

// Floats that have room for some values.
std::size_t floats_for(const Program& program, std::size_t values) {
  return (values * program.value_size() + sizeof(float) - 1) / sizeof(float);
}

}  // namespace

State::State(const Program& owner, bool forgets)
    : program(owner),
      dense(forgets),
      values(floats_for(owner, forgets ? owner.shared_values : owner.values)),
      counts(owner.maps.size(), 0),
      limits(owner.maps.size(), 0.0F),
      pictures(owner.maps.size()) {
  for (std::size_t map = 0; map < owner.maps.size(); ++map) {
    const MapInfo& info = owner.maps[map];
    computed.emplace_back(info.height, info.width);
    published.emplace_back(owner.gates[map].gated ? info.height : 0, info.width);
    changes.push_back(owner.gates[map].smoothed && !dense ? ChangePlane(info.height, info.width) : ChangePlane());
  }
  outputs.resize(owner.steps.size());
  for (const Step& step : owner.steps) {
    const MapInfo& info = owner.maps[step.map];
    const bool measures = step.kind == StepKind::change && !dense;
    const std::size_t own = measures ? change_memory(owner, info) : 0;
    memory.emplace_back(step.operation ? step.operation->memory() : own);
    if (step.gate && !dense) outputs[step.index].pending = Buffer(info.pixels());
    choices.emplace_back();
    if (step.choice && !dense) {
      const MapInfo& seen = owner.maps[step.sources[1]];
      choices.back().news = Bitmap(seen.height, seen.width);
    }
    pending.emplace_back(step.guard >= 0 && !dense ? info.height : 0, info.width);
  }
}

Rows State::rows(int map) const {
  const MapInfo& info = program.maps[map];
  const std::ptrdiff_t size = program.value_size(), offset = dense ? program.shared[map] : info.offset;
  const std::ptrdiff_t own = program.in_floats(map) ? sizeof(float) : size;
  return {reinterpret_cast<std::byte*>(values.data()) + offset * size, info.stride * own, info.height, info.width};
}

const Bitmap& State::changed(int map) const { return program.gates[map].gated ? published[map] : computed[map]; }
Bitmap& State::changed(int map) { return program.gates[map].gated ? published[map] : computed[map]; }

std::size_t State::bytes() const {
  std::size_t total = values.bytes();
  for (const Buffer& buffer : memory) total += buffer.bytes();
  for (const OutputMemory& output : outputs) total += output.pending.bytes();
  for (const ChangePlane& plane : changes) total += plane.bytes();
  for (const PublishedPicture& picture : pictures) total += picture.bytes.size() + picture.last.size();
  const auto size_of = [](const Bitmap& bitmap) {
    return static_cast<std::size_t>(bitmap.height()) * bitmap.words() * sizeof(std::uint64_t);
  };
  for (const std::vector<Bitmap>* bitmaps : {&computed, &published, &pending}) {
    for (const Bitmap& bitmap : *bitmaps) total += size_of(bitmap);
  }
  for (const ChoiceMemory& choice : choices) total += size_of(choice.news);
  return total;
}

}  // namespace skipvid
