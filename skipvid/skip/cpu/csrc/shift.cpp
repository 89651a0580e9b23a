// A frame before which the scene moved by whole pixels (skipvid/skip/reference/shifting.py is the definition): rows move with it, and besides
// what changed only what moving does not make right is computed.
#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "frame.hpp"

namespace skipvid {

namespace {

// By how many of its own pixels a map moves, if by whole ones.
std::optional<Shift> moves_by(const Frame& frame, int map) {
  const std::vector<Step>& steps = frame.program.steps;
  const auto input = std::find_if(steps.begin(), steps.end(), [](const Step& step) { return step.kind == StepKind::input; });
  const MapInfo &whole = frame.program.maps[input->map], &own = frame.program.maps[map];
  const std::int64_t y = static_cast<std::int64_t>(frame.shift.y) * own.height, x = static_cast<std::int64_t>(frame.shift.x) * own.width;
  if (y % whole.height != 0 || x % whole.width != 0) return std::nullopt;
  return Shift{static_cast<int>(y / whole.height), static_cast<int>(x / whole.width)};
}

// The places [first, last) along an axis that had been places before.
std::pair<int, int> known(int extent, int by) {
  const int first = std::max(0, -by);
  return {first, std::max(first, std::min(extent, extent - by))};
}

// Calls copy(y, first, last) for the rows that are known, in an order in which none is overwritten before it is read, and
// forget(y, first, last) for what is not known.
template <class Copy, class Forget>
void move_rows(int height, int width, Shift by, const Copy& copy, const Forget& forget) {
  const auto [top, bottom] = known(height, by.y);
  const auto [left, right] = known(width, by.x);
  for (int i = top; i < bottom; ++i) copy(by.y >= 0 ? i : top + bottom - 1 - i, left, right);
  for (int y = 0; y < height; ++y) {
    if (y < top || y >= bottom) {
      forget(y, 0, width);
    } else {
      forget(y, 0, left);
      forget(y, right, width);
    }
  }
}

void move_map(const Frame& frame, int map, Shift by) {
  const MapInfo& info = frame.program.maps[map];
  const Rows rows = frame.state.rows(map);
  move_rows(
      info.height, info.width, by,
      [&](int y, int first, int last) {
        if (last > first)
          std::memmove(rows.at(y, first), rows.at(y + by.y, first + by.x), static_cast<std::size_t>(last - first) * rows.stride);
      },
      [&](int y, int first, int last) {
        for (int x = first; x < last; ++x) {
          if (frame.program.in_floats(map)) {
            std::fill_n(reinterpret_cast<float*>(rows.at(y, x)), info.channels, std::numeric_limits<float>::quiet_NaN());
          } else {
            std::fill_n(reinterpret_cast<std::uint16_t*>(rows.at(y, x)), info.channels, std::uint16_t{0x7fc0});
          }
        }
      });
}

void move_changes(const Frame& frame, int map, Shift by) {
  const ChangePlane& plane = frame.state.changes[map];
  move_rows(
      frame.program.maps[map].height, frame.program.maps[map].width, by,
      [&](int y, int first, int last) {
        std::memmove(plane.row(y) + first, plane.row(y + by.y) + first + by.x, (last - first) * sizeof(float));
      },
      [&](int y, int first, int last) { std::fill(plane.row(y) + first, plane.row(y) + std::max(first, last), 0.0F); });
}

void move_picture(PublishedPicture& picture, Shift by) {
  const std::size_t line = static_cast<std::size_t>(picture.width) * 3;
  std::uint8_t* const bytes = picture.bytes.data();
  move_rows(
      picture.height, picture.width, by,
      [&](int y, int first, int last) {
        std::memmove(bytes + y * line + first * 3, bytes + (y + by.y) * line + (first + by.x) * 3,
                     static_cast<std::size_t>(last - first) * 3);
      },
      [](int, int, int) {});
}

// All of the bits of a row, or column, that are not right, by whether its taps moved as they did.
bool is_right(const Footprint& footprint, int axis, int place, int own, int read, int extent, int outputs) {
  if (place + own < 0 || place + own >= outputs) return false;
  switch (footprint.kind) {
    case Footprint::Kind::same: return extent == outputs && own == read;
    case Footprint::Kind::window: {
      const int start = place * footprint.stride[axis] + footprint.origin[axis];
      for (int k = 0; k < footprint.kernel[axis]; ++k) {
        const int at = start + k * footprint.dilation[axis];
        if ((at >= 0 && at < extent) != (at + read >= 0 && at + read < extent)) return false;
      }
      return own * footprint.stride[axis] == read;
    }
    case Footprint::Kind::taps: {
      const std::vector<std::int32_t>& table = footprint.table[axis];
      const std::size_t taps = table.size() / outputs;
      for (std::size_t k = 0; k < taps; ++k) {
        const std::int32_t now = table[place * taps + k], then = table[(place + own) * taps + k];
        if (now < 0 ? then >= 0 : then != now + read) return false;
      }
      return true;
    }
    default: return false;
  }
}

// Set the bits of what moving does not make right.
void mark_wrong(const Frame& frame, const Step& step, Bitmap& computed) {
  const std::optional<Shift> own = moves_by(frame, step.map);
  if (!own || (step.operation && !step.operation->moves())) return computed.fill();
  const MapInfo& info = frame.program.maps[step.map];
  std::vector<std::uint64_t> columns(computed.words(), 0);
  std::vector<char> rows(info.height, 0);
  for (std::size_t i = 0; i < step.sources.size(); ++i) {
    const MapInfo& source = frame.program.maps[step.sources[i]];
    const Footprint& footprint = step.footprints[i];
    const bool spreads = footprint.kind == Footprint::Kind::same && source.pixels() == 1 && info.pixels() != 1;
    if (spreads) continue;  // the same for all pixels
    const std::optional<Shift> read = moves_by(frame, step.sources[i]);
    if (!read) return computed.fill();
    for (int y = 0; y < info.height; ++y) rows[y] |= !is_right(footprint, 0, y, own->y, read->y, source.height, info.height);
    for (int x = 0; x < info.width; ++x) {
      const bool right = is_right(footprint, 1, x, own->x, read->x, source.width, info.width);
      columns[x / 64] |= static_cast<std::uint64_t>(!right) << (x % 64);
    }
  }
  for (int y = 0; y < info.height; ++y) {
    std::uint64_t* const bits = computed.row(y);
    for (int word = 0; word < computed.words(); ++word) bits[word] |= columns[word];
    if (!rows[y]) continue;
    for (int x = 0; x < info.width; ++x) bits[x / 64] |= std::uint64_t{1} << (x % 64);
  }
}

void search(const Frame& frame, const Step& step) {
  Bitmap& computed = frame.state.computed[step.map];
  computed.clear();
  for (std::size_t i = 0; i < step.sources.size(); ++i) {
    spread(step.footprints[i], frame.state.changed(step.sources[i]), computed, 0, computed.height());
  }
  mark_wrong(frame, step, computed);
  computed.settle();
  frame.state.counts[step.map] = computed.count();
}

}  // namespace

void move_state(const Frame& frame) {
  const int maps = static_cast<int>(frame.program.maps.size());
  frame.lease.run(maps, [&](int map, int) {
    const std::optional<Shift> by = moves_by(frame, map);
    if (!by) return;
    if (frame.program.maps[map].owner == map && frame.program.maps[map].stored) move_map(frame, map, *by);
    if (frame.program.gates[map].smoothed) move_changes(frame, map, *by);
    if (frame.state.pictures[map].height > 0) move_picture(frame.state.pictures[map], *by);
  });
}

void search_shifted(const Frame& frame, const Wave& wave, std::vector<Job>& jobs) {
  std::vector<Pixel>& list = frame.workspace.list;
  std::size_t listed = 0;
  for (const int index : wave.steps) {
    const Step& step = frame.program.steps[index];
    if (!step.operation) continue;
    if (frame.program.gates[step.map].gated) frame.state.published[step.map].clear();
    search(frame, step);
    listed += frame.state.counts[step.map];
  }
  if (list.size() < listed + list_room) list.resize(listed + list_room);
  Pixel* next = list.data();
  for (const int index : wave.steps) {
    const Step& step = frame.program.steps[index];
    if (!step.operation || frame.state.counts[step.map] == 0) continue;
    const Bitmap& computed = frame.state.computed[step.map];
    const std::size_t found = computed.list(computed.top(), computed.bottom(), frame.program.kernels, next);
    jobs.push_back({&frame, &step, {next, found}});
    next += found;
  }
}

void update_shifted_view(const Frame& frame, const Step& step) { search(frame, step); }

}  // namespace skipvid
