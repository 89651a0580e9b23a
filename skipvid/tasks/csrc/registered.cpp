// The Python module skipvid.tasks._registered: pictures moved by a part of a pixel, and drawn where they differ from what was seen. OpenCV takes
// eight passes over a picture that lies in the cache by then or not, and five times as long.
//
// Sums are of whole numbers below 2^24 in float: exact, whatever the order and the instructions, so that all machines give the same bits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "registered.hpp"

namespace {

using Kernel = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::ptrdiff_t taps = 6, before = 2;
constexpr int unit_bits = 10, kept_bits = 4;  // of a kernel's sum; of a value between both passes, behind the point

struct Shift {
  const float *across, *down;
  std::ptrdiff_t x, y;
};

[[gnu::always_inline]] inline void filter_down(const std::uint8_t* const* from, const float* weight, float* __restrict to,
                                               std::ptrdiff_t count) {
  const std::uint8_t *a = from[0], *b = from[1], *c = from[2], *d = from[3], *e = from[4], *f = from[5];
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    const float sum = weight[0] * a[x] + weight[1] * b[x] + weight[2] * c[x] + weight[3] * d[x] + weight[4] * e[x] + weight[5] * f[x];
    constexpr int dropped = unit_bits - kept_bits;
    to[x] = static_cast<float>((static_cast<std::int32_t>(sum) + (1 << (dropped - 1))) >> dropped);
  }
}

[[gnu::always_inline]] inline void filter_across(const float* __restrict from, const float* weight, std::uint8_t* __restrict to,
                                                 std::ptrdiff_t count) {
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    float sum = 0;
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) sum += weight[tap] * from[x + tap * channels];
    constexpr int dropped = unit_bits + kept_bits;
    const std::int32_t value = (static_cast<std::int32_t>(sum) + (1 << (dropped - 1))) >> dropped;
    to[x] = static_cast<std::uint8_t>(std::clamp(value, 0, 255));
  }
}

[[gnu::always_inline]] inline void shift_rows(const Rows<const std::uint8_t>& from, const Rows<std::uint8_t>& to, const Shift& shift) {
  const std::ptrdiff_t width = from.row / channels, columns = to.row / channels;
  // the columns that any tap reads, those that lie in the picture, and as many values at its borders as lie beyond
  const std::ptrdiff_t first = shift.x - before, end = shift.x + columns + taps - 1 - before;
  const std::ptrdiff_t inside = std::max<std::ptrdiff_t>(first, 0), stop = std::min(end, width);
  std::vector<float> line(static_cast<std::size_t>((end - first) * channels));
  const std::ptrdiff_t own = (inside - first) * channels;
  for (std::ptrdiff_t y = 0; y < to.height; ++y) {
    const std::uint8_t* rows[taps];
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) {
      rows[tap] = from.at(std::clamp<std::ptrdiff_t>(y + shift.y - before + tap, 0, from.height - 1)) + inside * channels;
    }
    filter_down(rows, shift.down, line.data() + own, (stop - inside) * channels);
    for (std::ptrdiff_t x = own - 1; x >= 0; --x) line[x] = line[x + channels];
    for (std::ptrdiff_t x = (stop - first) * channels; x < (end - first) * channels; ++x) line[x] = line[x - channels];
    filter_across(line.data(), shift.across, to.at(y), to.row);
  }
}

struct Tolerance {
  std::uint16_t share, base;  // (share * contrast + base) >> 11
};

// Writes to `to` the moved value where it differs from what was seen by more than the tolerance, otherwise what was seen; returns how many
// differ. low, high: extremes of the rows around, with a pixel more at each side.
[[gnu::always_inline]] inline std::size_t merge_row(const std::uint8_t* __restrict low, const std::uint8_t* __restrict high,
                                                    const std::uint8_t* __restrict seen, const std::uint8_t* __restrict moved,
                                                    std::uint8_t* __restrict to, std::ptrdiff_t count, Tolerance tolerance) {
  std::size_t differ = 0;
  constexpr std::ptrdiff_t piece = 240;  // so that a byte counts it
  std::uint8_t flag[piece];
  for (std::ptrdiff_t begin = 0; begin < count; begin += piece) {
    const std::ptrdiff_t length = std::min(piece, count - begin);
    for (std::ptrdiff_t n = 0; n < length; ++n) {
      const std::ptrdiff_t x = begin + n;
      const std::uint8_t top = std::max(std::max(high[x], high[x + channels]), high[x + 2 * channels]);
      const std::uint8_t bottom = std::min(std::min(low[x], low[x + channels]), low[x + 2 * channels]);
      const auto contrast = static_cast<std::uint8_t>(top - bottom);
      const auto allowed = static_cast<std::uint8_t>(static_cast<std::uint16_t>(tolerance.share * contrast + tolerance.base) >> 11);
      const auto apart = static_cast<std::uint8_t>(std::max(seen[x], moved[x]) - std::min(seen[x], moved[x]));
      const bool differs = apart > allowed;
      flag[n] = differs;
      to[x] = differs ? moved[x] : seen[x];
    }
    std::uint32_t sum = 0;
    for (std::ptrdiff_t n = 0; n < length; ++n) sum += flag[n];
    differ += sum;
  }
  return differ;
}

[[gnu::always_inline]] inline std::size_t merge_rows(const Rows<std::uint8_t>& seen, const Rows<const std::uint8_t>& moved,
                                                     Tolerance tolerance) {
  const std::ptrdiff_t row = seen.row;
  const auto size = static_cast<std::size_t>(row);
  std::vector<std::uint8_t> low(size + 2 * channels, 255), high(size + 2 * channels, 0);
  std::vector<std::uint8_t> before_own(seen.at(0), seen.at(0) + row), own(before_own);  // as they were
  std::size_t differ = 0;
  for (std::ptrdiff_t y = 0; y < seen.height; ++y) {
    const std::uint8_t *above = before_own.data(), *here = own.data(), *below = y + 1 < seen.height ? seen.at(y + 1) : here;
    std::uint8_t *least = low.data() + channels, *most = high.data() + channels;
    for (std::ptrdiff_t x = 0; x < row; ++x) {
      least[x] = std::min(std::min(above[x], here[x]), below[x]);
      most[x] = std::max(std::max(above[x], here[x]), below[x]);
    }
    differ += merge_row(low.data(), high.data(), here, moved.at(y), seen.at(y), row, tolerance);
    std::swap(before_own, own);
    if (y + 1 < seen.height) std::memcpy(own.data(), below, size);
  }
  return differ;
}

#ifdef SKIPVID_HASWELL
[[gnu::target("avx2,fma")]] void shift_rows_haswell(const Rows<const std::uint8_t>& from, const Rows<std::uint8_t>& to,
                                                    const Shift& shift) {
  shift_rows(from, to, shift);
}

[[gnu::target("avx2,fma")]] std::size_t merge_rows_haswell(const Rows<std::uint8_t>& seen, const Rows<const std::uint8_t>& moved,
                                                           Tolerance tolerance) {
  return merge_rows(seen, moved, tolerance);
}
#endif

void shift_picture(const Picture& pixels, const Canvas& out, const Kernel& across, const Kernel& down, std::ptrdiff_t x, std::ptrdiff_t y) {
  const Rows<const std::uint8_t> from(pixels);
  const Rows<std::uint8_t> to(out);
  check(across.shape(0) == taps && down.shape(0) == taps, "a kernel has six taps");
  const std::ptrdiff_t width = from.row / channels, columns = to.row / channels;
  check(x >= 0 && y >= 0 && x + columns <= width && y + to.height <= from.height, "what is asked for lies in the picture");
  if (to.row == 0 || to.height == 0) return;
  const nb::gil_scoped_release unlocked;
  const Shift shift{across.data(), down.data(), x, y};
#ifdef SKIPVID_HASWELL
  if (has_haswell()) return shift_rows_haswell(from, to, shift);
#endif
  shift_rows(from, to, shift);
}

void merge_changes(const Canvas& canvas, const Picture& picture, int share, int base, double mostly) {
  const Rows<std::uint8_t> seen(canvas);
  const Rows<const std::uint8_t> moved(picture);
  check(seen.row == moved.row && seen.height == moved.height, "canvas and picture have one size");
  check(share >= 0 && base >= 0 && 255 * share + base <= 65535, "tolerances have 16 bits");
  if (seen.row == 0 || seen.height == 0) return;
  const nb::gil_scoped_release unlocked;
  const Tolerance tolerance{static_cast<std::uint16_t>(share), static_cast<std::uint16_t>(base)};
#ifdef SKIPVID_HASWELL
  const std::size_t differ = has_haswell() ? merge_rows_haswell(seen, moved, tolerance) : merge_rows(seen, moved, tolerance);
#else
  const std::size_t differ = merge_rows(seen, moved, tolerance);
#endif
  if (static_cast<double>(differ) <= mostly * static_cast<double>(seen.row * seen.height)) return;
  for (std::ptrdiff_t y = 0; y < seen.height; ++y) std::memcpy(seen.at(y), moved.at(y), static_cast<std::size_t>(seen.row));
}

}  // namespace

NB_MODULE(_registered, m) {
  bind_patches(m);
  bind_turned(m);
  m.def("shift_picture", &shift_picture, nb::arg("pixels"), nb::arg("out"), nb::arg("across"), nb::arg("down"), nb::arg("x"), nb::arg("y"));
  m.def("merge_changes", &merge_changes, nb::arg("canvas"), nb::arg("picture"), nb::arg("share"), nb::arg("base"), nb::arg("mostly"));
}
