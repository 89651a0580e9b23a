// The flat description of a program: tables of numbers, as Python writes them (skipvid/skip/cpu/description.py) and files keep them.
//
// The same for every processor: constants lie as the network has them, and are packed for an instruction set when a program is built. The
// rows and codes below are the only definition of the format: Python reads them from here through the binding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace skipvid {

// What is wrong with a description, and in which row of which table.
class DescriptionError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

constexpr std::string_view description_magic = "SKIPPROG";
// To be raised with every change of the tables or of the meaning of a number in them.
constexpr std::uint32_t description_version = 7;

enum class StepKind : std::int64_t {
  input,     // given: network input number `details`
  view,      // part of, or made of, other maps' memory: nothing to compute
  fallback,  // computed by the caller between two segments
  change,    // no map of its own: the change of `map` since the last frame is measured for output gates
  convolution,
  depthwise,
  pointwise,
  pool,
  resize,
  move,
  global_mean,
  gather,
  channelwise,
  attention,
  choice,  // made by a policy: a number, which decides what of an adaptive layer is computed
  select,  // one of several maps, by a choice
};

// Every field is a 64-bit integer or a double. A number that refers to a row, or to a place among the constants, is -1 where there is none.
using Int = std::int64_t;

template <class Row, class Value>
struct Field {
  const char* name;
  Value Row::* member;
};
template <class Row, class Value>
Field(const char*, Value Row::*) -> Field<Row, Value>;  // Clang before 17 does not find it by itself

#define SKIPVID_FIELD(row, name) \
  Field { #name, &row::name }

struct ProgramRow {  // a single one
  Int values;        // numbers that all maps hold which are no part of others: a damaged size is noticed before memory is taken
  Int inputs;        // that the network has
  Int element;       // Element: the type of the maps' values
  static constexpr const char* table = "program";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(ProgramRow, values), SKIPVID_FIELD(ProgramRow, inputs), SKIPVID_FIELD(ProgramRow, element)};
  }
};

struct MapRow {
  Int height, width, channels;
  Int inside, offset;  // the map that it is a part of, before it in the table, and the channel there at which it begins
  static constexpr const char* table = "maps";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(MapRow, height), SKIPVID_FIELD(MapRow, width), SKIPVID_FIELD(MapRow, channels),
                      SKIPVID_FIELD(MapRow, inside), SKIPVID_FIELD(MapRow, offset)};
  }
};

struct LearnedGateRow {
  Int weights;  // as many as the map has channels
  double bias;
  Int magnitude;  // 0 or 1: of the change itself, or of its magnitude
  static constexpr const char* table = "learned_gates";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(LearnedGateRow, weights), SKIPVID_FIELD(LearnedGateRow, bias),
                      SKIPVID_FIELD(LearnedGateRow, magnitude)};
  }
};

struct GateRow {  // of a map
  Int map, block;
  Int learned;  // its row, or -1: a norm gate
  double threshold;
  Int measured;  // 1: the scale is measured at each keyframe
  double scale;
  Int smoothed;  // 1: a norm gate that decides by the mean change around a pixel
  static constexpr const char* table = "gates";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(GateRow, map),       SKIPVID_FIELD(GateRow, block),    SKIPVID_FIELD(GateRow, learned),
                      SKIPVID_FIELD(GateRow, threshold), SKIPVID_FIELD(GateRow, measured), SKIPVID_FIELD(GateRow, scale),
                      SKIPVID_FIELD(GateRow, smoothed)};
  }
};

struct OutputGateRow {
  Int step;            // the convolution whose outputs it decides about
  Int change;          // the step that measures the change of what that one reads
  double limit;        // for a scale of 1; infinite: nothing is computed again
  Int measured;
  double scale;
  Int block;
  Int bias;  // subtracted from the output before its scale is measured
  static constexpr const char* table = "output_gates";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(OutputGateRow, step),     SKIPVID_FIELD(OutputGateRow, change), SKIPVID_FIELD(OutputGateRow, limit),
                      SKIPVID_FIELD(OutputGateRow, measured), SKIPVID_FIELD(OutputGateRow, scale),  SKIPVID_FIELD(OutputGateRow, block),
                      SKIPVID_FIELD(OutputGateRow, bias)};
  }
};

struct FootprintRow {
  Int kind;                                                                                            // Footprint::Kind
  Int kernel_y, kernel_x, stride_y, stride_x, dilation_y, dilation_x, origin_y, origin_x;  // of a window
  // Of tables: input rows (columns) by output row (column), `row_taps` of each. Of pixels: `rows` is the number of the input pixel that each
  // output pixel reads, counted row by row, or -1.
  Int row_taps, rows, column_taps, columns;
  static constexpr const char* table = "footprints";
  static constexpr auto fields() {
    return std::tuple{
        SKIPVID_FIELD(FootprintRow, kind),       SKIPVID_FIELD(FootprintRow, kernel_y), SKIPVID_FIELD(FootprintRow, kernel_x),
        SKIPVID_FIELD(FootprintRow, stride_y),   SKIPVID_FIELD(FootprintRow, stride_x), SKIPVID_FIELD(FootprintRow, dilation_y),
        SKIPVID_FIELD(FootprintRow, dilation_x), SKIPVID_FIELD(FootprintRow, origin_y), SKIPVID_FIELD(FootprintRow, origin_x),
        SKIPVID_FIELD(FootprintRow, row_taps),   SKIPVID_FIELD(FootprintRow, rows),     SKIPVID_FIELD(FootprintRow, column_taps),
        SKIPVID_FIELD(FootprintRow, columns)};
  }
};

struct ReadRow {  // a map that a step reads, and how its changes spread
  Int map, footprint;
  static constexpr const char* table = "reads";
  static constexpr auto fields() { return std::tuple{SKIPVID_FIELD(ReadRow, map), SKIPVID_FIELD(ReadRow, footprint)}; }
};

struct StepRow {  // in the order of computation
  Int kind;  // StepKind
  Int map;  // that it computes, or whose change it measures
  Int first_read, reads;
  Int details;  // row of the kind's own table; number of a network input; Norm of a change
  Int activation;  // Activation::Kind, and its parameters
  double a, b;
  Int guard, guard_number;  // the step of a choice, and the number of it in whose frames this one is computed; -1: in all
  static constexpr const char* table = "steps";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(StepRow, kind),        SKIPVID_FIELD(StepRow, map),     SKIPVID_FIELD(StepRow, first_read),
                      SKIPVID_FIELD(StepRow, reads),       SKIPVID_FIELD(StepRow, details), SKIPVID_FIELD(StepRow, activation),
                      SKIPVID_FIELD(StepRow, a),           SKIPVID_FIELD(StepRow, b),       SKIPVID_FIELD(StepRow, guard),
                      SKIPVID_FIELD(StepRow, guard_number)};
  }
};

// Convolution, transposed convolution, linear layer. Outputs (y, x) with the same y % period_y and x % period_x form a phase, which has taps
// of its own: phase number y % period_y * period_x + x % period_x. Output y reads input rows y / period_y * stride_y + offset.
struct ConvolutionRow {
  Int stride_y, stride_x, period_y, period_x, groups, first_phase, phases, bias;
  static constexpr const char* table = "convolutions";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(ConvolutionRow, stride_y), SKIPVID_FIELD(ConvolutionRow, stride_x),
                      SKIPVID_FIELD(ConvolutionRow, period_y), SKIPVID_FIELD(ConvolutionRow, period_x),
                      SKIPVID_FIELD(ConvolutionRow, groups),   SKIPVID_FIELD(ConvolutionRow, first_phase),
                      SKIPVID_FIELD(ConvolutionRow, phases),   SKIPVID_FIELD(ConvolutionRow, bias)};
  }
};

struct PhaseRow {
  Int taps;
  Int offsets;  // integers: (y, x) of each tap
  Int weights;  // [tap][input channel of the group][output channel]
  static constexpr const char* table = "phases";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(PhaseRow, taps), SKIPVID_FIELD(PhaseRow, offsets), SKIPVID_FIELD(PhaseRow, weights)};
  }
};

struct DepthwiseRow {  // its window is the footprint's
  Int weights;  // [tap][channel]
  Int bias;
  static constexpr const char* table = "depthwise";
  static constexpr auto fields() { return std::tuple{SKIPVID_FIELD(DepthwiseRow, weights), SKIPVID_FIELD(DepthwiseRow, bias)}; }
};

struct PoolRow {  // its window is the footprint's: one that moves, or the rows and columns that its tables list
  Int maximum, count_padding;
  static constexpr const char* table = "pools";
  static constexpr auto fields() { return std::tuple{SKIPVID_FIELD(PoolRow, maximum), SKIPVID_FIELD(PoolRow, count_padding)}; }
};

struct PointwiseRow {  // a chain of operations
  Int first_operand, operands, first_operation, operations;
  static constexpr const char* table = "pointwise";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(PointwiseRow, first_operand), SKIPVID_FIELD(PointwiseRow, operands),
                      SKIPVID_FIELD(PointwiseRow, first_operation), SKIPVID_FIELD(PointwiseRow, operations)};
  }
};

struct OperandRow {
  Int read;  // number among the step's reads, or -1: a constant
  Int values;  // of a constant: [pixel][channel]
  Int pixels, channels;  // of a constant: 1 or all of the map's
  Int rows, columns;  // of a map: integers, the row (column) to look up for each of the result; -1: the same
  static constexpr const char* table = "operands";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(OperandRow, read),     SKIPVID_FIELD(OperandRow, values), SKIPVID_FIELD(OperandRow, pixels),
                      SKIPVID_FIELD(OperandRow, channels), SKIPVID_FIELD(OperandRow, rows),   SKIPVID_FIELD(OperandRow, columns)};
  }
};

struct OperationRow {
  Int operation;  // Pointwise
  Int first, second, third;  // operands of the chain, and behind them its operations' results
  Int activation;
  double a, b;
  static constexpr const char* table = "operations";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(OperationRow, operation), SKIPVID_FIELD(OperationRow, first),      SKIPVID_FIELD(OperationRow, second),
                      SKIPVID_FIELD(OperationRow, third),     SKIPVID_FIELD(OperationRow, activation), SKIPVID_FIELD(OperationRow, a),
                      SKIPVID_FIELD(OperationRow, b)};
  }
};

struct ResizeRow {
  Int bilinear;
  Int low_rows, high_rows, low_columns, high_columns;  // integers, by row (column) of the result; nearest: the low ones alone
  Int low_row_weights, high_row_weights, low_column_weights, high_column_weights;
  static constexpr const char* table = "resizes";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(ResizeRow, bilinear),           SKIPVID_FIELD(ResizeRow, low_rows),
                      SKIPVID_FIELD(ResizeRow, high_rows),          SKIPVID_FIELD(ResizeRow, low_columns),
                      SKIPVID_FIELD(ResizeRow, high_columns),       SKIPVID_FIELD(ResizeRow, low_row_weights),
                      SKIPVID_FIELD(ResizeRow, high_row_weights),   SKIPVID_FIELD(ResizeRow, low_column_weights),
                      SKIPVID_FIELD(ResizeRow, high_column_weights)};
  }
};

struct MoveRow {  // result (y, x) is what lies at (y, x) + origin, or `outside`
  Int first_part, parts, origin_y, origin_x;
  double outside;
  static constexpr const char* table = "moves";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(MoveRow, first_part), SKIPVID_FIELD(MoveRow, parts), SKIPVID_FIELD(MoveRow, origin_y),
                      SKIPVID_FIELD(MoveRow, origin_x), SKIPVID_FIELD(MoveRow, outside)};
  }
};

struct PartRow {  // channels [target, target + count) of a move
  Int read;  // number among the step's reads
  Int target, count;
  Int first, listed;  // the channels there: `count` from `first` on, or (listed = 1) `count` integers at `first`
  static constexpr const char* table = "parts";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(PartRow, read), SKIPVID_FIELD(PartRow, target), SKIPVID_FIELD(PartRow, count),
                      SKIPVID_FIELD(PartRow, first), SKIPVID_FIELD(PartRow, listed)};
  }
};

struct GatherRow {  // each pixel of the result is a piece of one pixel of one of the maps, which the footprints name
  Int reads;  // integers: by pixel of the result, which of the step's reads, or -1: zeros
  Int channels;  // integers: by pixel of the result, the first channel there
  static constexpr const char* table = "gathers";
  static constexpr auto fields() { return std::tuple{SKIPVID_FIELD(GatherRow, reads), SKIPVID_FIELD(GatherRow, channels)}; }
};

struct ChannelwiseRow {  // each pixel of the result depends on all channels of its own pixel
  Int operation;  // ChannelOperation
  double epsilon;  // of a norm, added to the variance
  Int weights, bias;  // of a norm, by channel; -1: none
  static constexpr const char* table = "channelwise";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(ChannelwiseRow, operation), SKIPVID_FIELD(ChannelwiseRow, epsilon),
                      SKIPVID_FIELD(ChannelwiseRow, weights), SKIPVID_FIELD(ChannelwiseRow, bias)};
  }
};

// Pixels in groups of as many: of the result, and of the map of queries, pixels / groups each, and so of those of keys and values. Each pixel
// of the result is, head by head, the mean of its group's values with the softmax of scale * query * key + bias as weights. Reads: queries,
// keys, values.
struct AttentionRow {
  Int groups, heads, key_size, value_size;
  double scale;
  Int query_channels, key_channels, value_channels;  // integers: by head, its first channel
  Int bias;  // [block][head][query][key]; -1: none
  Int blocks;  // of the bias
  Int bias_blocks;  // integers: by group, its block of the bias
  static constexpr const char* table = "attentions";
  static constexpr auto fields() {
    return std::tuple{
        SKIPVID_FIELD(AttentionRow, groups),       SKIPVID_FIELD(AttentionRow, heads),          SKIPVID_FIELD(AttentionRow, key_size),
        SKIPVID_FIELD(AttentionRow, value_size),   SKIPVID_FIELD(AttentionRow, scale),          SKIPVID_FIELD(AttentionRow, query_channels),
        SKIPVID_FIELD(AttentionRow, key_channels), SKIPVID_FIELD(AttentionRow, value_channels), SKIPVID_FIELD(AttentionRow, bias),
        SKIPVID_FIELD(AttentionRow, blocks),       SKIPVID_FIELD(AttentionRow, bias_blocks)};
  }
};

// Reads: the mean of a map, and the map. Two linear layers on the means and the active share give a logit for each choice.
struct ChoiceRow {
  Int ratios;
  Int reuse;  // 1: the number behind the ratios stands for the last map
  double hysteresis;
  Int least_stay, longest_reuse;
  Int hidden;
  Int inner, inner_bias;  // [hidden][channel, and the active share]
  Int outer, outer_bias;  // [choice][hidden]
  static constexpr const char* table = "choices";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(ChoiceRow, ratios),     SKIPVID_FIELD(ChoiceRow, reuse),         SKIPVID_FIELD(ChoiceRow, hysteresis),
                      SKIPVID_FIELD(ChoiceRow, least_stay), SKIPVID_FIELD(ChoiceRow, longest_reuse), SKIPVID_FIELD(ChoiceRow, hidden),
                      SKIPVID_FIELD(ChoiceRow, inner),      SKIPVID_FIELD(ChoiceRow, inner_bias),    SKIPVID_FIELD(ChoiceRow, outer),
                      SKIPVID_FIELD(ChoiceRow, outer_bias)};
  }
};

struct SelectRow {  // reads: the choice, then what the variants are made of
  Int first_variant, variants;  // by ratio
  Int scale, shift;  // by channel, of its own last value, where that is reused; -1: it stays as it is
  static constexpr const char* table = "selects";
  static constexpr auto fields() {
    return std::tuple{SKIPVID_FIELD(SelectRow, first_variant), SKIPVID_FIELD(SelectRow, variants), SKIPVID_FIELD(SelectRow, scale),
                      SKIPVID_FIELD(SelectRow, shift)};
  }
};

struct VariantRow {  // parts as of a move
  Int first_part, parts;
  static constexpr const char* table = "variants";
  static constexpr auto fields() { return std::tuple{SKIPVID_FIELD(VariantRow, first_part), SKIPVID_FIELD(VariantRow, parts)}; }
};

struct SegmentRow {  // steps [first, last), run in one call
  Int first, last;
  static constexpr const char* table = "segments";
  static constexpr auto fields() { return std::tuple{SKIPVID_FIELD(SegmentRow, first), SKIPVID_FIELD(SegmentRow, last)}; }
};

struct KeptRow {  // a map that others read or write between two segments, or read after the last
  Int map;
  static constexpr const char* table = "kept";
  static constexpr auto fields() { return std::tuple{SKIPVID_FIELD(KeptRow, map)}; }
};

#undef SKIPVID_FIELD

// In the order in which the tables are written. `integers` (32 bits) and `numbers` (float32), the constants, come behind them.
template <class... Rows>
using Tables = std::tuple<std::vector<Rows>...>;
using DescriptionTables = Tables<ProgramRow, MapRow, LearnedGateRow, GateRow, OutputGateRow, FootprintRow, ReadRow, StepRow, ConvolutionRow,
                                 PhaseRow, DepthwiseRow, PoolRow, PointwiseRow, OperandRow, OperationRow, ResizeRow, MoveRow, PartRow,
                                 GatherRow, ChannelwiseRow, AttentionRow, ChoiceRow, SelectRow, VariantRow, SegmentRow, KeptRow>;

struct Description {
  DescriptionTables tables;
  std::vector<std::int32_t> integers;
  std::vector<float> numbers;

  template <class Row>
  const std::vector<Row>& rows() const {
    return std::get<std::vector<Row>>(tables);
  }
  template <class Row>
  const Row& row(Int number) const {
    return rows<Row>()[static_cast<std::size_t>(number)];
  }
};

// Bytes -> tables. Raises DescriptionError for what is no description of this version, or damaged in a way that shows in its form.
Description read_description(const std::byte* bytes, std::size_t size);

// Whether everything in it fits together: what is built from it reads and writes nothing but its own memory, and computes each map before it
// is read. Raises DescriptionError.
void check_description(const Description& description);

}  // namespace skipvid
