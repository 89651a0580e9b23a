// The checks of steps by themselves, by what they check.
#pragma once

#include <vector>

#include "check.hpp"
#include "kernels.hpp"

namespace skipvid {

class StepChecker : public Checks {
 public:
  explicit StepChecker(const Description& description) : Checks(description) {}

  // Raises DescriptionError. Returns what check_steps() does.
  std::vector<Int> run();

 private:
  // check_steps.cpp:
  void check_step(Int row);
  void check_read(Int row, const StepRow& step, Int number) const;
  static void check_reads(Int row, const StepRow& step, Int wanted);
  void check_same_channels(Int row, const StepRow& step) const;
  void check_same_size(Int row, const StepRow& step, Int number) const;
  bool reads_as(const StepRow& step, Footprint::Kind kind) const;
  template <class Row>
  static void check_activation(Int row, Int kind) {
    check_range<Row>(row, "activation", kind, 0, static_cast<Int>(Activation::last));
  }

  // check_footprints.cpp:
  void check_footprint(Int row, const MapRow& from, const MapRow& to) const;
  static void check_window(Int row, const char* axis, Int kernel, Int stride, Int dilation, Int origin, Int from, Int to);
  bool covers(const FootprintRow& f, int axis, Int output, Int input, Int inputs) const;
  void check_covered(Int row, const StepRow& step, Int number, int axis, Int output, Int input) const;

  // check_layers.cpp:
  void check_convolution(Int row, const StepRow& step) const;
  void check_tap(Int row, const StepRow& step, int axis, Int phase, Int period, Int stride, Int offset) const;
  void check_depthwise(Int row, const StepRow& step) const;
  void check_pool(Int row, const StepRow& step) const;
  void check_resize(Int row, const StepRow& step) const;
  void check_channelwise(Int row, const StepRow& step) const;
  void check_attention(Int row, const StepRow& step) const;

  // check_moves.cpp:
  void check_view(Int row, const StepRow& step) const;
  void check_gather(Int row, const StepRow& step) const;
  void check_move(Int row, const StepRow& step) const;
  void check_pointwise(Int row, const StepRow& step) const;
  void check_operand(Int row, const StepRow& step, Int operand_row) const;
};

}  // namespace skipvid
