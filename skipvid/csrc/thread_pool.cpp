#include "thread_pool.hpp"

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

ThreadPool::ThreadPool(int threads) {
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

ThreadPool::Lease::Lease(ThreadPool& pool) : pool_(pool), owned_(pool.frame_.try_lock()) {
  if (!owned_ || pool_.workers_.empty()) return;
  {
    const std::lock_guard lock(pool_.sleep_);
    pool_.busy_ = true;
  }
  pool_.wake_.notify_all();
}

ThreadPool::Lease::~Lease() {
  if (!owned_) return;
  pool_.busy_ = false;
  pool_.frame_.unlock();
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
  for (int item = next_.fetch_add(1, std::memory_order_relaxed); item < items_; item = next_.fetch_add(1, std::memory_order_relaxed)) {
    (*task_)(item, worker);
  }
}

void ThreadPool::share(int items, const Task& task) {
  items_ = items;
  task_ = &task;
  next_.store(0, std::memory_order_relaxed);
  const std::uint64_t number = (gate_.load(std::memory_order_relaxed) >> 32) + 1;
  gate_.store(number << 32 | open, std::memory_order_release);
  drain(0);
  gate_.fetch_and(~open, std::memory_order_acq_rel);
  for (int round = 0; (gate_.load(std::memory_order_acquire) & (open - 1)) != 0; ++round) relax(round);
}

}  // namespace skipvid
