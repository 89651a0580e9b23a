// What patches that were found in a picture say together, for skipvid/tasks/fitting.py.
//
// A fit is of whole numbers, the places in steps of 1 / 1024 pixels, so that all sums are exact.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "registered.hpp"

namespace {

using Places = nb::ndarray<const float, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using Guesses = nb::ndarray<float, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using Chosen = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
__extension__ using Wide = __int128;

constexpr double steps = 1024, farthest = 32768 * steps;

// How many are chosen: one at least.
std::size_t count_of(const Chosen& chosen) {
  const auto count = static_cast<std::size_t>(std::count(chosen.data(), chosen.data() + chosen.shape(0), true));
  check(count > 0, "one is chosen");
  return count;
}

float median(std::vector<float>& values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void guess_patches(const Places& found, const Places& last, const Chosen& chosen, float scale, const Guesses& out) {
  const std::size_t count = chosen.shape(0);
  check(found.shape(0) == count && last.shape(0) == count && out.shape(0) == count, "there is one of each for a patch");
  std::vector<float> beside;
  beside.reserve(count_of(chosen));
  for (std::size_t axis = 0; axis < 2; ++axis) {
    beside.clear();
    for (std::size_t number = 0; number < count; ++number) {
      const float there = found(number, axis) * scale;
      if (chosen(number)) beside.push_back(there - last(number, axis));
    }
    const float common = median(beside);
    for (std::size_t number = 0; number < count; ++number) out(number, axis) = last(number, axis) + common;
  }
}

// A coordinate of the places, in steps.
struct Axis {
  std::vector<std::int64_t> values;
  std::int64_t sum = 0, least = std::numeric_limits<std::int64_t>::max(), most = std::numeric_limits<std::int64_t>::min();

  Axis(const Places& places, std::size_t axis, const Chosen& chosen, std::size_t count) {
    values.reserve(count);
    for (std::size_t number = 0; number < chosen.shape(0); ++number) {
      if (!chosen(number)) continue;
      const double place = std::nearbyint(places(number, axis) * steps);
      check(!std::isnan(place), "places are numbers");
      const auto value = static_cast<std::int64_t>(std::clamp(place, -farthest, farthest));
      values.push_back(value);
      sum += value;
      least = std::min(least, value);
      most = std::max(most, value);
    }
  }
  double mean() const { return static_cast<double>(sum) / (static_cast<double>(values.size()) * steps); }
  double extent() const { return static_cast<double>(most - least) / steps; }
};

// The sum of products of what lies beside the means, times how many there are.
double spread(const Axis& one, const Axis& other) {
  Wide sum = 0;
  for (std::size_t number = 0; number < one.values.size(); ++number) sum += Wide{one.values[number]} * other.values[number];
  return static_cast<double>(Wide{static_cast<std::int64_t>(one.values.size())} * sum - Wide{one.sum} * other.sum);
}

nb::tuple fit_similarity(const Places& at, const Places& to, const Chosen& chosen) {
  const std::size_t places = chosen.shape(0);
  check(at.shape(0) == places && to.shape(0) == places, "there is one of each for a place");
  const std::size_t count = count_of(chosen);
  const Axis x(at, 0, chosen, count), y(at, 1, chosen, count), u(to, 0, chosen, count), v(to, 1, chosen, count);
  const double square = spread(x, x) + spread(y, y);
  const bool turns = square > 0;
  const double a = turns ? (spread(x, u) + spread(y, v)) / square : 1, b = turns ? (spread(x, v) - spread(y, u)) / square : 0;
  return nb::make_tuple(count, x.extent(), y.extent(), a, b, x.mean(), y.mean(), u.mean(), v.mean());
}

}  // namespace

void bind_fitting(nb::module_& m) {
  m.def("guess_patches", &guess_patches, nb::arg("found"), nb::arg("last"), nb::arg("chosen"), nb::arg("scale"), nb::arg("out"));
  m.def("fit_similarity", &fit_similarity, nb::arg("at"), nb::arg("to"), nb::arg("chosen"));
}
