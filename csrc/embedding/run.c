/* The driver of the losses of distances between vectors: groups of rows to the kernels, which reduce them to sums, the
 * sums to distances, the distances to losses, and their derivatives back to the vectors while these are in the cache.
 *
 * What is summed together depends on the length of the vectors alone, never on threads or on where arrays stand. */
#include "../parallel.h"
#include "../streams.h"

#include <math.h>
#include <string.h>

enum {
    OPERANDS = 3,
    PAIRS = 3,
    PART = 2048,            /* elements of a vector that are looked at together: all operands of a group stay in L1 */
    ROWS_AT_ONCE = 64,      /* rows of a group, at most */
    STREAM_FROM = 24 << 20, /* bytes of an output, as in pointwise/run.c */
    PER_ELEMENT = 2         /* the work of an element, in those of lf_parallel */
};

/* A loss, and its derivatives by the distances of the pairs. */
typedef struct {
    double value, by[PAIRS];
} jet_of_distances;

#include "cosine.h"
#include "contrastive.h"
#include "triplet.h"

/* Of the pairs of some rows. */
typedef double by_row[ROWS_AT_ONCE];

/* The loss of each row, and its derivatives by the distances of the pairs. */
typedef void jets(size_t rows, size_t pairs, const by_row *distance, const double *alike, const double *param,
                  double *value, by_row *by);

#define JETS(f)                                                                                                        \
    static void f##_jets(size_t rows, size_t pairs, const by_row *distance, const double *alike, const double *param,  \
                         double *value, by_row *by)                                                                    \
    {                                                                                                                  \
        for (size_t r = 0; r < rows; r++) {                                                                            \
            const double of_row[PAIRS] = {distance[0][r], distance[1][r], distance[2][r]};                             \
            const jet_of_distances jet = f(of_row, alike[r] > 0, param);                                               \
            value[r] = jet.value;                                                                                      \
            for (size_t q = 0; q < pairs; q++) by[q][r] = jet.by[q];                                                   \
        }                                                                                                              \
    }

JETS(cosine)
JETS(cosine_embedding)
JETS(contrastive)
JETS(triplet)

struct lf_embedding {
    const char *name;
    size_t nparam, operands;
    int labelled, of_cosine; /* of_cosine: of the cosine itself, whatever the distance */
    jets *jets;
};

static const lf_embedding LOSSES[] = {
    {"cosine", 1, 2, 0, 1, cosine_jets},
    {"cosine_embedding", 1, 2, 1, 1, cosine_embedding_jets},
    {"contrastive", 2, 2, 1, 0, contrastive_jets},
    {"triplet", 2, 3, 0, 0, triplet_jets},
};

static const int MEMBERS[PAIRS][2] = {{0, 1}, {0, 2}, {1, 2}};

const lf_embedding *lf_embedding_at(size_t i) { return i < sizeof LOSSES / sizeof *LOSSES ? &LOSSES[i] : NULL; }

const lf_embedding *lf_embedding_find(const char *name)
{
    const lf_embedding *loss;
    for (size_t i = 0; (loss = lf_embedding_at(i)) && strcmp(loss->name, name); i++) {}
    return loss;
}

const char *lf_embedding_name(const lf_embedding *loss) { return loss->name; }
size_t lf_embedding_nparam(const lf_embedding *loss) { return loss->nparam; }

typedef struct {
    const lf_embedding *loss;
    const lf_embedding_call *call;
    lf_dtype dtype;
    size_t size, n, rows_at_once, pairs;
    int cosines, derives;
    vector_measure measure;
    double p;
    lf_array in[OPERANDS], out[OPERANDS], alike, weight, value;
    int wanted[OPERANDS], aside[OPERANDS], streams; /* aside: computed in a buffer and then written */
    void (*log)(size_t n, const void *x, void *y), (*exp)(size_t n, const void *x, void *y);

    lf_exact sum; /* under lf_lock */
} job;

/* One thread's group of rows.  Of each pair: sums, distance, and what its derivatives are made of. */
typedef struct {
    job *j;
    const kernels *k;
    double sums[PAIRS][3 * ROWS_AT_ONCE];
    by_row top[PAIRS], distance[PAIRS], factor[PAIRS], own[PAIRS][2]; /* of the other vector or the direction; of it */
    by_row alike, weight, value, by[PAIRS];
    const void *at[OPERANDS];
    lf_exact sum;
    _Alignas(64) char in[OPERANDS][PART * sizeof(double)], out[PART * sizeof(double)];
} worker;

/* Elements first ... first + n - 1 of every operand. */
static void look_at(worker *w, size_t first, size_t n)
{
    const job *const j = w->j;
    for (size_t o = 0; o < j->loss->operands; o++) {
        const lf_array *const a = &j->in[o];
        w->at[o] = a->in_place ? a->data + first * j->size : w->in[o];
        if (!a->in_place) lf_load(a, j->dtype, first, n, w->in[o]);
    }
}

static size_t part_of(const job *j, size_t part) { return j->n - part < PART ? j->n - part : PART; }

/* The sums of the parts of some rows. */
static void reduce(worker *w, size_t row, size_t rows)
{
    const job *const j = w->j;
    const double eps = j->call->eps;
    for (size_t q = 0; q < j->pairs; q++) {
        memset(w->sums[q], 0, 3 * rows * sizeof *w->sums[q]);
        memset(w->top[q], 0, rows * sizeof *w->top[q]);
    }
    for (size_t part = 0; j->measure == VECTOR_POWER && part < j->n; part += PART) {
        const size_t n = part_of(j, part);
        look_at(w, row * j->n + part, rows * n);
        for (size_t q = 0; q < j->pairs; q++)
            w->k->vector_tops(rows, n, n, w->at[MEMBERS[q][0]], w->at[MEMBERS[q][1]], eps, w->top[q]);
    }
    for (size_t q = 0; q < j->pairs; q++)
        for (size_t r = 0; r < rows; r++)
            if (!(w->top[q][r] >= (j->dtype == LF_F64 ? 0x1p-1020 : 0x1p-124) && w->top[q][r] < INFINITY))
                w->top[q][r] = w->top[q][r] < INFINITY ? 0x1p-100 : INFINITY;
    for (size_t part = 0; part < j->n; part += PART) {
        const size_t n = part_of(j, part);
        look_at(w, row * j->n + part, rows * n);
        for (size_t q = 0; q < j->pairs; q++) {
            const void *const a = w->at[MEMBERS[q][0]], *const b = w->at[MEMBERS[q][1]];
            if (j->cosines)
                w->k->vector_products(rows, n, n, a, b, w->sums[q]);
            else
                w->k->vector_distances(j->measure, rows, n, n, a, b, eps, j->p, w->top[q], w->sums[q]);
        }
    }
}

static double apply(void (*f)(size_t n, const void *x, void *y), double x)
{
    double y;
    f(1, &x, &y);
    return y;
}

/* Cosines or the distances from them, and what their derivatives are made of.  A vector of norm below 2^-500 has no
 * direction: its cosine is 0. */
static void measure_cosines(worker *w, size_t q, size_t rows)
{
    const double sign = w->j->loss->of_cosine ? 1 : -1, from = w->j->loss->of_cosine ? 0 : 1;
    for (size_t r = 0; r < rows; r++) {
        const double aa = w->sums[q][3 * r], ab = w->sums[q][3 * r + 1], bb = w->sums[q][3 * r + 2];
        const int none = ((aa < 0x1p-1000) | (bb < 0x1p-1000)) & (ab == ab);
        const double norms = none ? 1 : sqrt(aa) * sqrt(bb), c = (none ? 0 : ab) / norms, keep = none ? 0 : sign;
        const double cosine = c > 1 ? 1 : c < -1 ? -1 : c;
        w->distance[q][r] = from + sign * cosine;
        w->factor[q][r] = keep / norms;
        w->own[q][0][r] = -keep * cosine / (none ? 1 : aa);
        w->own[q][1][r] = -keep * cosine / (none ? 1 : bb);
    }
}

/* Distances, and what their derivatives are made of: 0 at a distance of 0. */
static void measure_distances(worker *w, size_t q, size_t rows)
{
    const job *const j = w->j;
    for (size_t r = 0; r < rows; r++) {
        const double s = w->sums[q][r];
        double *const distance = &w->distance[q][r], *const factor = &w->factor[q][r];
        if (j->call->distance == LF_SQUARED_EUCLIDEAN) {
            *distance = s;
            *factor = 2;
        } else if (j->measure == VECTOR_SQUARE) {
            *distance = sqrt(s);
            *factor = *distance == 0 ? 0 : 1 / *distance;
        } else if (j->measure == VECTOR_ABSOLUTE) {
            *distance = s;
            *factor = 1;
        } else {
            const double root = s == 0 || !(s < INFINITY) ? s : apply(j->exp, apply(j->log, s) / j->p);
            *distance = root == 0 || !(root < INFINITY) ? root : w->top[q][r] * root;
            *factor = root == 0 ? 0 : root / s;
        }
    }
}

/* The losses of a group from its sums, and what multiplies vectors and directions in its gradients. */
static void finish(worker *w, size_t row, size_t rows)
{
    const job *const j = w->j;
    const lf_embedding_call *const c = j->call;
    if (j->loss->labelled) lf_load(&j->alike, LF_F64, row, rows, w->alike);
    if (c->weight.data) lf_load(&j->weight, LF_F64, row, rows, w->weight);
    for (size_t q = 0; q < j->pairs; q++) (j->cosines ? measure_cosines : measure_distances)(w, q, rows);
    j->loss->jets(rows, j->pairs, w->distance, w->alike, c->param, w->value, w->by);
    for (size_t r = 0; r < rows; r++) w->value[r] *= w->weight[r];
    for (size_t q = 0; q < j->pairs; q++)
        for (size_t r = 0; r < rows; r++) {
            const double by = w->weight[r] * c->scale * w->by[q][r];
            const int none = w->by[q][r] == 0;
            w->factor[q][r] = none ? 0 : by * w->factor[q][r];
            w->own[q][0][r] = none ? 0 : by * w->own[q][0][r];
            w->own[q][1][r] = none ? 0 : by * w->own[q][1][r];
        }
    if (c->value.data) lf_write(&j->value, LF_F64, row, rows, w->value);
    if (c->sum) lf_exact_add(&w->sum, lf_kernels(LF_F64)->sum(rows, w->value));
}

/* The gradients of an operand: what each pair that it belongs to adds. */
static void spread(worker *w, size_t o, size_t first, size_t rows, size_t n)
{
    static const lf_ahead nothing;
    const job *const j = w->j;
    void *const out = j->aside[o] ? w->out : j->out[o].data + first * j->size;
    int add = 0;
    for (size_t q = 0; q < j->pairs; q++) {
        const int a = MEMBERS[q][0], b = MEMBERS[q][1], side = (int)o == b;
        if ((int)o != a && (int)o != b) continue;
        if (j->cosines)
            w->k->vector_combine(add, rows, n, n, w->at[o], w->own[q][side], w->at[side ? a : b], w->factor[q], out);
        else
            w->k->vector_directions(j->measure, add, rows, n, n, w->at[a], w->at[b], j->call->eps, j->p, w->top[q],
                                    w->factor[q], side ? -1 : 1, out);
        add = 1;
    }
    if (j->aside[o] && j->streams && j->out[o].in_place)
        lf_stream(&j->out[o], first, rows * n, out, &nothing);
    else if (j->aside[o])
        lf_write(&j->out[o], j->dtype, first, rows * n, out);
}

static void run_groups(void *context, size_t first_group, size_t last_group)
{
    job *const j = context;
    worker w;
    w.j = j;
    w.k = lf_kernels(j->dtype);
    memset(&w.sum, 0, sizeof w.sum);
    memset(w.own, 0, sizeof w.own);
    memset(w.distance, 0, sizeof w.distance);
    for (size_t r = 0; r < ROWS_AT_ONCE; r++) w.alike[r] = 0, w.weight[r] = 1;
    for (size_t u = first_group; u < last_group; u++) {
        const size_t row = u * j->rows_at_once, rest = j->call->rows - row;
        const size_t rows = rest < j->rows_at_once ? rest : j->rows_at_once;
        reduce(&w, row, rows);
        finish(&w, row, rows);
        for (size_t part = 0; j->derives && part < j->n; part += PART) {
            const size_t n = part_of(j, part), first = row * j->n + part;
            if (j->n > PART) look_at(&w, first, rows * n);
            for (size_t o = 0; o < j->loss->operands; o++)
                if (j->wanted[o]) spread(&w, o, first, rows, n);
        }
    }
    if (j->streams) lf_streamed();
    lf_lock();
    lf_exact_merge(&j->sum, &w.sum);
    lf_unlock();
}

/* --- The call ------------------------------------------------------------------------------------------------------- */

static int open_job(job *j, const lf_embedding *loss, lf_dtype dtype, const lf_embedding_call *c)
{
    const kernels *const wide = lf_kernels(LF_F64);
    memset(j, 0, sizeof *j);
    j->loss = loss;
    j->call = c;
    j->dtype = dtype;
    j->size = lf_itemsize(dtype);
    j->n = c->dimensions;
    j->rows_at_once = PART / j->n < 1 ? 1 : PART / j->n < ROWS_AT_ONCE ? PART / j->n : ROWS_AT_ONCE;
    const int swaps = loss->jets == triplet_jets && c->param[1] != 0;
    j->pairs = loss->operands == 2 ? 1 : swaps ? 3 : 2;
    j->cosines = loss->of_cosine || c->distance == LF_COSINE;
    j->p = c->distance == LF_SQUARED_EUCLIDEAN ? 2 : c->p;
    j->measure = j->p == 1 ? VECTOR_ABSOLUTE : j->p == 2 || j->cosines ? VECTOR_SQUARE : VECTOR_POWER;
    for (size_t i = 0; i < wide->nmap; i++) {
        if (!strcmp(wide->maps[i].name, "log")) j->log = wide->maps[i].run;
        if (!strcmp(wide->maps[i].name, "exp")) j->exp = wide->maps[i].run;
    }
    size_t all;
    if (__builtin_mul_overflow(c->rows, c->dimensions, &all) || all > PTRDIFF_MAX / sizeof(double)) return 0;
    j->streams = all * j->size >= STREAM_FROM;
    for (size_t o = 0; o < loss->operands; o++) {
        const lf_in in = c->operand[o];
        const lf_out out = c->grad[o];
        if ((c->rows && !in.data) || !lf_open(&j->in[o], dtype, in.data, in.dtype, in.stride, in.layout)) return 0;
        j->wanted[o] = out.data != NULL;
        if (!out.data) continue;
        if (!lf_open(&j->out[o], dtype, out.data, out.dtype, out.stride, out.layout) ||
            !lf_kernels(dtype)->store[out.dtype])
            return 0;
        j->aside[o] = !j->out[o].in_place || j->streams;
        j->derives = 1;
    }
    const lf_in value = {c->value.data, c->value.data ? c->value.dtype : LF_F64, c->value.stride, c->value.layout};
    if (loss->labelled && c->rows && !c->alike.data) return 0;
    return lf_open(&j->alike, LF_F64, c->alike.data, c->alike.dtype, c->alike.stride, c->alike.layout) &&
           lf_open(&j->weight, LF_F64, c->weight.data, c->weight.dtype, c->weight.stride, c->weight.layout) &&
           lf_open(&j->value, LF_F64, value.data, value.dtype, value.stride, value.layout) &&
           (!value.data || wide->store[value.dtype]);
}

/* The first element outside the domain, or n. */
static size_t check(const lf_array *array, size_t n, lf_domain domain)
{
    lf_buffer buffer = {.repeated = 0};
    for (size_t first = 0; first < n; first += BLOCK) {
        const size_t m = n - first < BLOCK ? n - first : BLOCK;
        const size_t bad = lf_kernels(LF_F64)->check(m, lf_read(array, LF_F64, first, m, &buffer), domain);
        if (bad < m) return first + bad;
    }
    return n;
}

static int is_sane(const lf_embedding *loss, lf_dtype dtype, const lf_embedding_call *c)
{
    return loss && c && (dtype == LF_F32 || dtype == LF_F64) && c->dimensions >= 1 && c->param &&
           (unsigned)c->distance <= LF_COSINE && (c->distance != LF_EUCLIDEAN || (c->p >= 1 && c->p < INFINITY));
}

lf_status lf_embedding_run(const lf_embedding *loss, lf_dtype dtype, const lf_embedding_call *call,
                           const lf_control *control, lf_failure *failure)
{
    static const lf_domain alike = {.low = -1, .high = 1, .sign_labels = 1, .no_nan = 1};
    static const lf_domain weights = {.low = 0, .high = 0x1.fffffffffffffp1023, .no_nan = 1};
    job j;
    if (!is_sane(loss, dtype, call) || !open_job(&j, loss, dtype, call)) return LF_BAD_ARGUMENT;
    for (int weight = 0; weight < 2; weight++) {
        if (weight ? !call->weight.data : !loss->labelled) continue;
        const size_t bad = check(weight ? &j.weight : &j.alike, call->rows, weight ? weights : alike);
        if (bad == call->rows) continue;
        if (failure) failure->index = bad;
        return weight ? LF_BAD_WEIGHT : LF_BAD_TARGET;
    }
    const size_t groups = (call->rows + j.rows_at_once - 1) / j.rows_at_once;
    const size_t cost = j.rows_at_once * j.n * loss->operands * PER_ELEMENT;
    const lf_status status = lf_parallel(groups, cost, control, run_groups, &j);
    if (!status && call->sum) *call->sum = lf_exact_round(&j.sum);
    return status;
}
