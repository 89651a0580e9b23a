// A small pool of threads for the many short parallel loops of one frame.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace skipvid {

// A borrowed callable task(item, worker): no allocation, valid while the loop runs.
class Task {
 public:
  template <class Callable>
  explicit Task(const Callable& callable)
      : object_(&callable),
        call_([](const void* object, int item, int worker) { (*static_cast<const Callable*>(object))(item, worker); }) {}
  void operator()(int item, int worker) const { call_(object_, item, worker); }

 private:
  const void* object_;
  void (*call_)(const void*, int, int);
};

// The threads serve one frame at a time. A second frame, run from another thread meanwhile, works alone: waiting would cost more than it gains.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  // How often a worker that had lost its processor was lent the caller's.
  int lent() const { return lent_; }

  // Holds the workers for the length of a frame, if they are free. They are woken by the first loop: a frame that has none costs no waking.
  class Lease {
   public:
    // alone: the frame is computed by the caller, and the workers stay free for others.
    explicit Lease(ThreadPool& pool, bool alone = false);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    // Number of workers that may call a task, each with its own number below this.
    int workers() const { return owned_ ? pool_.size() : 1; }
    // Call task(item, worker) for all items; returns when all are done. Where a task throws, what is not begun is left out, and the first
    // exception is thrown on when no worker is in the loop any more.
    template <class Callable>
    void run(int items, const Callable& callable) {
      if (items <= 1 || !owned_ || pool_.workers_.empty()) {
        for (int item = 0; item < items; ++item) callable(item, 0);
      } else {
        wake();
        pool_.share_evenly(items, Task(callable));
      }
    }
    // The same, where each worker w starts with items [bounds[w], bounds[w + 1]); one bound more than there are workers.
    template <class Callable>
    void run_shares(std::span<const int> bounds, const Callable& callable) {
      if (!owned_ || pool_.workers_.empty()) {
        for (int item = 0; item < bounds.back(); ++item) callable(item, 0);
      } else {
        wake();
        pool_.share(bounds, Task(callable));
      }
    }

   private:
    void wake() {
      if (!awake_) pool_.wake();
      awake_ = true;
    }

    ThreadPool& pool_;
    bool owned_, awake_ = false;
  };

 private:
  void work(int worker);
  void wake();
  void choose_places();
  bool sleep();  // until a frame has work, or the pool ends: then false
  void end_workers();
  void share_evenly(int items, const Task& task);
  void share(std::span<const int> bounds, const Task& task);
  void drain(int worker);
  void wait_for_workers();
  bool fetch_preempted();
  void send_back();

  // The items that a worker takes first. Items follow the rows of a map, so that from step to step the same rows meet the same worker, which
  // finds in its caches what it has written; what it leaves, the others take.
  struct alignas(64) Share {
    std::atomic<int> next{0};
    int last = 0;
    std::atomic<bool> joined{false};  // whether the worker is in the loop
  };

  // gate_: loop number in the upper half, whether it may be joined, and how many workers are in it. A worker that is late does not hold
  // up a loop that the others have finished.
  static constexpr std::uint64_t open = std::uint64_t{1} << 31;
  std::atomic<std::uint64_t> gate_{0};
  std::vector<Share> shares_;
  std::vector<int> even_;  // bounds
  const Task* task_ = nullptr;
  std::atomic<bool> failed_{false};  // a task of this loop
  std::exception_ptr failure_;       // its exception; written by the one who set failed_, read when the loop is over

  std::mutex frame_;  // held by the lease
  std::mutex sleep_;
  std::condition_variable wake_, left_;
  std::atomic<bool> busy_{false}, stop_{false};
  std::atomic<int> lent_{0};
  std::atomic<bool> awaited_{false};  // whether the caller sleeps until the last worker leaves the loop
  std::vector<std::thread> workers_;
#ifdef __linux__
  // Processors that the workers may be woken on, and may run on; guarded by sleep_.
  struct Places {
    cpu_set_t asleep, awake;
    int caller = -1;      // the processor that is left out of `asleep`
    bool chosen = false;  // whether the workers' masks are set at all
  };
  Places places_;
  std::vector<std::int64_t> worked_;  // nanoseconds that each worker had run for when it was last asked
  std::vector<bool> fetched_;         // whether it was brought to the caller's processor
#endif
};

}  // namespace skipvid
