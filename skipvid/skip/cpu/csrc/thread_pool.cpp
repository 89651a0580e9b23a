#include "thread_pool.hpp"

#include <algorithm>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace skipvid {

namespace {

void relax(int round) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
  // On a machine with more work than cores the others must get their turn.
  if (round % 256 == 255) std::this_thread::yield();
}

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(std::max(threads, 1)), even_(shares_.size() + 1) {
  for (int worker = 1; worker < threads; ++worker) workers_.emplace_back(&ThreadPool::work, this, worker);
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(sleep_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

ThreadPool::Lease::Lease(ThreadPool& pool) : pool_(pool), owned_(pool.frame_.try_lock()) {}

ThreadPool::Lease::~Lease() {
  if (!owned_) return;
  pool_.busy_ = false;
  pool_.frame_.unlock();
}

void ThreadPool::wake() {
  keep_apart();
  {
    const std::lock_guard lock(sleep_);
    busy_ = true;
  }
  wake_.notify_all();
}

// Leave the caller's processor to the caller. A scheduler may put a thread that was woken on the processor of the one that woke it, where it
// gets its turn after milliseconds: for many a frame never.
void ThreadPool::keep_apart() {
#ifdef __linux__
  const int own = sched_getcpu();
  cpu_set_t others;
  if (own < 0 || own == apart_from_ || sched_getaffinity(0, sizeof others, &others) != 0) return;
  apart_from_ = own;
  CPU_CLR(own, &others);
  if (CPU_COUNT(&others) < static_cast<int>(workers_.size())) return;
  for (std::thread& worker : workers_) pthread_setaffinity_np(worker.native_handle(), sizeof others, &others);
#endif
}

void ThreadPool::work(int worker) {
  std::uint64_t done = 0;
  for (int round = 0;; ++round) {
    if (!busy_) {
      std::unique_lock lock(sleep_);
      wake_.wait(lock, [this] { return busy_ || stop_; });
      if (stop_) return;
    }
    std::uint64_t seen = gate_.load(std::memory_order_acquire);
    if ((seen & open) == 0 || seen >> 32 == done || !gate_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) {
      relax(round);
      continue;
    }
    done = seen >> 32;
    drain(worker);
    gate_.fetch_sub(1, std::memory_order_release);
    round = 0;
  }
}

void ThreadPool::drain(int worker) {
  const int workers = size();
  for (int turn = 0; turn < workers; ++turn) {
    Share& share = shares_[(worker + turn) % workers];
    for (int item = share.next.fetch_add(1, std::memory_order_relaxed); item < share.last;
         item = share.next.fetch_add(1, std::memory_order_relaxed)) {
      (*task_)(item, worker);
    }
  }
}

void ThreadPool::share_evenly(int items, const Task& task) {
  const std::int64_t workers = size();
  for (int worker = 0; worker <= workers; ++worker) even_[worker] = static_cast<int>(items * worker / workers);
  share(even_, task);
}

void ThreadPool::share(std::span<const int> bounds, const Task& task) {
  for (int worker = 0; worker < size(); ++worker) {
    shares_[worker].next.store(bounds[worker], std::memory_order_relaxed);
    shares_[worker].last = bounds[worker + 1];
  }
  task_ = &task;
  const std::uint64_t number = (gate_.load(std::memory_order_relaxed) >> 32) + 1;
  gate_.store(number << 32 | open, std::memory_order_release);
  drain(0);
  gate_.fetch_and(~open, std::memory_order_acq_rel);
  for (int round = 0; (gate_.load(std::memory_order_acquire) & (open - 1)) != 0; ++round) relax(round);
}

}  // namespace skipvid
