// The operation of a step, and numbers of a description as a program keeps them.
#pragma once
#include "operations.hpp"

namespace skipvid {

inline int number(Int value) { return static_cast<int>(value); }

inline std::vector<int> integers(const Description& description, Int first, Int size) {
  const auto from = description.integers.begin() + first;
  return {from, from + size};
}

inline std::span<const float> numbers(const Description& description, Int first, Int size) {
  return std::span(description.numbers).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size));
}

// None for a step that computes nothing by an operation. step: as the program has it, but for its operation.
std::unique_ptr<Operation> make_operation(const Program& program, const Description& description, const StepRow& row, const Step& step);

}  // namespace skipvid
