#include "bitmap.hpp"

#include <algorithm>

namespace skipvid {

namespace {

// target bit x |= source bit (x + shift), for as many bits as target has words; source reaches far enough on both sides.
void or_shifted(std::uint64_t* target, int words, const std::uint64_t* source, int shift) {
  const int part = shift & 63;
  source += (shift - part) / 64;
  if (part == 0) {
    for (int word = 0; word < words; ++word) target[word] |= source[word];
  } else {
    for (int word = 0; word < words; ++word) target[word] |= source[word] >> part | source[word + 1] << (64 - part);
  }
}

// The even bits of a word, moved together.
std::uint64_t even_bits(std::uint64_t bits) {
  bits &= 0x5555555555555555U;
  bits = (bits | bits >> 1) & 0x3333333333333333U;
  bits = (bits | bits >> 2) & 0x0f0f0f0f0f0f0f0fU;
  bits = (bits | bits >> 4) & 0x00ff00ff00ff00ffU;
  bits = (bits | bits >> 8) & 0x0000ffff0000ffffU;
  return (bits | bits >> 16) & 0x00000000ffffffffU;
}

// Bit x of row y of `output` |= source bit (x * stride).
void or_every(Bitmap& output, int y, const std::uint64_t* source, int stride) {
  std::uint64_t* const target = output.row(y);
  if (stride <= 2) {
    for (int word = 0; word < output.words(); ++word) {
      target[word] |= stride == 1 ? source[word] : even_bits(source[2 * word]) | even_bits(source[2 * word + 1]) << 32;
    }
  } else {
    for (int x = 0; x < output.width(); ++x) {
      const int from = x * stride;
      target[x / 64] |= (source[from / 64] >> (from % 64) & 1U) << (x % 64);
    }
  }
  target[output.words() - 1] &= output.last_word();
}

bool or_row(const Bitmap& input, int y, std::uint64_t* target) {
  std::uint64_t seen = 0;
  const std::uint64_t* row = input.row(y);
  for (int word = 0; word < input.words(); ++word) {
    target[word] |= row[word];
    seen |= row[word];
  }
  return seen != 0;
}

// The rows of `input`, [first, second), that output row y reads, of those that have set bits. With a dilation not all in between are read.
std::pair<int, int> rows_read(const Footprint& f, const Bitmap& input, int y) {
  const int step = f.dilation[0], start = y * f.stride[0] + f.origin[0], end = start + (f.kernel[0] - 1) * step + 1;
  const int skipped = start < input.top() ? (input.top() - start + step - 1) / step * step : 0;
  return {start + skipped, std::min(end, input.bottom())};
}

// Maps whose lines are single words: most of them.
void spread_window_of_words(const Footprint& f, const Bitmap& input, Bitmap& output, int top, int bottom) {
  for (int y = top; y < bottom; ++y) {
    const auto [first, last] = rows_read(f, input, y);
    std::uint64_t tall = 0, wide = 0;
    for (int from = first; from < last; from += f.dilation[0]) tall |= *input.row(from);
    for (int k = 0, shift = f.origin[1]; k < f.kernel[1]; ++k, shift += f.dilation[1]) wide |= shift < 0 ? tall << -shift : tall >> shift;
    *output.row(y) |= (f.stride[1] == 1 ? wide : even_bits(wide)) & output.last_word();
  }
}

void spread_window(const Footprint& f, const Bitmap& input, Bitmap& output, int top, int bottom) {
  const int least = f.origin[1], most = least + (f.kernel[1] - 1) * f.dilation[1];
  if (input.words() == 1 && output.words() == 1 && f.stride[1] <= 2 && least > -64 && most < 64 && output.width() * f.stride[1] <= 64) {
    return spread_window_of_words(f, input, output, top, bottom);
  }
  thread_local std::vector<std::uint64_t> line, wide;  // kept, because this runs for every map of every frame
  wide.resize(static_cast<std::size_t>(output.words()) * f.stride[1] + 1);
  const int left = std::max(0, (63 - least) / 64), right = std::max(0, most / 64 + 1), words = static_cast<int>(wide.size());
  line.assign(left + std::max(input.words(), words) + right, 0);
  std::uint64_t* const tall = line.data() + left;
  for (int y = top; y < bottom; ++y) {
    const auto [first, last] = rows_read(f, input, y);
    bool seen = false;
    std::fill_n(tall, input.words(), 0);
    for (int from = first; from < last; from += f.dilation[0]) seen |= or_row(input, from, tall);
    if (!seen) continue;
    std::fill(wide.begin(), wide.end(), 0);
    for (int k = 0; k < f.kernel[1]; ++k) or_shifted(wide.data(), words, tall, least + k * f.dilation[1]);
    or_every(output, y, wide.data(), f.stride[1]);
  }
}

void spread_taps(const Footprint& f, const Bitmap& input, Bitmap& output, int top, int bottom) {
  thread_local std::vector<std::uint64_t> tall, wide;  // kept, as above
  tall.resize(input.words());
  wide.resize(output.words());
  const int row_taps = static_cast<int>(f.table[0].size()) / output.height();
  const int columns = static_cast<int>(f.starts.size()) - 1;
  for (int y = top; y < bottom; ++y) {
    const std::int32_t* rows = f.table[0].data() + static_cast<std::ptrdiff_t>(y) * row_taps;
    // Rows that read what the row above reads, as when a map is enlarged, change where that one does.
    if (y == top || !std::equal(rows, rows + row_taps, rows - row_taps)) {
      bool seen = false;
      std::fill(tall.begin(), tall.end(), 0);
      std::fill(wide.begin(), wide.end(), 0);
      for (int tap = 0; tap < row_taps; ++tap) {
        if (rows[tap] >= 0) seen |= or_row(input, rows[tap], tall.data());
      }
      for (int word = 0; seen && word < input.words(); ++word) {
        for (std::uint64_t bits = tall[word]; bits != 0; bits &= bits - 1) {
          const int x = word * 64 + __builtin_ctzll(bits);
          if (x >= columns) break;  // nobody reads the rest
          for (int i = f.starts[x]; i < f.starts[x + 1]; ++i) wide[f.reached[i].word] |= f.reached[i].bits;
        }
      }
    }
    for (int word = 0; word < output.words(); ++word) output.row(y)[word] |= wide[word];
  }
}

void spread_pixels(const Footprint& f, const Bitmap& input, Bitmap& output, int top, int bottom) {
  for (int y = top; y < bottom; ++y) {
    const Pixel* const read = f.pixels.data() + static_cast<std::ptrdiff_t>(y) * output.width();
    for (int x = 0; x < output.width(); ++x) {
      if (read[x] != no_pixel && input.test(read[x])) output.row(y)[x / 64] |= std::uint64_t{1} << (x % 64);
    }
  }
}

void spread_same(const Bitmap& input, Bitmap& output, int top, int bottom) {
  for (int y = top; y < bottom; ++y) {
    const std::uint64_t* source = input.row(input.height() == 1 ? 0 : y);
    if (input.width() == output.width()) {
      for (int word = 0; word < output.words(); ++word) output.row(y)[word] |= source[word];
    } else if ((source[0] & 1U) != 0) {
      for (int x = 0; x < output.width(); ++x) output.row(y)[x / 64] |= std::uint64_t{1} << (x % 64);
    }
  }
}

}  // namespace

Footprint Footprint::taps(std::vector<std::int32_t> rows, std::vector<std::int32_t> columns, int width) {
  Footprint footprint;
  footprint.kind = Kind::taps;
  const int column_taps = static_cast<int>(columns.size()) / width;
  const int inputs = *std::max_element(columns.begin(), columns.end()) + 1;
  for (int input = 0; input < inputs; ++input) {
    footprint.starts.push_back(static_cast<int>(footprint.reached.size()));
    for (int x = 0; x < width; ++x) {
      const auto taps = columns.begin() + static_cast<std::ptrdiff_t>(x) * column_taps;
      if (std::find(taps, taps + column_taps, input) == taps + column_taps) continue;
      const bool another = static_cast<int>(footprint.reached.size()) > footprint.starts.back() && footprint.reached.back().word == x / 64;
      if (!another) footprint.reached.push_back({x / 64, 0});
      footprint.reached.back().bits |= std::uint64_t{1} << (x % 64);
    }
  }
  footprint.starts.push_back(static_cast<int>(footprint.reached.size()));
  footprint.table[0] = std::move(rows);
  footprint.table[1] = std::move(columns);
  return footprint;
}

Bitmap::Bitmap(int height, int width)
    : height_(height), width_(width), words_((width + 63) / 64), bits_(static_cast<std::size_t>(height) * words_) {}

std::uint64_t Bitmap::last_word() const { return width_ % 64 == 0 ? ~std::uint64_t{0} : (std::uint64_t{1} << (width_ % 64)) - 1; }

void Bitmap::clear() {
  std::fill(row(top_), row(top_) + static_cast<std::size_t>(bottom_ - top_) * words_, 0);
  top_ = bottom_ = 0;
}

bool Bitmap::any(int y) const {
  return std::any_of(row(y), row(y) + words_, [](std::uint64_t word) { return word != 0; });
}

void Bitmap::settle(int top, int bottom) {
  while (top < bottom && !any(top)) ++top;
  while (top < bottom && !any(bottom - 1)) --bottom;
  top_ = top;
  bottom_ = bottom;
}

void Bitmap::fill() {
  std::fill(bits_.begin(), bits_.end(), ~std::uint64_t{0});
  for (int y = 0; y < height_; ++y) row(y)[words_ - 1] = last_word();
  top_ = 0;
  bottom_ = height_;
}

std::size_t Bitmap::count() const {
  std::size_t total = 0;
  for (const std::uint64_t* word = row(top_); word < row(bottom_); ++word) total += static_cast<std::size_t>(__builtin_popcountll(*word));
  return total;
}

void Bitmap::merge(int y, int word, std::uint64_t bits) { __atomic_fetch_or(row(y) + word, bits, __ATOMIC_RELAXED); }

void Bitmap::round_to_blocks(int block) {
  if (block == 1 || !any()) return;
  const std::uint64_t group = (std::uint64_t{1} << block) - 1;  // block divides 64
  std::vector<std::uint64_t> line(words_);
  const int last = bottom_;
  top_ -= top_ % block;
  for (int top = top_; top < last; top += block) {
    const int bottom = std::min(top + block, height_);
    std::fill(line.begin(), line.end(), 0);
    for (int y = top; y < bottom; ++y) or_row(*this, y, line.data());
    for (std::uint64_t& word : line) {
      std::uint64_t rounded = 0;
      for (int bit = 0; bit < 64; bit += block) {
        if ((word >> bit & group) != 0) rounded |= group << bit;
      }
      word = rounded;
    }
    line[words_ - 1] &= last_word();
    for (int y = top; y < bottom; ++y) std::copy(line.begin(), line.end(), row(y));
    bottom_ = bottom;
  }
}

void Bitmap::add_to(float* target, float amount) const {
  target += static_cast<std::ptrdiff_t>(top_) * width_;
  for (int y = top_; y < bottom_; ++y, target += width_) {
    for (int word = 0; word < words_; ++word) {
      const std::uint64_t bits = row(y)[word];
      if (bits == ~std::uint64_t{0}) {
        for (int bit = 0; bit < 64; ++bit) target[word * 64 + bit] += amount;
      } else {
        for_each_set(&bits, 1, [&](int bit) { target[word * 64 + bit] += amount; });
      }
    }
  }
}

std::size_t Bitmap::list(int top, int bottom, const BitKernels& kernels, Pixel* pixels) const {
  Pixel* to = pixels;
  for (int y = top; y < bottom; ++y) to += kernels.list_bits(row(y), words_, pixel_at(y, 0), to);
  return static_cast<std::size_t>(to - pixels);
}

std::pair<int, int> reached_rows(const Footprint& f, const Bitmap& input, int height) {
  if (!input.any()) return {0, 0};
  if (f.kind == Footprint::Kind::same && input.height() == height) return {input.top(), input.bottom()};
  if (f.kind == Footprint::Kind::window) {
    const int window = (f.kernel[0] - 1) * f.dilation[0], before = std::max(0, input.top() - window - f.origin[0]);
    const int first = std::min(height, (before + f.stride[0] - 1) / f.stride[0]);
    return {first, std::clamp((input.bottom() - 1 - f.origin[0]) / f.stride[0] + 1, first, height)};
  }
  if (f.kind == Footprint::Kind::taps) {
    const int taps = static_cast<int>(f.table[0].size()) / height;
    const auto reads = [&](int y) {
      const auto from = f.table[0].begin() + static_cast<std::ptrdiff_t>(y) * taps;
      return std::any_of(from, from + taps, [&](int row) { return input.top() <= row && row < input.bottom(); });
    };
    int first = 0, last = height;
    while (first < last && !reads(first)) ++first;
    while (first < last && !reads(last - 1)) --last;
    return {first, last};
  }
  return {0, height};
}

void spread(const Footprint& footprint, const Bitmap& input, Bitmap& output, int top, int bottom) {
  if (!input.any()) return;
  switch (footprint.kind) {
    case Footprint::Kind::same: spread_same(input, output, top, bottom); break;
    case Footprint::Kind::window: spread_window(footprint, input, output, top, bottom); break;
    case Footprint::Kind::taps: spread_taps(footprint, input, output, top, bottom); break;
    case Footprint::Kind::pixels: spread_pixels(footprint, input, output, top, bottom); break;
    case Footprint::Kind::any: output.fill(); break;
  }
}

}  // namespace skipvid
