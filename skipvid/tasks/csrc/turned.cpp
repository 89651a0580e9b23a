// A picture that is turned or scaled, drawn onto another one. OpenCV takes three times as long.
//
// Places are given in whole numbers and sums are of whole numbers, so that all machines give the same bits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "registered.hpp"
#ifdef SKIPVID_HASWELL
#include <immintrin.h>
#endif

namespace {

using Places = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Kernels = nb::ndarray<const std::int16_t, nb::shape<32, 32, 4, 4>, nb::c_contig, nb::device::cpu>;

constexpr std::ptrdiff_t taps = 4, before = 1;
constexpr int phase_bits = 5, place_bits = 12, unit_bits = 14;  // of a place between pixels; behind the point of a place; of a kernel's sum
constexpr int dropped = place_bits - phase_bits, half = 1 << (dropped - 1), phases = 1 << phase_bits;

struct Turn {
  const std::int32_t *across_x, *across_y, *down_x, *down_y;
  const std::int16_t* kernels;
};

// Where a pixel comes from, in parts of a pixel.
struct Place {
  std::ptrdiff_t x, y;

  Place(const Turn& turn, std::ptrdiff_t column, std::ptrdiff_t row)
      : x((turn.across_x[column] + turn.down_x[row] + half) >> dropped), y((turn.across_y[column] + turn.down_y[row] + half) >> dropped) {}
  bool in(std::ptrdiff_t width, std::ptrdiff_t height) const {
    return x >= 0 && y >= 0 && x <= (width - 1) * phases && y <= (height - 1) * phases;
  }
  std::ptrdiff_t left() const { return (x >> phase_bits) - before; }
  std::ptrdiff_t top() const { return (y >> phase_bits) - before; }
  std::ptrdiff_t kernel() const { return ((y % phases) * phases + x % phases) * taps * taps; }
};

// By the definition, also where taps lie beyond the border.
void draw_pixel(const Rows<const std::uint8_t>& from, const Place& place, const std::int16_t* kernels, std::uint8_t* to) {
  const std::ptrdiff_t width = from.row / channels;
  const std::int16_t* weight = kernels + place.kernel();
  for (std::ptrdiff_t channel = 0; channel < channels; ++channel) {
    std::int32_t sum = 1 << (unit_bits - 1);
    for (std::ptrdiff_t down = 0; down < taps; ++down) {
      const std::uint8_t* row = from.at(std::clamp<std::ptrdiff_t>(place.top() + down, 0, from.height - 1)) + channel;
      for (std::ptrdiff_t across = 0; across < taps; ++across) {
        sum += weight[down * taps + across] * row[std::clamp<std::ptrdiff_t>(place.left() + across, 0, width - 1) * channels];
      }
    }
    to[channel] = static_cast<std::uint8_t>(std::clamp(sum >> unit_bits, 0, 255));
  }
}

void draw_row(const Rows<const std::uint8_t>& from, const Turn& turn, std::ptrdiff_t y, std::uint8_t* to, std::ptrdiff_t columns) {
  for (std::ptrdiff_t x = 0; x < columns; ++x) {
    const Place place(turn, x, y);
    if (place.in(from.row / channels, from.height)) draw_pixel(from, place, turn.kernels, to + x * channels);
  }
}

#ifdef SKIPVID_HASWELL
// The three channels at once: of each row of a kernel the first two taps in one half of a register, the others in the other half.
[[gnu::target("avx2,fma")]] void draw_row_haswell(const Rows<const std::uint8_t>& from, const Turn& turn, std::ptrdiff_t y,
                                                  std::uint8_t* to, std::ptrdiff_t columns) {
  const std::ptrdiff_t width = from.row / channels;
  const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11,
                                         -1, -1, -1, -1, -1);
  const __m256i halves = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m128i rounding = _mm_set1_epi32(1 << (unit_bits - 1));
  for (std::ptrdiff_t x = 0; x < columns; ++x) {
    const Place place(turn, x, y);
    if (!place.in(width, from.height)) continue;
    const std::ptrdiff_t left = place.left() * channels, top = place.top();
    if (left < 0 || left + 16 > from.row || top < 0 || top + taps > from.height) {  // 16 bytes are read for the 12 that count
      draw_pixel(from, place, turn.kernels, to + x * channels);
      continue;
    }
    const std::uint8_t* source = from.at(top) + left;
    const std::int16_t* weight = turn.kernels + place.kernel();
    __m256i sum = _mm256_setzero_si256();
    for (std::ptrdiff_t down = 0; down < taps; ++down) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + down * from.stride));
      const __m256i values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), pairs);
      std::int64_t four;
      std::memcpy(&four, weight + down * taps, sizeof four);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(values, _mm256_permutevar8x32_epi32(_mm256_set1_epi64x(four), halves)));
    }
    const __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    const __m128i whole = _mm_srai_epi32(_mm_add_epi32(both, rounding), unit_bits);
    const __m128i words = _mm_packs_epi32(whole, whole);
    const int value = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    std::memcpy(to + x * channels, &value, channels);
  }
}
#endif

void turn_picture(const Picture& pixels, const Canvas& out, const Places& across_x, const Places& across_y, const Places& down_x,
                  const Places& down_y, const Kernels& kernels) {
  const Rows<const std::uint8_t> from(pixels);
  const Rows<std::uint8_t> to(out);
  const std::ptrdiff_t columns = to.row / channels;
  const auto are = [](const Places& places, std::ptrdiff_t count) { return static_cast<std::ptrdiff_t>(places.shape(0)) == count; };
  check(are(across_x, columns) && are(across_y, columns) && are(down_x, to.height) && are(down_y, to.height),
        "there is a place for each column and each row");
  if (from.row == 0 || from.height == 0) return;
  const nb::gil_scoped_release unlocked;
  const Turn turn{across_x.data(), across_y.data(), down_x.data(), down_y.data(), kernels.data()};
  for (std::ptrdiff_t y = 0; y < to.height; ++y) {
#ifdef SKIPVID_HASWELL
    if (has_haswell()) {
      draw_row_haswell(from, turn, y, to.at(y), columns);
      continue;
    }
#endif
    draw_row(from, turn, y, to.at(y), columns);
  }
}

}  // namespace

void bind_turned(nb::module_& m) {
  m.def("turn_picture", &turn_picture, nb::arg("pixels"), nb::arg("out"), nb::arg("across_x"), nb::arg("across_y"), nb::arg("down_x"),
        nb::arg("down_y"), nb::arg("kernels"));
}
