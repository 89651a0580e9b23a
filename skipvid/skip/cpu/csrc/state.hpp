// The memory of one stream.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bitmap.hpp"
#include "choices.hpp"
#include "gates.hpp"
#include "memory.hpp"
#include "program.hpp"
#include "smoothing.hpp"

namespace skipvid {

// The memory of a map.
struct Rows {
  std::byte* data;
  std::ptrdiff_t stride;  // from pixel to pixel, in bytes
  int height, width;
  std::byte* at(int y, int x) const { return data + (static_cast<std::ptrdiff_t>(y) * width + x) * stride; }
  std::byte* at(Pixel pixel) const { return at(row_of(pixel), column_of(pixel)); }
  bool contains(int y, int x) const { return y >= 0 && y < height && x >= 0 && x < width; }
};

// The published bytes of a picture, and those of the last frame: a pixel that has not changed since is not asked about again. None (0 x 0)
// where the last frame was none.
struct PublishedPicture {
  std::vector<std::uint8_t> bytes, last;
  int height = 0, width = 0;
};

// Everything remembered of one stream. A dense one remembers nothing from frame to frame: every frame must be a keyframe, and maps that
// are not needed at the same time share their memory.
class State {
 public:
  State(const Program& program, bool dense);
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Rows rows(int map) const;
  // Pixels whose value, as readers see it, may differ from the last frame's.
  const Bitmap& changed(int map) const;
  Bitmap& changed(int map);
  std::size_t bytes() const;

  const Program& program;
  const bool dense;
  Buffer values;                      // the rows of all maps: one block, so that its pages may be large ones
  std::vector<Bitmap> computed;       // by map: pixels computed in this frame
  std::vector<Bitmap> published;      // by map: those of them that its gate let through; unused where there is no gate
  std::vector<std::size_t> counts;    // by map: number of computed pixels
  std::vector<float> limits;          // by map: the sum over channels that opens its gate
  std::vector<ChangePlane> changes;   // by map: that of its gate, if it is smoothed
  bool unchanged = false;             // nothing changed in the last frame: all bitmaps of what is computed are clear
  std::vector<Buffer> memory;         // by step: whatever else it keeps
  std::vector<OutputMemory> outputs;  // by step: that of its output gate
  std::vector<ChoiceMemory> choices;  // by step
  std::vector<Bitmap> pending;        // by guarded step: what it has to make up for when its choice is taken
  std::vector<PublishedPicture> pictures;  // by map: of an input that is a picture
  // Whether a gated frame may follow. While a frame runs it may not: one that fails leaves rows and bitmaps that are part old, part new.
  bool current = false;
  bool alone = false;                // one thread computes its frames; the bits are the same
  std::atomic<bool> running{false};  // a frame: a second one at the same time would write where the first one reads
};

}  // namespace skipvid
