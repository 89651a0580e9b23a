// The measure of the machine, of its tiles.
#pragma once

#include "tile_gemm.hpp"

namespace skipvid {
namespace {

double exercise(std::int64_t rounds, float* sink) {
  configure_tiles();
  alignas(tile_bytes) float values[tile_rows * tile_rows];
  for (float& value : values) value = sink[1];
  written_for_tiles();
  SKIPVID_TILE_LOAD(4, values, tile_bytes);
  SKIPVID_TILE_LOAD(5, values, tile_bytes);
  SKIPVID_TILE_ZERO(0);
  SKIPVID_TILE_ZERO(1);
  SKIPVID_TILE_ZERO(2);
  SKIPVID_TILE_ZERO(3);
  const std::int64_t times = rounds / 64 + 1;  // as long as the vectors' measure takes
  for (std::int64_t time = 0; time < times; ++time) {
    SKIPVID_TILE_MULTIPLY(0, 4, 5);
    SKIPVID_TILE_MULTIPLY(1, 4, 5);
    SKIPVID_TILE_MULTIPLY(2, 4, 5);
    SKIPVID_TILE_MULTIPLY(3, 4, 5);
  }
  SKIPVID_TILE_STORE(0, values, tile_bytes);
  rest();
  sink[3] += values[0];
  return 4.0 * static_cast<double>(times) * 2 * tile_rows * tile_rows * tile_depth * piece_lines;
}

}  // namespace
}  // namespace skipvid
