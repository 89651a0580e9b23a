// What the parts of the module skipvid.tasks._registered share.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SKIPVID_HASWELL
// Whether the processor has the instructions of those functions that are compiled for them, too.
inline bool has_haswell() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}
#endif

namespace nb = nanobind;

inline void check(bool fits, const char* problem) {
  if (!fits) throw std::invalid_argument(problem);
}

using Picture = nb::ndarray<const std::uint8_t, nb::shape<-1, -1, 3>, nb::device::cpu>;
using Canvas = nb::ndarray<std::uint8_t, nb::shape<-1, -1, 3>, nb::device::cpu>;

constexpr std::ptrdiff_t channels = 3;

// Rows of bytes; a row is width * channels of them.
template <typename Byte>
struct Rows {
  Byte* data;
  std::ptrdiff_t stride, height, row;

  Rows(Byte* data, std::ptrdiff_t stride, std::ptrdiff_t height, std::ptrdiff_t row)
      : data(data), stride(stride), height(height), row(row) {}

  template <typename Array>
  explicit Rows(const Array& picture)
      : data(picture.data()),
        stride(picture.stride(0)),
        height(static_cast<std::ptrdiff_t>(picture.shape(0))),
        row(static_cast<std::ptrdiff_t>(picture.shape(1)) * channels) {
    check((picture.stride(2) == 1 || row == 0) && (picture.stride(1) == channels || picture.shape(1) <= 1),
          "pixels of a row lie side by side");
  }
  Byte* at(std::ptrdiff_t y) const { return data + y * stride; }
};

void bind_displaced(nb::module_& m);
void bind_fitting(nb::module_& m);
void bind_merged(nb::module_& m);
void bind_patches(nb::module_& m);
void bind_shifted(nb::module_& m);
void bind_turned(nb::module_& m);
