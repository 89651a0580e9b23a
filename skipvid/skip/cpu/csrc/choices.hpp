// How an adaptive layer chooses in a stream: skipvid/skip/reference/choices.py is the definition.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "bitmap.hpp"

namespace skipvid {

struct Frame;
struct Step;

// Numbers from 0 on are ratios, the one behind them is reuse, where there is one.
struct ChoiceRule {
  int ratios;
  bool reuse;
  double hysteresis;
  int least_stay, longest_reuse;
  int features;                // channels of the mean, and the active share
  std::vector<double> inner;   // [feature][hidden]
  std::vector<double> inner_bias;
  std::vector<double> outer;   // [choice][hidden]
  std::vector<double> outer_bias;

  // means: of the channels. One that is no number becomes the lowest there is.
  std::vector<double> logits(std::span<const float> means, double active) const;
};

// What is remembered of one layer's choices.
struct ChoiceMemory {
  Bitmap news{0, 0};  // inputs published since the layer was computed
  int number = 0;     // of this frame
  int ratio = 0;      // the one computed last
  int stayed = 0;     // decisions for it in a row, reuse left out
  int age = 0;        // frames reused in a row
};

// Decide about this frame. Returns whether the policy was run.
bool choose(const Frame& frame, const Step& step);

// Whether a step waits for another choice than this frame's.
bool is_off(const Frame& frame, const Step& step);
// Whether a selection keeps its last value in this frame.
bool is_reused(const Frame& frame, const Step& step);
// The rows that a guarded step or a selection has to look at, between keyframes: not those of a step that is off, which notes what it would
// have had to compute; with those that it has noted, of one that is on. reached: the rows that the changes in what it reads may reach.
std::pair<int, int> adapted_rows(const Frame& frame, const Step& step, std::pair<int, int> reached);
// The same at a keyframe: returns whether the step is computed.
bool starts(const Frame& frame, const Step& step);

}  // namespace skipvid
