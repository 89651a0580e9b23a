// What a step computes: the interface of all operations (operations.hpp).
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "bitmap.hpp"
#include "kernels.hpp"

namespace skipvid {

struct Frame;
struct Scratch;

// Adjacent channels of a row, from a multiple of `lanes` on.
struct Channels {
  int from, count;
};

// What a step adds to a map, and the bounds of the sum.
struct Addition {
  int other;
  float low, high;
};

// A map, each pixel of which is multiplied, channel by channel, with the only one of another map.
struct Scaling {
  int map, by;
};

class Operation {
 public:
  virtual ~Operation() = default;

  // Compute the given pixels into the given rows, before activation. Parts: groups of output channels that can be computed apart.
  virtual void compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int first_part,
                       int last_part) const = 0;
  // Whether it does as Scratch::stored says.
  virtual bool stores() const { return false; }
  // Whether it does as Scratch::sum says.
  virtual bool sums() const { return false; }
  // What it adds to a map, if that is all it does; or none.
  virtual std::optional<Addition> addition(int map) const {
    static_cast<void>(map);
    return std::nullopt;
  }
  // What it scales, if that is all it does; or none.
  virtual std::optional<Scaling> scaling() const { return std::nullopt; }
  // From now on scale what it reads while it reads it, in place of the map that holds the result. Returns false where it cannot.
  virtual bool take(const Scaling& scaling) {
    static_cast<void>(scaling);
    return false;
  }
  // Once per frame in which anything is to be computed, before compute().
  virtual void prepare(const Frame& frame) const { static_cast<void>(frame); }
  virtual int parts() const { return 1; }
  // Whether its result moves by whole pixels where what it reads does, all else being equal.
  virtual bool moves() const { return false; }
  // What compute() fills of a row in which other maps lie, which fill the rest; none: all of it.
  virtual std::span<const Channels> written() const { return {}; }
  // Pixels that are best computed together.
  virtual int chunk() const = 0;
  // Floats that are read however few pixels are computed.
  virtual std::size_t weights() const { return 0; }
  // Rough number of processor cycles per pixel: decides whether threads are worth it.
  virtual double work() const = 0;
  // Floats remembered per stream besides the map.
  virtual std::size_t memory() const { return 0; }

  Activation activation;
  int index = 0;  // of its step
};

}  // namespace skipvid
