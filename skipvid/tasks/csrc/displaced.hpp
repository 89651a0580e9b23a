// What the parts of displaced.cpp share: boxes of samples, and lines of what they make.
#pragma once
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "registered.hpp"

namespace displaced {

using Starts = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Weights = nb::ndarray<const std::int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using BoxArrays = std::pair<Starts, Weights>;
using Line = std::vector<std::int16_t>;
using Lines = std::array<Line, channels>;

constexpr int weight_bits = 14, kept_bits = 6, level_bits = 7, colour_bits = 13, product_bits = 15;
constexpr std::ptrdiff_t group = 8;  // of weights; of places that are worked on at once

inline std::int16_t to_word(std::int32_t value) { return static_cast<std::int16_t>(std::clamp(value, -32768, 32767)); }

// The boxes of the places along one side of so many samples.
struct Boxes {
  const std::int32_t* starts;
  const std::int16_t* weights;
  std::ptrdiff_t count, taps;

  Boxes(const BoxArrays& arrays, std::ptrdiff_t places, std::ptrdiff_t side)
      : starts(arrays.first.data()),
        weights(arrays.second.data()),
        count(static_cast<std::ptrdiff_t>(arrays.first.shape(0))),
        taps(static_cast<std::ptrdiff_t>(arrays.second.shape(1))) {
    check(count == places && static_cast<std::ptrdiff_t>(arrays.second.shape(0)) == count, "there is a box for each row and each column");
    check(taps == group / 2 || (taps > 0 && taps % group == 0), "weights come by eight, or there are four");
    for (std::ptrdiff_t n = 0; n < count; ++n) {
      check(starts[n] >= 0 && starts[n] < side, "a box begins in the picture");
      std::int32_t sum = 0;
      for (std::ptrdiff_t tap = 0; tap < taps; ++tap) sum += std::abs(weights[n * taps + tap]);
      check(sum <= 2 << weight_bits, "weights are too large");
    }
  }
};

// Rows of one box, beyond the last of which the picture goes on as there, and their weights; and rows that the next one reads besides.
struct Column {
  std::vector<const std::uint8_t*> rows, next;  // `rows` are an even number
  const std::int16_t* weights;

  // Turns to a box of those of a picture. There are none but zeros behind the weights that it is left with.
  void turn(const Rows<const std::uint8_t>& from, const Boxes& boxes, std::ptrdiff_t y) {
    const auto row = [&](std::ptrdiff_t at) { return from.at(std::min(at, from.height - 1)); };
    weights = boxes.weights + y * boxes.taps;
    std::ptrdiff_t taps = boxes.taps;
    while (taps > 2 && weights[taps - 1] == 0 && weights[taps - 2] == 0) taps -= 2;
    rows.clear();
    next.clear();
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) rows.push_back(row(boxes.starts[y] + tap));
    if (y + 1 == boxes.count) return;
    for (std::ptrdiff_t tap = boxes.starts[y] + taps; tap < boxes.starts[y + 1] + taps; ++tap) next.push_back(row(tap));
  }
};

// The values of one row of boxes down, of so many bytes side by side.
void down(const Column& column, std::int16_t* to, std::ptrdiff_t count);

// The values of the boxes of a line, which has room behind its `side` values for those that boxes reach beyond them.
void across(Line& line, std::ptrdiff_t side, const Boxes& boxes, int bits, Line& to);

// What makes colours of the levels of luma, blue and red chroma.
struct Mixer {
  std::int16_t of_luma, blue_blue, blue_green, red_green, red_red, black;
};

// Values of pixels of three, side by side, to three lines.
void part(const std::int16_t* from, Lines& to, std::ptrdiff_t count);

// Three lines of values to pixels.
void join(const Lines& values, std::uint8_t* to, std::ptrdiff_t count);

// Lines of levels of luma, blue and red chroma to pixels.
void mix(const Lines& levels, const Mixer& mixer, std::uint8_t* to, std::ptrdiff_t count);

}  // namespace displaced
