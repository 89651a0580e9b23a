// One frame while it is computed: what it is given, and the working memory that it borrows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memory.hpp"
#include "program.hpp"
#include "state.hpp"
#include "thread_pool.hpp"

namespace skipvid {

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
  Buffer gemm;  // its working memory
  std::vector<const std::byte*> pointers;
  std::vector<float*> rows;
  std::vector<std::byte*> targets;
  // Rows of a map, to which an operation that stores rounds what it computes, activated, in place of the rows that it is given. None = null.
  std::byte* const* stored = nullptr;
  // Of what is stored, where the operation sums: a sum that is stored, too. None = null.
  const GemmSum* sum = nullptr;
  std::vector<const std::byte*> added;  // its rows
  std::vector<std::byte*> sums;
  // Rows that will be read when the ones at hand are computed: while that is done, they may come. None = null.
  const std::byte* const* ahead = nullptr;
};

// Rows [top, bottom) of a step's map, and what of them is to be computed: `count` pixels listed from `first` on.
struct Band {
  int step, top, bottom;
  std::size_t first, count;
};

// Pixels of one step that are computed together, or some of their channels: then several chunks fill the same rows, and the one that comes
// last goes on with them.
struct Chunk {
  int job;
  std::size_t from;
  int count;
  int first_part, last_part;
  int split = -1;  // of a chunk with some of the channels: its SplitRows
};

// Pixels whose channels are computed in several chunks.
struct SplitRows {
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
  std::vector<SplitRows> split_rows;
  std::vector<double> pixel_work;  // by job: cycles for a pixel, or 0 where it is not cut into chunks
  std::vector<std::size_t> buffered;  // by job: where its rows are, if its gate is smoothed
  std::vector<int> by_pixels;      // jobs that are cut into chunks of pixels
  std::vector<double> left;        // by worker: cycles of work not yet cut
  std::vector<int> bounds;         // of the workers' shares of the chunks
  std::vector<float> sums;         // of |value| over the channels of pixels: room for all of a map's, row by row
  Buffer values;
};

// How far the scene has moved since the last frame: pixel (y, x) of an input shows what (y + shift.y, x + shift.x) showed.
struct Shift {
  int y = 0, x = 0;
  bool any() const { return y != 0 || x != 0; }
};

struct Frame {
  const Program& program;
  State& state;
  ThreadPool::Lease& lease;
  Workspace& workspace;
  std::span<const InputArray> inputs;
  bool keyframe;  // compute everything
  bool gates;     // the next frame may be a gated one: measure and keep what its gates need
  Shift shift = {};  // of a gated frame: maps move first (shift.cpp)
};

// Bring the maps of a segment up to date (frame.cpp), or one network input (input.cpp).
void run_segment(const Frame& frame, const Segment& segment);
void read_input(const Frame& frame, const Step& step);

// The adjacent pixels of a row that start at pixels[from]; returns their number.
inline int run_length(std::span<const Pixel> pixels, std::size_t from) {
  std::size_t to = from + 1;
  while (to < pixels.size() && pixels[to] == pixels[to - 1] + 1) ++to;
  return static_cast<int>(to - from);
}

}  // namespace skipvid
