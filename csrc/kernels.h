/* What a kernel translation unit exports: one table, its rows in the same order for every (ISA, dtype). */
#ifndef LF_KERNELS_H
#define LF_KERNELS_H

#include "lossfast/lossfast.h"

/* Elements that a kernel is given at a time: all its streams stay in the first-level cache. */
enum { BLOCK = 1024, MAX_PARAM = 5 };

/* All arrays are contiguous, aligned, of n <= BLOCK elements and of the table's dtype; what is NULL is not computed,
 * and no weight is weight 1.  Of value and sum at most one is wanted, and the Hessian only with the gradient: it
 * shares most of its work. */
typedef void pointwise_kernel(size_t n, const void *target, const void *pred, const void *weight, const void *stream,
                              const double *param, double scale, void *value, void *grad, void *hess, double *sum);

struct lf_pointwise {
    const char *name;
    size_t nparam;
    int streamed; /* param[0] may be an array */
    lf_domain target, pred, stream;
    pointwise_kernel *run;
};

typedef struct {
    const char *name;
    void (*run)(size_t n, const void *x, void *y);
} vecmath_map;

/* --- Class losses ------------------------------------------------------------------------------------------------
 *
 * Rows of logits z with the softmax p of z / temperature; c, of each class: its target times its class weight. */

enum {
    TILE = 32, /* rows that go across the lanes together: class k of row l stands at k * TILE + l */
    ROWS = 64  /* rows of a group */
};

/* What a class loss allows. */
enum {
    ROW_LINEAR = 1,    /* a class without target costs nothing: a label needs its own class only */
    ROW_LOGARITHM = 2, /* it is linear in log p, so that sums over a row suffice for any targets */
    ROW_ENTROPY = 4,   /* ... and has the term t log t */
    ROW_HINGE = 8,     /* it is one of the hinge losses: run.c */
    ROW_LABELS = 16    /* it is defined for labels alone */
};

/* What the c of a row are. */
typedef enum {
    LABEL,      /* those of one class */
    SMOOTHED,   /* and rest in every class; where classes have weights, SOFT to the kernels, with targets of 0 */
    SOFT,       /* class weight times (keep * target + rest) */
    DIVERGENCE, /* target, with the sum of t log t */
    CLASSES     /* what is asked of them is asked class by class */
} row_targets;

/* A group of rows, in double: what its classes were reduced to, and what that means for each of them. */
typedef struct {
    double top[ROWS], sum[ROWS];                    /* max z, sum exp((z - top) / temperature) */
    double mass[ROWS], dot[ROWS], entropy[ROWS];    /* sum c, sum c (z - top) / temperature, sum t log t */
    double at[ROWS], weight_at[ROWS];               /* z and class weight of the label */
    double inverse[ROWS];                           /* 1 / temperature */
    double weight[ROWS], kept[ROWS];                /* of the row; 0 if it is ignored, else 1 */
    double value[ROWS];                             /* weight * loss */
    double by_exp[ROWS], by_c[ROWS], grad_at[ROWS]; /* grad = by_exp * exp() - by_c * c, at the label grad_at */
    double to_p[ROWS], linear[ROWS], square[ROWS], hess_at[ROWS]; /* p = to_p * exp(), hess = p (linear + square p) */
} row_group;

typedef struct {
    row_targets targets;
    double keep, rest; /* targets are keep * target + rest: label smoothing */
    double factor;     /* of labels: mass, dot and the c of other classes are to be times it */
    double z_loss, scale;
    int wants_grad, wants_hess;
    const double *param;
} row_options;

typedef struct lf_rowwise lf_rowwise;
struct lf_rowwise {
    const char *name;
    size_t nparam;
    unsigned allows;
    /* From what a group of n rows was reduced to: NULL in a table of floats, where it would be too coarse. */
    void (*finish)(size_t n, const row_options *o, row_group *g);
    /* For targets of any kind where sums do not suffice: of n classes of one row the sums of jets, added to
     * what class_jets says; or, given the last two, the derivatives. */
    void (*classes)(size_t n, const row_options *o, const row_group *g, size_t row, const void *z, const void *target,
                    const void *class_weight, double sums[5], void *grad, void *hess);
};

/* Back pointers of Viterbi's recursion: sequence/paths.h. */
enum { STAY = 0, FROM_BLANK = 1, FROM_LABEL = 2, ENTERED = 4 };

/* --- Region losses ------------------------------------------------------------------------------------------------
 *
 * Positions of one class after another stand together, the classes a step apart. */

enum { RUN = 64 }; /* positions are taken in whole runs, the last of them filled up with zeros */

struct lf_region {
    const char *name;
    size_t nparam;
    /* Of n items, from their three sums: the loss and its derivatives by I and P.  NULL in a table of floats. */
    void (*run)(size_t n, const double *i, const double *p, const double *t, const double *param, double *value,
                double *by_i, double *by_p);
};

/* --- Box losses --------------------------------------------------------------------------------------------------- */

enum {
    BOXES = 256, /* of a block: edge k of box l stands at k * BOXES + l */
    KEEPERS = 64 /* kept boxes are compared so many at a time, and there is room for so many */
};

struct lf_box {
    const char *name;
    void (*run)(size_t n, const void *target, const void *pred, const void *weight, double eps, double one,
                double scale, void *value, void *grad);
};

/* Where two streams go on after this block, and how far apart their elements are: to be asked for bit by bit while
 * something is computed that leaves the memory idle.  Processors do not look ahead far enough by themselves. */
typedef struct {
    const char *at[2];
    ptrdiff_t stride[2];
} lf_ahead;

static inline void lf_look_ahead(const lf_ahead *ahead, size_t element)
{
    for (int i = 0; i < 2; i++) __builtin_prefetch(ahead->at[i] + (ptrdiff_t)element * ahead->stride[i]);
}

/* What the logits of a frame may be like: too far below the largest for floats, or not numbers. */
enum { LATTICE_FAR = 1, LATTICE_NAN = 2 };

/* Samples side by side in the lanes of rows of states. */
enum { LATTICE_MEMBERS = 16, LATTICE_LANES = 16 };
typedef struct {
    size_t members, lanes, pitch;     /* lanes: to a whole number of vectors */
    size_t lane[LATTICE_MEMBERS + 1]; /* the first of each sample, and past the last */
    void *skip, *power;               /* exponents: of stepping over a blank, and of each sample's total */
} lattice;

/* What is summed over the elements of the difference d of two vectors: |d|, d^2 or (|d| / its largest)^p. */
typedef enum { VECTOR_ABSOLUTE, VECTOR_SQUARE, VECTOR_POWER } vector_measure;

/* --- Optimizer steps ------------------------------------------------------------------------------------------------ */

enum { MAX_STATE = LF_MAX_STATES };

/* Parameters of a step: its own, then those that every step has. */
enum { STEP_SCALE = 8, STEP_CLIP, STEP_DECAY, STEP_KEEP, MAX_STEP_PARAM };

struct lf_step {
    const char *name;
    size_t nstate, nparam;
    /* A block of n elements; state and weight are replaced. */
    void (*run)(size_t n, const double *param, const void *grad, void *weight, void *const *state);
};

typedef struct {
    const lf_pointwise *pointwise;
    size_t npointwise;
    const vecmath_map *maps;
    size_t nmap;
    const lf_rowwise *rowwise;
    size_t nrowwise;
    /* Softmax of a tile: z becomes exp((z - top) / temperature), and rows are reduced; ahead may be NULL. */
    void (*across_reduce)(const row_options *o, size_t classes, void *z, const void *target, const void *class_weight,
                          const lf_ahead *ahead, row_group *g);
    void (*across_spread)(const row_options *o, size_t classes, void *grad, void *hess, const void *target,
                          const void *class_weight, const row_group *g);
    /* Of n <= TILE rows, to or from classes that stand `pitch` apart. */
    void (*into_tile)(size_t n, size_t classes, const void *rows, size_t pitch, void *tile);
    void (*out_of_tile)(size_t n, size_t classes, const void *tile, size_t pitch, void *rows);
    /* The same of n classes of each of some rows, rows `pitch` elements apart; exp may be NULL, or z. */
    void (*along_reduce)(const row_options *o, size_t rows, size_t n, size_t pitch, const void *z, void *exp,
                         const void *target, const void *class_weight, row_group *g);
    void (*along_spread)(const row_options *o, size_t rows, size_t n, size_t pitch, void *grad, void *hess,
                         const void *target, const void *class_weight, const row_group *g);
    void (*along_exp)(size_t n, const void *z, double top, double inverse, void *exp);
    /* One row reduced in n parts: what the whole is reduced to, as entry 0 of g, and by what factor the exponentials of
     * each part become those of the whole.  NULL in a table of floats. */
    void (*join)(size_t n, double *top, double *sum, double *mass, double *dot, double *entropy, double inverse,
                 double *factor, row_group *g);
    double (*highest)(size_t n, const void *x, size_t *at); /* the first of the largest elements, or a NaN; n > 0 */
    double (*hinge_terms)(size_t n, const void *z, const void *target, void *margin);
    /* Rows of states of connectionist temporal classification: sequence/states.h. */
    void (*lattice_clear)(size_t first, size_t pitch, size_t arrays, void *row);
    void (*lattice_set)(size_t pitch, void *row, size_t lane);
    void (*lattice_skips)(size_t n, const int32_t *labels, void *skip);
    int (*lattice_gather)(size_t n, const void *row, const int32_t *labels, double top, void *z);
    void (*lattice_softmax)(size_t n, const void *z, double top, double factor, void *out);
    void (*lattice_wait)(size_t n, void *z);
    void (*lattice_emit)(const lattice *g, void *y);
    void (*lattice_forward)(const lattice *g, const void *before, const void *y, void *blanks, void *alpha);
    void (*lattice_backward)(const lattice *g, const void *after, const void *y, void *blanks, void *beta);
    double (*lattice_total)(size_t lanes, size_t pitch, size_t lane, const void *alpha, const void *beta,
                            int64_t *power);
    void (*lattice_powers)(size_t lanes, int64_t power, void *powers);
    void (*lattice_occupation)(const lattice *g, const void *alpha, const void *beta, void *label, void *blank,
                               double *factor);
    void (*lattice_scatter)(size_t n, const int32_t *labels, const void *occupation, double factor, void *grad);
    void (*lattice_interleave)(size_t n, const void *label, const void *blank, double factor, void *out);
    /* Paths through frames: sequence/paths.h; NULL in a table of floats: log, log_add. */
    void (*best_across)(size_t classes, const void *tile, double *top, int32_t *best);
    void (*log_probabilities)(size_t n, const void *z, double top, double log_sum, double *out);
    void (*viterbi)(size_t n, const double *blank, const double *label, double *next_blank, double *next_label,
                    const void *row, const int32_t *classes, const double *skip, double top, double log_sum,
                    double blank_log_p, uint8_t *back);
    void (*log)(size_t n, const void *x, void *y);
    void (*log_add)(size_t n, const double *a, const double *b, double *out);
    /* Of n elements of each of some rows of vectors, `pitch` elements apart: embedding/vectors.h. */
    void (*vector_products)(size_t rows, size_t n, size_t pitch, const void *a, const void *b, double *sums);
    void (*vector_tops)(size_t rows, size_t n, size_t pitch, const void *a, const void *b, double eps, double *top);
    void (*vector_distances)(vector_measure measure, size_t rows, size_t n, size_t pitch, const void *a, const void *b,
                             double eps, double p, const double *top, double *sums);
    void (*vector_combine)(int add, size_t rows, size_t n, size_t pitch, const void *a, const double *x, const void *b,
                           const double *y, void *out);
    void (*vector_directions)(vector_measure measure, int add, size_t rows, size_t n, size_t pitch, const void *a,
                              const void *b, double eps, double p, const double *top, const double *factor, double sign,
                              void *out);
    /* Rows of a linear model, n a multiple of 4: linear/loop.h. */
    void (*linear_scores)(size_t n, size_t features, const void *const *rows, const void *const *ahead,
                          const void *coef, double intercept, void *scores);
    void (*linear_sums)(size_t n, size_t features, const void *const *rows, const void *const *ahead,
                        const void *factors, void *block, double *sums);
    void (*linear_step)(size_t features, const double *sums, const void *center, double by_intercept, double scale,
                        double rate, double l1, double l2, void *coef);
    /* Of an item and n others that should be below it, or above it: ranking/pairs.h. */
    void (*pairs_below)(size_t n, double score, const void *other, double sums[3]);
    void (*pairs_above)(size_t n, double score, const void *other, double sums[3]);
    const lf_region *region;
    size_t nregion;
    /* See region/loop.h; n positions, in whole runs but for the sums. */
    void (*region_sigmoid)(size_t n, const void *z, void *sigmoids);
    void (*region_softmax)(size_t classes, size_t n, const void *z, ptrdiff_t z_step, void *p, ptrdiff_t p_step,
                           void *logs);
    void (*region_pixels)(int focal, double gamma, size_t classes, size_t n, const void *z, ptrdiff_t z_step,
                          const void *logs, const void *t, ptrdiff_t t_step, const double *class_weight, double sums[2],
                          double scale, void *grad);
    void (*region_add)(size_t n, const void *x, void *to);
    void (*region_sums)(int sigmoid, int squared, size_t n, const void *p, const void *t, double sums[3]);
    void (*region_grad)(int sigmoid, size_t n, const void *p, const void *t, const double by[3], void *grad);
    void (*region_chain)(size_t classes, size_t n, const void *p, ptrdiff_t p_step, const void *t, ptrdiff_t t_step,
                         const void *lost, ptrdiff_t lost_step, const double *by, void *grad, ptrdiff_t grad_step);
    void (*region_hits)(size_t n, const void *label, double k, void *t);
    void (*region_lose)(size_t n, double ignore, void *t, void *lost);
    void (*region_drop)(size_t n, const void *lost, double value, const void *x, void *out);
    const lf_box *box;
    size_t nbox;
    void (*box_edges)(lf_box_format format, size_t n, void *boxes);
    void (*box_chain)(lf_box_format format, size_t n, void *grad);
    size_t (*box_check)(size_t n, const void *edges);
    void (*box_repeat)(size_t at, size_t n, const void *boxes, void *to);
    void (*box_suppress)(size_t first, size_t last, const void *boxes, size_t nkept, size_t pitch, const void *kept,
                         double threshold, uint8_t *keep);
    size_t (*box_keep)(size_t n, const void *boxes, size_t nkept, size_t most, size_t pitch, void *kept,
                       double threshold, uint8_t *keep);
    const lf_step *step;
    size_t nstep;
    /* The sum of (factor x)^2, in fixed lanes. */
    double (*squares)(size_t n, const void *x, double factor);
    const void *ones; /* BLOCK of them: the class weights of who gives none */
    void (*load[LF_NDTYPE])(size_t n, const void *from, ptrdiff_t stride, void *to);
    void (*store[LF_NDTYPE])(size_t n, const void *from, void *to, ptrdiff_t stride); /* NULL: not an output dtype */
    size_t (*check)(size_t n, const void *x, lf_domain domain); /* the first element outside, or n */
    double (*sum)(size_t n, const void *x);                     /* in fixed lanes */
    void (*moments)(size_t n, void *value, const double *weight, const lf_ahead *ahead, lf_moments *moments);
} kernels;

const kernels *lf_kernels(lf_dtype dtype); /* LF_F32 or LF_F64, for the current instruction set: dispatch.c */
extern const kernels lf_base_f32;          /* the catalogue: every table has its rows, in its order */

#endif
