// One case of each family of kernels, with random sizes and values; and of what stands beside them.
#pragma once

#include "kernels.hpp"

namespace skipvid::checks {

template <class Value>
void check_gemm(const Kernels& kernels);
template <class Value>
void check_depthwise(const Kernels& kernels);
template <class Value>
void check_activations(const Kernels& kernels);
template <class Value>
void check_pointwise(const Kernels& kernels);
template <class Value>
void check_rows(const Kernels& kernels);
template <class Value>
void check_attention(const Kernels& kernels);
template <class Value>
void check_publish(const Kernels& kernels);
template <class Value>
void check_change(const Kernels& kernels);
template <class Value>
void check_bits(const Kernels& kernels);
template <class Value>
void check_inputs(const Kernels& kernels);
template <class Value>
void check_bytes(const Kernels& kernels);

void check_emulated_tiles();
void check_pool(int threads);
void check_rest(int threads);

}  // namespace skipvid::checks
