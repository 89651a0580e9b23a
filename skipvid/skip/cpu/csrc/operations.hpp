// The operations: one class for each kind. Constructors take the program that they belong to, with all of its maps.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "work.hpp"

namespace skipvid {

// Convolution, transposed convolution and linear layer: an indirect matrix product.
class Convolution final : public Operation {
 public:
  // Outputs (y, x) with y % period[0] == phase[0] and x % period[1] == phase[1]; a transposed convolution has one such set of taps for
  // each place within its stride, a convolution a single one. Tap t of output y reads input row y / period[0] * stride[0] + taps[2 t].
  struct Phase {
    std::vector<int> taps;           // (y, x) offsets
    std::span<const float> weights;  // [tap][input channel of the group][output channel]
  };
  Convolution(const Program& program, int source, int target, std::array<int, 2> stride, std::array<int, 2> period, int groups,
              const std::vector<Phase>& phases, std::span<const float> bias, Activation activation);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int first_part, int last_part) const override;
  int parts() const override { return static_cast<int>(packed_[0].blocks.size()); }
  bool stores() const override { return packed_.size() == 1; }
  bool sums() const override { return stores() && !activates_; }
  bool take(const Scaling& scaling) override;
  bool moves() const override { return period_[0] == 1 && period_[1] == 1; }
  int chunk() const override;
  std::size_t weights() const override { return packed_[0].weights.bytes() / sizeof(float); }
  double work() const override { return work_; }

 private:
  struct Packed {
    std::vector<int> taps;
    std::vector<std::ptrdiff_t> offsets;  // from the input row (0, 0) to the one under each tap, in bytes
    std::array<int, 2> low, high;         // the smallest and largest of the taps' y and x, and 0
    Buffer weights;
    std::vector<GemmBlock> blocks;
    int lines;  // most of a block
  };
  Packed pack(const Program& program, const Phase& phase, int width) const;
  std::vector<float> join(const Program& program, Phase& phase);
  void point_joined(const Rows& source, int y, int x, int length, const std::byte** pointers, std::byte*& patches) const;
  void compute_phase(const Frame&, const Packed&, std::span<const Pixel>, float* const* rows, Scratch&, int first, int last) const;

  const Kernels& kernels_;
  int source_, inputs_, outputs_;  // inputs_: values that are read at a tap
  int joined_ = 1;                 // pixels that are
  bool activates_;                 // what products do not do by themselves
  std::array<int, 2> stride_, period_;
  int groups_;
  std::vector<Packed> packed_;
  Buffer bias_, zeros_;
  double work_ = 0;
  std::optional<Scaling> scaling_;  // of what it reads
};

class Depthwise final : public Operation {
 public:
  // window: its footprint. weights: [tap][channel].
  Depthwise(const Program& program, int source, int target, const Footprint& window, std::span<const float> weights,
            std::span<const float> bias, Activation activation);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  bool moves() const override { return true; }
  int chunk() const override { return std::max(8, 12288 / args_.channels); }
  double work() const override { return 1.5 * kernel_[0] * kernel_[1] * args_.channels / lanes; }

 private:
  const Kernels& kernels_;
  int source_, target_;
  std::array<int, 2> kernel_, stride_, dilation_, origin_;
  Buffer weights_, bias_;
  std::vector<std::ptrdiff_t> offsets_;  // from the input row at an output's place to the one under each tap, in bytes
  DepthwiseArgs args_;
};

// A chain of point-wise operations, each on earlier results and on maps or constants that may be broadcast.
class PointwiseChain final : public Operation {
 public:
  struct Operand {
    int map;                         // or -1: constant
    Buffer values;                   // of a constant: rows, padded
    bool by_row, by_column, scalar;  // whether it varies along y and along x; one number for all channels
    std::vector<int> rows, columns;  // where to look in the map for each row and column of the target; empty = at the same place
  };
  struct Link {
    Pointwise operation;
    std::array<int, 3> operands;  // those of the chain first, then earlier links
    Activation activation;
  };
  PointwiseChain(const Program& program, int target, std::vector<Operand> operands, std::vector<Link> links);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  bool moves() const override {
    return std::none_of(operands_.begin(), operands_.end(), [](const Operand& o) { return o.map < 0 && (o.by_row || o.by_column); });
  }
  std::optional<Addition> addition(int map) const override;
  std::optional<Scaling> scaling() const override;
  int chunk() const override { return std::max(8, 16384 / channels_); }
  double work() const override { return 4.0 * static_cast<double>(links_.size()) * channels_ / lanes; }

 private:
  const Kernels& kernels_;
  int channels_, width_;
  std::vector<Operand> operands_;
  std::vector<Link> links_;
};

// Maximum or average over a window, or over the rows and columns that a table lists; what lies outside the map does not take part.
class Pool final : public Operation {
 public:
  Pool(const Program& program, int source, int target, bool maximum, bool count_padding, const Footprint& window);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  bool moves() const override { return table_[0].empty(); }
  int chunk() const override { return std::max(8, 12288 / channels_); }
  double work() const override { return 2.0 * kernel_[0] * kernel_[1] * channels_ / lanes; }

 private:
  const Kernels& kernels_;
  int source_, channels_;
  bool maximum_, count_padding_;
  std::array<int, 2> kernel_, stride_, dilation_, origin_;
  std::array<std::vector<int>, 2> table_;  // by output row (column), kernel_ input ones each; -1: none
  Buffer equal_;  // weights of an average whose window lies inside the map
};

// Weighted sum of 1 (nearest) or 2 x 2 (bilinear) input pixels, by tables of coordinates and weights for each axis.
class Resize final : public Operation {
 public:
  struct Axis {
    std::vector<int> index[2];
    std::vector<float> weight[2];
  };
  Resize(const Program& program, int source, int target, bool bilinear, Axis rows, Axis columns);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  bool moves() const override { return !bilinear_; }
  int chunk() const override { return std::max(8, 12288 / channels_); }
  double work() const override { return 3.0 * channels_ / lanes; }

 private:
  const Kernels& kernels_;
  int source_, channels_;
  bool bilinear_;
  Axis rows_, columns_;
};

// Copies of values: concatenation, choice of channels, padding with a constant.
class Move final : public Operation {
 public:
  // Channels [target, target + count) are channels `index` of the source, or `count` adjacent ones from index[0] on.
  struct Part {
    int source;
    int target, count;
    std::vector<int> index;
  };
  Move(const Program& program, int target, std::vector<Part> parts, std::array<int, 2> origin, float outside);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  bool moves() const override { return true; }
  int chunk() const override { return std::max(8, 12288 / channels_); }
  double work() const override { return static_cast<double>(channels_) / lanes; }
  std::span<const Channels> written() const override { return written_; }

 private:
  int channels_;
  std::vector<Part> parts_;
  std::vector<Channels> written_;
  std::array<int, 2> origin_;
  float outside_;
};

// One of several maps, each put together of parts, by a choice; or its own last value.
class Select final : public Operation {
 public:
  // choice: its step. variants: by ratio. scale, shift: by channel, of what is reused; none: it is never computed again.
  Select(const Program& program, int target, int choice, std::vector<Move> variants, std::span<const float> scale,
         std::span<const float> shift);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  int chunk() const override { return std::max(8, 12288 / padded(channels_)); }
  double work() const override { return static_cast<double>(channels_) / lanes; }

 private:
  const Kernels& kernels_;
  int target_, choice_, channels_;
  std::vector<Move> variants_;
  std::vector<float> scale_, shift_;
};

// Pieces of pixels of other maps: windows and lists of tokens, maps one behind the other.
class Gather final : public Operation {
 public:
  struct Place {  // source: map, or -1: zeros
    int source;
    Pixel pixel;
    int channel;
  };
  // places: by pixel of the result.
  Gather(const Program& program, int target, std::vector<Place> places);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  int chunk() const override { return std::max(8, 12288 / padded(channels_)); }
  double work() const override { return 4.0 + static_cast<double>(padded(channels_)) / lanes; }

 private:
  int channels_, width_;
  std::vector<Place> places_;
};

// Norm over the channels of each pixel, or their softmax.
class Channelwise final : public Operation {
 public:
  // weights, bias: by channel, or empty.
  Channelwise(const Program& program, int source, int target, ChannelOperation operation, float epsilon, std::span<const float> weights,
              std::span<const float> bias);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  bool moves() const override { return true; }
  int chunk() const override { return std::max(8, 12288 / padded(channels_)); }
  double work() const override { return (operation_ == ChannelOperation::normalise ? 6.0 : 24.0) * padded(channels_) / lanes + 20.0; }

 private:
  const Kernels& kernels_;
  int source_, channels_;
  ChannelOperation operation_;
  float epsilon_;
  Buffer weights_, bias_;
};

// Attention within groups of pixels that follow each other.
class Attention final : public Operation {
 public:
  struct Shape {
    int groups, heads, key_size, value_size;
    float scale;
  };
  // sources: queries, keys, values. channels: of each of them, by head, its first channel. bias: [block][head][query][key], or empty;
  // bias_blocks: by group.
  Attention(const Program& program, std::array<int, 3> sources, int target, const Shape& shape, std::array<std::vector<int>, 3> channels,
            std::vector<int> bias_blocks, std::span<const float> bias);

  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  int chunk() const override;
  double work() const override;

 private:
  const Kernels& kernels_;
  std::array<int, 3> sources_;
  Shape shape_;
  int width_, queries_, keys_;
  std::array<std::vector<int>, 3> channels_;
  std::vector<int> bias_blocks_;
  std::vector<float> bias_;
};

// Mean over height and width. Keeps sums of segments of 16 pixels and of rows, and adds up anew only where the map changed: the same
// additions in the same order as for a whole map, so that nothing drifts and no bit differs.
class GlobalMean final : public Operation {
 public:
  GlobalMean(const Program& program, int source);

  void prepare(const Frame& frame) const override;
  void compute(const Frame&, std::span<const Pixel>, float* const* rows, Scratch&, int, int) const override;
  int chunk() const override { return 1; }
  double work() const override { return static_cast<double>(info_.height) * channels_ / lanes; }
  std::size_t memory() const override;

 private:
  const Kernels& kernels_;
  int source_;
  MapInfo info_;
  int channels_, segments_;
};

inline float clamp_low(const Activation& activation) {
  return activation.kind == Activation::Kind::clamp ? activation.a : -std::numeric_limits<float>::infinity();
}
inline float clamp_high(const Activation& activation) {
  return activation.kind == Activation::Kind::clamp ? activation.b : std::numeric_limits<float>::infinity();
}

}  // namespace skipvid
