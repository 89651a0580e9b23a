// A picture scaled down and moved in one pass: of each place the weighted mean of a box of samples, down and then across.
//
// Weights are whole numbers, and sums fit in 32 bits, so that all machines give the same bits.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include <nanobind/stl/pair.h>

#include "registered.hpp"
#ifdef SKIPVID_HASWELL
#include <immintrin.h>
#endif

namespace {

using Starts = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Weights = nb::ndarray<const std::int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Plane = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::device::cpu>;
using Colours = nb::ndarray<const std::int16_t, nb::shape<6>, nb::c_contig, nb::device::cpu>;
using BoxArrays = std::pair<Starts, Weights>;
using Line = std::vector<std::int16_t>;

constexpr int weight_bits = 14, kept_bits = 6, level_bits = 7, colour_bits = 13, product_bits = 15;
constexpr int dropped = weight_bits - kept_bits;
constexpr std::ptrdiff_t group = 8;  // of weights; of places that are worked on at once
constexpr int left_bits = level_bits + colour_bits - product_bits;  // behind the point, of a level times what makes colours
constexpr std::int32_t neutral = 128 << level_bits;

std::int16_t to_word(std::int32_t value) { return static_cast<std::int16_t>(std::clamp(value, -32768, 32767)); }
std::uint8_t to_byte(std::int32_t value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

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

void down_by_one(const Column& column, std::int16_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    std::int32_t sum = 1 << (dropped - 1);
    for (std::size_t tap = 0; tap < column.rows.size(); ++tap) sum += column.weights[tap] * column.rows[tap][x];
    to[x] = to_word(sum >> dropped);
  }
}

void across_by_one(const std::int16_t* line, const Boxes& boxes, int bits, std::int16_t* to) {
  for (std::ptrdiff_t x = 0; x < boxes.count; ++x) {
    std::int32_t sum = 1 << (bits - 1);
    for (std::ptrdiff_t tap = 0; tap < boxes.taps; ++tap) sum += boxes.weights[x * boxes.taps + tap] * line[boxes.starts[x] + tap];
    to[x] = to_word(sum >> bits);
  }
}

#ifdef SKIPVID_HASWELL
// pairs: of rows; 0: as many as there are.
template <std::ptrdiff_t pairs>
[[gnu::target("avx2,fma")]] void down_haswell(const Column& column, std::int16_t* to, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t lanes = 32, line = 64;
  if (count < lanes) return down_by_one(column, to, count);
  const __m256i rounding = _mm256_set1_epi32(1 << (dropped - 1)), zero = _mm256_setzero_si256();
  const std::ptrdiff_t taps = pairs ? 2 * pairs : static_cast<std::ptrdiff_t>(column.rows.size());
  const std::uint8_t* const* rows = column.rows.data();
  for (std::ptrdiff_t x = 0; x < count; x += lanes) {
    x = std::min(x, count - lanes);
    if (x % line == 0) {
      for (const std::uint8_t* row : column.next) _mm_prefetch(reinterpret_cast<const char*>(row + x), _MM_HINT_T0);
    }
    __m256i sums[4] = {rounding, rounding, rounding, rounding};
    for (std::ptrdiff_t tap = 0; tap < taps; tap += 2) {
      const __m256i one = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[tap] + x));
      const __m256i other = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[tap + 1] + x));
      std::int32_t two;
      std::memcpy(&two, column.weights + tap, sizeof two);
      const __m256i weights = _mm256_set1_epi32(two), low = _mm256_unpacklo_epi8(one, other), high = _mm256_unpackhi_epi8(one, other);
      sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), weights));
      sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), weights));
      sums[2] = _mm256_add_epi32(sums[2], _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), weights));
      sums[3] = _mm256_add_epi32(sums[3], _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), weights));
    }
    for (__m256i& sum : sums) sum = _mm256_srai_epi32(sum, dropped);
    const __m256i low = _mm256_packs_epi32(sums[0], sums[1]), high = _mm256_packs_epi32(sums[2], sums[3]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + x), _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + x + lanes / 2), _mm256_permute2x128_si256(low, high, 0x31));
  }
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m128i eight(const std::int16_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m128i four(const std::int16_t* from) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
}

// Two places side by side: four sums of two samples times their weights, each, or of more.
template <std::ptrdiff_t all>
[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i two_places(const std::int16_t* line, const std::int32_t* starts,
                                                                          const std::int16_t* weights, std::ptrdiff_t taps) {
  const std::int16_t *one = line + starts[0], *other = line + starts[1];
  __m256i sum = _mm256_madd_epi16(_mm256_set_m128i(eight(other), eight(one)), _mm256_set_m128i(eight(weights + taps), eight(weights)));
  for (std::ptrdiff_t tap = group; tap < (all ? all : taps); tap += group) {
    const __m256i values = _mm256_set_m128i(eight(other + tap), eight(one + tap));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(values, _mm256_set_m128i(eight(weights + taps + tap), eight(weights + tap))));
  }
  return sum;
}

// Four places side by side, four samples of each times their weights: two sums for each.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i four_places(const std::int16_t* line, const std::int32_t* starts,
                                                                           const std::int16_t* weights) {
  const __m128i low = _mm_unpacklo_epi64(four(line + starts[0]), four(line + starts[1]));
  const __m128i high = _mm_unpacklo_epi64(four(line + starts[2]), four(line + starts[3]));
  return _mm256_madd_epi16(_mm256_set_m128i(high, low), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights)));
}

// all: the weights of a box; 0: as many as there are, by eight.
template <std::ptrdiff_t all>
[[gnu::target("avx2,fma")]] void across_haswell(const std::int16_t* line, const Boxes& boxes, int bits, std::int16_t* to) {
  const __m256i rounding = _mm256_set1_epi32(1 << (bits - 1)), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m128i shift = _mm_cvtsi32_si128(bits);
  const std::ptrdiff_t taps = all ? all : boxes.taps, count = boxes.count;
  if (count < group) return across_by_one(line, boxes, bits, to);
  for (std::ptrdiff_t x = 0; x < count; x += group) {
    x = std::min(x, count - group);
    const std::int32_t* starts = boxes.starts + x;
    const std::int16_t* weights = boxes.weights + x * taps;
    __m256i sums;  // of all eight places
    if constexpr (all == group / 2) {
      sums = _mm256_hadd_epi32(four_places(line, starts, weights), four_places(line, starts + 4, weights + 4 * taps));
      sums = _mm256_permute4x64_epi64(sums, 0xD8);
    } else {
      const __m256i first = two_places<all>(line, starts, weights, taps),
                    second = two_places<all>(line, starts + 2, weights + 2 * taps, taps);
      const __m256i third = two_places<all>(line, starts + 4, weights + 4 * taps, taps);
      const __m256i fourth = two_places<all>(line, starts + 6, weights + 6 * taps, taps);
      sums = _mm256_hadd_epi32(_mm256_hadd_epi32(first, second), _mm256_hadd_epi32(third, fourth));
      sums = _mm256_permutevar8x32_epi32(sums, order);
    }
    sums = _mm256_sra_epi32(_mm256_add_epi32(sums, rounding), shift);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + x), words);
  }
}
#endif

// The values of one row of boxes down, of so many bytes side by side.
void down(const Column& column, std::int16_t* to, std::ptrdiff_t count) {
#ifdef SKIPVID_HASWELL
  if (has_haswell()) {
    switch (column.rows.size()) {
      case 2: return down_haswell<1>(column, to, count);
      case 4: return down_haswell<2>(column, to, count);
      case 6: return down_haswell<3>(column, to, count);
      default: return down_haswell<0>(column, to, count);
    }
  }
#endif
  down_by_one(column, to, count);
}

// The values of the boxes of a line, which has room behind its `side` values for those that boxes reach beyond them.
void across(Line& line, std::ptrdiff_t side, const Boxes& boxes, int bits, Line& to) {
  std::fill(line.begin() + side, line.end(), line[static_cast<std::size_t>(side - 1)]);
#ifdef SKIPVID_HASWELL
  if (has_haswell()) {
    switch (boxes.taps) {
      case group / 2: return across_haswell<group / 2>(line.data(), boxes, bits, to.data());
      case group: return across_haswell<group>(line.data(), boxes, bits, to.data());
      default: return across_haswell<0>(line.data(), boxes, bits, to.data());
    }
  }
#endif
  across_by_one(line.data(), boxes, bits, to.data());
}

Line line_of(std::ptrdiff_t values) { return Line(static_cast<std::size_t>(values)); }

[[gnu::always_inline]] inline void part(const std::int16_t* __restrict from, std::array<Line, channels>& to, std::ptrdiff_t count) {
  std::int16_t* __restrict blue = to[0].data(), * __restrict green = to[1].data(), * __restrict red = to[2].data();
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    blue[x] = from[3 * x];
    green[x] = from[3 * x + 1];
    red[x] = from[3 * x + 2];
  }
}

// What makes colours of the levels of luma, blue and red chroma.
struct Mixer {
  std::int16_t of_luma, blue_blue, blue_green, red_green, red_red, black;
};

std::int32_t product(std::int16_t level, std::int16_t factor) { return (level * factor + (1 << (product_bits - 1))) >> product_bits; }

void mix_by_one(const std::array<Line, channels>& levels, const Mixer& mixer, std::uint8_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    const auto at = static_cast<std::size_t>(x);
    const std::int16_t blue = to_word(levels[1][at] - neutral), red = to_word(levels[2][at] - neutral);
    const std::int32_t luma = product(to_word(levels[0][at] - mixer.black), mixer.of_luma) + (1 << (left_bits - 1));
    to[3 * x] = to_byte((luma + product(blue, mixer.blue_blue)) >> left_bits);
    to[3 * x + 1] = to_byte((luma + product(blue, mixer.blue_green) + product(red, mixer.red_green)) >> left_bits);
    to[3 * x + 2] = to_byte((luma + product(red, mixer.red_red)) >> left_bits);
  }
}

void join_by_one(const std::array<Line, channels>& values, std::uint8_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t x = 0; x < count * channels; ++x)
    to[x] = to_byte(values[static_cast<std::size_t>(x % channels)][static_cast<std::size_t>(x / channels)]);
}

#ifdef SKIPVID_HASWELL
constexpr std::ptrdiff_t joined = 16;

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i sixteen(const Line& line, std::ptrdiff_t x) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(line.data() + x));
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m256i all(int value) {
  return _mm256_set1_epi16(static_cast<std::int16_t>(value));
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline __m128i bytes(__m256i words) {
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// A third of sixteen pixels: those of the bytes of each colour that places say, -1 being none.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline void put(const __m128i* colours, const std::int8_t (*places)[16], std::uint8_t* to) {
  __m128i sum = _mm_setzero_si128();
  for (std::ptrdiff_t n = 0; n < channels; ++n) {
    sum = _mm_or_si128(sum, _mm_shuffle_epi8(colours[n], _mm_loadu_si128(reinterpret_cast<const __m128i*>(places[n]))));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sum);
}

constexpr std::int8_t o = -1;
constexpr std::int8_t mixed[3][channels][16] = {{{0, o, o, 1, o, o, 2, o, o, 3, o, o, 4, o, o, 5},
                                                 {o, 0, o, o, 1, o, o, 2, o, o, 3, o, o, 4, o, o},
                                                 {o, o, 0, o, o, 1, o, o, 2, o, o, 3, o, o, 4, o}},
                                                {{o, o, 6, o, o, 7, o, o, 8, o, o, 9, o, o, 10, o},
                                                 {5, o, o, 6, o, o, 7, o, o, 8, o, o, 9, o, o, 10},
                                                 {o, 5, o, o, 6, o, o, 7, o, o, 8, o, o, 9, o, o}},
                                                {{o, 11, o, o, 12, o, o, 13, o, o, 14, o, o, 15, o, o},
                                                 {o, o, 11, o, o, 12, o, o, 13, o, o, 14, o, o, 15, o},
                                                 {10, o, o, 11, o, o, 12, o, o, 13, o, o, 14, o, o, 15}}};

// Sixteen pixels of three bytes, from sixteen values of each.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline void join(__m256i blue, __m256i green, __m256i red, std::uint8_t* to) {
  const __m128i colours[channels] = {bytes(blue), bytes(green), bytes(red)};
  for (std::ptrdiff_t third = 0; third < 3; ++third) put(colours, mixed[third], to + 16 * third);
}

[[gnu::target("avx2,fma")]] void mix_haswell(const std::array<Line, channels>& levels, const Mixer& mixer, std::uint8_t* to,
                                             std::ptrdiff_t count) {
  if (count < joined) return mix_by_one(levels, mixer, to, count);
  const __m256i half = all(1 << (left_bits - 1)), middle = all(neutral), black = all(mixer.black), of_luma = all(mixer.of_luma);
  const __m256i blue_blue = all(mixer.blue_blue), blue_green = all(mixer.blue_green);
  const __m256i red_green = all(mixer.red_green), red_red = all(mixer.red_red);
  for (std::ptrdiff_t x = 0; x < count; x += joined) {
    x = std::min(x, count - joined);
    const __m256i luma = _mm256_add_epi16(_mm256_mulhrs_epi16(_mm256_subs_epi16(sixteen(levels[0], x), black), of_luma), half);
    const __m256i blue = _mm256_subs_epi16(sixteen(levels[1], x), middle), red = _mm256_subs_epi16(sixteen(levels[2], x), middle);
    const __m256i first = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(blue, blue_blue));
    const __m256i greens = _mm256_add_epi16(_mm256_mulhrs_epi16(blue, blue_green), _mm256_mulhrs_epi16(red, red_green));
    const __m256i second = _mm256_add_epi16(luma, greens), third = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(red, red_red));
    join(_mm256_srai_epi16(first, left_bits), _mm256_srai_epi16(second, left_bits), _mm256_srai_epi16(third, left_bits), to + 3 * x);
  }
}

[[gnu::target("avx2,fma")]] void join_haswell(const std::array<Line, channels>& values, std::uint8_t* to, std::ptrdiff_t count) {
  if (count < joined) return join_by_one(values, to, count);
  for (std::ptrdiff_t x = 0; x < count; x += joined) {
    x = std::min(x, count - joined);
    join(sixteen(values[0], x), sixteen(values[1], x), sixteen(values[2], x), to + 3 * x);
  }
}

[[gnu::target("avx2,fma")]] void part_haswell(const std::int16_t* from, std::array<Line, channels>& to, std::ptrdiff_t count) {
  part(from, to, count);
}
#define BY_PROCESSOR(name, otherwise, ...) (has_haswell() ? name##_haswell(__VA_ARGS__) : otherwise(__VA_ARGS__))
#else
#define BY_PROCESSOR(name, otherwise, ...) otherwise(__VA_ARGS__)
#endif

void average_pixels(const Picture& pixels, const Canvas& out, const BoxArrays& down_boxes, const BoxArrays& across_boxes) {
  const Rows<const std::uint8_t> from(pixels);
  const Rows<std::uint8_t> to(out);
  const std::ptrdiff_t width = from.row / channels, columns = to.row / channels;
  const Boxes rows(down_boxes, to.height, from.height), places(across_boxes, columns, width);
  if (to.row == 0 || to.height == 0) return;
  const nb::gil_scoped_release unlocked;
  Line whole = line_of(from.row);
  std::array<Line, channels> line, mean;
  line.fill(line_of(width + places.taps));
  mean.fill(line_of(columns));
  Column column;
  for (std::ptrdiff_t y = 0; y < to.height; ++y) {
    column.turn(from, rows, y);
    down(column, whole.data(), from.row);
    BY_PROCESSOR(part, part, whole.data(), line, width);
    for (std::size_t n = 0; n < channels; ++n) across(line[n], width, places, weight_bits + kept_bits, mean[n]);
    BY_PROCESSOR(join, join_by_one, mean, to.at(y), columns);
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
  std::array<Line, channels> line, level;
  for (std::size_t n = 0; n < channels; ++n) line[n] = line_of(from[n].row + (n ? chroma_places : places).taps);
  level.fill(line_of(columns));
  Column column;
  for (std::ptrdiff_t y = 0; y < to.height; ++y) {
    for (std::size_t n = 0; n < channels; ++n) {
      column.turn(from[n], n ? chroma_rows : rows, y);
      down(column, line[n].data(), from[n].row);
      across(line[n], from[n].row, n ? chroma_places : places, weight_bits + kept_bits - level_bits, level[n]);
    }
    BY_PROCESSOR(mix, mix_by_one, level, mixer, to.at(y), columns);
  }
}

}  // namespace

void bind_displaced(nb::module_& m) {
  m.def("average_pixels", &average_pixels, nb::arg("pixels"), nb::arg("out"), nb::arg("down"), nb::arg("across"));
  m.def("average_planes", &average_planes, nb::arg("luma"), nb::arg("blue"), nb::arg("red"), nb::arg("out"), nb::arg("down"),
        nb::arg("across"), nb::arg("chroma_down"), nb::arg("chroma_across"), nb::arg("colours"));
}
