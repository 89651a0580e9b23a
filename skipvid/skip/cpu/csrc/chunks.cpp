// Cutting what a wave has to compute into chunks, and sharing these out among the threads: by pixels, or, where few pixels meet many
// weights, by output channels, so that no thread reads all of the weights.
#include <algorithm>

#include "frame.hpp"

namespace skipvid {

namespace {

// A rough number of cycles; below, handing the work to other threads costs more.
constexpr double work_worth_sharing = 10000;
// Of the work that is left to a worker, how much its next chunk may be: what comes last is small enough not to be waited for.
constexpr double largest_share = 0.9;

// Whether fewer values are read and written than weights are read: then a thread had better leave some of these to the others.
bool splits_channels(const Job& job, int workers) {
  const Operation& operation = *job.step->operation;
  const Frame& frame = *job.frame;
  if (workers == 1 || operation.parts() == 1) return false;
  const std::size_t pixels = job.pixels.size();
  // At a keyframe the rows of one map after the other rather stay with the thread that wrote them.
  if (frame.keyframe) return pixels < static_cast<std::size_t>(2 * workers * frame.program.kernels.gemm_pixels);
  const std::vector<MapInfo>& maps = frame.program.maps;
  return operation.weights() > pixels * static_cast<std::size_t>(maps[job.step->sources[0]].channels + 4 * maps[job.step->map].channels);
}

// Chunks of some of the channels: each worker takes the same ones of all pixels. Every other worker goes through the pixels backwards, so
// that not all rows are completed by the same one.
void cut_channels(const Job& job, int number, int workers, Workspace& workspace, std::size_t& floats) {
  const Operation& operation = *job.step->operation;
  const int pixels = static_cast<int>(job.pixels.size()), parts = operation.parts(), splits = std::min(parts, workers);
  const int tile = job.frame->program.kernels.gemm_pixels;
  const int count = std::max((pixels + operation.chunk() - 1) / operation.chunk(), std::min(workers, pixels / (3 * tile)));
  const int size = (pixels + count * tile - 1) / (count * tile) * tile;
  const int row = padded(job.frame->program.maps[job.step->map].channels), first = static_cast<int>(workspace.split_rows.size());
  for (int from = 0; from < pixels; from += size) {
    const bool buffered = job.smooths();
    workspace.split_rows.push_back({buffered ? workspace.buffered[number] + static_cast<std::size_t>(from) * row : floats, splits});
    floats += job.in_scratch() && !buffered ? static_cast<std::size_t>(std::min(size, pixels - from)) * row : 0;
  }
  const int groups = static_cast<int>(workspace.split_rows.size()) - first;
  for (int split = 0; split < splits; ++split) {
    std::vector<Chunk>& share = workspace.shares[split * workers / splits];
    for (int turn = 0; turn < groups; ++turn) {
      const int group = split % 2 == 0 ? turn : groups - 1 - turn, from = group * size;
      share.push_back({number, static_cast<std::size_t>(from), std::min(size, pixels - from), parts * split / splits,
                       parts * (split + 1) / splits, first + group});
    }
  }
}

// Chunks of pixels for one worker, who has `left` cycles to work: large ones first, which meet their weights less often, and small ones last,
// which leave little to wait for. They follow the rows of a map, so that from wave to wave the same rows meet the same worker.
void cut_pixels(const Job& job, int number, double pixel_work, int worker, int workers, double& left, std::vector<Chunk>& share) {
  const Operation& operation = *job.step->operation;
  const int tile = job.frame->program.kernels.gemm_pixels, pixels = static_cast<int>(job.pixels.size());
  // Jobs of a single tile take turns.
  const std::int64_t tiles = (pixels + tile - 1) / tile, shift = tiles < workers ? number % workers : 0;
  const auto bound = [&](int of) { return of == workers ? pixels : static_cast<int>((tiles * of + shift) / workers * tile); };
  for (int from = bound(worker), to = std::min(bound(worker + 1), pixels); from < to;) {
    int size = operation.chunk();
    if (workers > 1) size = std::min(size, static_cast<int>(left * largest_share / pixel_work) / tile * tile);
    size = std::min(std::max(size, tile), to - from);
    share.push_back({number, static_cast<std::size_t>(from), size, 0, operation.parts()});
    left -= size * pixel_work;
    from += size;
  }
}

void cut(std::span<const Job> jobs, int workers, double work, Workspace& workspace) {
  for (std::vector<Chunk>& share : workspace.shares) share.clear();
  workspace.split_rows.clear();
  workspace.left.assign(workers, work / workers);
  workspace.by_pixels.clear();
  std::size_t floats = 0;
  workspace.buffered.assign(jobs.size(), 0);
  for (int number = 0; number < static_cast<int>(jobs.size()); ++number) {
    const Job& job = jobs[number];
    if (job.smooths()) {
      workspace.buffered[number] = floats;
      floats += job.pixels.size() * padded(job.frame->program.maps[job.step->map].channels);
    }
    if (job.in_blocks()) continue;
    if (!splits_channels(job, workers)) {
      workspace.by_pixels.push_back(number);
      continue;
    }
    cut_channels(job, number, workers, workspace, floats);
    for (double& left : workspace.left) left -= workspace.pixel_work[number] * static_cast<double>(job.pixels.size()) / workers;
  }
  for (const int number : workspace.by_pixels) {
    for (int worker = 0; worker < workers; ++worker) {
      cut_pixels(jobs[number], number, workspace.pixel_work[number], worker, workers, workspace.left[worker], workspace.shares[worker]);
    }
  }
  workspace.values.reserve(floats);
  workspace.chunks.clear();
  workspace.bounds.assign(1, 0);
  for (const std::vector<Chunk>& share : workspace.shares) {
    workspace.chunks.insert(workspace.chunks.end(), share.begin(), share.end());
    workspace.bounds.push_back(static_cast<int>(workspace.chunks.size()));
  }
}

}  // namespace

void run_jobs(const Frame& frame, std::span<const Job> jobs) {
  Workspace& workspace = frame.workspace;
  workspace.pixel_work.clear();
  double work = 0;
  for (const Job& job : jobs) {
    job.step->operation->prepare(frame);
    workspace.pixel_work.push_back(job.in_blocks() ? 0 : job.pixel_work());
    work += workspace.pixel_work.back() * static_cast<double>(job.pixels.size());
  }
  const int workers = work > work_worth_sharing ? frame.lease.workers() : 1;
  cut(jobs, workers, work, workspace);
  const auto run = [&](int item, int worker) {
    const Chunk& chunk = workspace.chunks[item];
    run_chunk(jobs[chunk.job], chunk, worker);
  };
  if (workers > 1) {
    frame.lease.run_shares(workspace.bounds, run);
  } else {
    for (int item = 0; item < static_cast<int>(workspace.chunks.size()); ++item) run(item, 0);
  }
  // Before those in blocks, which take the buffer.
  for (std::size_t number = 0; number < jobs.size(); ++number) {
    if (jobs[number].smooths()) publish_measured(jobs[number], workspace.values.data() + workspace.buffered[number]);
  }
  for (const Job& job : jobs) {
    if (!job.gates() || job.smooths()) continue;
    if (job.in_blocks()) {
      run_buffered(job);
    } else {
      const Bitmap& computed = frame.state.computed[job.step->map];
      frame.state.published[job.step->map].settle(computed.top(), computed.bottom());
    }
  }
}

}  // namespace skipvid
