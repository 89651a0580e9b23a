// What the checks of a description (check.cpp, check_steps.hpp, check_choices.cpp) have in common.
#pragma once

#include <initializer_list>
#include <limits>
#include <sstream>
#include <vector>

#include "bitmap.hpp"
#include "description.hpp"

namespace skipvid {

constexpr Int most_rows = largest_extent;     // and columns
constexpr Int most_channels = Int{1} << 28;  // a value that is no map counts as a pixel
constexpr Int most_values = Int{1} << 40;    // of all maps
constexpr Int most_taps = Int{1} << 24;      // of a window
constexpr Int far_away = Int{1} << 18;      // of an offset within a map: more than the largest map with padding on both sides
constexpr Int most_block = 32;

template <class Row, class... Words>
[[noreturn]] void refuse(Int row, const Words&... words) {
  std::ostringstream text;
  text << Row::table << "[" << row << "]: ";
  (text << ... << words);
  throw DescriptionError(text.str());
}

template <class Row>
void check_range(Int row, const char* what, Int value, Int low, Int high) {
  if (value >= low && value <= high) return;
  if (low > high) refuse<Row>(row, what, " is ", value, ", and there is nothing that it could name");
  refuse<Row>(row, what, " is ", value, ", not from ", low, " to ", high);
}

template <class Row>
void check_flag(Int row, const char* what, Int value) {
  check_range<Row>(row, what, value, 0, 1);
}

// Of factors that are not negative; the largest number where it would be larger.
inline Int product(std::initializer_list<Int> factors) {
  Int result = 1;
  for (const Int factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result)) return std::numeric_limits<Int>::max();
  }
  return result;
}

// A description and what is looked up in it. Row numbers must have been checked.
class Checks {
 protected:
  explicit Checks(const Description& description)
      : d_(description), maps_(description.rows<MapRow>()), steps_(description.rows<StepRow>()), step_of_(maps_.size(), -1) {}

  template <class Row>
  Int count() const {
    return static_cast<Int>(d_.rows<Row>().size());
  }
  template <class Row>
  Int last() const {
    return count<Row>() - 1;
  }
  const MapRow& map(Int number) const { return maps_[static_cast<std::size_t>(number)]; }
  const ReadRow& read(const StepRow& step, Int number) const { return d_.row<ReadRow>(step.first_read + number); }
  const MapRow& source(const StepRow& step, Int number) const { return map(read(step, number).map); }
  const FootprintRow& footprint(const StepRow& step, Int number) const { return d_.row<FootprintRow>(read(step, number).footprint); }

  // `size` rows of another table from `first` on.
  template <class Row, class Other>
  void check_slice(Int row, const char* what, Int first, Int size) const {
    if (first < 0 || size < 0 || first > count<Other>() || size > count<Other>() - first) {
      refuse<Row>(row, what, " are ", size, " from ", first, " on, and there are ", count<Other>(), " ", Other::table);
    }
  }
  template <class Row, class Value>
  void check_constants(Int row, const char* what, const std::vector<Value>& constants, Int first, Int size) const {
    const auto all = static_cast<Int>(constants.size());
    if (first < 0 || first > all || size > all - first) {
      refuse<Row>(row, what, " are ", size, " numbers from ", first, " on, and there are ", all);
    }
  }
  template <class Row>
  void check_numbers(Int row, const char* what, Int first, Int size) const {
    check_constants<Row>(row, what, d_.numbers, first, size);
  }
  // Integers from `low` to `high`.
  template <class Row>
  void check_integers(Int row, const char* what, Int first, Int size, Int low, Int high) const {
    check_constants<Row>(row, what, d_.integers, first, size);
    for (Int i = first; i < first + size; ++i) {
      const Int value = d_.integers[static_cast<std::size_t>(i)];
      if (value < low || value > high) refuse<Row>(row, what, ": number ", i - first, " is ", value, ", not from ", low, " to ", high);
    }
  }
  Int integer(Int at) const { return d_.integers[static_cast<std::size_t>(at)]; }
  Int step_of(Int map) const { return step_of_[static_cast<std::size_t>(map)]; }

  const Description& d_;
  const std::vector<MapRow>& maps_;
  const std::vector<StepRow>& steps_;
  std::vector<Int> step_of_;  // by map: the step that computes it, as far as steps have been checked; or -1
};

// All steps by themselves, in order (check_steps.cpp). Returns for each map the step that computes it, or -1.
std::vector<Int> check_steps(const Description& description);
// What belongs to adaptive layers, of steps that have passed (check_choices.cpp), and of gates.
void check_choices(const Description& description, const std::vector<Int>& step_of);

}  // namespace skipvid
