// Aligned float buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace skipvid {

// Zeroed. A kernel may read one vector past the last row, so there is room behind it.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) : count_(count) {
    constexpr std::size_t line = 64, page = std::size_t{2} << 20;
    const std::size_t wanted = (count + 64) * sizeof(float);
    const std::size_t alignment = wanted >= page ? page : line;
    const std::size_t bytes = (wanted + alignment - 1) / alignment * alignment;
    data_.reset(static_cast<float*>(std::aligned_alloc(alignment, bytes)));
    if (!data_) throw std::bad_alloc();
#ifdef __linux__
    if (alignment == page) madvise(data_.get(), bytes, MADV_HUGEPAGE);  // large maps would otherwise miss the TLB at every row
#endif
    std::memset(data_.get(), 0, bytes);
  }
  float* data() const { return data_.get(); }
  std::size_t bytes() const { return count_ * sizeof(float); }
  // Enlarge, forgetting the contents.
  void reserve(std::size_t count) {
    if (count > count_) *this = Buffer(count);
  }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float, Free> data_;
  std::size_t count_ = 0;
};

// Ask for `count` bytes, which may begin within a line, to be brought near. Harmless for any address.
inline void prefetch(const std::byte* data, std::ptrdiff_t count) {
  const std::byte* const end = data + count;
  for (data -= reinterpret_cast<std::uintptr_t>(data) % 64; data < end; data += 64) __builtin_prefetch(data, 0, 2);
}

}  // namespace skipvid
