// What a frame does with one step: computing pixels and applying the gate to them (publish.cpp), measuring gates' scales (scales.cpp).
#pragma once

#include <span>
#include <vector>

#include "work.hpp"

namespace skipvid {

// The pixels of one step's map that are computed in a frame.
struct Job {
  const Frame* frame;
  const Step* step;
  std::span<const Pixel> pixels;

  const Gate& gate() const { return frame->program.gates[step->map]; }
  // Whether the gate decides which pixels readers get to see: at a keyframe they get all.
  bool gates() const { return gate().gated && !frame->keyframe; }
  // Whether rows are computed in scratch memory first: to be compared, or, where the map is not made of floats, to be rounded.
  bool in_scratch() const { return gates() || !frame->program.in_floats(step->map); }
  // Smoothed gates decide when all pixels are computed.
  bool smooths() const { return gates() && gate().smoothed; }
  // Gates that open in blocks decide when all of a block is computed.
  bool in_blocks() const { return gates() && gate().block > 1 && !smooths(); }
  // Rough number of processor cycles for one pixel.
  double pixel_work() const;
};

// Compute jobs that do not wait for each other, on all threads (chunks.cpp).
void run_jobs(const Frame& frame, std::span<const Job> jobs);
// Compute a chunk of a job and publish what the gate lets through.
void run_chunk(const Job& job, const Chunk& chunk, int worker);
// Compute all pixels of a job into a buffer, then publish: for gates that open in blocks.
void run_buffered(const Job& job);

// Publish those rows of a map that is computed outside, without padding, whose sum of |change| exceeds the limit. pixels: their numbers; none:
// there is a row for each pixel. Returns whether any does.
bool take_rows(State& state, int map, std::span<const std::int32_t> pixels, const float* values, float limit);

// Before a scene that has moved (shift.cpp): move what the stream remembers; find what a wave has to compute, as jobs; and what of a view
// has changed.
void move_state(const Frame& frame);
void search_shifted(const Frame& frame, const Wave& wave, std::vector<Job>& jobs);
void update_shifted_view(const Frame& frame, const Step& step);

// Whether the scale of a map's gate is measured in this frame: a threshold of 0 needs none.
bool measures_scale(const Frame& frame, int map);
// Measure pixels [from, to) of such a map: into frame.workspace.sums, by row, go the sums of |value| over the channels of those that count.
void measure_scale(const Frame& frame, int map, std::size_t from, std::size_t to, std::vector<std::byte*>& pointers);
// The step whose sum is stored with what a step stores, if its map's scale is measured as it is stored, while rows are in a cache; or null.
const Step* measured_sum(const Frame& frame, const Step& step);
// Set the limit of the gate of an step's map after a keyframe.
void set_limit(const Frame& frame, const Step& step);

}  // namespace skipvid
