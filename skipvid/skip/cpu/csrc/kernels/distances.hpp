// How far rows of floats are from published ones, rounded as they would be stored: a sum over the channels of each.
#pragma once

#include "vector.hpp"

namespace skipvid {
namespace {

template <class Value>
SKIPVID_INLINE Floats distances(const float* a, const Value* b, int channels) {
  Floats total{};
  int c = 0;
#ifdef SKIPVID_PAIRS
  // Two vectors at a time: first the even channels, then the odd ones.
  for (; sizeof(Value) == sizeof(BFloat16) && c + 2 * width <= channels; c += 2 * width) {
    const Words now = narrowed_two(load(a + c), load(a + c + width));
    Words before;
    __builtin_memcpy(&before, b + c, sizeof before);
    total += absolute(reinterpret_cast<Floats>(now << 16) - reinterpret_cast<Floats>(before << 16));
    total += absolute(reinterpret_cast<Floats>(now & 0xffff0000U) - reinterpret_cast<Floats>(before & 0xffff0000U));
  }
#endif
  for (; c + width <= channels; c += width) total += absolute(stored<Value>(load(a + c)) - load(b + c));
  if (c < channels) total += first(absolute(stored<Value>(load(a + c)) - load(b + c)), channels - c);
  return total;
}

// Rows of floats, `stride` apart, beside published rows: how far they are from them, several at a time.
template <class Value>
class RowDistances {
 public:
  RowDistances(const float* values, std::ptrdiff_t stride, const std::byte* const* published, int count, int channels)
      : values_(values), stride_(stride), published_(published), last_(count - 1), channels_(channels) {}

  // Those of rows from `first` on, Count of them, a power of 2 up to `width`: lane i = that of row first + i. Rows behind the last are it again.
  // A row's lanes are added in the same order whatever its number and Count.
  template <int Count>
  Floats sums(int first) const {
    return added<width / Count / 2>(pairs<Count>(first));
  }

 private:
  template <int Distance>
  static SKIPVID_INLINE Floats added(Floats x) {
    if constexpr (Distance == 0) {
      return x;
    } else {
      return added<Distance / 2>(add_pairs<Distance>(x, x));
    }
  }

  template <int Count>
  SKIPVID_INLINE Floats pairs(int first) const {
    if constexpr (Count == 2) {
      return pair(first < last_ ? first : last_, first + 1 < last_ ? first + 1 : last_);
    } else {
      return add_pairs<width / Count>(pairs<Count / 2>(first), pairs<Count / 2>(first + Count / 2));
    }
  }

  // Of two rows, one in each half.
  SKIPVID_INLINE Floats pair(int a, int b) const {
#ifdef SKIPVID_PAIRS
    if constexpr (sizeof(Value) == sizeof(BFloat16)) {
      if (channels_ <= width) return narrow_pair(a, b);
    }
#endif
    return add_pairs<width / 2>(row(a), row(b));
  }

  SKIPVID_INLINE Floats row(int number) const { return distances(values_ + number * stride_, view<Value>(published_[number]), channels_); }

#ifdef SKIPVID_PAIRS
  // Of rows of one vector: first the even channels, then the odd ones.
  SKIPVID_INLINE Floats narrow_pair(int a, int b) const {
    const Words now = narrowed_two(load(values_ + a * stride_), load(values_ + b * stride_));
    Uppers halves[2];
    __builtin_memcpy(&halves[0], published_[a], sizeof halves[0]);
    __builtin_memcpy(&halves[1], published_[b], sizeof halves[1]);
    const __m512i first = _mm512_maskz_broadcast_i64x4(0xff, (__m256i)halves[0]);
    const Words before = (Words)_mm512_mask_broadcast_i64x4(first, 0xf0, (__m256i)halves[1]);
    Floats even = absolute(reinterpret_cast<Floats>(now << 16) - reinterpret_cast<Floats>(before << 16));
    Floats odd = absolute(reinterpret_cast<Floats>(now & 0xffff0000U) - reinterpret_cast<Floats>(before & 0xffff0000U));
    if (channels_ < width) {
      const Ints channel = (Lane::numbers & (width / 2 - 1)) * 2;
      even = as_floats(as_ints(even) & (channel < channels_));
      odd = as_floats(as_ints(odd) & (channel + 1 < channels_));
    }
    return even + odd;
  }
#endif

  const float* values_;
  std::ptrdiff_t stride_;
  const std::byte* const* published_;
  int last_, channels_;
};

// Calls take(first, sums, lanes) for some rows at a time, of narrow rows as many as are left of `count` or fit a vector. Only so many lanes count.
template <class Value, class Take>
SKIPVID_INLINE void for_distances(const RowDistances<Value>& rows, int count, int channels, const Take& take) {
  int number = 0;
  if (channels <= width) {
    for (; count - number > width / 2; number += width) take(number, rows.template sums<width>(number), width);
  }
  for (; count - number > 2; number += 4) take(number, rows.template sums<4>(number), 4);
  for (; number < count; number += 2) take(number, rows.template sums<2>(number), 2);
}

// Bit i = whether lane i of so many exceeds the limit, or is no number.
SKIPVID_INLINE std::uint64_t exceeding(Floats sums, int count, float limit) {
#ifdef __AVX512F__
  return _mm512_cmp_ps_mask((__m512)sums, (__m512)all(limit), _CMP_NLE_UQ) & ((1U << count) - 1);
#else
  std::uint64_t bits = 0;
  for (int i = 0; i < count; ++i) bits |= static_cast<std::uint64_t>(!(sums[i] <= limit)) << i;
  return bits;
#endif
}

}  // namespace
}  // namespace skipvid
