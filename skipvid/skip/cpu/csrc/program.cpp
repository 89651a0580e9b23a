#include "program.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace skipvid {

State::State(const Program& owner, bool forgets)
    : program(owner),
      dense(forgets),
      floats(forgets ? owner.shared_floats : owner.floats),
      counts(owner.maps.size(), 0),
      limits(owner.maps.size(), 0.0F),
      taken(owner.maps.size()) {
  for (std::size_t map = 0; map < owner.maps.size(); ++map) {
    const MapInfo& info = owner.maps[map];
    computed.emplace_back(info.height, info.width);
    published.emplace_back(owner.gates[map].gated ? info.height : 0, info.width);
  }
  outputs.resize(owner.entries.size());
  for (const Entry& entry : owner.entries) {
    const MapInfo& info = owner.maps[entry.map];
    const bool watch = entry.kind == Entry::Kind::watch;
    const std::size_t watched = watch && !dense ? watch_memory(info.height, info.width, info.channels) : 0;
    memory.emplace_back(entry.step ? entry.step->memory() : watched);
    if (entry.gate && !dense) outputs[entry.index].pending = Buffer(info.pixels());
  }
}

Rows State::rows(int map) const {
  const MapInfo& info = program.maps[map];
  return {floats.data() + (dense ? program.shared[map] : info.offset), info.stride, info.height, info.width};
}

const Bitmap& State::changed(int map) const { return program.gates[map].gated ? published[map] : computed[map]; }
Bitmap& State::changed(int map) { return program.gates[map].gated ? published[map] : computed[map]; }

std::size_t State::bytes() const {
  std::size_t total = floats.bytes();
  for (const Buffer& buffer : memory) total += buffer.bytes();
  for (const OutputMemory& output : outputs) total += output.pending.bytes();
  for (const TakenPicture& picture : taken) total += picture.bytes.size();
  for (const std::vector<Bitmap>* bitmaps : {&computed, &published}) {
    for (const Bitmap& bitmap : *bitmaps) total += static_cast<std::size_t>(bitmap.height()) * bitmap.words() * sizeof(std::uint64_t);
  }
  return total;
}

int Program::add_map(int height, int width, int channels, bool compact) {
  if (height < 1 || width < 1 || channels < 1 || height > largest_extent || width > largest_extent) {
    throw std::invalid_argument("a map must have from 1 to " + std::to_string(largest_extent) + " rows and columns, not " +
                                std::to_string(height) + " x " + std::to_string(width));
  }
  // A network input of few channels is stored without padding lanes: it is the largest map, and only convolutions read it, by the element.
  const std::ptrdiff_t stride = compact && channels <= 4 ? 4 : padded(channels);
  maps.push_back({height, width, channels, static_cast<std::ptrdiff_t>(floats), stride, static_cast<int>(maps.size())});
  floats += room_of(maps.back());
  gates.emplace_back();
  const std::size_t line = static_cast<std::size_t>(width) * stride;
  if (zeros_.bytes() < line * sizeof(float)) zeros_.reserve(line);
  std::vector<Pixel>& pixels = all_pixels_[{height, width}];
  if (pixels.empty()) {
    pixels.reserve(maps.back().pixels());
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) pixels.push_back(static_cast<Pixel>(y) << 16 | static_cast<Pixel>(x));
    }
  }
  return static_cast<int>(maps.size()) - 1;
}

int Program::add_part(int of, int channels, std::ptrdiff_t channel_offset) {
  MapInfo part = maps[of];
  part.channels = channels;
  part.offset += channel_offset;
  maps.push_back(part);
  gates.emplace_back();
  return static_cast<int>(maps.size()) - 1;
}

void Program::add(Entry entry) {
  entry.index = static_cast<int>(entries.size());
  if (entry.step) entry.step->index = entry.index;
  entries.push_back(std::move(entry));
}

int Program::add_segment(int first, int last) {
  segments_.push_back({first, last, find_waves(*this, first, last)});
  return static_cast<int>(segments_.size()) - 1;
}

std::unique_ptr<Workspace> Program::borrow() const {
  const std::lock_guard lock(lock_);
  if (idle_.empty()) {
    auto workspace = std::make_unique<Workspace>();
    workspace->threads.resize(pool->size());
    workspace->shares.resize(pool->size());
    return workspace;
  }
  std::unique_ptr<Workspace> workspace = std::move(idle_.back());
  idle_.pop_back();
  return workspace;
}

void Program::give_back(std::unique_ptr<Workspace> workspace) const {
  const std::lock_guard lock(lock_);
  idle_.push_back(std::move(workspace));
}

void Program::run(State& state, std::span<const InputArray> inputs, int segment, bool keyframe, bool gates_wanted) const {
  ThreadPool::Lease lease(*pool);
  if (state.dense && (!keyframe || gates_wanted)) throw std::logic_error("a dense state remembers nothing for a gated frame");
  if (&state.program != this) throw std::logic_error("the state belongs to another program");
  if (segment == 0) {
    if (!keyframe && !state.current) throw std::logic_error("a state that holds no frame, or a failed one, needs a keyframe");
    state.current = false;
  }
  std::unique_ptr<Workspace> workspace = borrow();
  const Frame frame{*this, state, lease, *workspace, inputs, keyframe, gates_wanted};
  run_segment(frame, segments_.at(segment));
  give_back(std::move(workspace));
  if (segment + 1 == static_cast<int>(segments_.size())) state.current = gates_wanted;
}

}  // namespace skipvid
