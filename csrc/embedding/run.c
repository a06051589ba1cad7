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

struct lf_embedding {
    const char *name;
    size_t nparam, operands;
    int labelled, of_cosine; /* of_cosine: of the cosine itself, whatever the distance */
    jet_of_distances (*jet)(const double *distance, int alike, const double *param);
};

static const lf_embedding LOSSES[] = {
    {"cosine", 1, 2, 0, 1, cosine},
    {"cosine_embedding", 1, 2, 1, 1, cosine_embedding},
    {"contrastive", 2, 2, 1, 0, contrastive},
    {"triplet", 2, 3, 0, 0, triplet},
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
    double sums[PAIRS][3 * ROWS_AT_ONCE], top[PAIRS][ROWS_AT_ONCE], distance[PAIRS][ROWS_AT_ONCE];
    double factor[PAIRS][ROWS_AT_ONCE], own[PAIRS][2][ROWS_AT_ONCE]; /* of the other vector or the direction; of it */
    double alike[ROWS_AT_ONCE], weight[ROWS_AT_ONCE], value[ROWS_AT_ONCE];
    const void *at[OPERANDS];
    lf_exact sum;
    _Alignas(64) char in[OPERANDS][PART * sizeof(double)], out[OPERANDS][PART * sizeof(double)];
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
    memset(w->sums, 0, sizeof w->sums);
    memset(w->top, 0, sizeof w->top);
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

/* The distance of a pair, and what its derivatives are made of.  A vector of norm below 2^-500 has no direction: its
 * cosine is 0.  At a distance of 0 the derivative is 0. */
static void measure_pair(worker *w, size_t q, size_t r)
{
    const job *const j = w->j;
    const double *const s = w->sums[q];
    double *const distance = &w->distance[q][r], *const factor = &w->factor[q][r];
    if (j->cosines) {
        const double aa = s[3 * r], ab = s[3 * r + 1], bb = s[3 * r + 2], norms = sqrt(aa) * sqrt(bb);
        const int none = (aa < 0x1p-1000 || bb < 0x1p-1000) && ab == ab;
        const double c = none ? 0 : ab / norms, cosine = c > 1 ? 1 : c < -1 ? -1 : c;
        const double sign = j->loss->of_cosine ? 1 : -1;
        *distance = j->loss->of_cosine ? cosine : 1 - cosine;
        *factor = none ? 0 : sign / norms;
        w->own[q][0][r] = none ? 0 : -sign * cosine / aa;
        w->own[q][1][r] = none ? 0 : -sign * cosine / bb;
    } else if (j->call->distance == LF_SQUARED_EUCLIDEAN) {
        *distance = s[r];
        *factor = 2;
    } else if (j->measure == VECTOR_SQUARE) {
        *distance = sqrt(s[r]);
        *factor = *distance == 0 ? 0 : 1 / *distance;
    } else if (j->measure == VECTOR_ABSOLUTE) {
        *distance = s[r];
        *factor = 1;
    } else {
        const double root = s[r] == 0 || !(s[r] < INFINITY) ? s[r] : apply(j->exp, apply(j->log, s[r]) / j->p);
        *distance = root == 0 || !(root < INFINITY) ? root : w->top[q][r] * root;
        *factor = root == 0 ? 0 : root / s[r];
    }
}

/* The losses of a group from its sums, and what multiplies vectors and directions in its gradients. */
static void finish(worker *w, size_t row, size_t rows)
{
    const job *const j = w->j;
    const lf_embedding_call *const c = j->call;
    if (j->loss->labelled) lf_load(&j->alike, LF_F64, row, rows, w->alike);
    if (c->weight.data) lf_load(&j->weight, LF_F64, row, rows, w->weight);
    for (size_t r = 0; r < rows; r++) {
        double distance[PAIRS];
        for (size_t q = 0; q < j->pairs; q++) {
            measure_pair(w, q, r);
            distance[q] = w->distance[q][r];
        }
        const double weight = c->weight.data ? w->weight[r] : 1;
        const jet_of_distances jet = j->loss->jet(distance, j->loss->labelled && w->alike[r] > 0, c->param);
        w->value[r] = weight * jet.value;
        for (size_t q = 0; q < j->pairs; q++) {
            const double by = weight * c->scale * jet.by[q];
            w->factor[q][r] = jet.by[q] == 0 ? 0 : by * w->factor[q][r];
            for (int side = 0; j->cosines && side < 2; side++)
                w->own[q][side][r] = jet.by[q] == 0 ? 0 : by * w->own[q][side][r];
        }
    }
    if (c->value.data) lf_write(&j->value, LF_F64, row, rows, w->value);
    for (size_t r = 0; c->sum && r < rows; r++) lf_exact_add(&w->sum, w->value[r]);
}

/* The gradients of an operand: what each pair that it belongs to adds.  While they are written past the caches, two of
 * the operands of the next group are asked for, of the first gradient's turn the first two. */
static void spread(worker *w, size_t o, size_t turn, size_t first, size_t rows, size_t n)
{
    const job *const j = w->j;
    void *const out = j->aside[o] ? w->out[o] : j->out[o].data + first * j->size;
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
    if (j->aside[o] && j->streams && j->out[o].in_place) {
        const size_t next = first + rows * n, end = j->call->rows * j->n, a = 2 * turn % j->loss->operands;
        lf_stream(&j->out[o], first, rows * n, out,
                  lf_after(&j->in[a], &j->in[(a + 1) % j->loss->operands], next, end - next < PART ? 0 : end));
    } else if (j->aside[o])
        lf_write(&j->out[o], j->dtype, first, rows * n, out);
}

static void run_groups(void *context, size_t first_group, size_t last_group)
{
    job *const j = context;
    worker w;
    w.j = j;
    w.k = lf_kernels(j->dtype);
    memset(&w.sum, 0, sizeof w.sum);
    for (size_t u = first_group; u < last_group; u++) {
        const size_t row = u * j->rows_at_once, rest = j->call->rows - row;
        const size_t rows = rest < j->rows_at_once ? rest : j->rows_at_once;
        reduce(&w, row, rows);
        finish(&w, row, rows);
        for (size_t part = 0; j->derives && part < j->n; part += PART) {
            const size_t n = part_of(j, part), first = row * j->n + part;
            if (j->n > PART) look_at(&w, first, rows * n);
            size_t turn = 0;
            for (size_t o = 0; o < j->loss->operands; o++)
                if (j->wanted[o]) spread(&w, o, turn++, first, rows, n);
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
    const int swaps = loss->jet == triplet && c->param[1] != 0;
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
