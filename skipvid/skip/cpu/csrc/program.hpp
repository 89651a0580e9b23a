// A compiled plan (Program), the memory of one stream (State), and the steps that a frame runs through.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "bitmap.hpp"
#include "gates.hpp"
#include "kernels.hpp"
#include "memory.hpp"
#include "thread_pool.hpp"

namespace skipvid {

// A map: (height, width) rows of channels, which may be parts of another map's rows (of a concatenation, or slices).
struct MapInfo {
  int height, width, channels;
  std::ptrdiff_t offset, stride;  // of pixel 0 among the rows of all maps, and from pixel to pixel; in floats
  int owner;                      // the map whose memory it lives in: itself, or the one that it is a part of
  std::size_t pixels() const { return static_cast<std::size_t>(height) * width; }
};

// The gate of a map on the accumulated reference: by norm, or learned. scale: NaN = measured at each keyframe.
struct Gate {
  bool gated = false;
  double threshold = 0, scale = 0;
  int block = 1;
  std::shared_ptr<const Question> question = nullptr;
};

struct Rows {
  float* data;
  std::ptrdiff_t stride;
  int height, width;
  float* at(int y, int x) const { return data + (static_cast<std::ptrdiff_t>(y) * width + x) * stride; }
  float* at(Pixel pixel) const { return at(row_of(pixel), column_of(pixel)); }
  bool contains(int y, int x) const { return y >= 0 && y < height && x >= 0 && x < width; }
};

class Program;

// The published bytes of a picture; none (0 x 0) where the last frame was none.
struct TakenPicture {
  std::vector<std::uint8_t> bytes;
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
  Buffer floats;                      // the rows of all maps: one block, so that its pages may be large ones
  std::vector<Bitmap> computed;       // by map: pixels computed in this frame
  std::vector<Bitmap> published;      // by map: those of them that its gate let through; unused where there is no gate
  std::vector<std::size_t> counts;    // by map: number of computed pixels
  std::vector<float> limits;          // by map: the sum over channels that opens its gate
  bool quiet = false;                 // nothing changed in the last frame: all bitmaps of what is computed are clear
  std::vector<Buffer> memory;         // by step: whatever else it keeps
  std::vector<OutputMemory> outputs;  // by step: that of its output gate
  std::vector<TakenPicture> taken;    // by map: of an input that is a picture
  // Whether a gated frame may follow. While a frame runs it may not: one that fails leaves rows and bitmaps that are part old, part new.
  bool current = false;
};

// (height, width, 3) bytes at the top left of an input of three channels, the rest of which is 0. Channel c of a pixel has the value
// tables[c * 256 + byte order[c]].
struct Picture {
  const std::uint8_t* bytes;
  int height, width;
  const float* tables;
  std::array<int, 3> order;
};

// A network input: any layout of (channels, height, width), or a picture. A stream does not change from one to the other between keyframes.
struct InputArray {
  const float* data;
  std::ptrdiff_t channel, row, column;
  std::array<std::size_t, 3> shape;
  const Picture* picture = nullptr;
};

// Working memory of one thread; on lines of its own, because what others write beside it would have to be fetched back.
struct alignas(128) Scratch {
  Buffer values, more;
  std::vector<const float*> pointers;
  std::vector<float*> rows, targets;
  // Rows that will be read when the ones at hand are computed: while that is done, they may come. None = null.
  float* const* ahead = nullptr;
};

// Rows [top, bottom) of an entry's map, and what of them is to be computed: `count` pixels listed from `first` on.
struct Band {
  int entry, top, bottom;
  std::size_t first, count;
};

// Pixels of one entry that are computed together, or some of their channels: then several chunks fill the same rows, and the one that comes
// last goes on with them.
struct Chunk {
  int job;
  std::size_t from;
  int count;
  int first_part, last_part;
  int stage = -1;  // of a chunk with some of the channels
};

// Pixels whose channels are computed in several chunks.
struct Stage {
  std::size_t values;  // where their rows are, where they are not published at once
  int left;            // chunks to come
};

// Working memory of one frame, reused by later frames of any stream.
struct Workspace {
  std::vector<Scratch> threads;
  std::vector<Band> bands;
  std::vector<Pixel> list;
  std::vector<std::vector<Chunk>> shares;  // by worker
  std::vector<Chunk> chunks;
  std::vector<Stage> stages;
  std::vector<double> pixel_work;  // by job: cycles for a pixel, or 0 where it is not cut into chunks
  std::vector<int> by_pixels;      // jobs that are cut into chunks of pixels
  std::vector<double> left;        // by worker: cycles of work not yet cut
  std::vector<int> bounds;  // of the workers' shares of the chunks
  std::vector<float> sums;  // of |value| over the channels of each pixel
  Buffer values;
};

struct Frame {
  const Program& program;
  State& state;
  ThreadPool::Lease& lease;
  Workspace& workspace;
  std::span<const InputArray> inputs;
  bool keyframe;  // compute everything
  bool gates;     // the next frame may be a gated one: measure and keep what its gates need
};

class Step {
 public:
  virtual ~Step() = default;

  // Compute the given pixels into the given rows, before activation. Parts: groups of output channels that can be computed apart.
  virtual void compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int first_part,
                       int last_part) const = 0;
  // Once per frame in which anything is to be computed, before compute().
  virtual void prepare(const Frame& frame) const { static_cast<void>(frame); }
  virtual int parts() const { return 1; }
  // Pixels that are best computed together.
  virtual int chunk() const = 0;
  // Floats that are read however few pixels are computed.
  virtual std::size_t weights() const { return 0; }
  // Rough number of processor cycles per pixel: decides whether threads are worth it.
  virtual double work() const = 0;
  // Floats remembered per stream besides the map.
  virtual std::size_t memory() const { return 0; }

  Activation activation;
  int index = 0;  // of its entry
};

// One map of the plan, in the order of computation.
struct Entry {
  enum class Kind {
    step,     // computed by `step`
    input,    // given: network input number `input`
    view,     // part of, or made of, other maps' memory: nothing to compute
    foreign,  // computed by the caller, between two runs
    watch,    // no map of its own: the change of `map` is measured for output gates
  };
  Kind kind = Kind::step;
  int map = 0;
  int input = 0;
  std::vector<int> sources;
  std::vector<Footprint> footprints;  // one for each source
  std::unique_ptr<Step> step;
  std::unique_ptr<OutputGate> gate;   // of the step's outputs, or none
  Norm norm = Norm::magnitudes;       // of a watch
  int index = 0;
};

// Entries that wait for none of each other, so that they can be run together.
struct Wave {
  std::vector<int> entries;
  std::vector<int> views;  // of what is complete then; in order
};

// Entries [first, last) of the program, which are run in one call.
struct Segment {
  int first, last;
  std::vector<Wave> waves;
};

class Program {
 public:
  Program(const Kernels& kernels, std::shared_ptr<ThreadPool> pool) : kernels(kernels), pool(std::move(pool)) {}
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Run one segment of a frame.
  void run(State& state, std::span<const InputArray> inputs, int segment, bool keyframe, bool gates) const;

  int add_map(int height, int width, int channels, bool compact);
  // A map inside another one's rows.
  int add_part(int of, int channels, std::ptrdiff_t channel_offset);
  void add(Entry entry);
  // Entries [first, last), all of them added before, will be run in one call. Returns the segment's number.
  int add_segment(int first, int last);
  // When all is added: find room for the maps of dense states (sharing.cpp). kept: maps that others read and write between two segments, or
  // read after the last.
  void share(const std::vector<int>& kept);

  // Zeros, as many as the longest line of a map has.
  const float* zeros() const { return zeros_.data(); }
  // Whether a frame is run in one call.
  bool whole() const { return segments_.size() == 1; }
  const std::vector<Pixel>& all_pixels(int map) const { return all_pixels_.at({maps[map].height, maps[map].width}); }

  const Kernels& kernels;
  std::shared_ptr<ThreadPool> pool;
  std::vector<MapInfo> maps;
  std::size_t floats = 0;  // of the rows of all maps
  std::vector<std::ptrdiff_t> shared;  // by map: its offset in a dense state
  std::size_t shared_floats = 0;
  std::vector<Gate> gates;
  std::vector<Entry> entries;

 private:
  std::unique_ptr<Workspace> borrow() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;

  Buffer zeros_;
  std::vector<Segment> segments_;
  std::map<std::pair<int, int>, std::vector<Pixel>> all_pixels_;
  mutable std::mutex lock_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

// The floats that a map takes up. A kernel may read one vector past the last row; and maps that start at the same place of a page would
// displace each other in a cache.
inline std::size_t room_of(const MapInfo& map) { return (map.pixels() * map.stride + lanes - 1) / lanes * lanes + 3 * lanes; }

// Which of the entries [first, last) can be run together (waves.cpp).
std::vector<Wave> find_waves(const Program& program, int first, int last);
// Bring the maps of a segment up to date (frame.cpp), or one network input (input.cpp).
void run_segment(const Frame& frame, const Segment& segment);
void take_input(const Frame& frame, const Entry& entry);

// The adjacent pixels of a row that start at pixels[from]; returns their number.
inline int run_length(std::span<const Pixel> pixels, std::size_t from) {
  std::size_t to = from + 1;
  while (to < pixels.size() && pixels[to] == pixels[to - 1] + 1) ++to;
  return static_cast<int>(to - from);
}

}  // namespace skipvid
