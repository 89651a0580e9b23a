// The emulated tile instruction: a sum for the first values of all pairs and one for the second ones, each rounded at every step, are added
// up, and only then to what is there; denormal numbers are zeros.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>
#include <vector>

#include "cases.hpp"
#include "checks.hpp"
#define SKIPVID_TILES_EMULATED
#include "kernels/tiles.hpp"

namespace skipvid::checks {

void check_emulated_tiles() {
  struct Case {
    std::vector<float> left, right;  // pairs
    float before, after;
  };
  const float far = 16777216, tiny = 1e-39F;
  const Case cases_of[] = {
      {{1, 2, 3, 4}, {5, 6, 7, 8}, 9, 79},        {{far, -far, 1, 1}, {1, 1, 1, 1}, 0, 1},  // far + 1 = far, but 1 - far is exact
      {{1, 1, 1, 1}, {1, 1, 1, 1}, far, far + 4}, {{1, 0, 0, 0}, {1, 0, 0, 0}, far, far},
      {{tiny, tiny}, {1e30F, 1e30F}, 0, 0},       {{1e-20F, 1e-20F}, {1e-19F, 1e-19F}, 0, 0},
      {{1e-20F, 1e-20F}, {1e-19F, 1e-19F}, 1, 1}, {{0, 0}, {0, 0}, tiny, 0},
      {{infinity, 0}, {1, 0}, 1, infinity},       {{nan, 0}, {0, 0}, 1, nan},
  };
  context = "emulated tiles";
  for (const Case& one : cases_of) {
    TileShapes shapes;
    const int pairs = static_cast<int>(one.left.size()) / 2;
    shapes.rows[0] = shapes.rows[1] = 2;
    shapes.bytes[0] = shapes.bytes[2] = 12;
    shapes.bytes[1] = static_cast<std::uint16_t>(4 * pairs);
    shapes.rows[2] = static_cast<std::uint8_t>(pairs);
    SKIPVID_TILE_CONFIGURE(shapes);
    BFloat16 left[2][32], right[16][6];
    float sums[2][3];
    for (int i = 0; i < 2 * pairs; ++i) {
      left[0][i] = left[1][i] = narrowed<BFloat16>(one.left[i]);
      for (int column = 0; column < 3; ++column) right[i / 2][2 * column + i % 2] = narrowed<BFloat16>(one.right[i]);
    }
    for (auto& row : sums) std::fill(std::begin(row), std::end(row), one.before);
    SKIPVID_TILE_LOAD(0, sums, sizeof sums[0]);
    SKIPVID_TILE_LOAD(1, left, sizeof left[0]);
    SKIPVID_TILE_LOAD(2, right, sizeof right[0]);
    SKIPVID_TILE_MULTIPLY(0, 1, 2);
    SKIPVID_TILE_STORE(0, sums, sizeof sums[0]);
    for (const auto& row : sums) {
      for (const float value : row) {
        require(std::isnan(one.after) ? std::isnan(value) : value == one.after, "a sum is " + std::to_string(value));
      }
    }
    SKIPVID_TILE_ZERO(0);
    SKIPVID_TILE_STORE(0, sums, sizeof sums[0]);
    require(sums[1][2] == 0, "a tile was not cleared");
    SKIPVID_TILE_RELEASE();
    for (const Tile& tile : tiles) require(tile.rows == 0, "a tile was not released");
  }
  std::printf("%s: %d cases\n", context.c_str(), static_cast<int>(std::size(cases_of)));
}

}  // namespace skipvid::checks
