// Patches of an anchor compared with where they are thought to be in a picture, for skipvid/tasks/patches.py.
//
// Positions are in steps of 1 / 32 pixels, values of pixels between others are whole numbers, and steepest descents lie on a grid: all sums
// are exact, so that the same patches move alike whatever adds up.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "registered.hpp"

namespace {

using Picture = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::device::cpu>;
using Places = nb::ndarray<const float, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using Levels = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Descents = nb::ndarray<const double, nb::shape<-1, 2, -1>, nb::c_contig, nb::device::cpu>;
using Moved = nb::ndarray<float, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using Limits = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Found = nb::ndarray<bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Chosen = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Measures = nb::ndarray<double, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;

constexpr std::ptrdiff_t radius = 4, side = 2 * radius + 1, pixels = side * side;
constexpr std::ptrdiff_t lanes = 16, width = 8;  // of a row, and of sums, that are computed at a time
constexpr int steps_bits = 5;
constexpr std::int32_t steps = 1 << steps_bits, unit = steps * steps;
constexpr float far = 1e6f;
constexpr double largest_step = 2;

std::int32_t placed(float centre, float moved) {
  const float place = centre + moved;
  return static_cast<std::int32_t>(std::nearbyint((place > -far ? std::min(place, far) : -far) * steps));
}

// The pixels of a patch and those that it lies between, which go on beyond the picture's border as there.
struct Window {
  std::uint8_t rows[side + 1][lanes] = {};

  void fill(const Picture& picture, std::ptrdiff_t left, std::ptrdiff_t top) {
    const auto height = static_cast<std::ptrdiff_t>(picture.shape(0)), width = static_cast<std::ptrdiff_t>(picture.shape(1));
    const bool inside = left >= 0 && left + side < width;
    for (std::ptrdiff_t row = 0; row <= side; ++row) {
      const std::uint8_t* line = picture.data() + std::clamp<std::ptrdiff_t>(top + row, 0, height - 1) * picture.stride(0);
      if (inside) {
        std::memcpy(rows[row], line + left, side + 1);
      } else {
        for (std::ptrdiff_t x = 0; x <= side; ++x) rows[row][x] = line[std::clamp<std::ptrdiff_t>(left + x, 0, width - 1)];
      }
    }
  }
};

struct Measure {
  double x, y, spread;
  std::int32_t change;  // in parts of a grey level, summed up
};

// x, y: the shares of a pixel, of `steps`, that a patch lies beside the window's pixels.
[[gnu::always_inline]] inline Measure compare(const Window& window, std::int32_t x, std::int32_t y, const std::uint8_t* levels,
                                              const double* descents, std::int32_t most) {
  std::int16_t across[side + 1][lanes];
  for (std::ptrdiff_t row = 0; row <= side; ++row) {
    for (std::ptrdiff_t at = 0; at + 1 < lanes; ++at) {
      across[row][at] = static_cast<std::int16_t>((steps - x) * window.rows[row][at] + x * window.rows[row][at + 1]);
    }
    across[row][lanes - 1] = 0;
  }
  // Each row is written as a whole, and the next one over what of it is none of the patch's.
  std::int32_t rest[(side - 1) * side + lanes];
  for (std::ptrdiff_t row = 0; row < side; ++row) {
    for (std::ptrdiff_t at = 0; at < lanes; ++at) rest[row * side + at] = (steps - y) * across[row][at] + y * across[row + 1][at];
  }
  std::fill(rest + pixels, rest + (side - 1) * side + lanes, 0);
  for (std::ptrdiff_t at = 0; at < pixels; ++at) rest[at] -= unit * levels[at];
  std::int32_t sum = 0, change = 0;
  for (std::ptrdiff_t at = 0; at < pixels; ++at) {
    sum += rest[at];
    change += std::min(std::abs(rest[at]), most * unit);
  }
  constexpr std::ptrdiff_t whole = pixels / width * width;
  double x_sums[width] = {}, y_sums[width] = {}, squares[width] = {};
  for (std::ptrdiff_t begin = 0; begin < whole; begin += width) {
    for (std::ptrdiff_t lane = 0; lane < width; ++lane) {
      const double value = rest[begin + lane];
      x_sums[lane] += descents[begin + lane] * value;
      y_sums[lane] += descents[pixels + begin + lane] * value;
      squares[lane] += value * value;
    }
  }
  double x_sum = 0, y_sum = 0, square = 0;
  for (std::ptrdiff_t at = whole; at < pixels; ++at) {
    const double value = rest[at];
    x_sum += descents[at] * value;
    y_sum += descents[pixels + at] * value;
    square += value * value;
  }
  for (std::ptrdiff_t lane = 0; lane < width; ++lane) {
    x_sum += x_sums[lane];
    y_sum += y_sums[lane];
    square += squares[lane];
  }
  const double spread = pixels * square - static_cast<double>(sum) * sum;
  return {x_sum / unit, y_sum / unit, std::sqrt(spread) / (pixels * unit), change};
}

#ifdef SKIPVID_HASWELL
[[gnu::target("avx2,fma")]] Measure compare_haswell(const Window& window, std::int32_t x, std::int32_t y, const std::uint8_t* levels,
                                                    const double* descents, std::int32_t most) {
  return compare(window, x, y, levels, descents, most);
}
#endif

Measure compared(const Window& window, std::int32_t x, std::int32_t y, const std::uint8_t* levels, const double* descents,
                 std::int32_t most) {
#ifdef SKIPVID_HASWELL
  if (has_haswell()) return compare_haswell(window, x, y, levels, descents, most);
#endif
  return compare(window, x, y, levels, descents, most);
}

// Patches and where they are looked for.
struct Search {
  const Picture& picture;
  const Places& centres;
  const Levels& levels;
  const Descents& descents;

  void check_sizes() const {
    const std::size_t count = centres.shape(0);
    check((picture.stride(1) == 1 || picture.shape(1) <= 1) && picture.shape(0) > 0 && picture.shape(1) > 0,
          "pixels of a row lie side by side");
    check(levels.shape(0) == count && descents.shape(0) == count, "there is one of each");
    check(levels.shape(1) == pixels && descents.shape(2) == pixels, "a patch has 81 pixels");
  }

  Measure at(std::size_t number, const float* moved, std::int32_t most) const {
    const float* centre = centres.data() + 2 * number;
    const std::int32_t x = placed(centre[0], moved[0]), y = placed(centre[1], moved[1]);
    Window window;
    window.fill(picture, (x >> steps_bits) - radius, (y >> steps_bits) - radius);
    return compared(window, x & (steps - 1), y & (steps - 1), levels.data() + number * pixels, descents.data() + 2 * pixels * number, most);
  }
};

void measure(const Picture& picture, const Places& centres, const Places& moved, const Levels& levels, const Descents& descents, int most,
             const Measures& out) {
  const Search search{picture, centres, levels, descents};
  search.check_sizes();
  const std::size_t count = centres.shape(0);
  check(moved.shape(0) == count && out.shape(0) == count, "there is one of each");
  check(most >= 0 && most <= 255, "what counts at most is a byte");
  const nb::gil_scoped_release unlocked;
  for (std::size_t number = 0; number < count; ++number) {
    const Measure found = search.at(number, moved.data() + 2 * number, most);
    double* measures = out.data() + 4 * number;
    measures[0] = found.x;
    measures[1] = found.y;
    measures[2] = found.spread;
    measures[3] = static_cast<double>(found.change) / (pixels * unit);
  }
}

void find(const Picture& picture, const Places& centres, const Levels& levels, const Descents& descents, const Limits& limits, int rounds,
          float arrived, const Moved& moved, const Found& out) {
  const Search search{picture, centres, levels, descents};
  search.check_sizes();
  const std::size_t count = centres.shape(0);
  check(moved.shape(0) == count && limits.shape(0) == count && out.shape(0) == count, "there is one of each");
  const nb::gil_scoped_release unlocked;
  for (int round = 0; round < rounds; ++round) {
    std::size_t going = 0;
    for (std::size_t number = 0; number < count; ++number) {
      float* const own = moved.data() + 2 * number;
      const Measure found = search.at(number, own, 0);
      const auto x = static_cast<float>(std::clamp(found.x, -largest_step, largest_step));
      const auto y = static_cast<float>(std::clamp(found.y, -largest_step, largest_step));
      own[0] += x;
      own[1] += y;
      going += std::max(std::abs(x), std::abs(y)) > arrived;
    }
    if (going <= count / 2) break;
  }
  const float border = radius, right = static_cast<float>(picture.shape(1)) - border,
              bottom = static_cast<float>(picture.shape(0)) - border;
  for (std::size_t number = 0; number < count; ++number) {
    const float *own = moved.data() + 2 * number, *centre = centres.data() + 2 * number;
    const float x = centre[0] + own[0], y = centre[1] + own[1];
    const bool inside = x >= border && y >= border && x < right && y < bottom;
    out(number) = inside && search.at(number, own, 0).spread < limits(number);
  }
}

std::int64_t sum_changes(const Picture& picture, const Places& centres, const Places& moved, const Levels& levels, const Descents& descents,
                         const Chosen& chosen, int most) {
  const Search search{picture, centres, levels, descents};
  search.check_sizes();
  const std::size_t count = centres.shape(0);
  check(moved.shape(0) == count && chosen.shape(0) == count, "there is one of each");
  check(most >= 0 && most <= 255, "what counts at most is a byte");
  const nb::gil_scoped_release unlocked;
  std::int64_t sum = 0;
  for (std::size_t number = 0; number < count; ++number) {
    if (chosen(number)) sum += search.at(number, moved.data() + 2 * number, most).change;
  }
  return sum;
}

}  // namespace

void bind_patches(nb::module_& m) {
  m.def("measure_patches", &measure, nb::arg("picture"), nb::arg("centres"), nb::arg("moved"), nb::arg("levels"), nb::arg("descents"),
        nb::arg("most"), nb::arg("out"));
  m.def("find_patches", &find, nb::arg("picture"), nb::arg("centres"), nb::arg("levels"), nb::arg("descents"), nb::arg("limits"),
        nb::arg("rounds"), nb::arg("arrived"), nb::arg("moved"), nb::arg("out"));
  m.def("sum_changes", &sum_changes, nb::arg("picture"), nb::arg("centres"), nb::arg("moved"), nb::arg("levels"), nb::arg("descents"),
        nb::arg("chosen"), nb::arg("most"));
}
