// Smoothed gates: norm gates that decide by the mean change of the 3 x 3 pixels around one (skipvid/skip/gates/smooth_norm.py).
//
// A decision needs the changes around a pixel, so it is taken when all pixels of the map are computed: their rows wait in a buffer, and how
// much each has changed stands in a plane of the stream. What stays closed keeps its change there until it is computed again.
#pragma once

#include <cstddef>
#include <vector>

#include "bitmap.hpp"
#include "memory.hpp"

namespace skipvid {

struct Frame;
struct Job;

// The change of each pixel of a map since it was published, as a sum over channels. Zeros surround the map.
class ChangePlane {
 public:
  ChangePlane() = default;
  ChangePlane(int height, int width);
  // Of row y, from -1 to the height; from one pixel before it to at least 64 behind its last vector there is memory.
  float* row(int y) const { return data_.data() + (static_cast<std::ptrdiff_t>(y) + 1) * stride_ + before; }
  void clear();
  std::size_t bytes() const { return data_.bytes(); }

 private:
  static constexpr int before = 16;
  int height_ = 0;
  std::ptrdiff_t stride_ = 0;
  Buffer data_;
};

// Decide and publish, when all chunks of a job are computed. values: the job's part of the buffer.
void publish_measured(const Job& job, const float* values);

// Decides about rows of a map whose changes are complete; writes the published bitmap, before it is rounded up to blocks.
class Smoothing {
 public:
  Smoothing(const Frame& frame, int map);
  // among: the pixels that may open.
  void decide(int y, const Bitmap& among) const;

 private:
  const Frame& frame_;
  int map_;
  float limit_;
  std::vector<float> inner_, outer_;  // by column, what the sum of a window must exceed: of three rows, and of those at an edge of the map
};

}  // namespace skipvid
