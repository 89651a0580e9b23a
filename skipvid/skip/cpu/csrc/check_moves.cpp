// Whether what puts maps together, or combines them pixel by pixel, fits those maps and fills its own.
#include <algorithm>
#include <utility>
#include <vector>

#include "check_steps.hpp"

namespace skipvid {

void StepChecker::check_view(Int row, const StepRow& step) const {
  for (Int number = 0; number < step.reads; ++number) check_same_size(row, step, number);
  if (step.reads == 1 && map(step.map).inside == read(step, 0).map) return;  // a slice
  Int channel = 0;
  for (Int number = 0; number < step.reads; ++number) {
    const MapRow& part = source(step, number);
    if (part.inside != step.map || part.offset != channel) {
      refuse<StepRow>(row, "maps[", read(step, number).map, "] does not lie at channel ", channel, " of what it is a view of");
    }
    channel += part.channels;
  }
  if (channel != map(step.map).channels) refuse<StepRow>(row, "its parts have ", channel, " channels of ", map(step.map).channels);
}

void StepChecker::check_gather(Int row, const StepRow& step) const {
  check_range<StepRow>(row, "details", step.details, 0, last<GatherRow>());
  const GatherRow& gather = d_.row<GatherRow>(step.details);
  const MapRow& to = map(step.map);
  const Int pixels = to.height * to.width;
  for (Int number = 0; number < step.reads; ++number) {
    if (static_cast<Footprint::Kind>(footprint(step, number).kind) != Footprint::Kind::pixels)
      refuse<StepRow>(row, "the footprint of maps[", read(step, number).map, "] does not say which pixels it reads");
    if (source(step, number).channels < to.channels)
      refuse<StepRow>(row, "it takes ", to.channels, " channels of maps[", read(step, number).map, "], which has ",
                      source(step, number).channels);
  }
  check_integers<GatherRow>(step.details, "reads", gather.reads, pixels, -1, step.reads - 1);
  check_integers<GatherRow>(step.details, "channels", gather.channels, pixels, 0, most_channels);
  for (Int pixel = 0; pixel < pixels; ++pixel) {
    const Int number = integer(gather.reads + pixel);
    if (number < 0) continue;
    if (integer(footprint(step, number).rows + pixel) < 0)
      refuse<StepRow>(row, "its pixel ", pixel, " reads maps[", read(step, number).map, "], which its footprint leaves out");
    const Int first = integer(gather.channels + pixel), most = source(step, number).channels - to.channels;
    if (first > most) refuse<GatherRow>(step.details, "channels: number ", pixel, " is ", first, ", not from 0 to ", most);
  }
}

void StepChecker::check_move(Int row, const StepRow& step) const {
  check_range<StepRow>(row, "details", step.details, 0, last<MoveRow>());
  const MoveRow& move = d_.row<MoveRow>(step.details);
  check_range<MoveRow>(step.details, "origin_y", move.origin_y, -most_rows, most_rows);
  check_range<MoveRow>(step.details, "origin_x", move.origin_x, -most_rows, most_rows);
  for (Int number = 0; number < step.reads; ++number) {
    const FootprintRow& f = footprint(step, number);
    const bool window = static_cast<Footprint::Kind>(f.kind) == Footprint::Kind::window;
    if (!window && move.origin_y == 0 && move.origin_x == 0) {
      check_same_size(row, step, number);
    } else if (!window || f.kernel_y * f.kernel_x * f.stride_y * f.stride_x != 1 || f.origin_y != move.origin_y ||
               f.origin_x != move.origin_x) {
      refuse<StepRow>(row, "the footprint of maps[", read(step, number).map, "] is not that of its origin");
    }
  }
  check_slice<MoveRow, PartRow>(step.details, "parts", move.first_part, move.parts);
  std::vector<std::pair<Int, Int>> filled;
  for (Int number = 0; number < move.parts; ++number) {
    const Int part_row = move.first_part + number;
    const PartRow& part = d_.row<PartRow>(part_row);
    check_range<PartRow>(part_row, "read", part.read, 0, step.reads - 1);
    check_range<PartRow>(part_row, "target", part.target, 0, map(step.map).channels - 1);
    check_range<PartRow>(part_row, "count", part.count, 1, map(step.map).channels - part.target);
    check_flag<PartRow>(part_row, "listed", part.listed);
    const Int channels = source(step, part.read).channels;
    if (part.listed != 0) {
      check_integers<PartRow>(part_row, "first", part.first, part.count, 0, channels - 1);
    } else {
      check_range<PartRow>(part_row, "first", part.first, 0, channels - part.count);
    }
    filled.emplace_back(part.target, part.target + part.count);
  }
  for (Int number = 0; number < step.reads; ++number) {  // what lies in its place already
    const MapRow& part = source(step, number);
    if (part.inside == step.map) filled.emplace_back(part.offset, part.offset + part.channels);
  }
  std::sort(filled.begin(), filled.end());
  Int channel = 0;
  for (const auto& [from, to] : filled) {
    if (from != channel) refuse<StepRow>(row, "its parts ", from < channel ? "overlap" : "leave a gap", " at channel ", from);
    channel = to;
  }
  if (channel != map(step.map).channels) refuse<StepRow>(row, "its parts fill ", channel, " channels of ", map(step.map).channels);
}

void StepChecker::check_pointwise(Int row, const StepRow& step) const {
  check_range<StepRow>(row, "details", step.details, 0, last<PointwiseRow>());
  const PointwiseRow& chain = d_.row<PointwiseRow>(step.details);
  check_slice<PointwiseRow, OperandRow>(step.details, "operands", chain.first_operand, chain.operands);
  check_slice<PointwiseRow, OperationRow>(step.details, "operations", chain.first_operation, chain.operations);
  if (chain.operations == 0) refuse<PointwiseRow>(step.details, "it has no operation");
  for (Int number = 0; number < chain.operands; ++number) check_operand(row, step, chain.first_operand + number);
  for (Int number = 0; number < chain.operations; ++number) {
    const Int operation_row = chain.first_operation + number;
    const OperationRow& operation = d_.row<OperationRow>(operation_row);
    check_range<OperationRow>(operation_row, "operation", operation.operation, 0, static_cast<Int>(Pointwise::min));
    for (const Int operand : {operation.first, operation.second, operation.third}) {
      check_range<OperationRow>(operation_row, "an operand", operand, 0, chain.operands + number - 1);
    }
    check_activation<OperationRow>(operation_row, operation.activation);
  }
}

void StepChecker::check_operand(Int row, const StepRow& step, Int operand_row) const {
  const OperandRow& operand = d_.row<OperandRow>(operand_row);
  const MapRow& to = map(step.map);
  check_range<OperandRow>(operand_row, "read", operand.read, -1, step.reads - 1);
  if (operand.read < 0) {
    const Int pixels = to.height * to.width;
    if (operand.pixels != 1 && operand.pixels != pixels)
      refuse<OperandRow>(operand_row, "pixels is ", operand.pixels, ", not 1 or ", pixels);
    if (operand.channels != 1 && operand.channels != to.channels)
      refuse<OperandRow>(operand_row, "channels is ", operand.channels, ", not 1 or ", to.channels);
    check_numbers<OperandRow>(operand_row, "values", operand.values, product({operand.pixels, operand.channels}));
    return;
  }
  const MapRow& from = source(step, operand.read);
  if (from.channels != 1 && from.channels != to.channels)
    refuse<OperandRow>(operand_row, "it has ", from.channels, " channels, not 1 or ", to.channels);
  if ((operand.rows < 0) != (operand.columns < 0)) refuse<OperandRow>(operand_row, "it looks up rows alone, or columns alone");
  if (operand.rows < 0) {
    const auto kind = static_cast<Footprint::Kind>(footprint(step, operand.read).kind);
    const bool fits = (from.height == 1 || from.height == to.height) && (from.width == 1 || from.width == to.width);
    if (!fits || (kind != Footprint::Kind::same && kind != Footprint::Kind::any))
      refuse<OperandRow>(operand_row, "it must be read pixel by pixel");
    return;
  }
  check_integers<OperandRow>(operand_row, "rows", operand.rows, to.height, 0, from.height - 1);
  check_integers<OperandRow>(operand_row, "columns", operand.columns, to.width, 0, from.width - 1);
  for (Int y = 0; y < to.height; ++y) check_covered(row, step, operand.read, 0, y, integer(operand.rows + y));
  for (Int x = 0; x < to.width; ++x) check_covered(row, step, operand.read, 1, x, integer(operand.columns + x));
}

}  // namespace skipvid
