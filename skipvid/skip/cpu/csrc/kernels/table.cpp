// Compiled once per instruction set, with SKIPVID_TABLE naming the table and SKIPVID_WIDTH giving the floats of one vector.
#include "depthwise.hpp"
#include "exercise.hpp"
#include "gates.hpp"
#include "gemm.hpp"
#include "inputs.hpp"
#include "pointwise.hpp"
#include "rows.hpp"

#define SKIPVID_TEXT_(name) #name
#define SKIPVID_TEXT(name) SKIPVID_TEXT_(name)
#define SKIPVID_JOIN_(a, b) a##b
#define SKIPVID_JOIN(a, b) SKIPVID_JOIN_(a, b)

namespace skipvid {

extern const Kernels SKIPVID_JOIN(kernels_, SKIPVID_TABLE);

const Kernels SKIPVID_JOIN(kernels_, SKIPVID_TABLE) = {
    {tile_pixels, tile_vectors, gemm},
    {depthwise_run, depthwise_scattered, depthwise_pixel},
    {pointwise, activate},
    {maximum, weighted_sum, row_sum, absolute_sums},
    {publish, ask, change},
    {input_changes, byte_changes},
    SKIPVID_TEXT(SKIPVID_TABLE),
    width,
    exercise,
};

}  // namespace skipvid
