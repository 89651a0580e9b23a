// A picture moved by a part of a pixel. OpenCV takes eight passes over it, and ten times as long.
//
// Sums are of whole numbers, so that all machines give the same bits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
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

}  // namespace

void bind_shifted(nb::module_& m) {
  m.def("shift_picture", &shift_picture, nb::arg("pixels"), nb::arg("out"), nb::arg("across"), nb::arg("down"), nb::arg("x"), nb::arg("y"));
}
