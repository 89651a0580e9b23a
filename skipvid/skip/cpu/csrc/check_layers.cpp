// Whether layers fit the maps, the footprints and the constants that they name.
#include <algorithm>
#include <cmath>
#include <utility>

#include "check_steps.hpp"

namespace skipvid {

void StepChecker::check_convolution(Int row, const StepRow& step) const {
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
void StepChecker::check_tap(Int row, const StepRow& step, int axis, Int phase, Int period, Int stride, Int offset) const {
  const MapRow &from = source(step, 0), &to = map(step.map);
  const Int inputs = axis == 0 ? from.height : from.width, outputs = axis == 0 ? to.height : to.width;
  for (Int output = phase; output < outputs; output += period) {
    const Int input = output / period * stride + offset;
    if (input >= 0 && input < inputs) check_covered(row, step, 0, axis, output, input);
  }
}

void StepChecker::check_depthwise(Int row, const StepRow& step) const {
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

void StepChecker::check_pool(Int row, const StepRow& step) const {
  check_reads(row, step, 1);
  check_same_channels(row, step);
  const bool listed = reads_as(step, Footprint::Kind::taps);
  if (!listed && !reads_as(step, Footprint::Kind::window)) refuse<StepRow>(row, "it must read a window, or rows and columns of a table");
  check_range<StepRow>(row, "details", step.details, 0, last<PoolRow>());
  check_flag<PoolRow>(step.details, "maximum", d_.row<PoolRow>(step.details).maximum);
  check_flag<PoolRow>(step.details, "count_padding", d_.row<PoolRow>(step.details).count_padding);
  if (listed && d_.row<PoolRow>(step.details).count_padding != 0) refuse<PoolRow>(step.details, "a table has no padding to be counted");
}

void StepChecker::check_resize(Int row, const StepRow& step) const {
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

void StepChecker::check_channelwise(Int row, const StepRow& step) const {
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

void StepChecker::check_attention(Int row, const StepRow& step) const {
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

}  // namespace skipvid
