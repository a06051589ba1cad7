/* The driver of the class losses: groups of rows to the kernels, in the layout that suits the number of classes.
 *
 * What is summed together depends on the number of classes alone, never on threads or on where arrays stand. */
#include "../kernels.h"
#include "../parallel.h"
#include "labels.h"

#include <math.h>
#include <string.h>

const lf_rowwise *lf_rowwise_at(size_t i) { return i < lf_base_f32.nrowwise ? &lf_base_f32.rowwise[i] : NULL; }

const lf_rowwise *lf_rowwise_find(const char *name)
{
    const lf_rowwise *loss;
    for (size_t i = 0; (loss = lf_rowwise_at(i)) && strcmp(loss->name, name); i++) {}
    return loss;
}

const char *lf_rowwise_name(const lf_rowwise *loss) { return loss->name; }
size_t lf_rowwise_nparam(const lf_rowwise *loss) { return loss->nparam; }

enum {
    ROOM = 16384,                   /* bytes of a buffer: for a tile, a group of rows, or a part of a long one */
    PARTS = LF_MAX_CLASSES / BLOCK, /* of a row, at most */
    UNIT_ACROSS = 8 * TILE,         /* rows of a unit of work where they go across the lanes */
    PER_CLASS = 4                   /* the work of a class of a row, in elements of lf_parallel */
};

/* An array of rows x classes, in the order of its rows and in that of its classes. */
typedef struct {
    lf_array by_row, by_class;
    int wanted, contiguous; /* class after class, row after row */
} table;

typedef struct {
    const lf_rowwise *loss; /* the row of the dtype's table; finish is that of the table of doubles */
    const lf_row_call *call;
    lf_dtype dtype;
    size_t size, classes, parts; /* parts: of BLOCK classes */
    row_options options;
    void (*finish)(size_t n, const row_options *o, row_group *g);
    int derives;              /* some are wanted, */
    int in_place;             /* and derivatives are formed where they are wanted */
    table pred, soft, out[2]; /* out: gradient, Hessian */
    lf_array label, weight, temperature, class_weight, value;
    int weighs_classes;

    lf_exact sum; /* below: under lf_lock */
    lf_moments moments;
} job;

enum { GRAD, HESS };

typedef struct {
    job *j;
    const kernels *k, *wide; /* of the job's dtype, and of double */
    row_group g, part;       /* part: what a part of a row was reduced to, and is spread from */
    int64_t label[ROWS];
    int ignores; /* there are rows that are ignored in the group */
    _Alignas(64) char z[ROOM], target[ROOM], out[2][ROOM], flat[ROOM];
    lf_buffer class_weight;
    lf_exact sum;
    lf_moments moments;
} worker;

static double number(const job *j, const void *x, size_t i)
{
    return j->dtype == LF_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static void put(const job *j, void *x, size_t i, double number)
{
    if (j->dtype == LF_F64)
        ((double *)x)[i] = number;
    else
        ((float *)x)[i] = (float)number;
}

static void start(worker *w, job *j)
{
    w->j = j;
    w->k = lf_kernels(j->dtype);
    w->wide = lf_kernels(LF_F64);
    w->class_weight.repeated = 0;
    row_group *const g = &w->g;
    memset(g, 0, sizeof *g);
    w->ignores = 0;
    for (size_t r = 0; r < ROWS; r++) g->weight[r] = g->kept[r] = g->inverse[r] = g->weight_at[r] = 1;
    if (j->call->moments)
        memset(&w->moments, 0, sizeof w->moments);
    else
        memset(&w->sum, 0, sizeof w->sum);
}

static void stop(worker *w)
{
    job *const j = w->j;
    lf_lock();
    if (j->call->moments)
        lf_moments_merge(&j->moments, &w->moments);
    else
        lf_exact_merge(&j->sum, &w->sum);
    lf_unlock();
}

/* Weights, temperatures and labels of a group; start() has set what is the same for all. */
static void begin(worker *w, size_t first, size_t n)
{
    const job *const j = w->j;
    row_group *const g = &w->g;
    for (size_t r = n; r < TILE; r++) g->kept[r] = g->at[r] = 0;
    const int weighs = j->call->weight.data && !j->call->moments;
    if (weighs) lf_load(&j->weight, LF_F64, first, n, g->weight);
    if (j->call->temperature.data) {
        lf_load(&j->temperature, LF_F64, first, n, g->inverse);
        for (size_t r = 0; r < n; r++) g->inverse[r] = 1 / g->inverse[r];
    }
    if (!j->call->labels) return;
    w->ignores = !lf_labels(&j->label, j->call, first, n, w->label);
    if (w->ignores || j->call->has_ignore)
        for (size_t r = 0; r < n; r++) {
            g->kept[r] = w->label[r] >= 0;
            g->weight[r] = g->kept[r] == 0 ? 0 : weighs ? g->weight[r] : 1;
        }
    if (j->weighs_classes)
        for (size_t r = 0; r < n; r++) g->weight_at[r] = w->label[r] < 0 ? 0 : j->call->class_weight[w->label[r]];
}

/* The losses of a group from what its rows were reduced to; rows that are ignored may have been anything. */
static void finish(worker *w, size_t n)
{
    row_group *const g = &w->g;
    for (size_t r = 0; w->ignores && r < n; r++)
        if (g->kept[r] == 0)
            g->top[r] = g->at[r] = g->mass[r] = g->dot[r] = g->entropy[r] = 0, g->sum[r] = g->inverse[r] = 1;
    w->j->finish(n, &w->j->options, g);
}

/* Values out, and into the sums. */
static void end(worker *w, size_t first, size_t n)
{
    const job *const j = w->j;
    row_group *const g = &w->g;
    if (j->value.data) {
        lf_array value = j->value;
        value.dtype = j->call->value.dtype;
        lf_write(&value, LF_F64, first, n, g->value);
    }
    if (j->call->moments) {
        const lf_ahead nowhere = {{w->flat, w->flat}, {0, 0}};
        double weight[ROWS];
        size_t m = 0;
        if (j->call->weight.data) lf_load(&j->weight, LF_F64, first, n, weight);
        for (size_t r = 0; r < n; r++) {
            if (g->kept[r] == 0) continue;
            put(j, w->flat, m, g->value[r]);
            weight[m++] = j->call->weight.data ? weight[r] : 1;
        }
        if (m) w->k->moments(m, w->flat, j->call->weight.data ? weight : NULL, nowhere, &w->moments);
    }
}

static const void *class_weights(worker *w, size_t first, size_t n)
{
    return w->j->weighs_classes ? lf_read(&w->j->class_weight, w->j->dtype, first, n, &w->class_weight) : NULL;
}

/* --- Few classes: rows across the lanes --------------------------------------------------------------------------- */

static void read_tile(worker *w, const table *t, size_t first, size_t n, void *tile)
{
    const size_t classes = w->j->classes, size = w->j->size;
    if (t->by_row.in_place)
        w->k->into_tile(n, classes, t->by_row.data + first * classes * size, tile);
    else if (t->contiguous) {
        lf_load(&t->by_row, w->j->dtype, first * classes, n * classes, w->flat);
        w->k->into_tile(n, classes, w->flat, tile);
    } else {
        if (n < TILE) memset(tile, 0, classes * TILE * size);
        for (size_t k = 0; k < classes; k++)
            lf_load(&t->by_class, w->j->dtype, k * w->j->call->rows + first, n, (char *)tile + k * TILE * size);
    }
}

static void write_tile(worker *w, const table *t, size_t first, size_t n, void *tile)
{
    const size_t classes = w->j->classes, size = w->j->size;
    if (t->by_row.in_place)
        w->k->out_of_tile(n, classes, tile, t->by_row.data + first * classes * size);
    else if (t->contiguous) {
        w->k->out_of_tile(n, classes, tile, w->flat);
        lf_write(&t->by_row, w->j->dtype, first * classes, n * classes, w->flat);
    } else
        for (size_t k = 0; k < classes; k++)
            lf_write(&t->by_class, w->j->dtype, k * w->j->call->rows + first, n, (char *)tile + k * TILE * size);
}

static void do_tile(worker *w, size_t first, size_t n, const void *class_weight)
{
    job *const j = w->j;
    row_group *const g = &w->g;
    begin(w, first, n);
    read_tile(w, &j->pred, first, n, w->z);
    if (j->call->labels)
        for (size_t r = 0; r < n; r++) g->at[r] = w->label[r] < 0 ? 0 : number(j, w->z, (size_t)w->label[r] * TILE + r);
    else
        read_tile(w, &j->soft, first, n, w->target);
    w->k->across_reduce(&j->options, j->classes, w->z, w->target, class_weight, g);
    finish(w, TILE);
    end(w, first, n);

    void *const out[2] = {j->out[GRAD].wanted ? w->z : NULL, j->out[HESS].wanted ? w->out[HESS] : NULL};
    void *const hess = out[GRAD] ? out[HESS] : w->z;
    if (!out[GRAD] && !out[HESS]) return;
    w->k->across_spread(&j->options, j->classes, out[GRAD], j->out[HESS].wanted ? hess : NULL, w->target, class_weight,
                        g);
    for (size_t r = 0; j->call->labels && r < n; r++) {
        if (w->label[r] < 0)
            for (size_t k = 0; k < j->classes; k++) {
                if (out[GRAD]) put(j, out[GRAD], k * TILE + r, 0);
                if (out[HESS]) put(j, hess, k * TILE + r, 0);
            }
        else {
            const size_t at = (size_t)w->label[r] * TILE + r;
            if (out[GRAD]) put(j, out[GRAD], at, g->grad_at[r]);
            if (out[HESS]) put(j, hess, at, g->hess_at[r]);
        }
    }
    if (out[GRAD]) write_tile(w, &j->out[GRAD], first, n, out[GRAD]);
    if (out[HESS]) write_tile(w, &j->out[HESS], first, n, hess);
}

static void run_across(void *context, size_t first_unit, size_t last_unit)
{
    job *const j = context;
    worker w;
    start(&w, j);
    const void *const class_weight = j->weighs_classes ? class_weights(&w, 0, j->classes) : w.k->ones;
    for (size_t u = first_unit; u < last_unit; u++) {
        const size_t from = u * UNIT_ACROSS, rest = j->call->rows - from, all = rest < UNIT_ACROSS ? rest : UNIT_ACROSS;
        double value[UNIT_ACROSS];
        for (size_t r = 0; r < all; r += TILE) {
            const size_t n = all - r < TILE ? all - r : TILE;
            do_tile(&w, from + r, n, class_weight);
            memcpy(value + r, w.g.value, n * sizeof *value);
        }
        if (j->call->sum) lf_exact_add(&w.sum, w.wide->sum(all, value));
    }
    stop(&w);
}

/* --- More classes: along the lanes -------------------------------------------------------------------------------- */

/* Elements of an array, where they stand if they can be used there. */
static const void *elements(worker *w, const table *t, size_t first, size_t n, void *room)
{
    if (t->by_row.in_place) return t->by_row.data + first * w->j->size;
    lf_load(&t->by_row, w->j->dtype, first, n, room);
    return room;
}

static void *place(worker *w, int o, size_t first)
{
    const table *const t = &w->j->out[o];
    return !t->wanted ? NULL : w->j->in_place ? t->by_row.data + first * w->j->size : w->out[o];
}

static void finished(worker *w, int o, size_t first, size_t n, const void *result)
{
    if (result && !w->j->in_place) lf_write(&w->j->out[o].by_row, w->j->dtype, first, n, result);
}

/* The label's own derivatives, in n classes from `first_class` on; nothing of a row that is ignored. */
static void mend(const job *j, const row_group *g, size_t r, int64_t label, size_t first_class, size_t n, void *grad,
                 void *hess)
{
    if (!j->call->labels) return;
    if (g->kept[r] == 0) {
        if (grad) memset(grad, 0, n * j->size);
        if (hess) memset(hess, 0, n * j->size);
        return;
    }
    const size_t at = (size_t)label - first_class;
    if (at >= n) return;
    if (grad) put(j, grad, at, g->grad_at[r]);
    if (hess) put(j, hess, at, g->hess_at[r]);
}

/* Rows of one part each. */
static void do_group(worker *w, size_t first, size_t n, const void *class_weight)
{
    job *const j = w->j;
    row_group *const g = &w->g;
    const size_t classes = j->classes, at = first * classes, all = n * classes;
    const void *const z = elements(w, &j->pred, at, all, w->z);
    const void *const target = j->call->labels ? NULL : elements(w, &j->soft, at, all, w->target);
    char *const grad = place(w, GRAD, at), *const hess = place(w, HESS, at);
    begin(w, first, n);
    for (size_t r = 0; j->call->labels && r < n; r++)
        g->at[r] = w->label[r] < 0 ? 0 : number(j, z, r * classes + (size_t)w->label[r]);
    w->k->along_reduce(&j->options, n, classes, classes, z, grad ? grad : hess, target, class_weight, g);
    finish(w, n);
    end(w, first, n);
    if (!grad && !hess) return;
    w->k->along_spread(&j->options, n, classes, classes, grad, hess, target, class_weight, g);
    for (size_t r = 0; r < n; r++)
        mend(j, g, r, w->label[r], 0, classes, grad ? grad + r * classes * j->size : NULL,
             hess ? hess + r * classes * j->size : NULL);
    finished(w, GRAD, at, all, grad);
    finished(w, HESS, at, all, hess);
}

/* --- Rows of several parts ---------------------------------------------------------------------------------------- */

/* What the parts of a row leave for each other. */
typedef struct {
    job *j;
    size_t row;
    row_group *g; /* its entry 0 */
    int64_t label;
    double top[PARTS], sum[PARTS], mass[PARTS], dot[PARTS], entropy[PARTS], factor[PARTS];
} long_row;

static size_t part_size(const job *j, size_t part)
{
    const size_t rest = j->classes - part * BLOCK;
    return rest < BLOCK ? rest : BLOCK;
}

static const void *part_weights(worker *w, size_t part)
{
    const job *const j = w->j;
    return j->weighs_classes ? class_weights(w, part * BLOCK, part_size(j, part)) : w->k->ones;
}

static void reduce_part(worker *w, long_row *l, size_t part)
{
    job *const j = w->j;
    const size_t n = part_size(j, part), at = l->row * j->classes + part * BLOCK;
    const void *const z = elements(w, &j->pred, at, n, w->z);
    const void *const target = j->call->labels ? NULL : elements(w, &j->soft, at, n, w->target);
    void *const grad = place(w, GRAD, at), *const hess = place(w, HESS, at);
    row_group *const p = &w->part;
    if (l->label >= 0 && (size_t)l->label / BLOCK == part) l->g->at[0] = number(j, z, (size_t)l->label % BLOCK);
    p->inverse[0] = l->g->inverse[0];
    w->k->along_reduce(&j->options, 1, n, n, z,
                       !j->in_place ? NULL
                       : grad       ? grad
                                    : hess,
                       target, part_weights(w, part), p);
    l->top[part] = p->top[0], l->sum[part] = p->sum[0];
    l->mass[part] = p->mass[0], l->dot[part] = p->dot[0], l->entropy[part] = p->entropy[0];
}

static void join_parts(worker *w, long_row *l)
{
    const job *const j = w->j;
    w->wide->join(j->parts, l->top, l->sum, l->mass, l->dot, l->entropy, l->g->inverse[0], l->factor, l->g);
}

static void spread_part(worker *w, long_row *l, size_t part)
{
    job *const j = w->j;
    const size_t n = part_size(j, part), at = l->row * j->classes + part * BLOCK;
    const void *const target = j->call->labels ? NULL : elements(w, &j->soft, at, n, w->target);
    void *const grad = place(w, GRAD, at), *const hess = place(w, HESS, at);
    const row_group *const g = l->g;
    row_group *const p = &w->part;
    if (!j->in_place)
        w->k->along_exp(n, elements(w, &j->pred, at, n, w->z), l->top[part], g->inverse[0], grad ? grad : hess);
    p->by_exp[0] = g->by_exp[0] * l->factor[part], p->to_p[0] = g->to_p[0] * l->factor[part];
    p->by_c[0] = g->by_c[0], p->linear[0] = g->linear[0], p->square[0] = g->square[0];
    w->k->along_spread(&j->options, 1, n, n, grad, hess, target, part_weights(w, part), p);
    mend(j, g, 0, l->label, part * BLOCK, n, grad, hess);
    finished(w, GRAD, at, n, grad);
    finished(w, HESS, at, n, hess);
}

static void begin_row(worker *w, long_row *l, size_t row)
{
    begin(w, row, 1);
    l->j = w->j;
    l->row = row;
    l->g = &w->g;
    l->label = w->j->call->labels ? w->label[0] : 0;
    w->g.at[0] = 0;
}

static void do_long_row(worker *w, size_t row)
{
    job *const j = w->j;
    long_row l;
    begin_row(w, &l, row);
    for (size_t part = 0; part < j->parts; part++) reduce_part(w, &l, part);
    join_parts(w, &l);
    finish(w, 1);
    end(w, row, 1);
    for (size_t part = 0; part < j->parts && j->derives; part++) spread_part(w, &l, part);
}

static void reduce_parts(void *context, size_t first, size_t last)
{
    long_row *const l = context;
    worker w;
    start(&w, l->j);
    for (size_t part = first; part < last; part++) reduce_part(&w, l, part);
}

static void spread_parts(void *context, size_t first, size_t last)
{
    long_row *const l = context;
    worker w;
    start(&w, l->j);
    for (size_t part = first; part < last; part++) spread_part(&w, l, part);
}

/* Fewer rows than would keep the threads busy: they share each. */
static lf_status share_rows(job *j, const lf_control *control)
{
    worker w;
    long_row l;
    lf_status status = LF_OK;
    start(&w, j);
    for (size_t row = 0; row < j->call->rows && !status; row++) {
        begin_row(&w, &l, row);
        status = lf_parallel(j->parts, BLOCK * PER_CLASS, control, reduce_parts, &l);
        if (status) break;
        join_parts(&w, &l);
        finish(&w, 1);
        end(&w, row, 1);
        if (j->call->sum) lf_exact_add(&w.sum, w.g.value[0]);
        if (j->derives) status = lf_parallel(j->parts, BLOCK * PER_CLASS, control, spread_parts, &l);
    }
    stop(&w);
    return status;
}

/* --- Losses that need the jets of all classes --------------------------------------------------------------------- */

static const void *targets_of_part(worker *w, const long_row *l, size_t part)
{
    const job *const j = w->j;
    const size_t n = part_size(j, part), first = part * BLOCK;
    if (!j->call->labels) return elements(w, &j->soft, l->row * j->classes + first, n, w->target);
    memset(w->target, 0, n * j->size);
    if (l->label >= 0 && (size_t)l->label - first < n) put(j, w->target, (size_t)l->label - first, 1);
    return w->target;
}

static void write_zeros(worker *w, size_t at, size_t n)
{
    for (int o = GRAD; o <= HESS; o++) {
        void *const to = place(w, o, at);
        if (to) memset(to, 0, n * w->j->size);
        finished(w, o, at, n, to);
    }
}

static void do_jets(worker *w, size_t row)
{
    job *const j = w->j;
    row_group *const g = &w->g;
    long_row l;
    begin_row(w, &l, row);
    g->value[0] = 0;
    if (g->kept[0] == 0) {
        for (size_t part = 0; part < j->parts; part++)
            write_zeros(w, row * j->classes + part * BLOCK, part_size(j, part));
        end(w, row, 1);
        return;
    }
    double sums[5] = {0}; /* see class_jets */
    for (size_t part = 0; part < j->parts; part++) {
        const size_t n = part_size(j, part);
        w->part.inverse[0] = g->inverse[0];
        w->k->along_reduce(&j->options, 1, n, n, elements(w, &j->pred, row * j->classes + part * BLOCK, n, w->z), NULL,
                           NULL, NULL, &w->part);
        l.top[part] = w->part.top[0], l.sum[part] = w->part.sum[0];
        l.mass[part] = l.dot[part] = l.entropy[part] = 0;
    }
    join_parts(w, &l);
    finish(w, 1);
    for (int writes = 0; writes <= (j->derives != 0); writes++)
        for (size_t part = 0; part < j->parts; part++) {
            const size_t n = part_size(j, part), at = row * j->classes + part * BLOCK;
            const void *const target = targets_of_part(w, &l, part), *const v = part_weights(w, part);
            void *const grad = writes ? place(w, GRAD, at) : NULL, *const hess = writes ? place(w, HESS, at) : NULL;
            j->loss->classes(n, &j->options, g, 0, elements(w, &j->pred, at, n, w->z), target, v, sums, grad, hess);
            if (!writes) continue;
            finished(w, GRAD, at, n, grad);
            finished(w, HESS, at, n, hess);
        }
    g->value[0] = g->weight[0] * sums[0];
    end(w, row, 1);
}

/* --- Hinge losses: the largest of other scores against the label's --------------------------------------------------
 *
 * multiclass_hinge: K. Crammer, Y. Singer, "On the algorithmic implementation of multiclass kernel-based vector
 * machines", J. Mach. Learn. Res. 2 (2001) 265-292. */
static void do_hinge(worker *w, size_t row)
{
    job *const j = w->j;
    row_group *const g = &w->g;
    const int categorical = !(j->loss->allows & ROW_LABELS);
    long_row l;
    begin_row(w, &l, row);
    double rival = -INFINITY, own = 0;
    size_t rival_at = 0, at;
    for (size_t part = 0; part < j->parts && g->kept[0] != 0; part++) {
        const size_t n = part_size(j, part), first = part * BLOCK;
        const char *const z = elements(w, &j->pred, row * j->classes + first, n, w->z);
        if (!j->call->labels) {
            own += w->k->hinge_terms(n, z, targets_of_part(w, &l, part), w->flat);
            const double top = w->k->highest(n, w->flat, &at);
            if (!(top <= rival)) rival = rival != rival ? rival : top, rival_at = first + at;
            continue;
        }
        const size_t y = (size_t)l.label - first, before = y < n ? y : n; /* classes of the part before the label */
        if (before) {
            const double top = w->k->highest(before, z, &at);
            if (!(top <= rival)) rival = rival != rival ? rival : top, rival_at = first + at;
        }
        if (y < n) {
            own = number(j, z, y);
            if (categorical && !(0 <= rival)) rival = rival != rival ? rival : 0, rival_at = first + y;
            if (y + 1 < n) {
                const double top = w->k->highest(n - y - 1, z + (y + 1) * j->size, &at);
                if (!(top <= rival)) rival = rival != rival ? rival : top, rival_at = first + y + 1 + at;
            }
        }
    }
    const double margin = categorical ? 1 : j->call->param[0], loss = margin + rival - own;
    const double weight = g->weight[0] * (categorical ? 1 : g->weight_at[0]);
    g->value[0] = g->kept[0] == 0 ? 0 : weight * (loss > 0 || loss != loss ? loss : 0);
    end(w, row, 1);
    if (!j->derives) return;
    const double slope = loss > 0 ? weight * j->call->scale : loss != loss ? loss : 0;
    for (size_t part = 0; part < j->parts; part++) {
        const size_t n = part_size(j, part), first = part * BLOCK, from = row * j->classes + first;
        const void *const target = j->call->labels ? NULL : targets_of_part(w, &l, part);
        void *const grad = place(w, GRAD, from), *const hess = place(w, HESS, from);
        if (hess) memset(hess, 0, n * j->size);
        if (grad && target)
            for (size_t i = 0; i < n; i++) {
                const double t = number(j, target, i);
                put(j, grad, i, slope == 0 ? 0 : slope * ((first + i == rival_at ? 1 - t : 0) - t));
            }
        else if (grad) {
            const size_t y = (size_t)l.label - first, r = rival_at - first;
            memset(grad, 0, n * j->size);
            if (g->kept[0] != 0 && rival_at != (size_t)l.label) {
                if (y < n) put(j, grad, y, -slope);
                if (r < n) put(j, grad, r, slope);
            } else if (g->kept[0] != 0 && y < n)
                put(j, grad, y, -slope);
        }
        finished(w, GRAD, from, n, grad);
        finished(w, HESS, from, n, hess);
    }
}

/* --- The call ----------------------------------------------------------------------------------------------------- */

static size_t group_rows(const job *j)
{
    const size_t rows = ROOM / j->size / j->classes;
    return j->parts > 1 || rows < 1 ? 1 : rows < ROWS ? rows : ROWS;
}

static void run_along(void *context, size_t first_group, size_t last_group)
{
    job *const j = context;
    const size_t rows = group_rows(j);
    worker w;
    start(&w, j);
    const void *const class_weight = j->parts == 1 ? part_weights(&w, 0) : NULL;
    for (size_t u = first_group; u < last_group; u++) {
        const size_t first = u * rows, rest = j->call->rows - first, n = rest < rows ? rest : rows;
        double value[ROWS];
        if (j->loss->allows & ROW_HINGE || j->options.targets == CLASSES)
            for (size_t r = 0; r < n; r++) {
                (j->loss->allows & ROW_HINGE ? do_hinge : do_jets)(&w, first + r);
                value[r] = w.g.value[0];
            }
        else {
            if (j->parts > 1)
                do_long_row(&w, first);
            else
                do_group(&w, first, n, class_weight);
            memcpy(value, w.g.value, n * sizeof *value);
        }
        if (j->call->sum) lf_exact_add(&w.sum, w.wide->sum(n, value));
    }
    stop(&w);
}

static int open_table(job *j, table *t, lf_in in)
{
    const lf_row_call *const call = j->call;
    const size_t row_shape[2] = {call->rows, call->classes};
    const ptrdiff_t strides[2] = {(ptrdiff_t)call->classes * in.stride, in.stride};
    const lf_layout plain = {2, row_shape, strides}, *const layout = in.layout ? in.layout : &plain;
    t->wanted = in.data != NULL;
    if (!t->wanted) return 1;
    if (layout->ndim < 1 || layout->ndim > LF_MAX_NDIM || layout->shape[layout->ndim - 1] != call->classes) return 0;
    size_t shape[LF_MAX_NDIM];
    ptrdiff_t turned[LF_MAX_NDIM];
    const int last = layout->ndim - 1;
    shape[0] = layout->shape[last];
    turned[0] = layout->strides[last];
    for (int k = 0; k < last; k++) shape[k + 1] = layout->shape[k], turned[k + 1] = layout->strides[k];
    const lf_layout by_class = {layout->ndim, shape, turned};
    t->contiguous = call->classes == 1 || layout->strides[last] == (ptrdiff_t)lf_itemsize(in.dtype);
    return lf_open(&t->by_row, j->dtype, in.data, in.dtype, 0, layout) &&
           lf_open(&t->by_class, j->dtype, in.data, in.dtype, 0, &by_class);
}

static int open_out(job *j, int o, lf_out out)
{
    const lf_in as_in = {out.data, out.dtype, out.stride, out.layout};
    if (!open_table(j, &j->out[o], as_in)) return 0;
    if (out.data && !lf_kernels(j->dtype)->store[out.dtype]) return 0;
    if (!out.data) return 1;
    j->derives = 1;
    *(o == GRAD ? &j->options.wants_grad : &j->options.wants_hess) = 1;
    const lf_array *const a = &j->out[o].by_row, *const t = &j->soft.by_row;
    if (!a->in_place || (j->soft.wanted && a->data == t->data)) j->in_place = 0;
    return 1;
}

static int open_rows(lf_array *array, lf_dtype kernel, lf_in in)
{
    return lf_open(array, kernel, in.data, in.data ? in.dtype : kernel, in.stride, in.layout);
}

static int open_job(job *j, const lf_rowwise *loss, lf_dtype dtype, const lf_row_call *call)
{
    const size_t index = (size_t)(loss - lf_base_f32.rowwise);
    memset(j, 0, sizeof *j);
    j->loss = &lf_kernels(dtype)->rowwise[index];
    j->finish = lf_kernels(LF_F64)->rowwise[index].finish;
    j->call = call;
    j->dtype = dtype;
    j->size = lf_itemsize(dtype);
    j->classes = call->classes;
    j->parts = (call->classes + BLOCK - 1) / BLOCK;
    j->in_place = 1;
    j->weighs_classes = call->class_weight != NULL;
    j->options = (row_options){.keep = 1 - call->label_smoothing,
                               .rest = call->label_smoothing / (double)call->classes,
                               .z_loss = call->z_loss,
                               .scale = call->scale,
                               .param = call->param};
    const unsigned allows = j->loss->allows;
    const int smooth = call->label_smoothing != 0;
    if (allows & ROW_ENTROPY)
        j->options.targets = DIVERGENCE;
    else if (allows & ROW_LOGARITHM)
        j->options.targets = !call->labels ? SOFT : smooth ? SMOOTHED : LABEL;
    else
        j->options.targets = (allows & ROW_LINEAR) && call->labels && !smooth ? LABEL : CLASSES;
    if (j->options.targets == DIVERGENCE && (smooth || call->labels)) return 0;
    if (call->z_loss != 0 && !(allows & ROW_LOGARITHM)) return 0;
    if ((allows & ROW_LABELS) && !call->labels) return 0;

    lf_in rows = call->target;
    if (call->labels ? !open_rows(&j->label, LF_F64, rows) : !open_table(j, &j->soft, rows)) return 0;
    const lf_in value = {call->value.data, call->value.dtype, call->value.stride, call->value.layout};
    const lf_in v = {call->class_weight, LF_F64, sizeof(double), NULL};
    if (call->value.data && !lf_kernels(LF_F64)->store[call->value.dtype]) return 0;
    return open_table(j, &j->pred, call->pred) && open_rows(&j->weight, LF_F64, call->weight) &&
           open_rows(&j->temperature, LF_F64, call->temperature) && open_rows(&j->value, LF_F64, value) &&
           open_rows(&j->class_weight, dtype, v) && open_out(j, GRAD, call->grad) && open_out(j, HESS, call->hess);
}

lf_status lf_rowwise_run(const lf_rowwise *loss, lf_dtype dtype, const lf_row_call *call, const lf_control *control,
                         lf_failure *failure)
{
    if (!loss || !call || (dtype != LF_F32 && dtype != LF_F64) || (loss->nparam && !call->param) || call->classes < 1 ||
        call->classes > LF_MAX_CLASSES || (call->has_ignore && !call->labels))
        return LF_BAD_ARGUMENT;
    if (call->rows && (!call->pred.data || !call->target.data)) return LF_BAD_ARGUMENT;
    if (call->moments && (call->value.data || call->grad.data || call->hess.data || call->sum)) return LF_BAD_ARGUMENT;
    lf_row_totals totals;
    lf_status status = call->unchecked ? LF_OK : lf_rowwise_check(dtype, call, &totals, control, failure);
    if (status) return status;
    job j;
    if (call->rows && !open_job(&j, loss, dtype, call)) return LF_BAD_ARGUMENT;
    if (!call->rows) {
        if (call->sum) *call->sum = 0;
        return LF_OK;
    }
    const size_t rows = group_rows(&j), cost = call->classes * PER_CLASS;
    const int simple = j.options.targets != CLASSES && !(j.loss->allows & ROW_HINGE);
    /* Up to 128 classes (64 in double) a vector holds a class of several rows; beyond, classes of one row. */
    if (simple && call->classes * TILE * j.size <= ROOM)
        status = lf_parallel((call->rows + UNIT_ACROSS - 1) / UNIT_ACROSS, UNIT_ACROSS * cost, control, run_across, &j);
    else if (simple && j.parts > 1 && call->rows < 4 * lf_threads(control))
        status = share_rows(&j, control);
    else
        status = lf_parallel((call->rows + rows - 1) / rows, rows * cost, control, run_along, &j);
    if (status) return status;
    if (call->sum) *call->sum = lf_exact_round(&j.sum);
    if (call->moments) lf_moments_merge(call->moments, &j.moments);
    return LF_OK;
}
