// Whether each step of a description fits the maps, the footprints and the constants that it names.
#include <algorithm>
#include <cmath>
#include <utility>

#include "check.hpp"
#include "kernels.hpp"

namespace skipvid {

namespace {

class StepChecker : public Checks {
 public:
  explicit StepChecker(const Description& description) : Checks(description) {}

  std::vector<Int> run() {
    for (Int step = 0; step < count<StepRow>(); ++step) check_step(step);
    return step_of_;
  }

 private:
  void check_step(Int row) {
    const StepRow& step = steps_[static_cast<std::size_t>(row)];
    check_range<StepRow>(row, "kind", step.kind, 0, static_cast<Int>(StepKind::select));
    check_range<StepRow>(row, "map", step.map, 0, last<MapRow>());
    check_slice<StepRow, ReadRow>(row, "reads", step.first_read, step.reads);
    for (Int number = 0; number < step.reads; ++number) check_read(row, step, number);
    const auto kind = static_cast<StepKind>(step.kind);
    const bool activates = kind == StepKind::convolution || kind == StepKind::depthwise;
    check_activation<StepRow>(row, activates ? step.activation : 0);
    if (!activates && step.activation != 0) refuse<StepRow>(row, "it has an activation, which its kind does not apply");
    switch (kind) {
      case StepKind::input:
        check_reads(row, step, 0);
        if (map(step.map).inside >= 0) refuse<StepRow>(row, "an input is no part of another map");
        check_range<StepRow>(row, "details", step.details, 0, d_.row<ProgramRow>(0).inputs - 1);
        break;
      case StepKind::view: check_view(row, step); break;
      case StepKind::fallback: check_reads(row, step, 0); break;
      case StepKind::change:
        check_reads(row, step, 0);
        check_range<StepRow>(row, "details", step.details, 0, static_cast<Int>(Norm::largest));
        if (step_of(step.map) < 0) refuse<StepRow>(row, "it measures maps[", step.map, "], which no step before it computes");
        return;  // computes no map
      case StepKind::convolution: check_convolution(row, step); break;
      case StepKind::depthwise: check_depthwise(row, step); break;
      case StepKind::pointwise: check_pointwise(row, step); break;
      case StepKind::pool: check_pool(row, step); break;
      case StepKind::resize: check_resize(row, step); break;
      case StepKind::move: check_move(row, step); break;
      case StepKind::global_mean:
        check_reads(row, step, 1);
        check_same_channels(row, step);
        if (static_cast<Footprint::Kind>(footprint(step, 0).kind) != Footprint::Kind::any)
          refuse<StepRow>(row, "any change must reach a mean");
        break;
      case StepKind::gather: check_gather(row, step); break;
      case StepKind::channelwise: check_channelwise(row, step); break;
      case StepKind::attention: check_attention(row, step); break;
      case StepKind::choice:
      case StepKind::select: break;  // check_choices.cpp
    }
    if (step_of(step.map) >= 0) refuse<StepRow>(row, "maps[", step.map, "] is computed by steps[", step_of(step.map), "] already");
    step_of_[static_cast<std::size_t>(step.map)] = row;
  }

  void check_read(Int row, const StepRow& step, Int number) const {
    const Int read_row = step.first_read + number;
    check_range<ReadRow>(read_row, "map", read(step, number).map, 0, last<MapRow>());
    check_range<ReadRow>(read_row, "footprint", read(step, number).footprint, 0, last<FootprintRow>());
    if (step_of(read(step, number).map) < 0)
      refuse<StepRow>(row, "it reads maps[", read(step, number).map, "], which no step before it computes");
    check_footprint(read(step, number).footprint, source(step, number), map(step.map));
  }

  static void check_reads(Int row, const StepRow& step, Int wanted) {
    if (step.reads != wanted) refuse<StepRow>(row, "it reads ", step.reads, " maps instead of ", wanted);
  }

  void check_same_channels(Int row, const StepRow& step) const {
    const Int from = source(step, 0).channels, to = map(step.map).channels;
    if (from != to) refuse<StepRow>(row, "it makes ", to, " channels of ", from);
  }

  template <class Row>
  static void check_activation(Int row, Int kind) {
    check_range<Row>(row, "activation", kind, 0, static_cast<Int>(Activation::last));
  }

  // ---- footprints

  void check_footprint(Int row, const MapRow& from, const MapRow& to) const {
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

  static void check_window(Int row, const char* axis, Int kernel, Int stride, Int dilation, Int origin, Int from, Int to) {
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
  bool covers(const FootprintRow& f, int axis, Int output, Int input, Int inputs) const {
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

  void check_covered(Int row, const StepRow& step, Int number, int axis, Int output, Int input) const {
    const MapRow& from = source(step, number);
    if (covers(footprint(step, number), axis, output, input, axis == 0 ? from.height : from.width)) return;
    refuse<StepRow>(row, "its ", axis == 0 ? "row " : "column ", output, " reads ", input, " of maps[", read(step, number).map,
                    "], which its footprint leaves out");
  }

  // ---- what each kind of step needs

  void check_view(Int row, const StepRow& step) const {
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

  void check_same_size(Int row, const StepRow& step, Int number) const {
    const MapRow &from = source(step, number), &to = map(step.map);
    const bool same = static_cast<Footprint::Kind>(footprint(step, number).kind) == Footprint::Kind::same;
    if (!same || from.height != to.height || from.width != to.width) {
      refuse<StepRow>(row, "it must read maps[", read(step, number).map, "] pixel by pixel");
    }
  }

  void check_convolution(Int row, const StepRow& step) const {
    check_reads(row, step, 1);
    check_range<StepRow>(row, "details", step.details, 0, last<ConvolutionRow>());
    const ConvolutionRow& c = d_.row<ConvolutionRow>(step.details);
    const MapRow &from = source(step, 0), &to = map(step.map);
    check_range<ConvolutionRow>(step.details, "stride_y", c.stride_y, 1, most_rows);
    check_range<ConvolutionRow>(step.details, "stride_x", c.stride_x, 1, most_rows);
    check_range<ConvolutionRow>(step.details, "period_y", c.period_y, 1, most_rows);
    check_range<ConvolutionRow>(step.details, "period_x", c.period_x, 1, most_rows);
    check_range<ConvolutionRow>(step.details, "groups", c.groups, 1, std::min(from.channels, to.channels));
    if (from.channels % c.groups != 0 || to.channels % c.groups != 0) {
      refuse<ConvolutionRow>(step.details, c.groups, " groups do not divide ", from.channels, " inputs and ", to.channels, " outputs");
    }
    check_slice<ConvolutionRow, PhaseRow>(step.details, "phases", c.first_phase, c.phases);
    if (c.phases != c.period_y * c.period_x)
      refuse<ConvolutionRow>(step.details, "it has ", c.phases, " phases instead of ", c.period_y * c.period_x);
    check_numbers<ConvolutionRow>(step.details, "bias", c.bias, to.channels);
    for (Int axis = 0; axis < 2; ++axis) {
      const Int outputs = axis == 0 ? to.height : to.width, stride = axis == 0 ? c.stride_y : c.stride_x;
      if ((outputs - 1) / (axis == 0 ? c.period_y : c.period_x) * stride > far_away)
        refuse<ConvolutionRow>(step.details, "its stride leads far outside of its input");
    }
    for (Int number = 0; number < c.phases; ++number) {
      const Int phase_row = c.first_phase + number;
      const PhaseRow& phase = d_.row<PhaseRow>(phase_row);
      check_range<PhaseRow>(phase_row, "taps", phase.taps, 0, most_taps);
      check_integers<PhaseRow>(phase_row, "offsets", phase.offsets, 2 * phase.taps, -far_away, far_away);
      check_numbers<PhaseRow>(phase_row, "weights", phase.weights, product({phase.taps, from.channels / c.groups, to.channels}));
      for (Int tap = 0; tap < phase.taps; ++tap) {
        check_tap(row, step, 0, number / c.period_x, c.period_y, c.stride_y, integer(phase.offsets + 2 * tap));
        check_tap(row, step, 1, number % c.period_x, c.period_x, c.stride_x, integer(phase.offsets + 2 * tap + 1));
      }
    }
  }

  // What a tap reads for the outputs of its phase is covered by the footprint.
  void check_tap(Int row, const StepRow& step, int axis, Int phase, Int period, Int stride, Int offset) const {
    const MapRow &from = source(step, 0), &to = map(step.map);
    const Int inputs = axis == 0 ? from.height : from.width, outputs = axis == 0 ? to.height : to.width;
    for (Int output = phase; output < outputs; output += period) {
      const Int input = output / period * stride + offset;
      if (input >= 0 && input < inputs) check_covered(row, step, 0, axis, output, input);
    }
  }

  bool reads_as(const StepRow& step, Footprint::Kind kind) const { return static_cast<Footprint::Kind>(footprint(step, 0).kind) == kind; }

  void check_depthwise(Int row, const StepRow& step) const {
    check_reads(row, step, 1);
    check_same_channels(row, step);
    if (!reads_as(step, Footprint::Kind::window)) refuse<StepRow>(row, "it must read a window");
    check_range<StepRow>(row, "details", step.details, 0, last<DepthwiseRow>());
    const DepthwiseRow& depthwise = d_.row<DepthwiseRow>(step.details);
    const FootprintRow& window = footprint(step, 0);
    const Int channels = map(step.map).channels;
    check_numbers<DepthwiseRow>(step.details, "weights", depthwise.weights, product({window.kernel_y, window.kernel_x, channels}));
    check_numbers<DepthwiseRow>(step.details, "bias", depthwise.bias, channels);
  }

  void check_pool(Int row, const StepRow& step) const {
    check_reads(row, step, 1);
    check_same_channels(row, step);
    const bool listed = reads_as(step, Footprint::Kind::taps);
    if (!listed && !reads_as(step, Footprint::Kind::window)) refuse<StepRow>(row, "it must read a window, or rows and columns of a table");
    check_range<StepRow>(row, "details", step.details, 0, last<PoolRow>());
    check_flag<PoolRow>(step.details, "maximum", d_.row<PoolRow>(step.details).maximum);
    check_flag<PoolRow>(step.details, "count_padding", d_.row<PoolRow>(step.details).count_padding);
    if (listed && d_.row<PoolRow>(step.details).count_padding != 0) refuse<PoolRow>(step.details, "a table has no padding to be counted");
  }

  void check_pointwise(Int row, const StepRow& step) const {
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

  void check_operand(Int row, const StepRow& step, Int operand_row) const {
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

  void check_resize(Int row, const StepRow& step) const {
    check_reads(row, step, 1);
    check_same_channels(row, step);
    check_range<StepRow>(row, "details", step.details, 0, last<ResizeRow>());
    const ResizeRow& r = d_.row<ResizeRow>(step.details);
    check_flag<ResizeRow>(step.details, "bilinear", r.bilinear);
    const MapRow &from = source(step, 0), &to = map(step.map);
    const auto axis = [&](int axis, const char* what, Int inputs, Int outputs, Int index, Int weights) {
      check_integers<ResizeRow>(step.details, what, index, outputs, 0, inputs - 1);
      if (r.bilinear != 0) check_numbers<ResizeRow>(step.details, what, weights, outputs);
      for (Int output = 0; output < outputs; ++output) {
        const bool counts = r.bilinear == 0 || d_.numbers[static_cast<std::size_t>(weights + output)] != 0;
        if (counts) check_covered(row, step, 0, axis, output, integer(index + output));
      }
    };
    axis(0, "low_rows", from.height, to.height, r.low_rows, r.low_row_weights);
    axis(1, "low_columns", from.width, to.width, r.low_columns, r.low_column_weights);
    if (r.bilinear == 0) return;
    axis(0, "high_rows", from.height, to.height, r.high_rows, r.high_row_weights);
    axis(1, "high_columns", from.width, to.width, r.high_columns, r.high_column_weights);
  }

  void check_gather(Int row, const StepRow& step) const {
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

  void check_channelwise(Int row, const StepRow& step) const {
    check_reads(row, step, 1);
    check_same_channels(row, step);
    check_same_size(row, step, 0);
    check_range<StepRow>(row, "details", step.details, 0, last<ChannelwiseRow>());
    const ChannelwiseRow& c = d_.row<ChannelwiseRow>(step.details);
    check_range<ChannelwiseRow>(step.details, "operation", c.operation, 0, static_cast<Int>(ChannelOperation::softmax));
    if (!(c.epsilon >= 0)) refuse<ChannelwiseRow>(step.details, "epsilon is ", c.epsilon, ", not a number from 0 on");
    for (const Int first : {c.weights, c.bias}) {
      if (first < -1) refuse<ChannelwiseRow>(step.details, "weights or bias are at ", first);
      if (first >= 0) check_numbers<ChannelwiseRow>(step.details, "weights or bias", first, map(step.map).channels);
    }
  }

  void check_attention(Int row, const StepRow& step) const {
    check_reads(row, step, 3);
    check_same_size(row, step, 0);
    check_range<StepRow>(row, "details", step.details, 0, last<AttentionRow>());
    const AttentionRow& a = d_.row<AttentionRow>(step.details);
    const MapRow &to = map(step.map), &keys = source(step, 1), &values = source(step, 2);
    if (keys.height != values.height || keys.width != values.width) refuse<StepRow>(row, "it reads as many keys as values");
    check_range<AttentionRow>(step.details, "groups", a.groups, 1, to.height * to.width);
    if (to.height * to.width % a.groups != 0 || keys.height * keys.width % a.groups != 0)
      refuse<AttentionRow>(step.details, "groups is ", a.groups, ", which its pixels cannot be cut into");
    check_range<AttentionRow>(step.details, "heads", a.heads, 1, most_channels);
    check_range<AttentionRow>(step.details, "key_size", a.key_size, 1, most_channels);
    check_range<AttentionRow>(step.details, "value_size", a.value_size, 1, most_channels);
    if (a.heads * a.value_size != to.channels)
      refuse<AttentionRow>(step.details, "it makes ", a.heads, " times ", a.value_size, " channels, and its map has ", to.channels);
    if (!std::isfinite(a.scale)) refuse<AttentionRow>(step.details, "scale is not finite");
    const std::pair<Int, Int> heads[] = {{a.query_channels, a.key_size}, {a.key_channels, a.key_size}, {a.value_channels, a.value_size}};
    for (Int number = 0; number < 3; ++number) {
      const auto [first, size] = heads[number];
      check_integers<AttentionRow>(step.details, "channels", first, a.heads, 0, source(step, number).channels - size);
    }
    if (a.bias < -1) refuse<AttentionRow>(step.details, "bias is ", a.bias);
    if (a.bias < 0) return;
    check_range<AttentionRow>(step.details, "blocks", a.blocks, 1, a.groups);
    const Int queries = to.height * to.width / a.groups, rows = keys.height * keys.width / a.groups;
    check_numbers<AttentionRow>(step.details, "bias", a.bias, product({a.blocks, a.heads, queries, rows}));
    check_integers<AttentionRow>(step.details, "bias_blocks", a.bias_blocks, a.groups, 0, a.blocks - 1);
  }

  void check_move(Int row, const StepRow& step) const {
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
};

}  // namespace

std::vector<Int> check_steps(const Description& description) { return StepChecker(description).run(); }

}  // namespace skipvid
