// The Python module skipvid.tasks._registered: pictures moved by a part of a pixel, and drawn where they differ from what was seen. OpenCV takes
// eight passes over a picture that lies in the cache by then or not, and five times as long.
//
// Sums are of whole numbers, so that all machines give the same bits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "registered.hpp"
#ifdef SKIPVID_HASWELL
#include <immintrin.h>
#endif

namespace {

using Kernel = nb::ndarray<const std::int16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::ptrdiff_t taps = 6, before = 2;
constexpr int unit_bits = 10, kept_bits = 4;  // of a kernel's sum; of a value between both passes, behind the point
constexpr int first_dropped = unit_bits - kept_bits, last_dropped = unit_bits + kept_bits;

struct Shift {
  const std::int16_t *across, *down;
  std::ptrdiff_t x, y;
};

// Both filters write the values from `begin` to `count`. from: of each tap.
void filter_down(const std::uint8_t* const* from, const std::int16_t* weight, std::int16_t* to, std::ptrdiff_t begin,
                 std::ptrdiff_t count) {
  for (std::ptrdiff_t x = begin; x < count; ++x) {
    std::int32_t sum = 1 << (first_dropped - 1);
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) sum += weight[tap] * from[tap][x];
    to[x] = static_cast<std::int16_t>(sum >> first_dropped);
  }
}

void filter_across(const std::int16_t* from, const std::int16_t* weight, std::uint8_t* to, std::ptrdiff_t begin, std::ptrdiff_t count) {
  for (std::ptrdiff_t x = begin; x < count; ++x) {
    std::int32_t sum = 1 << (last_dropped - 1);
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) sum += weight[tap] * from[x + tap * channels];
    to[x] = static_cast<std::uint8_t>(std::clamp(sum >> last_dropped, 0, 255));
  }
}

#ifdef SKIPVID_HASWELL
constexpr std::ptrdiff_t lanes = 16;

// The weights of two taps, side by side in each lane.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i pair_of(const std::int16_t* weight) {
  return _mm256_set1_epi32(static_cast<std::uint16_t>(weight[0]) | static_cast<std::int32_t>(weight[1]) << 16);
}

// Sixteen sums over six taps, rounded and without their last bits.
template <int dropped>
[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i sums_of(const __m256i* values, const __m256i* pairs) {
  __m256i low = _mm256_set1_epi32(1 << (dropped - 1)), high = low;
  for (std::ptrdiff_t tap = 0; tap < taps; tap += 2) {
    const __m256i weights = pairs[tap / 2];
    low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(values[tap], values[tap + 1]), weights));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(values[tap], values[tap + 1]), weights));
  }
  return _mm256_packs_epi32(_mm256_srai_epi32(low, dropped), _mm256_srai_epi32(high, dropped));
}

[[gnu::target("avx2,fma")]] std::ptrdiff_t filter_down_haswell(const std::uint8_t* const* from, const std::int16_t* weight,
                                                               std::int16_t* to, std::ptrdiff_t count) {
  const __m256i pairs[] = {pair_of(weight), pair_of(weight + 2), pair_of(weight + 4)};
  std::ptrdiff_t x = 0;
  for (; x + lanes <= count; x += lanes) {
    __m256i values[taps];
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) {
      values[tap] = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from[tap] + x)));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + x), sums_of<first_dropped>(values, pairs));
  }
  return x;
}

[[gnu::target("avx2,fma")]] std::ptrdiff_t filter_across_haswell(const std::int16_t* from, const std::int16_t* weight, std::uint8_t* to,
                                                                 std::ptrdiff_t count) {
  const __m256i pairs[] = {pair_of(weight), pair_of(weight + 2), pair_of(weight + 4)};
  std::ptrdiff_t x = 0;
  for (; x + lanes <= count; x += lanes) {
    __m256i values[taps];
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) {
      values[tap] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + x + tap * channels));
    }
    const __m256i sums = sums_of<last_dropped>(values, pairs);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + x), bytes);
  }
  return x;
}
#endif

void shift_rows(const Rows<const std::uint8_t>& from, const Rows<std::uint8_t>& to, const Shift& shift) {
  const std::ptrdiff_t width = from.row / channels, columns = to.row / channels;
  // the columns that any tap reads, those that lie in the picture, and as many values at its borders as lie beyond
  const std::ptrdiff_t first = shift.x - before, end = shift.x + columns + taps - 1 - before;
  const std::ptrdiff_t inside = std::max<std::ptrdiff_t>(first, 0), stop = std::min(end, width);
  std::vector<std::int16_t> line(static_cast<std::size_t>((end - first) * channels));
  const std::ptrdiff_t own = (inside - first) * channels, count = (stop - inside) * channels;
  for (std::ptrdiff_t y = 0; y < to.height; ++y) {
    const std::uint8_t* rows[taps];
    for (std::ptrdiff_t tap = 0; tap < taps; ++tap) {
      rows[tap] = from.at(std::clamp<std::ptrdiff_t>(y + shift.y - before + tap, 0, from.height - 1)) + inside * channels;
    }
    std::ptrdiff_t done = 0, drawn = 0;
#ifdef SKIPVID_HASWELL
    if (has_haswell()) done = filter_down_haswell(rows, shift.down, line.data() + own, count);
#endif
    filter_down(rows, shift.down, line.data() + own, done, count);
    for (std::ptrdiff_t x = own - 1; x >= 0; --x) line[x] = line[x + channels];
    for (std::ptrdiff_t x = (stop - first) * channels; x < (end - first) * channels; ++x) line[x] = line[x - channels];
#ifdef SKIPVID_HASWELL
    if (has_haswell()) drawn = filter_across_haswell(line.data(), shift.across, to.at(y), to.row);
#endif
    filter_across(line.data(), shift.across, to.at(y), drawn, to.row);
  }
}

void shift_picture(const Picture& pixels, const Canvas& out, const Kernel& across, const Kernel& down, std::ptrdiff_t x, std::ptrdiff_t y) {
  const Rows<const std::uint8_t> from(pixels);
  const Rows<std::uint8_t> to(out);
  check(across.shape(0) == taps && down.shape(0) == taps, "a kernel has six taps");
  const std::ptrdiff_t width = from.row / channels, columns = to.row / channels;
  check(x >= 0 && y >= 0 && x + columns <= width && y + to.height <= from.height, "what is asked for lies in the picture");
  if (to.row == 0 || to.height == 0) return;
  const nb::gil_scoped_release unlocked;
  shift_rows(from, to, {across.data(), down.data(), x, y});
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
[[gnu::target("avx2,fma")]] std::size_t merge_rows_haswell(const Rows<std::uint8_t>& seen, const Rows<const std::uint8_t>& moved,
                                                           Tolerance tolerance) {
  return merge_rows(seen, moved, tolerance);
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
