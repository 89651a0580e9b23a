#include "smoothing.hpp"

#include <algorithm>

#include "frame.hpp"

namespace skipvid {

namespace {

constexpr float alone = 3.0F;                               // times the limit: what opens a pixel whatever lies around
constexpr std::size_t values_worth_sharing = std::size_t{1} << 13;  // below, waking the other threads costs more

std::vector<float> window_limits(float limit, int rows, int width) {
  std::vector<float> limits((static_cast<std::size_t>(width) + 63) / 64 * 64, 0.0F);
  for (int x = 0; x < width; ++x) {
    const int columns = std::min(x + 1, width - 1) - std::max(x - 1, 0) + 1;
    limits[x] = limit * static_cast<float>(rows * columns);
  }
  return limits;
}

// callable(from, to, worker) over [0, count), in pieces.
template <class Callable>
void in_pieces(const Frame& frame, int count, bool shared, const Callable& callable) {
  if (!shared) return callable(0, count, 0);
  const int pieces = std::min(count, frame.lease.workers() * 4);
  frame.lease.run(pieces, [&](int piece, int worker) {
    const auto bound = [&](int number) { return static_cast<int>(static_cast<std::int64_t>(count) * number / pieces); };
    callable(bound(piece), bound(piece + 1), worker);
  });
}

}  // namespace

ChangePlane::ChangePlane(int height, int width)
    : height_(height), stride_(padded(width + 1) + before), data_(static_cast<std::size_t>(height + 2) * stride_ + 128) {}

void ChangePlane::clear() { std::fill_n(data_.data(), (height_ + 2) * stride_, 0.0F); }

Smoothing::Smoothing(const Frame& frame, int map) : frame_(frame), map_(map), limit_(frame.state.limits[map]) {
  const MapInfo& info = frame.program.maps[map];
  inner_ = window_limits(limit_, std::min(3, info.height), info.width);
  outer_ = window_limits(limit_, std::min(2, info.height), info.width);
}

void Smoothing::decide(int y, const Bitmap& among) const {
  Bitmap& published = frame_.state.published[map_];
  const ChangePlane& plane = frame_.state.changes[map_];
  const int width = published.width();
  const std::vector<float>& limits = y == 0 || y == published.height() - 1 ? outer_ : inner_;
  for (int word = 0; word < published.words(); ++word) {
    const std::uint64_t candidates = among.row(y)[word];
    if (candidates == 0) continue;  // the bitmap is clear
    const int x = word * 64;
    published.row(y)[word] = candidates & frame_.program.kernels.smooth(plane.row(y - 1) + x, plane.row(y) + x, plane.row(y + 1) + x,
                                                                        std::min(64, width - x), limits.data() + x, alone * limit_);
  }
}

void publish_measured(const Job& job, const float* values) {
  const Frame& frame = *job.frame;
  const int map = job.step->map, channels = frame.program.maps[map].channels, row = padded(channels);
  Bitmap& published = frame.state.published[map];
  const Bitmap& computed = frame.state.computed[map];
  const int top = computed.top(), bottom = computed.bottom();
  const bool shared = job.pixels.size() * static_cast<std::size_t>(row) > values_worth_sharing;
  const Smoothing smoothing(frame, map);
  in_pieces(frame, bottom - top, shared, [&](int from, int to, int) {
    for (int y = top + from; y < top + to; ++y) smoothing.decide(y, computed);
  });
  published.settle(top, bottom);
  published.round_to_blocks(job.gate().block);
  if (!published.any()) return;
  const ChangePlane& plane = frame.state.changes[map];
  const Rows target = frame.state.rows(map);
  in_pieces(frame, static_cast<int>(job.pixels.size()), shared, [&](int from, int to, int worker) {
    std::vector<std::byte*>& targets = frame.workspace.threads[worker].targets;
    for (int first = from; first < to;) {
      int next = first;
      targets.clear();
      for (; next < to && published.test(job.pixels[next]); ++next) {
        targets.push_back(target.at(job.pixels[next]));
        plane.row(row_of(job.pixels[next]))[column_of(job.pixels[next])] = 0;
      }
      if (next > first)
        frame.program.kernels.put(values + static_cast<std::ptrdiff_t>(first) * row, row, targets.data(), next - first, channels);
      first = next + 1;
    }
  });
}

}  // namespace skipvid
