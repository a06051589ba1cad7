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
    LF_BAD_STREAM,       /* the parameter that is an array: of a class loss the temperature */
    LF_INTERRUPTED,      /* lf_control.interrupted said so */
    LF_BAD_LABEL_LENGTH, /* of the sample that lf_failure says; past the last: the lengths do not add up */
    LF_BAD_LOGIT_LENGTH,
    LF_TOO_LARGE /* sizes whose product is beyond any memory */
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
    lf_out hess;         /* scale w d2l/dpred2; of gaussian_kl scale w dl/dtarget */
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

/* --- Connectionist temporal classification ------------------------------------------------------------------------- */

/* Of samples of frames of logits, one per class, and labels without times: -log of the sum, over all paths of a class
 * per frame that become the labels once repeats and then blanks are left out, of the product of their softmax
 * probabilities (A. Graves et al., ICML 2006, doi:10.1145/1143844.1143891). */
enum { LF_MAX_FRAMES = 1 << 24 };

typedef struct {
    size_t samples, frames, classes; /* frames: at most LF_MAX_FRAMES */
    lf_in logits;                    /* samples x frames x classes; a layout has these three axes */
    int log_probabilities; /* they are what log(softmax) would be, need not add up to 1, and count as NaN above 2^30 */
    lf_in labels;          /* samples x max_labels; or, if concatenated, nlabels, those of one sample after another's */
    size_t max_labels, nlabels; /* the first also that of the posteriors */
    int concatenated;
    lf_in label_lengths, logit_lengths; /* integers, without a layout; default: max_labels, and frames */
    int64_t blank;
    lf_in scale; /* of each sample: what its gradient is multiplied with; default: 1 */

    lf_out value; /* of each sample: infinite where the labels are impossible, NaN where a logit is */
    lf_out grad;  /* by the logits, as they are; 0 where impossible and beyond the length.  May be the very logits */
    lf_out posteriors; /* samples x frames x (2 max_labels + 1): of blank, label, blank ... given the labels */
} lf_ctc_call;

/* How many bytes lf_ctc_run needs to work in, on at most so many threads. */
lf_status lf_ctc_workspace(lf_dtype dtype, const lf_ctc_call *call, const lf_control *control, size_t *size,
                           lf_failure *failure);

/* LF_BAD_TARGET: a label is no class, or the blank.  Anything but LF_OK and LF_INTERRUPTED: no output was written. */
lf_status lf_ctc_run(lf_dtype dtype, const lf_ctc_call *call, void *workspace, size_t size, const lf_control *control,
                     lf_failure *failure);

/* --- Paths through frames ------------------------------------------------------------------------------------------ */

/* Frames of logits z over classes, one of them blank; log p = z - log sum exp z in each frame.  A path is a class per
 * frame, and spells the labels that remain when repeats are merged and then blanks left out. */
typedef struct {
    size_t samples, frames, classes; /* classes at most LF_MAX_CLASSES */
    lf_in logits;                    /* element (sample * frames + frame) * classes + class; a layout has 3 axes */
    int log_probabilities;           /* they are log p already, and taken as they are */
    const int64_t *logit_lengths;    /* frames of each sample; NULL: all */
    int64_t blank;
} lf_ctc_input;

/* The functions below compute in `dtype` what sums over classes, and in double what sums over frames.  They need a
 * workspace, whose size for the same call and control the function of their name finds.  Beside other statuses:
 * LF_BAD_LOGIT_LENGTH, LF_BAD_LABEL_LENGTH, LF_BAD_TARGET (a label that is blank or no class).  Anything but LF_OK and
 * LF_INTERRUPTED: nothing was written.  Nobody may change lengths or labels meanwhile. */

/* The path of the most probable class of each frame, the lowest of several, and what it spells.  A sample with NaN has
 * log_probability NaN and no labels. */
typedef struct {
    lf_ctc_input input;
    int64_t *labels;         /* samples x frames; only as many as the lengths say are written */
    int64_t *lengths;        /* of each sample */
    double *log_probability; /* of each sample: of the path */
} lf_ctc_greedy_call;
lf_status lf_ctc_greedy_workspace(lf_dtype dtype, const lf_ctc_greedy_call *call, const lf_control *control,
                                  size_t *size, lf_failure *failure);
lf_status lf_ctc_greedy(lf_dtype dtype, const lf_ctc_greedy_call *call, void *workspace, size_t size,
                        const lf_control *control, lf_failure *failure);

/* The most probable labellings that prefix beam search finds: each with the probability of all its paths that stayed
 * in the beam.  Where there are fewer than `top`, and in a sample with NaN, the rest has length 0 and log_probability
 * -inf (NaN). */
typedef struct {
    lf_ctc_input input;
    size_t beam_width, top;  /* 1 <= top <= beam_width */
    double class_threshold;  /* classes with log p below it are left out of a frame, but for the best; -inf: none */
    int64_t *labels;         /* samples x top x frames; only as many as the lengths say are written */
    int64_t *lengths;        /* samples x top */
    double *log_probability; /* samples x top */
} lf_ctc_beam_call;
lf_status lf_ctc_beam_workspace(lf_dtype dtype, const lf_ctc_beam_call *call, const lf_control *control, size_t *size,
                                lf_failure *failure);
lf_status lf_ctc_beam(lf_dtype dtype, const lf_ctc_beam_call *call, void *workspace, size_t size,
                      const lf_control *control, lf_failure *failure);

/* The most probable path that spells given labels.  Where there is none, log_probability is -inf (NaN in a sample with
 * NaN), path, start and end are -1, position is -2, and the scores are NaN; so is all that is beyond the lengths. */
typedef struct {
    lf_ctc_input input;
    size_t nlabels;               /* of all samples, and what stands between them */
    const int64_t *labels;        /* those of sample i: labels[label_starts[i]] and the next label_lengths[i] */
    const int64_t *label_starts;  /* of each sample; they do not share labels */
    const int64_t *label_lengths; /* of each sample */
    int64_t *path, *position;     /* samples x frames: the class, and which of the sample's labels it is, -1: blank */
    double *frame_score;          /* samples x frames: its log p */
    int64_t *start, *end;         /* nlabels: the label's frames are start ... end - 1 */
    double *score;                /* nlabels: the mean of their log p */
    double *log_probability;      /* of each sample: of the path */
} lf_ctc_align_call;
lf_status lf_ctc_align_workspace(lf_dtype dtype, const lf_ctc_align_call *call, const lf_control *control, size_t *size,
                                 lf_failure *failure);
lf_status lf_ctc_align(lf_dtype dtype, const lf_ctc_align_call *call, void *workspace, size_t size,
                       const lf_control *control, lf_failure *failure);

/* The least number of substitutions, deletions and insertions that turn each reference into its hypothesis: sequences
 * of any integers. */
typedef struct {
    size_t pairs;
    lf_in references, hypotheses; /* integers without a layout: all sequences, one after another */
    const int64_t *reference_starts, *hypothesis_starts; /* of each, and, pairs + 1, the end of the last */
    int64_t *distance;                                   /* of each pair */
    int64_t *counts; /* NULL or pairs x 3: substitutions, deletions, insertions of one way to do it, which matches what
                        both have in common at the beginning and then at the end, and going back from there deletes
                        where that is a way, else inserts where that is one and substituting is not */
} lf_edit_call;
lf_status lf_edit_workspace(const lf_edit_call *call, const lf_control *control, size_t *size);
lf_status lf_edit(const lf_edit_call *call, void *workspace, size_t size, const lf_control *control);

/* --- Distances of vectors ------------------------------------------------------------------------------------------ */

/* A loss of each row of vectors x, y (and z), by their distance d, or their cosine, which is 0 for a vector of zeros:
 *
 *     "cosine"              offset - cos(x, y)                                              param: offset
 *     "cosine_embedding"    1 - cos(x, y) if alike, else max(0, cos(x, y) - margin)         param: margin
 *     "contrastive"         d(x, y)^2 if alike, else max(0, margin - d(x, y))^2             param: margin, squared
 *     "triplet"             max(0, d(x, y) - d(x, z) + margin)                              param: margin, swap
 *
 * not squared: d(x, y), and max(0, margin - d(x, y)); swap: with the smaller of d(x, z) and d(y, z).  Derivatives are 0
 * at a distance of 0, by a vector of zeros, and where the maximum is 0. */
typedef struct lf_embedding lf_embedding;

const lf_embedding *lf_embedding_find(const char *name); /* NULL: no such loss */
const lf_embedding *lf_embedding_at(size_t index);       /* NULL: past the end */
const char *lf_embedding_name(const lf_embedding *loss);
size_t lf_embedding_nparam(const lf_embedding *loss);

typedef enum {
    LF_EUCLIDEAN,         /* (sum |x - y + eps|^p)^(1/p) */
    LF_SQUARED_EUCLIDEAN, /* sum (x - y + eps)^2 */
    LF_COSINE             /* 1 - cos(x, y) */
} lf_distance;

typedef struct {
    size_t rows, dimensions; /* at least one dimension */
    lf_in operand[3];        /* rows x dimensions each; the third of triplets alone */
    lf_in alike;             /* of each row: -1, 0 or 1, of which 1 says so */
    lf_in weight;            /* of each row; default: 1 */
    lf_distance distance;    /* of "contrastive" and "triplet" */
    double p, eps;           /* p in [1, infinity) */
    const double *param;     /* lf_embedding_nparam(loss) numbers */

    lf_out value;   /* of each row: w l */
    lf_out grad[3]; /* rows x dimensions: scale w dl/doperand; must not overlap an operand */
    double scale;   /* 1 / sum of weights: derivatives of the weighted mean */
    double *sum;    /* sum w l */
} lf_embedding_call;

/* As lf_pointwise_run; LF_BAD_TARGET: of `alike`. */
lf_status lf_embedding_run(const lf_embedding *loss, lf_dtype dtype, const lf_embedding_call *call,
                           const lf_control *control, lf_failure *failure);

/* --- Pairs of ranked items ----------------------------------------------------------------------------------------- */

/* The pairwise logistic loss (RankNet): of each pair of items of a group of which the first has the higher label,
 * log(1 + exp(second score - first score)). */
typedef struct {
    size_t groups;
    const int64_t *starts; /* groups + 1: the first item of each, from 0, and past the last */
    const double *label;   /* of each item: within a group falling, or staying the same */
    const void *score;     /* of each item, in the dtype of the call */
    double *value;         /* of each item, or NULL: the sum over its pairs with items of lower labels */
    double *grad, *hess;   /* of each item, or NULL: derivatives by its score of the sum over all pairs of its group */
} lf_pairs_call;

/* LF_BAD_TARGET: a label is NaN, or above the one before it.  Nothing was written then. */
lf_status lf_pairwise_logistic(lf_dtype dtype, const lf_pairs_call *call, const lf_control *control,
                               lf_failure *failure);

/* --- Region losses ---------------------------------------------------------------------------------------- */

/* A loss of an item, the overlap of a mask p of predictions with a mask t of targets, both in [0, 1], from sums over
 * positions: I = sum p t, P = sum p, T = sum t, or, squared, P = sum p^2, T = sum t^2.  n and d are param[0] and [1]:
 *
 *     "dice"       1 - (2 I + n) / (P + T + d)
 *     "jaccard"    1 - (I + n) / (P + T - I + d)
 *     "tversky"    1 - (I + n) / (I + alpha (P - I) + beta (T - I) + d)     param[2], param[3]: alpha, beta
 *     "focal_tversky"    tversky^gamma                                      param[4]: gamma
 *     "log_cosh_dice"    log(cosh(dice))
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

/* A loss of each position whose mean over a sample is added: of p by softmax -sum_k v_k t_k log p_k, divided by
 * sum v_k t_k; of p by sigmoids the binary one of each class times v_k, divided by sum v_k.  LF_PIXEL_FOCAL multiplies
 * by (1 - p)^gamma, or for sigmoids by that of what t denies, and by alpha t + (1 - alpha) (1 - t). */
typedef enum { LF_NO_PIXEL, LF_PIXEL_CROSSENTROPY, LF_PIXEL_FOCAL } lf_pixel;

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
    int together;               /* a whole sample is an item */
    lf_in share;                /* samples x classes; default: 1 */
    lf_in weight;               /* of each item; default: 1 */
    lf_pixel pixel;             /* for logits */
    double gamma, alpha;        /* alpha for sigmoids; below 0: none */
    lf_in pixel_weight;         /* of each sample; default: 1 */
    const double *class_weight; /* the v; NULL: 1 */
    double empty;               /* the loss of an item with P = T = 0, which has no gradient */
    const double *param;        /* lf_region_nparam(loss) numbers */
    int unchecked;              /* lf_region_check has been called */

    lf_out value;       /* of each item: w l */
    lf_out pixel_value; /* of each sample: w l */
    lf_out grad;        /* samples x positions x classes: scale times the gradient; may be the very array of pred */
    double scale;
    double *sum;     /* of all values */
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

/* Of each pair of classes, how many of n elements are truly the one and are predicted to be the other. */
typedef struct {
    lf_in target, pred; /* classes, as integers of any dtype */
    size_t n, classes;  /* classes at most LF_MAX_COUNTED */
    int has_ignore;     /* elements whose target is `ignore` are left out, whatever is predicted there */
    int64_t ignore;
    int64_t *counts; /* classes x classes: [true * classes + predicted]; added to when all is known to be good */
} lf_confusion_call;

enum { LF_MAX_COUNTED = 4096 };

/* LF_BAD_TARGET, LF_BAD_PRED: no class, at the position that lf_failure says. */
lf_status lf_confusion_workspace(const lf_confusion_call *call, const lf_control *control, size_t *size);
lf_status lf_confusion(const lf_confusion_call *call, void *workspace, size_t size, const lf_control *control,
                       lf_failure *failure);

/* --- Box losses ------------------------------------------------------------------------------------------- */

/* A loss of a predicted box p and a true one t: "iou", "giou", "diou", "ciou", "siou"; see csrc/box.  Any two boxes have a
 * finite loss with a finite gradient, inverted ones and those without an area too, unless areas overflow. */
typedef struct lf_box lf_box;

const lf_box *lf_box_find(const char *name); /* NULL: no such loss */
const lf_box *lf_box_at(size_t index);       /* NULL: past the end */
const char *lf_box_name(const lf_box *loss);

typedef enum {
    LF_XYXY,  /* x1 y1 x2 y2: the edges */
    LF_XYWH,  /* x1 y1 width height */
    LF_CXCYWH /* the centre, width, height */
} lf_box_format;

typedef struct {
    size_t n;
    lf_in target[4], pred[4]; /* a column for each of the four numbers of a box */
    lf_box_format format;
    lf_in weight; /* default: 1 */
    double eps;   /* added to denominators */
    int check;    /* LF_BAD_TARGET or LF_BAD_PRED: an extent is not positive and finite */

    lf_out value;   /* w l */
    lf_out grad[4]; /* scale w dl/dpred; may be the very columns of pred */
    double scale;
    double *sum; /* sum w l */
} lf_box_call;

/* As lf_pointwise_run. */
lf_status lf_box_run(const lf_box *loss, lf_dtype dtype, const lf_box_call *call, const lf_control *control,
                     lf_failure *failure);

/* Of each box of one array and each of another the similarity 1 - loss: IoU, generalized IoU ... */
typedef struct {
    size_t n, m;
    lf_in boxes1[4], boxes2[4]; /* columns of n and of m boxes */
    lf_box_format format;
    double eps; /* added to denominators; what is divided by 0 is 0 */
    lf_out out; /* n x m */
} lf_pairwise_call;
lf_status lf_box_pairwise(const lf_box *loss, lf_dtype dtype, const lf_pairwise_call *call, const lf_control *control);

/* Non-maximum suppression.  Boxes come group after group (a class, say), those of a group from the one to keep first to
 * the last; one is kept unless its IoU with one that is kept in its group is above the threshold, and at most `most` of
 * a group are.  Boxes without an area have the IoU 0. */
typedef struct {
    size_t groups;
    const int64_t *starts; /* groups + 1: where each begins, and where the last ends */
    lf_in box[4];
    lf_box_format format;
    double threshold; /* 0 ... 1 */
    size_t most;
    uint8_t *keep; /* of each box 1 or 0 */
} lf_nms_call;
size_t lf_nms_workspace(lf_dtype dtype, const lf_nms_call *call); /* bytes */
lf_status lf_nms(lf_dtype dtype, const lf_nms_call *call, void *workspace, size_t size, const lf_control *control);

/* --- Optimizer steps ---------------------------------------------------------------------------------------- */

/* An update of weights w by their gradients g and a state of one to three numbers per weight, in place.  The gradient
 * is scaled, clipped to [-clip, clip], and joined by coupled decay; decoupled decay shrinks the weights first:
 *
 *     g = clip(scale g) + decay w,    w = keep w
 *
 *     "sgd"         w = w - lr g                                                    param: lr
 *     "momentum"    v = momentum v + fresh g, w = w - lr (ahead g + along v)        lr, momentum, fresh, ahead, along
 *     "adam"        m = m + new1 (g - m), v = beta2 v + new2 g^2,
 *                   w = w - rate m / (root sqrt(v) + eps)                           rate, new1, beta2, new2, root, eps
 *     "amsgrad"     the same with the largest v so far, the third state, for v
 *     "nadam"       m, v likewise,                                                  by_grad, by_mean, new1, beta2,
 *                   w = w - (by_grad g + by_mean m) / (root sqrt(v) + eps)            new2, root, eps
 *     "rmsprop"     v = alpha v + fresh g^2, w = w - lr g / (sqrt(v) + eps)         lr, alpha, fresh, eps
 *     "rmsprop_momentum", "rmsprop_centered", "rmsprop_centered_momentum"           the same, momentum
 *     "adagrad"     s = s + g^2, w = w - lr g / (sqrt(s) + eps)                     lr, eps
 *     "adadelta"    v = rho v + fresh g^2, d = sqrt(u + eps) / sqrt(v + eps) g,
 *                   u = rho u + fresh d^2, w = w - lr d                             lr, rho, fresh, eps
 *     "lion"        w = w - lr sign(beta1 m + new1 g), m = beta2 m + new2 g         lr, beta1, new1, beta2, new2
 */
typedef struct lf_step lf_step;

const lf_step *lf_step_find(const char *name); /* NULL: no such step */
const lf_step *lf_step_at(size_t index);       /* NULL: past the end */
const char *lf_step_name(const lf_step *step);
size_t lf_step_nstate(const lf_step *step);
size_t lf_step_nparam(const lf_step *step);

enum { LF_MAX_STATES = 3 };

typedef struct {
    size_t n;
    lf_out weight;              /* read and written, in the dtype of the call */
    lf_in grad;                 /* overlaps nothing that is written */
    void *state[LF_MAX_STATES]; /* lf_step_nstate(step) contiguous arrays of n elements in the dtype of the call */
    size_t first;               /* set by the functions below, for themselves */
} lf_step_array;

typedef struct {
    size_t narrays;
    lf_step_array *array;
    const double *param;
    double scale, clip; /* 1 and infinity: the gradient as it is */
    double decay, keep; /* 0 and 1: none */
} lf_step_call;

/* One step of all arrays, in arithmetic of `dtype` (LF_F32 or LF_F64); it is never interrupted.  Anything but LF_OK:
 * nothing was written. */
lf_status lf_step_run(const lf_step *step, lf_dtype dtype, const lf_step_call *call, const lf_control *control);

/* The Euclidean norm of all gradients together, in arithmetic of double from numbers of `dtype`; weights and states are
 * not looked at. */
lf_status lf_step_norm(lf_dtype dtype, size_t narrays, lf_step_array *array, double *norm, const lf_control *control);

/* The first element that is NaN or infinite: its array, or narrays if there is none, and its place there. */
lf_status lf_step_check(lf_dtype dtype, size_t narrays, lf_step_array *array, size_t *bad_array, size_t *bad,
                        const lf_control *control);

/* --- Linear models --------------------------------------------------------------------------------------------- */

/* Gradient descent with a pointwise loss of scores z = intercept + (x - center).coef, batch after batch of rows, on
 *
 *     sum of w l(target, z) / rows of the batch + l1 |coef|_1 + l2/2 |coef|^2
 *
 * by proximal steps, which make coefficients exactly 0; the intercept is not penalised.  All arrays are contiguous, of
 * the dtype of the arithmetic.  Without a step the gradient of the last batch is written, without penalties. */
typedef struct {
    size_t rows, features;       /* at least one feature */
    const void *x;               /* rows x features */
    const void *target, *weight; /* of each row; weight may be NULL: 1 */
    const void *center;          /* features; NULL: 0 */
    const int64_t *order;        /* n rows of x in their turn; NULL: the first n rows */
    size_t n, batch;             /* the last batch may have fewer rows */
    const double *param;         /* lf_pointwise_nparam(loss) numbers */
    void *coef, *intercept;      /* features, 1: changed in place */
    int fixed_intercept;
    const double *rate; /* step size of each batch; NULL: no step is made */
    size_t rates;       /* how many; 1: of all batches */
    double l1, l2;
    void *by_coef, *by_intercept; /* the gradient, where no step is made */
    double *loss;                 /* sum w l over all batches, each before its step */
} lf_linear_call;

/* The bytes that a call needs; 0: sizes that are not possible. */
size_t lf_linear_workspace(lf_dtype dtype, const lf_linear_call *call);

/* done: how many batches; it ends before the step of a batch whose loss is not finite.  Targets, scores and weights are
 * not checked. */
lf_status lf_linear_run(const lf_pointwise *loss, lf_dtype dtype, const lf_linear_call *call, void *workspace,
                        size_t size, const lf_control *control, size_t *done);

/* --- Vector mathematics, for tests of its accuracy --------------------------------------------------------- */

/* y[i] = f(x[i]); name is one of csrc/vecmath.h ("exp", "log1p", ...) */
lf_status lf_vecmath(const char *name, lf_dtype dtype, size_t n, const void *x, void *y);

#ifdef __cplusplus
}
#endif
#endif
