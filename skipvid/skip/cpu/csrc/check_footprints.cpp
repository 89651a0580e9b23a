// Whether a footprint fits the maps between which it stands, and covers what a step reads there.
#include "check_steps.hpp"

namespace skipvid {

void StepChecker::check_footprint(Int row, const MapRow& from, const MapRow& to) const {
  const FootprintRow& f = d_.row<FootprintRow>(row);
  check_range<FootprintRow>(row, "kind", f.kind, 0, static_cast<Int>(Footprint::Kind::any));
  switch (static_cast<Footprint::Kind>(f.kind)) {
    case Footprint::Kind::same:
      if ((from.height != 1 && from.height != to.height) || (from.width != 1 && from.width != to.width)) {
        refuse<FootprintRow>(row, "a map of ", to.height, " x ", to.width, " cannot read one of ", from.height, " x ", from.width,
                             " pixel by pixel");
      }
      break;
    case Footprint::Kind::window:
      check_window(row, "y", f.kernel_y, f.stride_y, f.dilation_y, f.origin_y, from.height, to.height);
      check_window(row, "x", f.kernel_x, f.stride_x, f.dilation_x, f.origin_x, from.width, to.width);
      if (product({f.kernel_y, f.kernel_x}) > most_taps) refuse<FootprintRow>(row, "its window has more than ", most_taps, " pixels");
      break;
    case Footprint::Kind::taps:
      check_range<FootprintRow>(row, "row_taps", f.row_taps, 1, most_rows);
      check_range<FootprintRow>(row, "column_taps", f.column_taps, 1, most_rows);
      check_integers<FootprintRow>(row, "rows", f.rows, to.height * f.row_taps, -1, from.height - 1);
      check_integers<FootprintRow>(row, "columns", f.columns, to.width * f.column_taps, -1, from.width - 1);
      break;
    case Footprint::Kind::pixels:
      check_integers<FootprintRow>(row, "rows", f.rows, to.height * to.width, -1, from.height * from.width - 1);
      break;
    case Footprint::Kind::any:
      if (to.height != 1 || to.width != 1)
        refuse<FootprintRow>(row, "only a single pixel can depend on all others, not ", to.height, " x ", to.width);
      break;
  }
}

void StepChecker::check_window(Int row, const char* axis, Int kernel, Int stride, Int dilation, Int origin, Int from, Int to) {
  const auto check = [&](const char* what, Int value, Int low, Int high) {
    if (value < low || value > high) refuse<FootprintRow>(row, what, "_", axis, " is ", value, ", not from ", low, " to ", high);
  };
  check("kernel", kernel, 1, most_rows);
  check("stride", stride, 1, most_rows);
  check("dilation", dilation, 1, most_rows);
  check("origin", origin, -most_rows, most_rows);
  if ((kernel - 1) * dilation > far_away || (to - 1) * stride + origin > from + most_rows) {
    refuse<FootprintRow>(row, "its last window along ", axis, " lies far outside of a map of ", from);
  }
}

// Whether an output row (column: axis 1) is known to depend on an input row.
bool StepChecker::covers(const FootprintRow& f, int axis, Int output, Int input, Int inputs) const {
  switch (static_cast<Footprint::Kind>(f.kind)) {
    case Footprint::Kind::same: return input == output || inputs == 1;
    case Footprint::Kind::any: return true;
    case Footprint::Kind::window: {
      const Int stride = axis == 0 ? f.stride_y : f.stride_x, dilation = axis == 0 ? f.dilation_y : f.dilation_x;
      const Int distance = input - output * stride - (axis == 0 ? f.origin_y : f.origin_x);
      return distance >= 0 && distance % dilation == 0 && distance / dilation < (axis == 0 ? f.kernel_y : f.kernel_x);
    }
    case Footprint::Kind::pixels: return false;  // it says nothing about rows and columns by themselves
    case Footprint::Kind::taps: break;
  }
  const Int taps = axis == 0 ? f.row_taps : f.column_taps, first = (axis == 0 ? f.rows : f.columns) + output * taps;
  for (Int tap = 0; tap < taps; ++tap) {
    if (integer(first + tap) == input) return true;
  }
  return false;
}

void StepChecker::check_covered(Int row, const StepRow& step, Int number, int axis, Int output, Int input) const {
  const MapRow& from = source(step, number);
  if (covers(footprint(step, number), axis, output, input, axis == 0 ? from.height : from.width)) return;
  refuse<StepRow>(row, "its ", axis == 0 ? "row " : "column ", output, " reads ", input, " of maps[", read(step, number).map,
                  "], which its footprint leaves out");
}

}  // namespace skipvid
