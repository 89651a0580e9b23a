// Learned gates, and output gates: those that decide for the outputs of a layer.
#pragma once

#include <limits>
#include <vector>

#include "bitmap.hpp"
#include "kernels.hpp"
#include "memory.hpp"

namespace skipvid {

struct Step;
struct Frame;

// A learned gate opens where the sum over channels of weight * change + bias is not negative.
struct LearnedGate {
  Buffer weights;  // padded with zeros
  float bias;
  bool magnitude;  // of the change, instead of the change itself
};

// An output gate: an output is computed where the norms of the changes in its window, added up since it was last computed, exceed a limit.
struct OutputGate {
  int change;          // the step that measures the change of the layer's input
  Norm norm;
  double limit;        // for a scale of 1
  double scale;        // of the layer's output; NaN = measured at each keyframe
  int block;
  std::vector<float> bias;  // subtracted from the output before its scale is measured
};

// What an output gate remembers of a stream.
struct OutputMemory {
  Buffer pending;  // by output pixel: what it has skipped so far
  float limit = 0;
  std::size_t candidates = 0;  // outputs that changes reached in this frame; of a change step, pixels measured
};

// Measure the change of a map since the last frame, for the output gates that look at it. Memory: the change by pixel, then the rows as last
// seen.
std::size_t change_memory(int height, int width, int channels);
void measure_change(const Frame& frame, const Step& step);
// Of the outputs in `computed`, which the change may reach, keep those that the gate opens.
void gate_outputs(const Frame& frame, const Step& step, Bitmap& computed);
// After a keyframe.
void reset_output_gate(const Frame& frame, const Step& step);

}  // namespace skipvid
