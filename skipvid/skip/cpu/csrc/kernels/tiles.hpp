// The tile instructions of AMX-BF16: of the processor, or, with SKIPVID_TILES_EMULATED, the same in plain C++, so that what is built on them
// can be tested where no processor has them. Macros, because a tile is named in the instruction itself.
//
// Semantics: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, LDTILECFG to TDPBF16PS. What raises an exception there
// ends the program here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../element.hpp"
#ifndef SKIPVID_TILES_EMULATED
#include <immintrin.h>
#endif

namespace skipvid {
namespace {

// Eight tiles of 16 rows of 64 bytes: 16 x 16 floats, or 16 x 16 pairs of bfloat16.
constexpr int tile_count = 8, tile_rows = 16, tile_bytes = 64;

// What LDTILECFG reads.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {tile_bytes, tile_bytes, tile_bytes, tile_bytes, tile_bytes, tile_bytes, tile_bytes, tile_bytes};
  std::uint8_t rows[16] = {tile_rows, tile_rows, tile_rows, tile_rows, tile_rows, tile_rows, tile_rows, tile_rows};
};
static_assert(sizeof(TileShapes) == 64);

#ifdef SKIPVID_TILES_EMULATED

struct Tile {
  int rows = 0, bytes = 0;
  alignas(64) std::byte data[tile_rows][tile_bytes] = {};
};
thread_local Tile tiles[tile_count];

inline Tile& tile_at(int number) {
  Tile& tile = tiles[number];
  if (tile.rows == 0) __builtin_trap();  // not configured
  return tile;
}

inline void emulate_configure(const TileShapes& shapes) {
  if (shapes.palette != 1 || shapes.start_row != 0) __builtin_trap();
  for (int number = 0; number < tile_count; ++number) {
    if (shapes.rows[number] > tile_rows || shapes.bytes[number] > tile_bytes || shapes.bytes[number] % 4 != 0) __builtin_trap();
    tiles[number] = Tile{};
    tiles[number].rows = shapes.rows[number];
    tiles[number].bytes = shapes.bytes[number];
  }
}

inline void emulate_release() {
  for (Tile& tile : tiles) tile = Tile{};
}

inline void emulate_zero(int number) {
  Tile& tile = tile_at(number);
  std::memset(tile.data, 0, sizeof tile.data);
}

inline void emulate_load(int number, const void* from, std::ptrdiff_t stride) {
  emulate_zero(number);
  Tile& tile = tile_at(number);
  for (int row = 0; row < tile.rows; ++row) std::memcpy(tile.data[row], static_cast<const std::byte*>(from) + row * stride, tile.bytes);
}

inline void emulate_store(int number, void* to, std::ptrdiff_t stride) {
  const Tile& tile = tile_at(number);
  for (int row = 0; row < tile.rows; ++row) std::memcpy(static_cast<std::byte*>(to) + row * stride, tile.data[row], tile.bytes);
}

// Denormal numbers count as 0, with their sign. (A product of two floats is exact in double, and the sum of it with a third is rounded there
// so finely that rounding it again to float gives what one rounding would.)
inline float flushed(float value) { return __builtin_fabsf(value) < 1.17549435e-38F ? __builtin_copysignf(0.0F, value) : value; }
inline float multiplied_and_added(float a, float b, float sum) {
  return flushed(static_cast<float>(static_cast<double>(a) * b + static_cast<double>(sum)));
}

// Of each pair the first values have a sum of their own, and the second ones; both start at 0, and are added to each other, then to what is
// there.
inline void emulate_multiply(int sums, int left, int right) {
  Tile& target = tile_at(sums);
  const Tile &a = tile_at(left), &b = tile_at(right);
  const int columns = target.bytes / 4, pairs = a.bytes / 4;
  if (a.rows != target.rows || b.rows != pairs || b.bytes != target.bytes) __builtin_trap();
  const auto value = [](const Tile& tile, int row, int at) {
    BFloat16 bits;
    std::memcpy(&bits, tile.data[row] + 2 * at, sizeof bits);
    return flushed(widened(bits));
  };
  float firsts[tile_rows][tile_rows], seconds[tile_rows][tile_rows];  // of the right one
  for (int pair = 0; pair < pairs; ++pair) {
    for (int column = 0; column < columns; ++column) {
      firsts[pair][column] = value(b, pair, 2 * column);
      seconds[pair][column] = value(b, pair, 2 * column + 1);
    }
  }
  for (int row = 0; row < target.rows; ++row) {
    float first[tile_rows] = {}, second[tile_rows] = {}, total[tile_rows];
    for (int pair = 0; pair < pairs; ++pair) {
      const float x = value(a, row, 2 * pair), y = value(a, row, 2 * pair + 1);
      for (int column = 0; column < columns; ++column) {
        first[column] = multiplied_and_added(x, firsts[pair][column], first[column]);
        second[column] = multiplied_and_added(y, seconds[pair][column], second[column]);
      }
    }
    std::memcpy(total, target.data[row], target.bytes);
    for (int column = 0; column < columns; ++column) {
      total[column] = flushed(flushed(total[column]) + flushed(first[column] + second[column]));
    }
    std::memcpy(target.data[row], total, target.bytes);
  }
}

#define SKIPVID_TILE_CONFIGURE(shapes) ::skipvid::emulate_configure(shapes)
#define SKIPVID_TILE_RELEASE() ::skipvid::emulate_release()
#define SKIPVID_TILE_ZERO(tile) ::skipvid::emulate_zero(tile)
#define SKIPVID_TILE_LOAD(tile, from, stride) ::skipvid::emulate_load(tile, from, stride)
#define SKIPVID_TILE_STORE(tile, to, stride) ::skipvid::emulate_store(tile, to, stride)
#define SKIPVID_TILE_MULTIPLY(sums, left, right) ::skipvid::emulate_multiply(sums, left, right)

#else

#define SKIPVID_TILE_CONFIGURE(shapes) _tile_loadconfig(&(shapes))
#define SKIPVID_TILE_RELEASE() _tile_release()
#define SKIPVID_TILE_ZERO(tile) _tile_zero(tile)
#define SKIPVID_TILE_LOAD(tile, from, stride) _tile_loadd(tile, from, stride)
#define SKIPVID_TILE_STORE(tile, to, stride) _tile_stored(tile, to, stride)
#define SKIPVID_TILE_MULTIPLY(sums, left, right) _tile_dpbf16ps(sums, left, right)

#endif

// Before tiles are loaded from what was just written: GCC's intrinsics do not tell it that they read memory.
inline __attribute__((always_inline)) void written_for_tiles() { asm volatile("" ::: "memory"); }

}  // namespace
}  // namespace skipvid
