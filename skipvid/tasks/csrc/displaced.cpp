// A picture scaled down and moved in one pass: of each place the weighted mean of a box of samples, down and then across.
//
// Weights are whole numbers, and sums fit in 32 bits, so that all machines give the same bits.
#include "displaced.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace displaced {
namespace {

using Plane = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::device::cpu>;
using Colours = nb::ndarray<const std::int16_t, nb::shape<6>, nb::c_contig, nb::device::cpu>;

Line line_of(std::ptrdiff_t values) { return Line(static_cast<std::size_t>(values)); }

void average_pixels(const Picture& pixels, const Canvas& out, const BoxArrays& down_boxes, const BoxArrays& across_boxes) {
  const Rows<const std::uint8_t> from(pixels);
  const Rows<std::uint8_t> to(out);
  const std::ptrdiff_t width = from.row / channels, columns = to.row / channels;
  const Boxes rows(down_boxes, to.height, from.height), places(across_boxes, columns, width);
  if (to.row == 0 || to.height == 0) return;
  const nb::gil_scoped_release unlocked;
  Line whole = line_of(from.row);
  Lines line, mean;
  line.fill(line_of(width + places.taps));
  mean.fill(line_of(columns));
  Column column;
  for (std::ptrdiff_t y = 0; y < to.height; ++y) {
    column.turn(from, rows, y);
    down(column, whole.data(), from.row);
    part(whole.data(), line, width);
    for (std::size_t n = 0; n < channels; ++n) across(line[n], width, places, weight_bits + kept_bits, mean[n]);
    join(mean, to.at(y), columns);
  }
}

Rows<const std::uint8_t> rows_of(const Plane& plane) {
  check(plane.stride(1) == 1 || plane.shape(1) <= 1, "samples of a row lie side by side");
  return {plane.data(), plane.stride(0), static_cast<std::ptrdiff_t>(plane.shape(0)), static_cast<std::ptrdiff_t>(plane.shape(1))};
}

void average_planes(const Plane& luma, const Plane& blue, const Plane& red, const Canvas& out, const BoxArrays& down_boxes,
                    const BoxArrays& across_boxes, const BoxArrays& chroma_down, const BoxArrays& chroma_across, const Colours& colours) {
  const std::array<Rows<const std::uint8_t>, channels> from{rows_of(luma), rows_of(blue), rows_of(red)};
  const Rows<std::uint8_t> to(out);
  const std::ptrdiff_t columns = to.row / channels;
  const Boxes rows(down_boxes, to.height, from[0].height), places(across_boxes, columns, from[0].row);
  const std::ptrdiff_t chroma_height = std::min(from[1].height, from[2].height), chroma_width = std::min(from[1].row, from[2].row);
  const Boxes chroma_rows(chroma_down, to.height, chroma_height), chroma_places(chroma_across, columns, chroma_width);
  if (to.row == 0 || to.height == 0) return;
  const nb::gil_scoped_release unlocked;
  const std::int16_t* factors = colours.data();
  const Mixer mixer{factors[0], factors[1], factors[2], factors[3], factors[4], factors[5]};
  Lines line, level;
  for (std::size_t n = 0; n < channels; ++n) line[n] = line_of(from[n].row + (n ? chroma_places : places).taps);
  level.fill(line_of(columns));
  Column column;
  for (std::ptrdiff_t y = 0; y < to.height; ++y) {
    for (std::size_t n = 0; n < channels; ++n) {
      column.turn(from[n], n ? chroma_rows : rows, y);
      down(column, line[n].data(), from[n].row);
      across(line[n], from[n].row, n ? chroma_places : places, weight_bits + kept_bits - level_bits, level[n]);
    }
    mix(level, mixer, to.at(y), columns);
  }
}

}  // namespace
}  // namespace displaced

void bind_displaced(nb::module_& m) {
  m.def("average_pixels", &displaced::average_pixels, nb::arg("pixels"), nb::arg("out"), nb::arg("down"), nb::arg("across"));
  m.def("average_planes", &displaced::average_planes, nb::arg("luma"), nb::arg("blue"), nb::arg("red"), nb::arg("out"), nb::arg("down"),
        nb::arg("across"), nb::arg("chroma_down"), nb::arg("chroma_across"), nb::arg("colours"));
}
