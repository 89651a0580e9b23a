// Network inputs: compare with what was published, take over what the gate lets through.
//
// An input comes as floats, or as the bytes of a picture with a table of values for each channel. Of a picture the published bytes are kept,
// too: equal bytes have equal values, so that only pixels whose bytes differ are looked up, and only those published are converted.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "work.hpp"

namespace skipvid {

namespace {

// Takes over the published pixels of a row.
template <class Copy>
void copy_open(const Bitmap& published, int y, const Copy& copy) {
  for (int word = 0; word < published.words(); ++word) {
    if (const std::uint64_t bits = published.row(y)[word]; bits != 0) copy(y, word * 64, bits);
  }
}

// What there is to do with a smoothed gate: `measure` (y) writes the changes of a row, and `copy` (y, x, bits) takes those of 64 pixels from
// x on over.
template <class Measure, class Copy>
void take_smoothed(const Frame& frame, const Step& step, int height, const Measure& measure, const Copy& copy) {
  Bitmap& published = frame.state.published[step.map];
  const ChangePlane& plane = frame.state.changes[step.map];
  const auto differs = [&](int y) { return std::any_of(plane.row(y), plane.row(y) + published.width(), [](float x) { return x != 0; }); };
  int first = 0;
  bool changed = false;
  for (; first < height && !changed; ++first) {  // until something has changed the other threads may sleep
    measure(first);
    changed = differs(first);
  }
  if (!changed) return;
  frame.lease.run(height - first, [&](int y, int) { measure(first + y); });
  const Smoothing smoothing(frame, step.map);
  frame.lease.run(height, [&](int y, int) { smoothing.decide(y, frame.state.computed[step.map]); });
  published.settle();
  published.round_to_blocks(frame.program.gates[step.map].block);
  frame.lease.run(height, [&](int y, int) {
    copy_open(published, y, copy);
    for_each_set(published.row(y), published.words(), [&](int x) { plane.row(y)[x] = 0; });
  });
}

// Runs `compare` (sets a row's bits in the published bitmap), `measure` (y; writes a row's changes), `copy` (y, x, bits) and `copy_row` (y) over an
// input, as its gate wants it.
template <class Compare, class Measure, class Copy, class CopyRow>
void take(const Frame& frame, const Step& step, int height, const Compare& compare, const Measure& measure, const Copy& copy,
          const CopyRow& copy_row) {
  const Gate& gate = frame.program.gates[step.map];
  Bitmap& published = frame.state.published[step.map];
  const bool ask = gate.gated && !frame.keyframe;
  if (ask && gate.smoothed) return take_smoothed(frame, step, height, measure, copy);
  const auto take_row = [&](int y) {
    if (!ask) return copy_row(y);
    compare(y);
    if (gate.block == 1) copy_open(published, y, copy);
  };
  // Until something has changed the other threads may sleep.
  int first = 0;
  for (bool changed = !ask; first < height && !changed; ++first) {
    take_row(first);
    changed = published.any(first);
  }
  constexpr int band = 8;  // rows that are worth asking for
  frame.lease.run((height - first + band - 1) / band, [&](int number, int) {
    for (int y = first + number * band; y < std::min(first + (number + 1) * band, height); ++y) take_row(y);
  });
  if (!ask) return;
  published.settle();
  if (gate.block > 1) {
    published.round_to_blocks(gate.block);
    frame.lease.run(height, [&](int y, int) { copy_open(published, y, copy); });
  }
}

template <class Value>
void read_floats(const Frame& frame, const Step& step) {
  const MapInfo& info = frame.program.maps[step.map];
  const Rows target = frame.state.rows(step.map);
  const InputArray& array = frame.inputs[step.input];
  Bitmap& published = frame.state.published[step.map];
  const float limit = frame.state.limits[step.map];
  const auto source = [&](int y, int x) { return array.data + y * array.row + x * array.column; };
  const auto compare = [&](int y) {
    for (int x = 0; x < info.width; x += 64) {
      published.row(y)[x / 64] = frame.program.kernels.input_changes(source(y, x), array.channel, array.column, target.at(y, x),
                                                                     target.stride, std::min(64, info.width - x), info.channels, limit);
    }
  };
  const auto put = [&](int y, int x) {
    const float* from = source(y, x);
    Value* to = reinterpret_cast<Value*>(target.at(y, x));
    for (int c = 0; c < info.channels; ++c) to[c] = narrowed<Value>(from[c * array.channel]);
    if (sizeof(Value) < sizeof(float) && info.channels < info.stride) to[info.channels] = Value{};  // see Convolution::join()
  };
  const auto copy = [&](int y, int x, std::uint64_t bits) { for_each_set(&bits, 1, [&](int i) { put(y, x + i); }); };
  const auto measure = [&](int y) {
    frame.program.kernels.input_distances(source(y, 0), array.channel, array.column, target.at(y, 0), target.stride, info.width,
                                          info.channels, frame.state.changes[step.map].row(y));
  };
  take(frame, step, info.height, compare, measure, copy, [&](int y) {
    for (int x = 0; x < info.width; ++x) put(y, x);
  });
}

template <class Value>
void read_picture(const Frame& frame, const Step& step) {
  const MapInfo& info = frame.program.maps[step.map];
  const Rows target = frame.state.rows(step.map);
  const Picture& picture = *frame.inputs[step.input].picture;
  const float limit = frame.state.limits[step.map];
  Bitmap& published = frame.state.published[step.map];
  PublishedPicture& kept = frame.state.pictures[step.map];
  std::vector<std::uint8_t>& seen = kept.bytes;
  const std::size_t line = static_cast<std::size_t>(picture.width) * 3;
  Value stored[3][256];
  float tables[3][256];  // the same
  for (int i = 0; i < 3 * 256; ++i) {
    stored[i / 256][i % 256] = narrowed<Value>(picture.tables[i]);
    tables[i / 256][i % 256] = widened(stored[i / 256][i % 256]);
  }
  const std::array<int, 3> order = picture.order;
  // How much the value changes at least and at most for each step of a byte, with room for rounding: most pixels need no more than that.
  float least = std::numeric_limits<float>::infinity(), most = 0;
  for (int c = 0; c < 3; ++c) {
    const bool up = tables[c][255] >= tables[c][0];
    for (int byte = 0; byte < 255; ++byte) {
      const float step = up ? tables[c][byte + 1] - tables[c][byte] : tables[c][byte] - tables[c][byte + 1];
      least = std::min(least, step);
      most = std::max(most, std::fabs(step));
    }
  }
  const int never = most > 0 && limit >= 0 ? static_cast<int>(std::clamp(std::ceil(limit / most * 0.999F), 1.0F, 1000.0F)) : 1;
  const int surely = least > 0 && limit >= 0 ? static_cast<int>(std::clamp(std::floor(limit / least * 1.001F) + 1, 1.0F, 1000.0F)) : 1000;
  // Whether the picture's border lies now between a pixel and what it has moved from: nothing is known of it.
  const Shift by = frame.shift;
  const auto covered = [&](int y, int x) { return y >= 0 && y < picture.height && x >= 0 && x < picture.width; };
  const auto unknown = [&](int y, int x) { return by.any() && !covered(y + by.y, x + by.x); };
  const auto distance = [&](const std::uint8_t* now, const std::uint8_t* before) {
    float total = 0;
    for (int c = 0; c < 3; ++c) total += std::fabs(tables[c][now[order[c]]] - tables[c][before[order[c]]]);
    return total;
  };
  const auto bytes_of = [](const Value(&table)[256]) { return reinterpret_cast<const std::byte*>(table); };
  const ByteValues values{{bytes_of(stored[0]), bytes_of(stored[1]), bytes_of(stored[2])}, {order[0], order[1], order[2]}};
  if (frame.keyframe) {
    seen.resize(line * picture.height);
    kept.last.resize(seen.size());
    kept.height = picture.height;
    kept.width = picture.width;
    for (int y = 0; y < info.height; ++y) {  // what the picture does not cover is 0
      const int from = y < picture.height ? picture.width : 0;
      std::memset(target.at(y, from), 0, static_cast<std::size_t>(info.width - from) * target.stride);
    }
  }
  std::vector<Pixel> beside;  // what lies there is 0 wherever it has moved from
  for (int y = 0; by.any() && y < info.height; ++y) {
    for (int x = y < picture.height ? picture.width : 0; x < info.width; ++x) {
      const bool inside = y + by.y >= 0 && y + by.y < info.height && x + by.x >= 0 && x + by.x < info.width;
      if (inside && !covered(y + by.y, x + by.x)) continue;
      std::memset(target.at(y, x), 0, static_cast<std::size_t>(info.channels) * sizeof(Value));
      if (frame.program.gates[step.map].smoothed) frame.state.changes[step.map].row(y)[x] = 0;
      beside.push_back(pixel_at(y, x));
    }
  }
  const auto compare = [&](int y) {
    const std::ptrdiff_t first = y * line;
    // What is as in the last frame stays as it was decided then, unless the scene has moved.
    if (!by.any() && std::memcmp(picture.bytes + first, kept.last.data() + first, line) == 0) return;  // the bitmap is clear
    for (int x = 0; x < picture.width; x += 64) {
      const int count = std::min(64, picture.width - x);
      const std::ptrdiff_t at = first + std::ptrdiff_t{3} * x;
      const std::uint8_t *const now = picture.bytes + at, *const before = seen.data() + at;
      std::uint8_t* const last = kept.last.data() + at;
      std::uint64_t moved = frame.program.kernels.byte_changes(now, last, count, 1, 1).first;
      if (moved != 0) std::memcpy(last, now, static_cast<std::size_t>(count) * 3);
      if (by.any()) moved = ~std::uint64_t{0};
      if (moved == 0) continue;
      const auto [some, enough] = frame.program.kernels.byte_changes(now, before, count, never, surely);
      std::uint64_t bits = enough & moved;
      const std::uint64_t unsure = some & ~enough & moved;
      for_each_set(&unsure, 1, [&](int i) {
        bits |= static_cast<std::uint64_t>(distance(now + std::ptrdiff_t{3} * i, before + std::ptrdiff_t{3} * i) > limit) << i;
      });
      if (bits != 0) published.row(y)[x / 64] = bits;
    }
    for (int x = 0; by.any() && x < picture.width; ++x) {
      if (unknown(y, x)) published.row(y)[x / 64] |= std::uint64_t{1} << (x % 64);
    }
  };
  const auto measure = [&](int y) {
    const std::uint8_t* now = picture.bytes + y * line;
    const std::uint8_t* before = seen.data() + y * line;
    float* const sums = frame.state.changes[step.map].row(y);
    for (int x = 0; x < picture.width; x += 64, now += 192, before += 192) {
      const int count = std::min(64, picture.width - x);
      if (std::memcmp(now, before, static_cast<std::size_t>(count) * 3) == 0) {
        std::fill_n(sums + x, count, 0.0F);
        continue;
      }
      for (int i = 0; i < count; ++i) sums[x + i] = distance(now + std::ptrdiff_t{3} * i, before + std::ptrdiff_t{3} * i);
    }
    for (int x = 0; by.any() && x < picture.width; ++x) {
      if (unknown(y, x)) sums[x] = std::numeric_limits<float>::quiet_NaN();
    }
  };
  const auto copy = [&](int y, int x, std::uint64_t bits) {
    const int count = picture.width - x;  // a block may reach beyond the picture
    if (count < 64) bits &= count <= 0 ? 0 : (std::uint64_t{1} << count) - 1;
    const std::ptrdiff_t at = y * line + std::ptrdiff_t{3} * x;
    frame.program.kernels.publish_bytes(values, picture.bytes + at, std::min(count, 64), bits, target.at(y, x), target.stride,
                                        seen.data() + at);
  };
  take(frame, step, picture.height, compare, measure, copy, [&](int y) {
    for (int x = 0; x < picture.width; x += 64) copy(y, x, ~std::uint64_t{0});
    if (!frame.gates) return;
    std::memcpy(kept.last.data() + y * line, picture.bytes + y * line, line);
  });
  if (beside.empty()) return;
  for (const Pixel pixel : beside) published.row(row_of(pixel))[column_of(pixel) / 64] |= std::uint64_t{1} << (pixel % 64);
  published.settle();
}

// What is read is what the program was compiled for, and a picture is compared with one that covered the same pixels.
void check(const Frame& frame, const Step& step) {
  if (static_cast<std::size_t>(step.input) >= frame.inputs.size()) {
    throw std::invalid_argument("the network takes more inputs than the " + std::to_string(frame.inputs.size()) + " given");
  }
  const MapInfo& info = frame.program.maps[step.map];
  const InputArray& array = frame.inputs[step.input];
  const auto text = [](std::size_t channels, std::size_t height, std::size_t width) {
    return "(" + std::to_string(channels) + ", " + std::to_string(height) + ", " + std::to_string(width) + ")";
  };
  const auto wanted = [&] { return text(info.channels, info.height, info.width); };
  const auto [channels, height, width] = array.shape;
  if (array.picture == nullptr) {
    const bool fits = channels == static_cast<std::size_t>(info.channels) && height == static_cast<std::size_t>(info.height) &&
                      width == static_cast<std::size_t>(info.width);
    if (!fits) throw std::invalid_argument("an input has the shape " + text(channels, height, width) + " instead of " + wanted());
    return;
  }
  const Picture& picture = *array.picture;
  const auto is_byte_of_pixel = [](int byte) { return 0 <= byte && byte < 3; };
  if (info.channels != 3 || picture.height > info.height || picture.width > info.width) {
    throw std::invalid_argument("a picture of " + text(channels, height, width) + " does not fit an input of " + wanted());
  }
  if (!std::all_of(picture.order.begin(), picture.order.end(), is_byte_of_pixel)) {
    throw std::invalid_argument("the order of a picture's bytes must consist of 0, 1 and 2");
  }
  const PublishedPicture& kept = frame.state.pictures[step.map];
  if (!frame.keyframe && (picture.height != kept.height || picture.width != kept.width)) {
    throw std::invalid_argument("a picture of another size than the last one's needs a keyframe");
  }
}

}  // namespace

void read_input(const Frame& frame, const Step& step) {
  check(frame, step);
  const bool floats = frame.program.in_floats();
  if (frame.inputs[step.input].picture != nullptr) {
    floats ? read_picture<float>(frame, step) : read_picture<BFloat16>(frame, step);
  } else {
    frame.state.pictures[step.map].height = frame.state.pictures[step.map].width = 0;
    floats ? read_floats<float>(frame, step) : read_floats<BFloat16>(frame, step);
  }
}

}  // namespace skipvid
