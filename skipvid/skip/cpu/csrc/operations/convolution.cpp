#include <algorithm>
#include <cmath>
#include <cstring>

#include "../operations.hpp"

namespace skipvid {

namespace {

// Cut `vectors` output vectors into blocks of at most `most`, none of a single vector where that can be avoided.
std::vector<int> cut(int vectors, int most) {
  std::vector<int> blocks;
  while (vectors > 0) {
    const int take = vectors == most + 1 && most > 2 ? most - 1 : std::min(vectors, most);
    blocks.push_back(take);
    vectors -= take;
  }
  return blocks;
}

// Lines of weights for some input channels.
int lines_of(int channels, const GemmKernels& kernels) { return (channels + kernels.gemm_depth - 1) / kernels.gemm_depth; }

constexpr int most_joined = 64;     // channels: with more of them, there are few rows to be looked for
constexpr int picture_stride = 4;  // from pixel to pixel of a network input of three channels, in values

int rounded_up(int count, int unit) { return (count + unit - 1) / unit * unit; }

// The rows under one tap for a run of adjacent outputs: input pixels (y, x), (y, x + step), ...; `zeros` outside the map.
void point(const Rows& source, const std::byte* zeros, int y, int x, int step, int length, const std::byte** pointers) {
  if (y < 0 || y >= source.height) {
    std::fill_n(pointers, length, zeros);
    return;
  }
  const int from = std::clamp((-x + step - 1) / step, 0, length);
  const int to = x >= source.width ? from : std::clamp((source.width - 1 - x) / step + 1, from, length);
  std::fill_n(pointers, from, zeros);
  const std::byte* row = source.at(y, 0) + static_cast<std::ptrdiff_t>(x) * source.stride;
  for (int i = from; i < to; ++i) pointers[i] = row + static_cast<std::ptrdiff_t>(i) * step * source.stride;
  std::fill_n(pointers + to, length - to, zeros);
}

}  // namespace

Convolution::Convolution(const Program& program, int source, int target, std::array<int, 2> stride, std::array<int, 2> period, int groups,
                         const std::vector<Phase>& phases, std::span<const float> bias, Activation act)
    : kernels_(program.kernels),
      source_(source),
      inputs_(program.maps[source].channels),
      outputs_(program.maps[target].channels),
      stride_(stride),
      period_(period),
      groups_(groups),
      bias_(padded(outputs_)),
      zeros_(padded(inputs_)) {
  activation = act;
  // Products round what they have clamped as if it were no denormal number.
  activates_ = act.remains() || std::fpclassify(clamp_low(act)) == FP_SUBNORMAL || std::fpclassify(clamp_high(act)) == FP_SUBNORMAL;
  std::copy(bias.begin(), bias.end(), bias_.data());
  for (Phase phase : phases) {
    const std::vector<float> joined = join(program, phase);
    packed_.push_back(pack(program, phase, kernels_.width));
    double products = 0;
    for (const GemmBlock& block : packed_.back().blocks) products += static_cast<double>(block.vectors) * lines_of(block.depth, kernels_);
    work_ = std::max(work_, products * kernels_.width / lanes * static_cast<double>(phase.taps.size() / 2) / kernels_.gemm_speed);
  }
}

// Taps side by side become one, where their pixels are neighbours in memory with nothing between them but, in a network input of three
// channels, a zero. Products of pairs are added up in the same order as before, and fewer rows are looked for. Returns the weights that the
// phase then refers to, where they are others.
std::vector<float> Convolution::join(const Program& program, Phase& phase) {
  const MapInfo& source = program.maps[source_];
  const int taps = static_cast<int>(phase.taps.size()) / 2, stride = static_cast<int>(source.stride);
  int columns = 1;
  const auto follows = [&](int tap) {
    return phase.taps[2 * tap] == phase.taps[2 * tap - 2] && phase.taps[2 * tap + 1] == phase.taps[2 * tap - 1] + 1;
  };
  while (columns < taps && follows(columns)) ++columns;
  const bool picture = source.channels == 3 && stride == picture_stride;
  bool fits = kernels_.gemm_depth == 2 && period_[0] == 1 && period_[1] == 1 && columns > 1 && taps % columns == 0;
  fits = fits && groups_ == 1 && (picture || (source.channels == stride && stride <= most_joined)) && !source.floats;
  for (int tap = 1; fits && tap < taps; ++tap) fits = follows(tap) == (tap % columns != 0);
  if (!fits) return {};
  joined_ = columns;
  inputs_ = columns * stride;
  zeros_ = Buffer(padded(inputs_));
  std::vector<int> offsets;
  for (int tap = 0; tap < taps; tap += columns) offsets.insert(offsets.end(), {phase.taps[2 * tap], phase.taps[2 * tap + 1]});
  phase.taps = offsets;
  if (!picture) return {};
  std::vector<float> weights(static_cast<std::size_t>(taps) * stride * outputs_);
  const std::size_t row = static_cast<std::size_t>(source.channels) * outputs_;
  for (int tap = 0; tap < taps; ++tap) {
    std::copy_n(phase.weights.begin() + tap * row, row, weights.begin() + static_cast<std::ptrdiff_t>(tap) * stride * outputs_);
  }
  phase.weights = weights;
  return weights;
}

Convolution::Packed Convolution::pack(const Program& program, const Phase& phase, int width) const {
  const int taps = static_cast<int>(phase.taps.size()) / 2;
  const int group_inputs = inputs_ / groups_, group_outputs = outputs_ / groups_;
  // A block of a grouped convolution reads the input channels of all groups that it touches, with zero weights where they do not meet;
  // narrow blocks touch few groups. A group that fills its rows has blocks of its own.
  const bool own = groups_ > 1 && group_outputs % lanes == 0;
  std::vector<int> widths;
  for (int part = 0; part < (own ? groups_ : 1); ++part) {
    const std::vector<int> some = cut((own ? group_outputs : padded(outputs_)) / width, own || groups_ == 1 ? kernels_.gemm_vectors : 1);
    widths.insert(widths.end(), some.begin(), some.end());
  }
  Packed packed{phase.taps, {}, {0, 0}, {0, 0}, {}, {}, 0};
  const MapInfo& source = program.maps[source_];
  for (int tap = 0; tap < taps; ++tap) {
    packed.offsets.push_back((static_cast<std::ptrdiff_t>(phase.taps[2 * tap]) * source.width + phase.taps[2 * tap + 1]) * source.stride *
                             program.value_size());
    for (int axis = 0; axis < 2; ++axis) {
      packed.low[axis] = std::min(packed.low[axis], phase.taps[2 * tap + axis]);
      packed.high[axis] = std::max(packed.high[axis], phase.taps[2 * tap + axis] + (axis == 1 ? joined_ - 1 : 0));
    }
  }
  std::size_t size = 0;
  int output = 0;
  for (const int vectors : widths) {
    const int last = std::min(output + vectors * width, outputs_) - 1;
    const int first_group = std::min(output, last) / group_outputs, groups = last / group_outputs - first_group + 1;
    packed.blocks.push_back({vectors, output, first_group * group_inputs, groups * group_inputs, size});
    const int lines = taps * lines_of(groups * group_inputs, kernels_);
    packed.lines = std::max(packed.lines, lines);
    size += static_cast<std::size_t>(rounded_up(lines, kernels_.gemm_lines)) * vectors * width;
    output += vectors * width;
  }
  packed.weights = Buffer(size);
  // What output channel `out` multiplies channel `k` of a block's input with; 0 for one that it does not read.
  const auto weight = [&](const GemmBlock& block, int tap, int k, int out) {
    const int input = out < outputs_ ? block.input + k - out / group_outputs * group_inputs : -1;
    if (input < 0 || input >= group_inputs) return 0.0F;
    return phase.weights[(static_cast<std::size_t>(tap) * group_inputs + input) * outputs_ + out];
  };
  for (const GemmBlock& block : packed.blocks) {
    float* to = packed.weights.data() + block.weights;
    for (int tap = 0; tap < taps; ++tap) {
      for (int line = 0; line < lines_of(block.depth, kernels_); ++line) {
        for (int lane = 0; lane < block.vectors * width; ++lane, ++to) {
          const int out = block.output + lane;
          if (kernels_.gemm_depth == 1) {
            *to = weight(block, tap, line, out);
          } else {
            const BFloat16 pair[2] = {narrowed<BFloat16>(weight(block, tap, 2 * line, out)),
                                      narrowed<BFloat16>(weight(block, tap, 2 * line + 1, out))};
            std::memcpy(to, pair, sizeof pair);
          }
        }
      }
    }
  }
  return packed;
}

bool Convolution::take(const Scaling& scaling) {
  const bool pixel_by_pixel = packed_.size() == 1 && packed_[0].taps == std::vector<int>{0, 0} && stride_ == std::array<int, 2>{1, 1};
  if (!pixel_by_pixel || joined_ != 1) return false;
  scaling_ = scaling;
  work_ += 3.0 * padded(inputs_) / lanes;
  return true;
}

int Convolution::chunk() const {
  // Input rows and, in scratch memory or in a map of floats, output rows of a chunk share the second-level cache with the weights of a block.
  const std::ptrdiff_t input = size_of(kernels_.element) * (inputs_ / joined_) * (packed_[0].taps.size() > 2 || joined_ > 1 ? 2 : 1);
  const std::ptrdiff_t output = static_cast<std::ptrdiff_t>(sizeof(float)) * padded(outputs_);
  const int tile = kernels_.gemm_pixels, pixels = static_cast<int>(196608 / (input + output));
  return std::clamp(pixels / tile * tile, tile * 2, tile * 16);
}

// As point(), of joined taps: where some of their pixels lie outside of the map, what is read is put together in a patch.
void Convolution::point_joined(const Rows& source, int y, int x, int length, const std::byte** pointers, std::byte*& patches) const {
  if (y < 0 || y >= source.height) {
    std::fill_n(pointers, length, reinterpret_cast<const std::byte*>(zeros_.data()));
    return;
  }
  const int step = stride_[1], most = source.width - joined_ - x;  // of a window's place within the run, times the step
  const int from = std::clamp((-x + step - 1) / step, 0, length), to = most < 0 ? from : std::clamp(most / step + 1, from, length);
  const std::byte* const row = source.at(y, 0);
  for (int i = from; i < to; ++i) pointers[i] = row + (x + static_cast<std::ptrdiff_t>(i) * step) * source.stride;
  const std::size_t size = joined_ * source.stride;
  const auto patch = [&](int i) {
    const int left = x + i * step, first = std::clamp(-left, 0, joined_), last = std::clamp(source.width - left, first, joined_);
    std::memset(patches, 0, size);
    std::memcpy(patches + first * source.stride, row + (left + first) * source.stride, (last - first) * source.stride);
    pointers[i] = patches;
    patches += size;
  };
  for (int i = 0; i < from; ++i) patch(i);
  for (int i = to; i < length; ++i) patch(i);
}

void Convolution::compute(const Frame& frame, std::span<const Pixel> pixels, float* const* rows, Scratch& scratch, int first_part,
                          int last_part) const {
  if (packed_.size() == 1) return compute_phase(frame, packed_[0], pixels, rows, scratch, first_part, last_part);
  std::vector<Pixel> chosen;
  std::vector<float*> targets;
  scratch.ahead = nullptr;  // in another order
  for (int phase = 0; phase < static_cast<int>(packed_.size()); ++phase) {
    chosen.clear();
    targets.clear();
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      if (row_of(pixels[i]) % period_[0] * period_[1] + column_of(pixels[i]) % period_[1] != phase) continue;
      chosen.push_back(pixels[i]);
      targets.push_back(rows[i]);
    }
    if (!chosen.empty()) compute_phase(frame, packed_[phase], chosen, targets.data(), scratch, first_part, last_part);
  }
}

void Convolution::compute_phase(const Frame& frame, const Packed& packed, std::span<const Pixel> pixels, float* const* rows,
                                Scratch& scratch, int first, int last) const {
  const Rows source = frame.state.rows(scaling_ ? scaling_->map : source_);
  const int taps = static_cast<int>(packed.taps.size()) / 2;
  const std::size_t count = pixels.size();
  scratch.pointers.resize(count * taps);
  const std::byte** pointers = scratch.pointers.data();
  const std::byte* const zeros = reinterpret_cast<const std::byte*>(zeros_.data());
  const std::size_t patch = joined_ == 1 ? 0 : static_cast<std::size_t>(joined_) * source.stride;
  scratch.more.reserve(count * taps * patch / sizeof(float));
  std::byte* patches = reinterpret_cast<std::byte*>(scratch.more.data());
  if (period_[0] == 1 && period_[1] == 1) {
    // Of a gated frame, pixels whose whole window lies inside the map, one by one: runs, which are short, would each cost a wrong guess.
    const std::ptrdiff_t column = stride_[1] * source.stride, line = static_cast<std::ptrdiff_t>(stride_[0]) * source.width * source.stride;
    const std::array<int, 2> low = {-packed.low[0], -packed.low[1]};
    const std::array<int, 2> high = {source.height - packed.high[0], source.width - packed.high[1]};
    const auto point_inside = [&](std::size_t first) {
      std::size_t i = first;
      for (; i < count; ++i) {
        const int y = row_of(pixels[i]), x = column_of(pixels[i]), from_y = y * stride_[0], from_x = x * stride_[1];
        if (from_y < low[0] || from_y >= high[0] || from_x < low[1] || from_x >= high[1]) break;
        pointers[i] = source.data + y * line + x * column;
      }
      for (int tap = taps - 1; tap >= 0; --tap) {
        for (std::size_t at = first; at < i; ++at) pointers[tap * count + at] = pointers[at] + packed.offsets[tap];
      }
      return i;
    };
    for (std::size_t i = 0; i < count;) {
      if (!frame.keyframe && (i = point_inside(i)) == count) break;
      const int y = row_of(pixels[i]) * stride_[0], x = column_of(pixels[i]) * stride_[1];
      const int length = run_length(pixels, i);
      for (int tap = 0; tap < taps; ++tap) {
        const int from_y = y + packed.taps[2 * tap], from_x = x + packed.taps[2 * tap + 1];
        if (joined_ == 1) {
          point(source, zeros, from_y, from_x, stride_[1], length, pointers + tap * count + i);
        } else {
          point_joined(source, from_y, from_x, length, pointers + tap * count + i, patches);
        }
      }
      i += length;
    }
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      const int y = row_of(pixels[i]) / period_[0] * stride_[0], x = column_of(pixels[i]) / period_[1] * stride_[1];
      for (int tap = 0; tap < taps; ++tap) {
        const int from_y = y + packed.taps[2 * tap], from_x = x + packed.taps[2 * tap + 1];
        pointers[tap * count + i] = source.contains(from_y, from_x) ? source.at(from_y, from_x) : zeros;
      }
    }
  }
  if (scaling_) {
    const std::size_t row = padded(inputs_) * frame.program.value_size();
    scratch.more.reserve((count * row + sizeof(float) - 1) / sizeof(float));
    std::byte* const scaled = reinterpret_cast<std::byte*>(scratch.more.data());
    kernels_.scale(pointers, frame.state.rows(scaling_->by).data, static_cast<int>(count), padded(inputs_), scaled);
    for (std::size_t i = 0; i < count; ++i) pointers[i] = scaled + i * row;
  }
  if (kernels_.gemm_memory != nullptr) scratch.gemm.reserve(kernels_.gemm_memory(packed.lines));
  kernels_.gemm({pointers, count, taps, static_cast<int>(count), packed.weights.data(), bias_.data(), packed.blocks.data() + first,
                 last - first, clamp_low(activation), clamp_high(activation), rows, scratch.stored, activates_ ? &activation : nullptr,
                 scratch.sum, scratch.ahead, scratch.gemm.data()});
}

}  // namespace skipvid
