// What of a moved picture differs from what was seen, drawn. OpenCV takes five times as long.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "registered.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::ptrdiff_t around = 9;  // values that a mean is taken of

struct Tolerance {
  std::uint16_t share, base;  // (share * contrast + base) >> 11
};

// Rows of one width, with a pixel more at each side.
struct Lines {
  explicit Lines(std::ptrdiff_t row)
      : low(padded(row), 255), high(padded(row), 0), seeds(padded(row), 0), allowed(static_cast<std::size_t>(row)), rest(padded(row)) {}
  static std::size_t padded(std::ptrdiff_t row) { return static_cast<std::size_t>(row + 2 * channels); }

  Bytes low, high, seeds, allowed;
  std::vector<std::int16_t> rest;  // the sum of three rows of differences
};

// The differences of a row: writes to `differs` which are above the tolerance, and to `near` those of them, and of the values beside, whose
// mean with the eight around is above it, too.
[[gnu::always_inline]] inline void find_changes(const Rows<std::uint8_t>& seen, const Rows<const std::uint8_t>& moved, std::ptrdiff_t y,
                                                Tolerance tolerance, Lines& lines, std::uint8_t* __restrict differs,
                                                std::uint8_t* __restrict near) {
  const std::ptrdiff_t row = seen.row, above = std::max<std::ptrdiff_t>(y - 1, 0), below = std::min(y + 1, seen.height - 1);
  const std::uint8_t *s0 = seen.at(above), *s1 = seen.at(y), *s2 = seen.at(below);
  const std::uint8_t *m0 = moved.at(above), *m1 = moved.at(y), *m2 = moved.at(below);
  std::uint8_t* __restrict low = lines.low.data() + channels, * __restrict high = lines.high.data() + channels;
  std::int16_t* __restrict rest = lines.rest.data() + channels;
  for (std::ptrdiff_t x = 0; x < row; ++x) {
    low[x] = std::min(std::min(s0[x], s1[x]), s2[x]);
    high[x] = std::max(std::max(s0[x], s1[x]), s2[x]);
  }
  for (std::ptrdiff_t x = 0; x < row; ++x) rest[x] = static_cast<std::int16_t>(m0[x] - s0[x] + m1[x] - s1[x] + m2[x] - s2[x]);
  for (std::ptrdiff_t c = 0; c < channels; ++c) {
    rest[c - channels] = rest[c];
    rest[row + c] = rest[row + c - channels];
  }
  std::uint8_t* __restrict allowed = lines.allowed.data();
  for (std::ptrdiff_t x = 0; x < row; ++x) {
    const std::uint8_t top = std::max(std::max(high[x - channels], high[x]), high[x + channels]);
    const std::uint8_t bottom = std::min(std::min(low[x - channels], low[x]), low[x + channels]);
    const auto contrast = static_cast<std::uint8_t>(top - bottom);
    allowed[x] = static_cast<std::uint8_t>(static_cast<std::uint16_t>(tolerance.share * contrast + tolerance.base) >> 11);
    const auto apart = static_cast<std::uint8_t>(std::max(s1[x], m1[x]) - std::min(s1[x], m1[x]));
    differs[x] = apart > allowed[x] ? 255 : 0;
  }
  std::uint8_t* __restrict seeds = lines.seeds.data() + channels;
  for (std::ptrdiff_t x = 0; x < row; ++x) {
    const auto sum = static_cast<std::int16_t>(rest[x - channels] + rest[x] + rest[x + channels]);
    const auto size = static_cast<std::int16_t>(sum < 0 ? -sum : sum);
    const std::uint8_t above_it = size > static_cast<std::int16_t>(around * allowed[x]) ? 255 : 0;
    seeds[x] = differs[x] & above_it;
  }
  for (std::ptrdiff_t x = 0; x < row; ++x) near[x] = seeds[x - channels] | seeds[x] | seeds[x + channels];
}

// Leaves in `differs` what lies at or beside what was found in this row, or the one above or below; returns how many that are.
[[gnu::always_inline]] inline std::size_t keep_near(std::uint8_t* __restrict differs, const std::uint8_t* above, const std::uint8_t* here,
                                                    const std::uint8_t* below, std::ptrdiff_t row) {
  std::size_t count = 0;
  constexpr std::ptrdiff_t piece = 240;  // so that a byte counts it
  for (std::ptrdiff_t begin = 0; begin < row; begin += piece) {
    const std::ptrdiff_t end = std::min(begin + piece, row);
    std::uint32_t sum = 0;
    for (std::ptrdiff_t x = begin; x < end; ++x) {
      differs[x] &= above[x] | here[x] | below[x];
      sum += differs[x] & 1;
    }
    count += sum;
  }
  return count;
}

[[gnu::always_inline]] inline void merge_rows(const Rows<std::uint8_t>& seen, const Rows<const std::uint8_t>& moved, Tolerance tolerance,
                                              double mostly) {
  const std::ptrdiff_t row = seen.row, height = seen.height;
  const auto size = static_cast<std::size_t>(row);
  Lines lines(row);
  Bytes differs(size * static_cast<std::size_t>(height)), above(size), here(size), below(size);
  std::size_t count = 0;
  for (std::ptrdiff_t y = 0; y <= height; ++y) {
    if (y < height) {
      find_changes(seen, moved, y, tolerance, lines, differs.data() + y * row, below.data());
    } else {
      std::fill(below.begin(), below.end(), std::uint8_t{0});
    }
    if (y > 0) count += keep_near(differs.data() + (y - 1) * row, above.data(), here.data(), below.data(), row);
    std::swap(above, here);
    std::swap(here, below);
  }
  const bool all = static_cast<double>(count) > mostly * static_cast<double>(row * height);
  for (std::ptrdiff_t y = 0; y < height; ++y) {
    std::uint8_t* __restrict to = seen.at(y);
    const std::uint8_t* __restrict from = moved.at(y), * __restrict drawn = differs.data() + y * row;
    if (all) {
      std::memcpy(to, from, size);
      continue;
    }
    for (std::ptrdiff_t x = 0; x < row; ++x) to[x] = static_cast<std::uint8_t>((from[x] & drawn[x]) | (to[x] & ~drawn[x]));
  }
}

#ifdef SKIPVID_HASWELL
[[gnu::target("avx2,fma")]] void merge_rows_haswell(const Rows<std::uint8_t>& seen, const Rows<const std::uint8_t>& moved,
                                                    Tolerance tolerance, double mostly) {
  merge_rows(seen, moved, tolerance, mostly);
}
#endif

void merge_changes(const Canvas& canvas, const Picture& picture, int share, int base, double mostly) {
  const Rows<std::uint8_t> seen(canvas);
  const Rows<const std::uint8_t> moved(picture);
  check(seen.row == moved.row && seen.height == moved.height, "canvas and picture have one size");
  check(share >= 0 && base >= 0 && 255 * share + base <= 65535, "tolerances have 16 bits");
  if (seen.row == 0 || seen.height == 0) return;
  const nb::gil_scoped_release unlocked;
  const Tolerance tolerance{static_cast<std::uint16_t>(share), static_cast<std::uint16_t>(base)};
#ifdef SKIPVID_HASWELL
  if (has_haswell()) return merge_rows_haswell(seen, moved, tolerance, mostly);
#endif
  merge_rows(seen, moved, tolerance, mostly);
}

}  // namespace

void bind_merged(nb::module_& m) {
  m.def("merge_changes", &merge_changes, nb::arg("canvas"), nb::arg("picture"), nb::arg("share"), nb::arg("base"), nb::arg("mostly"));
}
