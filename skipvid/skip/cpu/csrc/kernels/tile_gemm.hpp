// The indirect product (gemm.hpp) on tiles of AMX-BF16: 32 pixels x 32 output channels at a time, in four tiles of 16 x 16 sums.
//
// A pixel's input rows under all taps, one behind the other, are cut into pieces of 32 values, which a tile holds of 16 pixels. The rows are
// gathered into a panel; where 16 pixels lie at equal distances, whole pieces are read in their place. Each instruction adds up the products
// with one piece: which those are does not depend on where a pixel lies in its tile, so that neither do the bits of its sum.
//
// Zeros fill the panel behind the last tap, and behind an odd number of channels, as they fill the weights.
#pragma once

#include "tiles.hpp"
#include "vector.hpp"

namespace skipvid {
namespace {

constexpr int tile_depth = 2;  // channels of a line of weights
constexpr int panel_pixels = 2 * tile_rows, piece_lines = tile_rows;  // lines: pairs of channels
constexpr int tile_pixels = panel_pixels, tile_vectors = 2 * tile_rows / width;
constexpr double tile_speed = 8;

// A panel's row is an odd number of cache lines long: else the rows of a tile could all meet in the same place of a cache.
SKIPVID_INLINE std::ptrdiff_t pieces_of(int lines) { return (lines + piece_lines - 1) / piece_lines; }
SKIPVID_INLINE std::ptrdiff_t panel_pitch(std::ptrdiff_t pieces) { return (pieces | 1) * tile_bytes; }

// Where a tile's worth of a piece lies.
struct Piece {
  const std::byte* data;
  std::ptrdiff_t stride;
};

// The working memory of a call.
struct TileMemory {
  float* sums;  // [panel_pixels][2 * tile_rows]
  std::byte* panel;  // [panel_pixels][panel_pitch]
  Piece* pieces;  // [pieces][2]
};

constexpr std::size_t sums_floats = static_cast<std::size_t>(panel_pixels) * 2 * tile_rows;

std::size_t tile_gemm_memory(int lines) {
  const std::ptrdiff_t pieces = pieces_of(lines);
  return sums_floats + (panel_pixels * panel_pitch(pieces) + pieces * 2 * sizeof(Piece)) / sizeof(float);
}

void release_tiles() { SKIPVID_TILE_RELEASE(); }

void configure_tiles() {
  if (before_rest != nullptr) return;
  static const TileShapes shapes;
  SKIPVID_TILE_CONFIGURE(shapes);
  before_rest = release_tiles;
}

SKIPVID_INLINE void copy(const std::byte* from, std::byte* to, int bytes) {
  for (; bytes >= 64; bytes -= 64, from += 64, to += 64) __builtin_memcpy(to, from, 64);
  const auto some = [&](int size) {
    from += size;
    to += size;
  };
  if ((bytes & 32) != 0) __builtin_memcpy(to, from, 32), some(32);
  if ((bytes & 16) != 0) __builtin_memcpy(to, from, 16), some(16);
  if ((bytes & 8) != 0) __builtin_memcpy(to, from, 8), some(8);
  if ((bytes & 4) != 0) __builtin_memcpy(to, from, 4), some(4);
  if ((bytes & 2) != 0) __builtin_memcpy(to, from, 2);
}

// The distance of the rows of a whole tile, or 0 where they are not equally far apart.
SKIPVID_INLINE std::ptrdiff_t spacing(const std::byte* const* rows, int count) {
  if (count < tile_rows) return 0;
  const std::ptrdiff_t step = rows[1] - rows[0];
  for (int i = 2; i < tile_rows; ++i) {
    if (rows[i] - rows[i - 1] != step) return 0;
  }
  return step;
}

// What gather() does not write: zeros.
void clear_panel(const GemmArgs& args, int depth, std::byte* panel) {
  const int lines = (depth + 1) / 2, all = args.taps * lines;
  const std::ptrdiff_t pieces = pieces_of(all), pitch = panel_pitch(pieces);
  for (int i = 0; i < panel_pixels; ++i) {
    std::byte* const row = panel + i * pitch;
    for (int tap = 0; depth % 2 != 0 && tap < args.taps; ++tap) __builtin_memset(row + (tap * lines + lines) * 4 - 2, 0, 2);
    __builtin_memset(row + all * 4, 0, pieces * tile_bytes - all * 4);
  }
}

// Finds the pieces of up to 32 pixels, copying those that cannot be read in their place.
void gather(const GemmArgs& args, const GemmBlock& block, int pixel, int count, const TileMemory& memory) {
  const int lines = (block.depth + 1) / 2;
  const std::ptrdiff_t pieces = pieces_of(args.taps * lines), pitch = panel_pitch(pieces);
  for (std::ptrdiff_t piece = 0; piece < pieces; ++piece) {
    memory.pieces[2 * piece] = {memory.panel + piece * tile_bytes, pitch};
    memory.pieces[2 * piece + 1] = {memory.panel + tile_rows * pitch + piece * tile_bytes, pitch};
  }
  // Whole pieces of a single tap's row.
  const int whole = args.taps == 1 || block.depth % 32 == 0 ? block.depth / 32 : 0;
  for (int tap = 0; tap < args.taps; ++tap) {
    for (int from = 0; from < count; from += tile_rows) {
      const int rows = count - from < tile_rows ? count - from : tile_rows;
      const std::byte* const* inputs = args.inputs + tap * args.tap_stride + pixel + from;
      const std::ptrdiff_t step = whole > 0 ? spacing(inputs, rows) : 0;
      int bytes = block.depth * 2, skipped = 0;
      if (step != 0) {
        skipped = whole * tile_bytes;
        bytes -= skipped;
        const std::byte* const first = inputs[0] + block.input * 2;
        Piece* const found = memory.pieces + 2 * tap * whole + from / tile_rows;
        for (int piece = 0; piece < whole; ++piece) found[2 * piece] = {first + piece * tile_bytes, step};
      }
      if (bytes == 0) continue;
      std::byte* to = memory.panel + from * pitch + tap * lines * 4 + skipped;
      for (int i = 0; i < rows; ++i, to += pitch) copy(inputs[i] + block.input * 2 + skipped, to, bytes);
    }
  }
  written_for_tiles();
}

// The sums of one block, for one or two tiles of pixels. Tiles 0 to 3: sums; 4, 5: pixels; 6, 7: weights.
template <int Tiles, int Columns>
void multiply_tiles(const Piece* pieces, std::ptrdiff_t count, const float* weights, const float* bias, float* sums) {
  constexpr std::ptrdiff_t line = Columns * tile_bytes, row = 2 * tile_bytes;
  SKIPVID_TILE_LOAD(0, bias, 0);  // the same row for each pixel
  if constexpr (Columns == 2) SKIPVID_TILE_LOAD(1, bias + tile_rows, 0);
  if constexpr (Tiles == 2) SKIPVID_TILE_LOAD(2, bias, 0);
  if constexpr (Tiles == 2 && Columns == 2) SKIPVID_TILE_LOAD(3, bias + tile_rows, 0);
  for (std::ptrdiff_t piece = 0; piece < count; ++piece, pieces += 2, weights += piece_lines * Columns * tile_rows) {
    SKIPVID_TILE_LOAD(6, weights, line);
    SKIPVID_TILE_LOAD(4, pieces[0].data, pieces[0].stride);
    SKIPVID_TILE_MULTIPLY(0, 4, 6);
    if constexpr (Columns == 2) {
      SKIPVID_TILE_LOAD(7, weights + tile_rows, line);
      SKIPVID_TILE_MULTIPLY(1, 4, 7);
    }
    if constexpr (Tiles == 2) {
      SKIPVID_TILE_LOAD(5, pieces[1].data, pieces[1].stride);
      SKIPVID_TILE_MULTIPLY(2, 5, 6);
    }
    if constexpr (Tiles == 2 && Columns == 2) SKIPVID_TILE_MULTIPLY(3, 5, 7);
  }
  float* const lower = sums + tile_rows * 2 * tile_rows;
  SKIPVID_TILE_STORE(0, sums, row);
  if constexpr (Columns == 2) SKIPVID_TILE_STORE(1, sums + tile_rows, row);
  if constexpr (Tiles == 2) SKIPVID_TILE_STORE(2, lower, row);
  if constexpr (Tiles == 2 && Columns == 2) SKIPVID_TILE_STORE(3, lower + tile_rows, row);
}

template <int Columns>
SKIPVID_INLINE void tile_block(const GemmArgs& args, const GemmBlock& block, int pixel, int count, const TileMemory& memory) {
  for (int i = 0; args.ahead != nullptr && i < count; ++i) {
    __builtin_prefetch(view<BFloat16>(args.ahead[pixel + i]) + block.output, 0, 2);
  }
  const std::ptrdiff_t pieces = pieces_of(args.taps * ((block.depth + 1) / 2));
  const float *const weights = args.weights + block.weights, *const bias = args.bias + block.output;
  if (count > tile_rows) {
    multiply_tiles<2, Columns>(memory.pieces, pieces, weights, bias, memory.sums);
  } else {
    multiply_tiles<1, Columns>(memory.pieces, pieces, weights, bias, memory.sums);
  }
  constexpr int row = 2 * tile_rows, channels = Columns * tile_rows;
  if (args.stored != nullptr && args.activation != nullptr) {
    std::byte* rows[panel_pixels];
    for (int i = 0; i < count; ++i) rows[i] = args.stored[pixel + i] + block.output * sizeof(BFloat16);
    return put_activated<BFloat16>(*args.activation, memory.sums, row, rows, count, channels);
  }
  const Floats low = all(args.low), high = all(args.high);
  for (int i = 0; i < count; ++i) {
    const float* const from = memory.sums + i * row;
    const auto put = [&](auto* to) {
      for (int c = 0; c < channels; c += width) store(to + block.output + c, clamp(load(from + c), low, high));
    };
    if (args.stored != nullptr) {
      put(view<BFloat16>(args.stored[pixel + i]));
      if (args.sum == nullptr) continue;
      const BFloat16* const added = view<BFloat16>(args.sum->added[pixel + i]) + block.output;
      BFloat16* const to = view<BFloat16>(args.sum->rows[pixel + i]) + block.output;
      for (int c = 0; c < channels; c += width) {
        const Floats sum = ::skipvid::stored<BFloat16>(clamp(load(from + c), low, high)) + load(added + c);
        store(to + c, clamp(sum, all(args.sum->low), all(args.sum->high)));
      }
    } else {
      put(args.outputs[pixel + i]);
    }
  }
}

void tile_gemm(const GemmArgs& args) {
  configure_tiles();
  int most = 0;
  for (int index = 0; index < args.block_count; ++index) most = args.blocks[index].depth > most ? args.blocks[index].depth : most;
  const std::ptrdiff_t pitch = panel_pitch(pieces_of(args.taps * ((most + 1) / 2)));
  std::byte* const panel = reinterpret_cast<std::byte*>(args.memory + sums_floats);
  const TileMemory memory{args.memory, panel, reinterpret_cast<Piece*>(panel + panel_pixels * pitch)};
  int cleared = -1;
  for (int pixel = 0; pixel < args.pixels; pixel += panel_pixels) {
    const int count = args.pixels - pixel < panel_pixels ? args.pixels - pixel : panel_pixels;
    const GemmBlock* gathered = nullptr;
    for (int index = 0; index < args.block_count; ++index) {
      const GemmBlock& block = args.blocks[index];
      if (gathered == nullptr || gathered->input != block.input || gathered->depth != block.depth) {
        if (block.depth != cleared) clear_panel(args, block.depth, memory.panel);
        cleared = block.depth;
        gather(args, block, pixel, count, memory);
        gathered = &block;
      }
      if (block.vectors == tile_vectors) {
        tile_block<2>(args, block, pixel, count, memory);
      } else {
        tile_block<1>(args, block, pixel, count, memory);
      }
    }
  }
}

}  // namespace
}  // namespace skipvid
