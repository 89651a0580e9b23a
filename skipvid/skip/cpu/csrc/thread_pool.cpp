#include "thread_pool.hpp"

#include <algorithm>
#include <utility>

#include "kernels.hpp"

#ifdef __linux__
#include <pthread.h>
#include <time.h>
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

// Rounds of `relax` between two looks at workers that are waited for, some 20 microseconds.
constexpr int rounds_to_look = 1024;

#ifdef __linux__
// Nanoseconds for which a thread has run so far; 0 where that is not known.
std::int64_t worked(std::thread& thread) {
  clockid_t clock;
  timespec time;
  if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return time.tv_sec * std::int64_t{1000000000} + time.tv_nsec;
}
#endif

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(std::max(threads, 1)), even_(shares_.size() + 1) {
  workers_.reserve(shares_.size());
#ifdef __linux__
  if (sched_getaffinity(0, sizeof places_.awake, &places_.awake) != 0) CPU_ZERO(&places_.awake);
  worked_.assign(shares_.size() - 1, 0);
  fetched_.assign(shares_.size() - 1, false);
#endif
  try {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back(&ThreadPool::work, this, worker);
  } catch (...) {
    end_workers();  // those that were begun use this object
    throw;
  }
}

ThreadPool::~ThreadPool() { end_workers(); }

void ThreadPool::end_workers() {
  {
    const std::lock_guard lock(sleep_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

ThreadPool::Lease::Lease(ThreadPool& pool, bool alone) : pool_(pool), owned_(!alone && pool.frame_.try_lock()) {}

ThreadPool::Lease::~Lease() {
  if (!owned_) return;
  pool_.busy_ = false;
  pool_.frame_.unlock();
}

void ThreadPool::wake() {
  {
    const std::lock_guard lock(sleep_);
    choose_places();
    busy_ = true;
  }
  wake_.notify_all();
}

// A scheduler may put a thread that was woken on the processor of the one that woke it, where it gets its turn after milliseconds: for many a
// frame never. So workers sleep outside of the caller's processor. It is no more than a hint: a worker that runs may go anywhere, and makes
// way for decoders and encoders. A caller that was bound to fewer processors than the pool's maker is left alone.
void ThreadPool::choose_places() {
#ifdef __linux__
  const int own = sched_getcpu();
  cpu_set_t allowed;
  places_.chosen = own >= 0 && sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_EQUAL(&allowed, &places_.awake) &&
                   CPU_COUNT(&allowed) > static_cast<int>(workers_.size());
  if (!places_.chosen || own == places_.caller) return;
  places_.caller = own;
  places_.asleep = places_.awake;
  CPU_CLR(own, &places_.asleep);
  for (std::thread& worker : workers_) pthread_setaffinity_np(worker.native_handle(), sizeof places_.asleep, &places_.asleep);
#endif
}

bool ThreadPool::sleep() {
  rest();
  std::unique_lock lock(sleep_);
#ifdef __linux__
  if (places_.chosen && !busy_ && !stop_) {
    const cpu_set_t asleep = places_.asleep;
    lock.unlock();  // to leave a processor takes a while, and nobody is to wait for it
    pthread_setaffinity_np(pthread_self(), sizeof asleep, &asleep);
    lock.lock();
  }
#endif
  wake_.wait(lock, [this] { return busy_ || stop_; });
#ifdef __linux__
  const cpu_set_t awake = places_.awake;
  const bool chosen = places_.chosen;
  lock.unlock();
  if (chosen) pthread_setaffinity_np(pthread_self(), sizeof awake, &awake);
#endif
  return !stop_;
}

void ThreadPool::work(int worker) {
  std::uint64_t done = 0;
  for (int round = 0;; ++round) {
    if (!busy_ && !sleep()) return;
    std::uint64_t seen = gate_.load(std::memory_order_acquire);
    if ((seen & open) == 0 || seen >> 32 == done || !gate_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) {
      relax(round);
      continue;
    }
    done = seen >> 32;
    shares_[worker].joined.store(true, std::memory_order_relaxed);
    drain(worker);
    shares_[worker].joined.store(false, std::memory_order_relaxed);
    gate_.fetch_sub(1);
    if (awaited_) {
      const std::lock_guard lock(sleep_);
      left_.notify_one();
    }
    round = 0;
  }
}

void ThreadPool::drain(int worker) {
  const int workers = size();
  try {
    for (int turn = 0; turn < workers; ++turn) {
      Share& share = shares_[(worker + turn) % workers];
      for (int item = share.next.fetch_add(1, std::memory_order_relaxed); item < share.last;
           item = share.next.fetch_add(1, std::memory_order_relaxed)) {
        (*task_)(item, worker);
      }
    }
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
    for (Share& share : shares_) share.next.store(share.last, std::memory_order_relaxed);
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
  wait_for_workers();
  if (failed_.load(std::memory_order_relaxed)) {
    failed_ = false;
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void ThreadPool::wait_for_workers() {
  const auto empty = [this] { return (gate_.load() & (open - 1)) == 0; };
  for (int round = 1; !empty(); ++round) {
    relax(round);
    if (round % rounds_to_look != 0 || !fetch_preempted()) continue;
    std::unique_lock lock(sleep_);
    awaited_ = true;
    left_.wait(lock, empty);
    awaited_ = false;
    lock.unlock();
    send_back();
  }
}

// A decoder that wakes up may take a worker's processor in the middle of a chunk, for a millisecond as a rule. Whoever waits for that chunk
// had better lend its own processor to the worker meanwhile. Returns whether there is such a worker.
bool ThreadPool::fetch_preempted() {
  bool found = false;
#ifdef __linux__
  const int place = sched_getcpu();
  if (!places_.chosen || place < 0) return false;
  cpu_set_t own;
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    if (!shares_[worker + 1].joined.load(std::memory_order_relaxed)) continue;
    const std::int64_t before = worked_[worker], now = worked_[worker] = worked(workers_[worker]);
    if (now != before) continue;
    CPU_ZERO(&own);
    CPU_SET(place, &own);
    pthread_setaffinity_np(workers_[worker].native_handle(), sizeof own, &own);
    fetched_[worker] = found = true;
    ++lent_;
  }
#endif
  return found;
}

void ThreadPool::send_back() {
#ifdef __linux__
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    if (fetched_[worker]) pthread_setaffinity_np(workers_[worker].native_handle(), sizeof places_.asleep, &places_.asleep);
    fetched_[worker] = false;
  }
#endif
}

}  // namespace skipvid
