#include "program.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "work.hpp"

namespace skipvid {

Program::~Program() = default;

std::unique_ptr<Workspace> Program::borrow() const {
  const std::lock_guard lock(lock_);
  if (idle_.empty()) {
    auto workspace = std::make_unique<Workspace>();
    workspace->threads.resize(pool->size());
    workspace->shares.resize(pool->size());
    return workspace;
  }
  std::unique_ptr<Workspace> workspace = std::move(idle_.back());
  idle_.pop_back();
  return workspace;
}

void Program::give_back(std::unique_ptr<Workspace> workspace) const {
  const std::lock_guard lock(lock_);
  idle_.push_back(std::move(workspace));
}

namespace {

// The caller's thread is to do what kernels want done, however a frame ends.
struct Resting {
  ~Resting() { rest(); }
};

// Marks a state as in use for as long as it lives.
class Running {
 public:
  explicit Running(State& state) : state_(state) {
    if (state_.running.exchange(true, std::memory_order_acquire)) throw std::logic_error("the state runs another frame at this moment");
  }
  ~Running() { state_.running.store(false, std::memory_order_release); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  State& state_;
};

void check_shift(const Program& program, Shift shift, bool keyframe) {
  if (keyframe) throw std::logic_error("at a keyframe nothing is left to be moved");
  if (!program.moves()) {
    throw std::invalid_argument("a program of several segments or inputs, with gates of outputs or in blocks, or choices, moves nothing");
  }
  for (const Step& step : program.steps) {
    const MapInfo& info = program.maps[step.map];
    if (step.kind == StepKind::input &&
        (shift.y <= -info.height || shift.y >= info.height || shift.x <= -info.width || shift.x >= info.width)) {
      throw std::invalid_argument("a shift of (" + std::to_string(shift.y) + ", " + std::to_string(shift.x) +
                                  ") leaves nothing of the input");
    }
  }
}

}  // namespace

bool Program::moves() const {
  const bool in_blocks = std::any_of(gates.begin(), gates.end(), [](const Gate& gate) { return gate.gated && gate.block > 1; });
  const bool by_outputs = std::any_of(steps.begin(), steps.end(), [](const Step& step) { return step.gate != nullptr; });
  const bool chooses = std::any_of(steps.begin(), steps.end(), [](const Step& step) { return step.choice != nullptr; });
  return in_one_segment() && inputs == 1 && !in_blocks && !by_outputs && !chooses;
}

void Program::run(State& state, std::span<const InputArray> inputs, int segment, bool keyframe, bool gates_wanted, Shift shift) const {
  if (&state.program != this) throw std::logic_error("the state belongs to another program");
  if (segment < 0 || segment >= static_cast<int>(segments_.size())) {
    throw std::invalid_argument("there is no segment " + std::to_string(segment) + ", the program has " + std::to_string(segments_.size()));
  }
  if (state.dense && (!keyframe || gates_wanted)) throw std::logic_error("a dense state remembers nothing for a gated frame");
  if (shift.any()) check_shift(*this, shift, keyframe);
  const Running running(state);
  const Resting resting;
  if (segment == 0) {
    if (!keyframe && !state.current) throw std::logic_error("a state that holds no frame, or a failed one, needs a keyframe");
    state.current = false;
  }
  ThreadPool::Lease lease(*pool, state.alone);
  std::unique_ptr<Workspace> workspace = borrow();
  const Frame frame{*this, state, lease, *workspace, inputs, keyframe, gates_wanted, shift};
  run_segment(frame, segments_[segment]);
  give_back(std::move(workspace));
  if (segment + 1 == static_cast<int>(segments_.size())) state.current = gates_wanted;
}

}  // namespace skipvid
