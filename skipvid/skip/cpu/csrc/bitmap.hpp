// Bitmaps of pixels: which outputs to compute, which inputs changed. One bit per pixel, rows padded to whole words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace skipvid {

// A pixel in a list: row in the upper 16 bits, column in the lower, so that right neighbours differ by one.
using Pixel = std::uint32_t;

// Rows, and columns, that a map may have.
constexpr int largest_extent = 0xffff;

// Lies outside of every map.
constexpr Pixel no_pixel = 0xffffffffU;
constexpr Pixel one_row = 1U << 16;  // from a pixel to the one below

inline Pixel pixel_at(int y, int x) { return static_cast<Pixel>(y) << 16 | static_cast<Pixel>(x); }
inline int row_of(Pixel pixel) { return static_cast<int>(pixel >> 16); }
inline int column_of(Pixel pixel) { return static_cast<int>(pixel & 0xffffU); }

class Bitmap {
 public:
  Bitmap(int height, int width);

  int height() const { return height_; }
  int width() const { return width_; }
  int words() const { return words_; }
  // The bits of a row's last word that belong to pixels.
  std::uint64_t last_word() const;
  std::uint64_t* row(int y) { return bits_.data() + static_cast<std::size_t>(y) * words_; }
  const std::uint64_t* row(int y) const { return bits_.data() + static_cast<std::size_t>(y) * words_; }

  // The rows that have set bits lie in [top, bottom); bits elsewhere need not be looked at. Who writes through row() or merge() calls settle()
  // afterwards, with the rows that were written to.
  int top() const { return top_; }
  int bottom() const { return bottom_; }
  bool any() const { return top_ < bottom_; }
  bool any(int y) const;
  void settle(int top, int bottom);
  void settle() { settle(0, height_); }
  void clear();
  void fill();
  std::size_t count() const;
  bool test(Pixel pixel) const { return (row(row_of(pixel))[column_of(pixel) / 64] >> (pixel % 64) & 1U) != 0; }
  // Atomically set bits of one word; several threads may do so at a time.
  void merge(int y, int word, std::uint64_t bits);
  // Round up to blocks of block x block pixels, counted from the top left.
  void round_to_blocks(int block);
  // target[y * width + x] += amount for all set pixels.
  void add_to(float* target, float amount) const;
  // Write the set pixels of rows [top, bottom), row by row from left to right; returns their number. There must be room for all of them and
  // `list_room` more, which may be overwritten.
  std::size_t list(int top, int bottom, const BitKernels& kernels, Pixel* pixels) const;

 private:
  int height_, width_, words_;
  int top_ = 0, bottom_ = 0;
  std::vector<std::uint64_t> bits_;
};

// Calls callable(x) for each set bit of a row; returns their number.
template <class Callable>
std::size_t for_each_set(const std::uint64_t* words, int count, const Callable& callable) {
  std::size_t found = 0;
  for (int word = 0; word < count; ++word) {
    for (std::uint64_t bits = words[word]; bits != 0; bits &= bits - 1, ++found) callable(word * 64 + __builtin_ctzll(bits));
  }
  return found;
}

// How a changed input pixel spreads to the outputs that read it.
struct Footprint {
  enum class Kind {
    same,    // pixel to pixel; an extent of 1 in the input spreads over the whole output
    window,  // a convolution's or pool's window
    taps,    // tables of the input rows and columns that each output row and column reads
    pixels,  // a table of the input pixel that each output pixel reads
    any      // any change reaches the single output
  };
  Kind kind = Kind::same;
  // window: y, x each. origin: input coordinate of the first tap of output 0 (minus the leading pad).
  int kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1}, origin[2] = {0, 0};
  // taps: per axis (outputs, taps) input coordinates; negative = reads nothing.
  std::vector<std::int32_t> table[2];
  // taps, the other way round: bits of an output row that read input column x are reached[starts[x]] to reached[starts[x + 1]].
  struct Reach {
    int word;
    std::uint64_t bits;
  };
  std::vector<Reach> reached;
  std::vector<int> starts;

  // pixels: by output pixel; `no_pixel`: reads nothing.
  std::vector<Pixel> pixels;

  static Footprint taps(std::vector<std::int32_t> rows, std::vector<std::int32_t> columns, int width);
};

// The rows [first, second) of an output of this height that `input` may reach.
std::pair<int, int> reached_rows(const Footprint& footprint, const Bitmap& input, int height);
// Rows [top, bottom) of output |= footprint of `input`. To be settled by the caller.
void spread(const Footprint& footprint, const Bitmap& input, Bitmap& output, int top, int bottom);

}  // namespace skipvid
