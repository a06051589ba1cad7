/* Compiled once per (instruction set, dtype), as LF_TABLE; everything is static but that table. */
#include "kernels.h"
#include "real.h"
#include "vecmath.h"
#include "convert.h"
#include "lanes.h"
#include "reduce.h"
#include "moments.h"
#include "pointwise/loop.h"
#include "pointwise/losses.h"
#include "rowwise/tile.h"
#include "rowwise/loop.h"
#include "rowwise/finish.h"
#include "rowwise/losses.h"
#include "sequence/states.h"
#include "sequence/paths.h"
#include "embedding/vectors.h"
#include "linear/loop.h"
#include "ranking/pairs.h"
#include "region/loop.h"
#include "region/losses.h"
#include "box/losses.h"
#include "box/loop.h"
#include "box/suppress.h"
#include "step/loop.h"
#include "step/updates.h"

#define KERNEL(name, nparam, streamed, ...)                                                                            \
    static void run_##name(size_t n, const void *target, const void *pred, const void *weight, const void *stream,     \
                           const double *param, double scale, void *value, void *grad, void *hess, double *sum)        \
    {                                                                                                                  \
        pointwise(name, nparam, streamed, n, target, pred, weight, stream, param, scale, value, grad, hess, sum);      \
    }
#define ROW(name, nparam, streamed, target, pred, stream) {#name, nparam, streamed, target, pred, stream, run_##name},
POINTWISE(KERNEL)
static const lf_pointwise pointwise_rows[] = {POINTWISE(ROW)};

#if LF_BITS == 64
/* What is called most is finished without what is not wanted. */
#define FINISH(name, formula, nparam, allows)                                                                          \
    static void finish_##name(size_t n, const row_options *o, row_group *g)                                            \
    {                                                                                                                  \
        const int often = ((allows)&ROW_LOGARITHM) && !((allows)&ROW_ENTROPY);                                         \
        n = whole(n);                                                                                                  \
        if ((allows)&ROW_ENTROPY)                                                                                      \
            finish_rows(formula, nparam, DIVERGENCE, 1, 1, n, o, g);                                                   \
        else if (often && o->targets == LABEL && !o->wants_grad && !o->wants_hess)                                     \
            finish_rows(formula, nparam, LABEL, 0, 0, n, o, g);                                                        \
        else if (often && o->targets == LABEL && !o->wants_hess)                                                       \
            finish_rows(formula, nparam, LABEL, 1, 0, n, o, g);                                                        \
        else if (((allows)&ROW_LINEAR) && o->targets == LABEL)                                                         \
            finish_rows(formula, nparam, LABEL, 1, 1, n, o, g);                                                        \
        else if (often && o->targets == SMOOTHED && !o->wants_hess)                                                    \
            finish_rows(formula, nparam, SMOOTHED, 1, 0, n, o, g);                                                     \
        else if (often && o->targets == SMOOTHED)                                                                      \
            finish_rows(formula, nparam, SMOOTHED, 1, 1, n, o, g);                                                     \
        else if (often)                                                                                                \
            finish_rows(formula, nparam, SOFT, 1, 1, n, o, g);                                                         \
        else                                                                                                           \
            finish_classes(n, o, g);                                                                                   \
    }
#define FINISHED(name) finish_##name
ROWWISE(FINISH)
#else
#define FINISHED(name) NULL
#endif
#define CLASSES(name, formula, nparam, allows)                                                                         \
    static void classes_##name(size_t n, const row_options *o, const row_group *g, size_t row, const void *z,          \
                               const void *target, const void *class_weight, double *sums, void *grad, void *hess)     \
    {                                                                                                                  \
        if ((allows)&ROW_LOGARITHM) return;                                                                            \
        if (grad || hess)                                                                                              \
            class_jets(formula, 1, n, o, g, row, z, target, class_weight, sums, grad, hess);                           \
        else                                                                                                           \
            class_jets(formula, 0, n, o, g, row, z, target, class_weight, sums, NULL, NULL);                           \
    }
#define ROWWISE_ROW(name, formula, nparam, allows) {#name, nparam, allows, FINISHED(name), classes_##name},
ROWWISE(CLASSES)
static const lf_rowwise rowwise_rows[] = {ROWWISE(ROWWISE_ROW){"categorical_hinge", 0, ROW_HINGE, NULL, NULL},
                                          {"multiclass_hinge", 1, ROW_HINGE | ROW_LABELS, NULL, NULL}};

#if LF_BITS == 64
#define OVERLAP(name, nparam)                                                                                          \
    static void region_##name(size_t n, const double *i, const double *p, const double *t, const double *param,        \
                              double *value, double *by_i, double *by_p)                                               \
    {                                                                                                                  \
        overlap_jets(name, n, i, p, t, param, value, by_i, by_p);                                                      \
    }
#define OVERLAPPED(name) region_##name
REGION(OVERLAP)
#else
#define OVERLAPPED(name) NULL
#endif
#define REGION_ROW(name, nparam) {#name, nparam, OVERLAPPED(name)},
static const lf_region region_rows[] = {REGION(REGION_ROW)};

#define BOX_KERNEL(name)                                                                                               \
    static void box_##name(size_t n, const void *target, const void *pred, const void *weight, double eps, double one, \
                           double scale, void *value, void *grad)                                                      \
    {                                                                                                                  \
        if (grad)                                                                                                      \
            box_loop(name, 1, n, target, pred, weight, (real)eps, (real)one, (real)scale, value, grad);                \
        else                                                                                                           \
            box_loop(name, 0, n, target, pred, weight, (real)eps, (real)one, (real)scale, value, NULL);                \
    }
#define BOX_ROW(name) {#name, box_##name},
BOX(BOX_KERNEL)
static const lf_box box_rows[] = {BOX(BOX_ROW)};

#define STEP(name, nstate, nparam)                                                                                     \
    static void step_##name(size_t n, const double *param, const void *grad, void *weight, void *const *state)         \
    {                                                                                                                  \
        step_loop(name, nstate, n, param, grad, weight, state);                                                        \
    }
#define STEP_ROW(name, nstate, nparam) {#name, nstate, nparam, step_##name},
STEPS(STEP)
static const lf_step step_rows[] = {STEPS(STEP_ROW)};

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
    .rowwise = rowwise_rows,
    .nrowwise = COUNT(rowwise_rows),
    .box = box_rows,
    .nbox = COUNT(box_rows),
    .box_edges = box_edges,
    .box_chain = box_chain,
    .box_check = box_check,
    .box_repeat = box_repeat,
    .box_suppress = box_suppress,
    .box_keep = box_keep,
    .region = region_rows,
    .nregion = COUNT(region_rows),
    .region_sigmoid = region_sigmoid,
    .region_softmax = region_softmax,
    .region_pixels = region_pixels,
    .region_add = region_add,
    .region_sums = region_sums,
    .region_grad = region_grad,
    .region_chain = region_chain,
    .region_hits = region_hits,
    .region_lose = region_lose,
    .region_drop = region_drop,
    .across_reduce = reduce_across,
    .across_spread = spread_across,
    .into_tile = into_tile,
    .out_of_tile = out_of_tile,
    .along_reduce = reduce_along,
    .along_spread = spread_along,
    .along_exp = along_exp,
    .highest = highest,
    .hinge_terms = hinge_terms,
    .lattice_clear = lattice_clear,
    .lattice_set = lattice_set,
    .lattice_skips = lattice_skips,
    .lattice_gather = lattice_gather,
    .lattice_softmax = lattice_softmax,
    .lattice_wait = lattice_wait,
    .lattice_emit = lattice_emit,
    .lattice_forward = lattice_forward,
    .lattice_backward = lattice_backward,
    .lattice_total = lattice_total,
    .lattice_powers = lattice_powers,
    .lattice_occupation = lattice_occupation,
    .lattice_scatter = lattice_scatter,
    .lattice_interleave = lattice_interleave,
    .vector_products = vector_products,
    .vector_tops = vector_tops,
    .vector_distances = vector_distances,
    .vector_combine = vector_combine,
    .vector_directions = vector_directions,
    .linear_scores = linear_scores,
    .linear_sums = linear_sums,
    .linear_step = linear_step,
    .pairs_below = pairs_below,
    .pairs_above = pairs_above,
#if LF_BITS == 64
    .join = join_parts,
#endif
    .best_across = best_across,
    .log_probabilities = log_probabilities,
    .viterbi = viterbi,
#if LF_BITS == 64
    .log = map_log,
    .log_add = log_add,
#endif
    .step = step_rows,
    .nstep = COUNT(step_rows),
    .squares = block_squares,
    .ones = ones,
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
