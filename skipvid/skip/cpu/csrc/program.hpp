// A program: what is compiled from a description, shared by all streams and never changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "bitmap.hpp"
#include "choices.hpp"
#include "description.hpp"
#include "gates.hpp"
#include "kernels.hpp"
#include "memory.hpp"
#include "operation.hpp"
#include "thread_pool.hpp"

namespace skipvid {

class State;
struct InputArray;
struct Workspace;
struct Shift;

// A map: (height, width) rows of channels, which may be parts of another map's rows (of a concatenation, or slices).
struct MapInfo {
  int height, width, channels;
  std::ptrdiff_t offset, stride;  // of pixel 0 among the rows of all maps, and from pixel to pixel; in values
  int owner;                      // the map whose memory it lives in: itself, or the one that it is a part of
  bool floats = false;            // whatever the element type: rounded, but not shortened
  bool stored = true;             // or it has no memory: its only reader makes it (scalings.cpp)
  std::size_t pixels() const { return static_cast<std::size_t>(height) * width; }
};

// The gate of a map on the accumulated reference: by norm, or learned. scale: NaN = measured at each keyframe.
struct Gate {
  bool gated = false;
  double threshold = 0, scale = 0;
  int block = 1;
  bool smoothed = false;  // by norm, of the change around a pixel (smoothing.hpp)
  std::unique_ptr<const LearnedGate> learned = nullptr;
};

// One step of the program, in the order of computation.
struct Step {
  StepKind kind = StepKind::input;
  int map = 0;    // that it computes, or, of a change step, whose change it measures
  int input = 0;  // number of a network input
  std::vector<int> sources;
  std::vector<Footprint> footprints;     // one for each source
  std::unique_ptr<Operation> operation;  // of a step that computes pixels
  std::unique_ptr<OutputGate> gate;      // of the operation's outputs, or none
  Norm norm = Norm::magnitudes;          // of a change step
  std::unique_ptr<ChoiceRule> choice;    // of a choice step
  int guard = -1, guard_number = 0;      // the choice that it waits for, if it does, and the number
  int selects = -1;                      // of a selection: its choice
  bool changes_when_reused = false;      // of a selection: its last value is scaled and shifted
  int sum = -1;                          // the step whose sum is stored with what this one stores, at keyframes (sums.cpp), or none
  int summed_by = -1;                    // the step whose product this one's sum is stored with, or none
  bool taken = false;                    // its only reader computes it, so that it only says what changed (scalings.cpp)
  int index = 0;
  // Whether nothing is computed.
  bool is_view() const { return kind == StepKind::view || taken; }
  // Whether a choice decides if anything of it is computed.
  bool adapts() const { return guard >= 0 || selects >= 0; }
};

// Steps that wait for none of each other, so that they can be run together.
struct Wave {
  std::vector<int> steps;
  std::vector<int> views;  // of what is complete then; in order
};

// Steps [first, last) of the program, which are run in one call.
struct Segment {
  int first, last;
  std::vector<Wave> waves;
};

class Program {
 public:
  // description: one that check_description() has passed.
  Program(const Description& description, const Kernels& kernels, std::shared_ptr<ThreadPool> pool);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Run one segment of a frame. Raises std::invalid_argument for inputs, a segment or a state that are not this program's.
  // shift: of a gated frame of a program that moves; none = (0, 0).
  void run(State& state, std::span<const InputArray> inputs, int segment, bool keyframe, bool gates, Shift shift) const;

  // Zeros, as many as the longest line of a map has.
  const std::byte* zeros() const { return reinterpret_cast<const std::byte*>(zeros_.data()); }
  // Whether a map is rows of floats, which kernels may write in place.
  bool in_floats(int map) const { return maps[map].floats || in_floats(); }
  // Whether all are.
  bool in_floats() const { return kernels.element == Element::f32; }
  std::ptrdiff_t value_size() const { return size_of(kernels.element); }
  // Whether a frame is run in one call.
  bool in_one_segment() const { return segments_.size() == 1; }
  // Whether its maps can be moved: frames are run in one call, and gates look at single pixels of maps.
  bool moves() const;
  const std::vector<Pixel>& all_pixels(int map) const { return all_pixels_.at({maps[map].height, maps[map].width}); }

  const Kernels& kernels;
  std::shared_ptr<ThreadPool> pool;
  std::vector<MapInfo> maps;
  std::size_t values = 0;              // of the rows of all maps
  std::vector<std::ptrdiff_t> shared;  // by map: its offset in a dense state
  std::size_t shared_values = 0;
  std::vector<Gate> gates;
  std::vector<Step> steps;
  int inputs = 0;  // that the network has

 private:
  void add_maps(const Description& description);
  void add_gates(const Description& description);
  void add_steps(const Description& description);
  // Find the scaled maps that their readers make (scalings.cpp). kept: maps that are read from outside.
  void find_scalings(const std::vector<KeptRow>& kept);
  // Find the sums that are stored with what they add up (sums.cpp).
  void find_sums();
  // Find places for the maps of dense states (sharing.cpp). kept: maps that others read or write between two segments, or read after the last.
  void share(const std::vector<KeptRow>& kept);

  std::unique_ptr<Workspace> borrow() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;

  Buffer zeros_;
  std::vector<Segment> segments_;
  std::map<std::pair<int, int>, std::vector<Pixel>> all_pixels_;
  mutable std::mutex lock_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

// The values that a map takes up. A kernel may read one vector past the last row; and maps that start at the same place of a page would
// displace each other in a cache.
inline std::size_t values_of(const MapInfo& map) {
  const std::size_t values = (map.pixels() * map.stride + lanes - 1) / lanes * lanes + 3 * lanes;
  return map.floats ? values * (sizeof(float) / sizeof(BFloat16)) : values;
}

// Which of the steps [first, last) can be run together (waves.cpp).
std::vector<Wave> find_waves(const Program& program, int first, int last);

}  // namespace skipvid
