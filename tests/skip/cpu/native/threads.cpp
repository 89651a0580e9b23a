// The pool of threads.
#include <atomic>
#include <stdexcept>
#include <vector>

#include "cases.hpp"
#include "checks.hpp"
#include "thread_pool.hpp"

namespace skipvid::checks {

// Every item once, whoever runs it; an exception comes out when nobody uses the loop any more, and the next loop is as good as any.
void check_pool(int threads) {
  ThreadPool pool(threads);
  for (int round = 0; round < 200; ++round) {
    ThreadPool::Lease lease(pool);
    for (int loop = 0; loop < 3; ++loop) {
      const int items = random_int(0, 300), bad = random_int(0, 3) == 0 ? random_int(0, 300) : -1;
      std::vector<std::atomic<int>> runs(items);
      std::atomic<int> inside{0};
      bool thrown = false;
      const auto task = [&](int item, int worker) {
        ++inside;
        require(worker >= 0 && worker < lease.workers(), "a worker's number");
        ++runs[item];
        if (bad >= 0 && (item == bad || item == bad + 1)) {
          --inside;
          throw std::runtime_error("bad item");
        }
        --inside;
      };
      try {
        lease.run(items, task);
      } catch (const std::runtime_error&) {
        thrown = true;
      }
      require(inside == 0, "a worker is still in a loop that is over");
      require(thrown == (bad >= 0 && bad < items), "an exception was lost, or invented");
      for (const std::atomic<int>& run : runs) require(thrown ? run <= 1 : run == 1, "an item was not run once");
    }
    ++cases;
  }
}

// A worker that has something to do before it rests does it before it sleeps, or ends.
void check_rest(int threads) {
  static std::atomic<int> rested;
  rested = 0;
  std::atomic<int> busy{0};
  {
    ThreadPool pool(threads);
    for (int frame = 0; frame < 20; ++frame) {
      ThreadPool::Lease lease(pool);
      lease.run(8 * threads, [&](int, int worker) {
        if (worker > 0 && before_rest == nullptr) {
          ++busy;
          before_rest = [] { ++rested; };
        }
      });
    }
  }
  require(rested == busy, "workers that slept with their duties undone");
  before_rest = [] { ++rested; };
  rest();
  require(rested == busy + 1 && before_rest == nullptr, "a duty is not done once");
}

}  // namespace skipvid::checks
