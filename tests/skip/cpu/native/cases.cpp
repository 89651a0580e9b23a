#include "cases.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace skipvid::checks {

std::mt19937 generator{1};
std::string context;
int cases = 0;

int random_int(int least, int most) { return std::uniform_int_distribution<int>(least, most)(generator); }
float random_float() { return std::normal_distribution<float>(0, 1)(generator); }

Buffer random_values(std::size_t count) {
  Buffer buffer(count);
  for (std::size_t i = 0; i < count; ++i) buffer.data()[i] = random_float();
  return buffer;
}

void require(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("%s: %s\n", context.c_str(), what.c_str());
  std::exit(1);
}

void require_close(double actual, double expected, double scale, const std::string& what) {
  const bool close = std::isnan(expected) ? std::isnan(actual) : actual == expected || std::abs(actual - expected) <= 2e-6 * (scale + 1);
  require(close, what + ": " + std::to_string(actual) + " instead of " + std::to_string(expected));
}

void require_bits(const float* actual, const float* expected, int count, const std::string& what) {
  for (int i = 0; i < count; ++i) {
    require(std::memcmp(actual + i, expected + i, sizeof(float)) == 0, what + " differs at " + std::to_string(i));
  }
}

}  // namespace skipvid::checks
