/* What the parts of the driver share: the call, a thread's share of it, and how a group of rows begins and ends.
 * Included by run.c alone, as the files that build on it are. */
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
    size_t size, classes, parts;         /* parts: of BLOCK classes */
    row_options options, kernel_options; /* of finishing, and of the kernels */
    int no_targets;                      /* ... which are given targets of 0 */
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
    if (j->no_targets) memset(w->target, 0, sizeof w->target);
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
    const int stale = w->ignores; /* some weights of the group before are 0 */
    w->ignores = !lf_labels(&j->label, j->call, first, n, w->label);
    if (w->ignores || stale)
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
    if (j->value.data) lf_write(&j->value, LF_F64, first, n, g->value);
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
        if (m) w->k->moments(m, w->flat, j->call->weight.data ? weight : NULL, &nowhere, &w->moments);
    }
}

static const void *class_weights(worker *w, size_t first, size_t n)
{
    return w->j->weighs_classes ? lf_read(&w->j->class_weight, w->j->dtype, first, n, &w->class_weight) : NULL;
}
