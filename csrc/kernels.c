/* Compiled once per (instruction set, dtype), as LF_TABLE; everything is static but that table. */
#include "kernels.h"
#include "real.h"
#include "vecmath.h"
#include "convert.h"
#include "reduce.h"
#include "pointwise/loop.h"
#include "pointwise/losses.h"

#define KERNEL(name, nparam, streamed, ...)                                                                            \
    static void run_##name(size_t n, const void *target, const void *pred, const void *weight, const void *stream,     \
                           const double *param, double scale, void *value, void *grad, void *hess, double *sum)        \
    {                                                                                                                  \
        pointwise(name, nparam, streamed, n, target, pred, weight, stream, param, scale, value, grad, hess, sum);      \
    }
#define ROW(name, nparam, streamed, target, pred, stream) {#name, nparam, streamed, target, pred, stream, run_##name},
POINTWISE(KERNEL)
static const lf_pointwise pointwise_rows[] = {POINTWISE(ROW)};

#define MAP(name)                                                                                                      \
    static void map_##name(size_t n, const void *x, void *y)                                                           \
    {                                                                                                                  \
        const real *restrict in = x;                                                                                   \
        real *restrict out = y;                                                                                        \
        for (size_t i = 0; i < n; i++) out[i] = r_##name(in[i]);                                                       \
    }
#define MAP_ROW(name) {#name, map_##name},
VECMATH(MAP)
static const vecmath_map map_rows[] = {VECMATH(MAP_ROW)};

#define COUNT(rows) (sizeof rows / sizeof *rows)

const kernels LF_TABLE = {
    .pointwise = pointwise_rows,
    .npointwise = COUNT(pointwise_rows),
    .maps = map_rows,
    .nmap = COUNT(map_rows),
    .load = {[LF_BOOL] = load_bool,
             [LF_I8] = load_i8,
             [LF_U8] = load_u8,
             [LF_I16] = load_i16,
             [LF_U16] = load_u16,
             [LF_I32] = load_i32,
             [LF_U32] = load_u32,
             [LF_I64] = load_i64,
             [LF_U64] = load_u64,
             [LF_F16] = load_f16,
             [LF_BF16] = load_bf16,
             [LF_F32] = load_f32,
             [LF_F64] = load_f64},
    .store = {[LF_F16] = store_f16, [LF_BF16] = store_bf16, [LF_F32] = store_f32, [LF_F64] = store_f64},
    .check = block_check,
    .sum = block_sum,
    .moments = block_moments,
};
