// The Python module skipvid.video.draw._tint: a plane of a picture, tinted cell by cell in one pass, and the lines between cells. OpenCV takes
// a call for each rectangle of cells, some hundreds for a picture, and after each of them Python's lock has to be waited for; of lines it takes
// an array each, which costs many times as long as drawing it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace nb = nanobind;

namespace {

using Plane = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::device::cpu>;
using Canvas = nb::ndarray<std::uint8_t, nb::ndim<2>, nb::device::cpu>;
using Cells = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Edges = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Lines = nb::ndarray<const std::int32_t, nb::shape<-1, 2, 2>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const std::uint16_t, nb::shape<256>, nb::c_contig, nb::device::cpu>;

void check(bool fits, const char* problem) {
  if (!fits) throw std::invalid_argument(problem);
}

void check_edges(const Edges& edges, std::size_t cells, std::size_t side) {
  check(edges.shape(0) == cells + 1, "there is one edge more than cells");
  for (std::size_t edge = 0; edge <= cells; ++edge) {
    const std::int64_t before = edge == 0 ? 0 : edges(edge - 1);
    check(before <= edges(edge) && edges(edge) <= static_cast<std::int64_t>(side), "edges ascend within the plane");
  }
}

// In 16 bits, and of memory that does not overlap, so that compilers take many pixels at once.
void tint_row(const std::uint8_t* __restrict from, std::uint8_t* __restrict to, const std::uint16_t* __restrict factor,
              const std::uint16_t* __restrict offset, std::size_t first, std::size_t end) {
  for (std::size_t x = first; x < end; ++x) {
    to[x] = static_cast<std::uint8_t>(static_cast<std::uint16_t>(from[x] * factor[x] + offset[x]) >> 8);
  }
}

void tint_cells(const Plane& plane, const Canvas& out, const Cells& cells, const Edges& rows, const Edges& columns, const Table& factors,
                const Table& offsets) {
  check(plane.shape(0) == out.shape(0) && plane.shape(1) == out.shape(1), "plane and canvas have one size");
  check((plane.stride(1) == 1 || plane.shape(1) <= 1) && (out.stride(1) == 1 || out.shape(1) <= 1), "pixels of a row lie side by side");
  check_edges(rows, cells.shape(0), plane.shape(0));
  check_edges(columns, cells.shape(1), plane.shape(1));
  for (std::size_t step = 0; step < 256; ++step) check(255 * factors(step) + offsets(step) <= 65535, "a factor or an offset is too large");

  const nb::gil_scoped_release unlocked;
  const auto first = static_cast<std::size_t>(columns(0)), end = static_cast<std::size_t>(columns(cells.shape(1)));
  std::vector<std::uint16_t> factor(end), offset(end);  // of each pixel in a row of cells
  for (std::size_t row = 0; row < cells.shape(0); ++row) {
    for (std::size_t column = 0; column < cells.shape(1); ++column) {
      const std::uint8_t step = cells(row, column);
      std::fill(factor.begin() + columns(column), factor.begin() + columns(column + 1), factors(step));
      std::fill(offset.begin() + columns(column), offset.begin() + columns(column + 1), offsets(step));
    }
    for (std::int64_t y = rows(row); y < rows(row + 1); ++y) {
      tint_row(plane.data() + y * plane.stride(0), out.data() + y * out.stride(0), factor.data(), offset.data(), first, end);
    }
  }
}

void draw_lines(const Canvas& plane, const Lines& lines, std::uint8_t level, bool halved) {
  check(plane.stride(1) == 1 || plane.shape(1) <= 1, "pixels of a row lie side by side");
  const auto height = static_cast<std::int64_t>(plane.shape(0)), width = static_cast<std::int64_t>(plane.shape(1));
  const int shift = halved ? 1 : 0;
  for (std::size_t line = 0; line < lines.shape(0); ++line) {
    check(lines(line, 0, 0) == lines(line, 1, 0) || lines(line, 0, 1) == lines(line, 1, 1), "lines are level or upright");
  }
  for (std::size_t line = 0; line < lines.shape(0); ++line) {
    const auto [left, right] = std::minmax<std::int64_t>({lines(line, 0, 0) >> shift, lines(line, 1, 0) >> shift});
    const auto [top, bottom] = std::minmax<std::int64_t>({lines(line, 0, 1) >> shift, lines(line, 1, 1) >> shift});
    const std::int64_t first = std::max<std::int64_t>(left, 0), end = std::min(right + 1, width);
    for (std::int64_t y = std::max<std::int64_t>(top, 0); y < std::min(bottom + 1, height) && first < end; ++y) {
      std::uint8_t* const row = plane.data() + y * plane.stride(0);
      std::fill(row + first, row + end, level);
    }
  }
}

}  // namespace

NB_MODULE(_tint, m) {
  m.def("tint_cells", &tint_cells, nb::arg("plane"), nb::arg("out"), nb::arg("cells"), nb::arg("rows"), nb::arg("columns"),
        nb::arg("factors"), nb::arg("offsets"));
  m.def("draw_lines", &draw_lines, nb::arg("plane"), nb::arg("lines"), nb::arg("level"), nb::arg("halved"));
}
