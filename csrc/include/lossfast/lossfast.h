/* lossfast.h - the losses of machine learning with their gradient and Hessian, in one pass over memory.
 *
 * Introduction
 *   Every function here works on arrays of the caller, allocates nothing, keeps no state, and may be called from
 *   any number of threads at once.  Results have the same bits for any number of threads, any choice of outputs,
 *   any memory layout of the operands, and on every CPU with fused multiply-add.
 *
 *       double mean;
 *       const lf_pointwise *mse = lf_pointwise_find("mse");
 *       const lf_call call = { .n = n, .target = lf_vector(y, LF_F32), .pred = lf_vector(p, LF_F32),
 *                              .scale = 1.0 / n, .grad = lf_output(g, LF_F32), .sum = &mean };
 *       if (lf_pointwise_run(mse, LF_F32, &call, NULL) == LF_OK) mean /= n;
 */
#ifndef LOSSFAST_H
#define LOSSFAST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LF_VERSION_STRING "0.1.0"

/* --- Status ----------------------------------------------------------------------------------------------- */

typedef enum {
    LF_OK,
    LF_BAD_ARGUMENT, /* a null pointer, an unknown dtype, a length that does not fit */
    LF_BAD_TARGET,   /* an operand has an element outside the loss's domain: */
    LF_BAD_PRED,     /*   see lf_failure for the position of the first one */
    LF_BAD_WEIGHT,
    LF_BAD_STREAM, /* the parameter that is an array: of a class loss the temperature */
    LF_INTERRUPTED /* lf_control.interrupted said so */
} lf_status;

const char *lf_status_string(lf_status status);

/* --- Arrays ----------------------------------------------------------------------------------------------- */

typedef enum {
    LF_BOOL,
    LF_I8,
    LF_U8,
    LF_I16,
    LF_U16,
    LF_I32,
    LF_U32,
    LF_I64,
    LF_U64,
    LF_F16,  /* IEEE binary16 */
    LF_BF16, /* the upper half of a binary32 */
    LF_F32,
    LF_F64,
    LF_NDTYPE
} lf_dtype;

size_t lf_itemsize(lf_dtype dtype);

enum { LF_MAX_NDIM = 64 };

/* An array of n elements in C order: element i = ((i0 * shape[1] + i1) * shape[2] + i2) ... stands at
 * data + i0 * strides[0] + i1 * strides[1] + ...; strides are in bytes, may be negative, and 0 repeats. */
typedef struct {
    int ndim; /* at most LF_MAX_NDIM */
    const size_t *shape;
    const ptrdiff_t *strides;
} lf_layout;

/* What a function reads.  Without a layout: element i stands at data + i * stride. */
typedef struct {
    const void *data; /* NULL: the operand's default, where there is one */
    lf_dtype dtype;
    ptrdiff_t stride;
    const lf_layout *layout;
} lf_in;

/* What a function writes; dtype is LF_F16, LF_BF16, LF_F32 or LF_F64, strides are not 0.  It may be the very
 * array that is read (same data, layout and dtype); otherwise it must not overlap what is read. */
typedef struct {
    void *data; /* NULL: not wanted, and not computed */
    lf_dtype dtype;
    ptrdiff_t stride;
    const lf_layout *layout;
} lf_out;

static inline lf_in lf_vector(const void *data, lf_dtype dtype)
{
    const lf_in in = {data, dtype, (ptrdiff_t)lf_itemsize(dtype), NULL};
    return in;
}
static inline lf_in lf_scalar(const void *data, lf_dtype dtype) /* one element, repeated */
{
    const lf_in in = {data, dtype, 0, NULL};
    return in;
}
static inline lf_out lf_output(void *data, lf_dtype dtype)
{
    const lf_out out = {data, dtype, (ptrdiff_t)lf_itemsize(dtype), NULL};
    return out;
}

/* --- How to run ------------------------------------------------------------------------------------------- */

typedef struct {
    int nthreads;                      /* 0: as lf_set_num_threads says */
    int (*interrupted)(void *context); /* NULL or: called about every 20 ms by the calling thread; not 0 ends
                                             the call, outputs are then unspecified */
    void *context;
} lf_control;

void lf_set_num_threads(int nthreads); /* 0: all processors.  A child made by fork() runs on one thread whatever is
                                          said here, for OpenMP would wait there for threads that it does not have. */
int lf_get_num_threads(void);

const char *lf_isa(void);               /* "avx512", "avx2" or "base": chosen once, when the library is loaded, */
lf_status lf_set_isa(const char *name); /* from the CPU and the environment's LOSSFAST_ISA.  Not while another
                                             thread computes.  LF_BAD_ARGUMENT: this CPU or build has no such level */

/* --- Exact sums ------------------------------------------------------------------------------------------- */

/* A sum of doubles without rounding: the number  sum limb[i] 2^(32 i - 1088).  The order of additions and merges
 * cannot change it (R. M. Neal, "Fast exact summation using small and large superaccumulators", arXiv:1505.05571). */
enum { LF_EXACT_LIMBS = 70 };
typedef struct {
    int64_t limb[LF_EXACT_LIMBS];
    double special;   /* the sum of the terms that are not finite */
    uint32_t pending; /* additions since the carries were last propagated */
} lf_exact;

void lf_exact_add(lf_exact *sum, double x);
void lf_exact_merge(lf_exact *sum, const lf_exact *other);
void lf_exact_carry(lf_exact *sum);         /* then 0 <= limb[i] < 2^32 for all but the last, which has the sign */
double lf_exact_round(const lf_exact *sum); /* to nearest, ties to even */

/* What an accumulator keeps of a stream of losses l with weights w.  Zero-initialise it. */
typedef struct {
    lf_exact weight, loss, square;                   /* sum w, sum w l, sum w l^2 over the finite ones */
    uint64_t count, nan, positive_inf, negative_inf; /* rows in all; and those whose loss is not finite */
    uint64_t overflow;                               /* finite losses of which w l^2 is not */
    double min, max;                                 /* of the losses that are not NaN; valid if count > nan */
} lf_moments;

void lf_moments_merge(lf_moments *moments, const lf_moments *other);

/* --- Pointwise losses ------------------------------------------------------------------------------------- */

/* A loss l(target, pred; param): opaque, static, never freed. */
typedef struct lf_pointwise lf_pointwise;

const lf_pointwise *lf_pointwise_find(const char *name); /* NULL: no such loss */
const lf_pointwise *lf_pointwise_at(size_t index);       /* NULL: past the end */
const char *lf_pointwise_name(const lf_pointwise *loss);
size_t lf_pointwise_nparam(const lf_pointwise *loss);

/* The values that an operand may have. */
typedef struct {
    double low, high; /* both allowed */
    int sign_labels;  /* only -1, 0 and 1 */
    int no_nan;       /* elsewhere a NaN is let through, and makes its own element NaN */
} lf_domain;
lf_domain lf_pointwise_domain(const lf_pointwise *loss, lf_dtype dtype, lf_status operand); /* LF_BAD_TARGET: of the
                                                                                             target, and so on */

typedef struct {
    size_t n;
    lf_in target, pred;
    lf_in weight;        /* default: 1 */
    lf_in stream;        /* param[0] as an array, for losses that take one there; default: param[0] */
    const double *param; /* lf_pointwise_nparam(loss) numbers */
    int unchecked;       /* skip the check of target, pred and stream against the loss's domain */

    lf_out value;        /* w l */
    lf_out grad;         /* scale w dl/dpred */
    lf_out hess;         /* scale w d2l/dpred2 */
    double scale;        /* 1 / sum of weights: derivatives of the weighted mean */
    double *sum;         /* sum w l, over everything ... */
    size_t row;          /*   ... or, if not 0, sum[i] over elements i * row ... (i + 1) * row - 1; row divides n */
    lf_moments *moments; /* added to; then value, grad, hess and sum must not be wanted */
} lf_call;

typedef struct {
    size_t index; /* of the first element that made the status, in C order */
} lf_failure;

/* Computes what is wanted of a loss, in arithmetic of `dtype` (LF_F32 or LF_F64), all in one pass.  Operands of
 * another dtype are converted block by block.  Anything but LF_OK and LF_INTERRUPTED: nothing was written. */
lf_status lf_pointwise_run(const lf_pointwise *loss, lf_dtype dtype, const lf_call *call, const lf_control *control,
                           lf_failure *failure);

/* --- Class losses ----------------------------------------------------------------------------------------- */

/* A loss of each row of logits z, one per class, with p = softmax(z / temperature), and targets t:
 *
 *     c_k = class_weight_k ((1 - label_smoothing) t_k + label_smoothing / classes)
 *     "crossentropy"        -sum_k c_k log p_k + z_loss log(sum_k exp(z_k / temperature))^2
 *     "focal"               -sum_k c_k (1 - p_k)^gamma log p_k                                param: gamma
 *     "generalized"          sum_k c_k (1 - p_k^q) / q                                        param: q
 *     "poly"                 sum_k c_k (epsilon (1 - p_k) - log p_k)                          param: epsilon
 *     "brier"                sum_k class_weight_k (p_k - smoothed t_k)^2
 *     "kullback_leibler"     sum_k t_k log(t_k / p_k)
 *     "categorical_hinge"    max(0, 1 + max_k (1 - t_k) z_k - sum_k t_k z_k)
 *     "multiclass_hinge"     class_weight_y max(0, margin + max_{k != y} z_k - z_y), y a label  param: margin
 */
typedef struct lf_rowwise lf_rowwise;

const lf_rowwise *lf_rowwise_find(const char *name); /* NULL: no such loss */
const lf_rowwise *lf_rowwise_at(size_t index);       /* NULL: past the end */
const char *lf_rowwise_name(const lf_rowwise *loss);
size_t lf_rowwise_nparam(const lf_rowwise *loss);

enum { LF_MAX_CLASSES = 1 << 20 };

typedef struct {
    size_t rows, classes;
    lf_in pred;   /* rows x classes: element row * classes + k, in a layout the last axis is that of the classes */
    lf_in target; /* labels: the class of each row, else the t of rows x classes */
    int labels;
    int has_ignore; /* rows with the label `ignore` count for nothing */
    int64_t ignore;
    lf_in weight;               /* of each row; default: 1 */
    lf_in temperature;          /* of each row; default: 1 */
    const double *class_weight; /* NULL: 1 */
    const double *param;
    double label_smoothing, z_loss;
    int unchecked; /* lf_rowwise_check has been called */

    lf_out value;        /* of each row: w l */
    lf_out grad, hess;   /* rows x classes: scale w dl/dz and scale w d2l/dz2; may be the very array of pred */
    double scale;        /* 1 / lf_row_totals.weight: derivatives of the weighted mean */
    double *sum;         /* sum w l */
    lf_moments *moments; /* added to; then value, grad, hess and sum must not be wanted */
} lf_row_call;

typedef struct {
    size_t kept;   /* rows that are not ignored */
    double weight; /* the sum of their weights, times the class weight of the label where there are labels */
} lf_row_totals;

/* Looks at all labels, targets, weights and temperatures.  LF_BAD_TARGET: a label is no class, or a target negative or
 * not finite; LF_BAD_WEIGHT, LF_BAD_STREAM: see lf_failure for the row. */
lf_status lf_rowwise_check(lf_dtype dtype, const lf_row_call *call, lf_row_totals *totals, const lf_control *control,
                           lf_failure *failure);

/* As lf_pointwise_run. */
lf_status lf_rowwise_run(const lf_rowwise *loss, lf_dtype dtype, const lf_row_call *call, const lf_control *control,
                         lf_failure *failure);

/* The exact sum of n weights, rounded once; LF_BAD_WEIGHT if one is negative, infinite or NaN. */
lf_status lf_weight_sum(lf_in weight, size_t n, double *sum, const lf_control *control, lf_failure *failure);

/* --- Region losses ---------------------------------------------------------------------------------------- */

/* A loss of an item, the overlap of a mask p of predictions with a mask t of targets, both in [0, 1], from sums over
 * positions: I = sum p t, P = sum p, T = sum t, or, squared, P = sum p^2, T = sum t^2.  n and d are param[0] and [1]:
 *
 *     "dice"       1 - (2 I + n) / (P + T + d)
 *     "jaccard"    1 - (I + n) / (P + T - I + d)
 *     "tversky"    1 - (I + n) / (I + alpha (P - I) + beta (T - I) + d)     param[2], param[3]: alpha, beta
 *
 * An item is a class of a sample; or a whole sample, its sums being those of its classes times their shares. */
typedef struct lf_region lf_region;

const lf_region *lf_region_find(const char *name); /* NULL: no such loss */
const lf_region *lf_region_at(size_t index);       /* NULL: past the end */
const char *lf_region_name(const lf_region *loss);
size_t lf_region_nparam(const lf_region *loss);

typedef enum {
    LF_PROBABILITIES, /* the predictions are p; */
    LF_SIGMOID,       /* logits, p = 1 / (1 + exp(-z)); */
    LF_SOFTMAX        /* logits of classes that exclude each other */
} lf_activation;

enum { LF_KNOWN_MASKS = 1, LF_KNOWN_LABELS };

typedef struct {
    size_t samples, positions, classes;
    lf_in pred; /* samples x positions x classes: element (sample * positions + position) * classes + k, in a layout the
                   first axis is that of the samples and the last that of the classes */
    lf_in target; /* labels: the class of each position of each sample; else t, as pred */
    int labels;
    int has_ignore; /* positions with the label `ignore`, or elements of t with that value, count for nothing */
    int64_t ignore;
    lf_activation activation;
    int squared;
    int together;        /* a whole sample is an item */
    lf_in share;         /* samples x classes; default: 1 */
    lf_in weight;        /* of each item; default: 1 */
    double empty;        /* the loss of an item with P = T = 0, which has no gradient */
    const double *param; /* lf_region_nparam(loss) numbers */
    int unchecked;       /* lf_region_check has been called */

    lf_out value; /* of each item: w l */
    lf_out grad;  /* samples x positions x classes: scale w dl/dpred; may be the very array of pred */
    double scale;
    double *sum;     /* sum w l */
    void *workspace; /* of lf_region_workspace() bytes; fewer, and fewer threads take part */
    size_t workspace_size;
} lf_region_call;

/* The bytes that a call with so many classes needs, however many samples and positions there are; 0: sizes that are not
 * possible. */
size_t lf_region_workspace(lf_dtype dtype, const lf_region_call *call, const lf_control *control);

/* Looks at all targets, and at predictions that are probabilities.  LF_BAD_TARGET: a label is no class, or t not in
 * [0, 1]; LF_BAD_PRED.  totals: NULL or samples x classes, for the T of each class of each sample. */
lf_status lf_region_check(lf_dtype dtype, const lf_region_call *call, double *totals, const lf_control *control,
                          lf_failure *failure);

/* As lf_pointwise_run. */
lf_status lf_region_run(const lf_region *loss, lf_dtype dtype, const lf_region_call *call, const lf_control *control,
                        lf_failure *failure);

/* --- Vector mathematics, for tests of its accuracy --------------------------------------------------------- */

/* y[i] = f(x[i]); name is one of csrc/vecmath.h ("exp", "log1p", ...) */
lf_status lf_vecmath(const char *name, lf_dtype dtype, size_t n, const void *x, void *y);

#ifdef __cplusplus
}
#endif
#endif
