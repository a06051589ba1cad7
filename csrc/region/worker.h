/* What the parts of the driver share: the call, the memory of a thread, and what one stretch of a sample needs.
 * Included by run.c alone.
 *
 * Sums are formed of stretches, of segments in the order of their stretches, and of samples in the order of their
 * segments; where these begin depends on the numbers of positions and classes alone. */
enum {
    ROOM = 16384, /* bytes of a buffer, unless a run of all classes needs more */
    RUNS = BLOCK / RUN,
    SEGMENTS = 64,  /* of a sample, at most: what threads share */
    PER_CLASS = 4,  /* the work of a class of a position, in elements of lf_parallel */
    LARGE = 131072, /* elements of a sample that several threads share */
    SLOTS = 257,    /* threads at most (parallel.c), and the one that shares out */
    LOGS = 2 * BLOCK * sizeof(double),
    ALIGN = 64
};

enum { SUM_I, SUM_P, SUM_T, SUMS };
enum { PIXEL_LOSS, PIXEL_WEIGHT, PIXEL_SUMS };

enum { TARGETS = 1, BOTH }; /* what a survey looks at */

typedef struct {
    const lf_region *loss; /* the row of the table of doubles */
    const lf_region_call *call;
    lf_dtype dtype;
    size_t size, runs, stretches, segments; /* runs of a stretch, stretches of a sample */
    size_t group;                           /* classes that are taken together */
    int checks;                             /* of masks and probabilities; labels always are */
    int survey;                             /* no more than a look at the operands, and sums of targets */
    const lf_pointwise *binary;             /* loss of the positions, by sigmoids */
    double binary_param[4];
    size_t nsums; /* of a group: SUMS x its classes, and those of the losses of positions */
    int keeps;    /* the gradient's array holds the activations between the two readings */
    table pred, target, grad;
    lf_array label, weight, share, value, pixel_weight, pixel_value;

    lf_control control; /* with as many threads as there is memory for */
    char *slots;
    size_t slot_size, room, nfree;
    unsigned short free[SLOTS];
    double *parts; /* sums of segments, or of each slot's segment */
    double *totals;

    lf_exact sum; /* below: under lf_lock */
    lf_status status;
    size_t bad;
} job;

/* A thread's memory. */
typedef struct {
    unsigned short slot;
    char *z, *t, *lost, *out, *flat;
    char *logs, *kept; /* see region_softmax; the opposite of lost */
    char *alpha;       /* of each position: that of the binary focal loss */
    double *sums;      /* SUMS x classes, and PIXEL_SUMS: of what is being summed */
    double *jets;      /* 3 x classes: value, by I, by P */
    double *by;        /* classes x 3: see region/loop.h */
    double *shares;    /* of the classes */
    double *pixels;    /* the factor of the gradients of the positions' losses */
} memory;

static double *after(double **at, size_t n)
{
    double *const here = *at;
    *at += n;
    return here;
}

static memory take(job *j)
{
    const size_t classes = j->call->classes;
    memory m;
    lf_lock();
    m.slot = j->free[--j->nfree];
    lf_unlock();
    char *const at = j->slots + m.slot * j->slot_size;
    m.z = at, m.t = at + j->room, m.lost = at + 2 * j->room, m.out = at + 3 * j->room, m.flat = at + 4 * j->room;
    m.logs = m.kept = at + 5 * j->room; /* by softmax, or by sigmoids */
    m.alpha = m.logs + LOGS / 2;
    if (j->binary) lf_kernels(j->dtype)->load[LF_F64](BLOCK, j->binary_param, 0, m.alpha);
    double *numbers = (double *)(m.logs + LOGS);
    m.sums = after(&numbers, SUMS * classes + PIXEL_SUMS);
    m.jets = after(&numbers, 3 * classes);
    m.by = after(&numbers, 3 * classes);
    m.shares = after(&numbers, classes);
    m.pixels = after(&numbers, 1);
    return m;
}

static void give_back(job *j, const memory *m)
{
    lf_lock();
    j->free[j->nfree++] = m->slot;
    lf_unlock();
}

static void report(job *j, lf_status status, size_t index)
{
    lf_lock();
    if (j->status == LF_OK || index < j->bad || (index == j->bad && status < j->status)) {
        j->status = status;
        j->bad = index;
    }
    lf_unlock();
}

/* --- Targets ------------------------------------------------------------------------------------------------------ */

/* Targets of a stretch, and which of them are to be left out: no data if none are. */
typedef struct {
    view t, lost;
} masks;

/* Labels as numbers of the kernels' dtype, which holds all classes: where they are to be left out -1, and `lost` is 1.
 * Returns the first one that is no class, or n. */
static size_t load_labels(job *j, const stretch *s, void *label, void *lost)
{
    enum { EXACT = 1 << 23 }; /* integers up to here remain themselves in float32, those beyond stay beyond */
    const lf_region_call *const call = j->call;
    const kernels *const k = lf_kernels(j->dtype);
    const size_t row = s->sample * call->positions + s->position;
    const lf_domain classes = {.low = 0, .high = (double)(call->classes - 1), .no_nan = 1};
    if (j->label.dtype < LF_F16 && (!call->has_ignore || (call->ignore > -EXACT && call->ignore < EXACT))) {
        lf_load(&j->label, j->dtype, row, s->n, label);
        if (call->has_ignore) k->region_lose(s->n, (double)call->ignore, label, lost);
        const size_t bad = k->check(s->n, label, classes);
        if (call->has_ignore) k->region_drop(s->n, lost, -1, label, label);
        return bad;
    }
    const lf_row_call rules = {.classes = call->classes, .has_ignore = call->has_ignore, .ignore = call->ignore};
    int64_t found[BLOCK];
    double number[BLOCK];
    lf_labels(&j->label, &rules, row, s->n, found);
    for (size_t l = 0; l < s->n; l++) {
        if (found[l] == NO_CLASS) return l;
        number[l] = (double)found[l];
    }
    k->load[LF_F64](s->n, number, sizeof *number, label);
    if (!call->has_ignore) return s->n;
    for (size_t l = 0; l < s->n; l++) number[l] = found[l] == IGNORED;
    k->load[LF_F64](s->n, number, sizeof *number, lost);
    return s->n;
}

static int read_labels(job *j, const memory *m, const stretch *s, masks *found)
{
    const kernels *const k = lf_kernels(j->dtype);
    char *const lost = m->lost, *const label = m->lost + s->full * j->size;
    if (s->n < s->full) memset(lost, 0, 2 * s->full * j->size);
    const size_t bad = load_labels(j, s, label, lost);
    if (bad < s->n) {
        report(j, LF_BAD_TARGET, s->sample * j->call->positions + s->position + bad);
        return 0;
    }
    found->t = planes_in(m->t, s);
    found->lost = (view){j->call->has_ignore ? lost : NULL, 0};
    if (j->survey == TARGETS && !j->totals) return 1;
    for (size_t c = 0; c < s->classes; c++) {
        char *const t = plane(found->t, c, j->size);
        k->region_hits(s->full, label, (double)(s->first_class + c), t);
        memset(t + s->n * j->size, 0, (s->full - s->n) * j->size);
    }
    return 1;
}

/* Whether all elements are in [0, 1]; the first one outside, in the order of the caller's arrays, is reported. */
static int is_unit(job *j, const stretch *s, view v, int no_nan, lf_status status)
{
    const kernels *const k = lf_kernels(j->dtype);
    const lf_domain unit = {.low = 0, .high = 1, .no_nan = no_nan};
    size_t row = s->n, class = 0;
    for (size_t c = 0; c < s->classes; c++) {
        const size_t n = row < s->n ? row : s->n, at = k->check(n, plane(v, c, j->size), unit);
        if (at < n) row = at, class = c;
    }
    if (row == s->n) return 1;
    report(j, status, (s->sample * j->call->positions + s->position + row) * j->call->classes + s->first_class + class);
    return 0;
}

/* Returns 0 if there is something bad among them. */
static int read_masks(job *j, const memory *m, const stretch *s, masks *found)
{
    const lf_region_call *const call = j->call;
    if (call->labels) return read_labels(j, m, s, found);
    found->t = read_stretch(&j->target, s, call, j->dtype, call->has_ignore, m->t, m->flat);
    found->lost = (view){NULL, found->t.step};
    if (call->has_ignore) {
        found->lost.data = m->lost;
        lf_kernels(j->dtype)->region_lose(s->full * s->classes, (double)call->ignore, m->t, m->lost);
    }
    return !j->checks || is_unit(j, s, found->t, 1, LF_BAD_TARGET);
}

/* --- Predictions --------------------------------------------------------------------------------------------------- */

/* What is lost becomes what counts for nothing, in another place or the same. */
static view without_lost(const job *j, const stretch *s, view p, view lost, view out)
{
    const int sigmoid = j->call->activation == LF_SIGMOID;
    for (size_t c = 0; c < s->classes; c++)
        lf_kernels(j->dtype)->region_drop(s->full, plane(lost, c, j->size), sigmoid ? -0.0 : 0.0, plane(p, c, j->size),
                                          plane(out, c, j->size));
    return out;
}

/* Predictions of a stretch. */
typedef struct {
    view z, p; /* p: probabilities, or sigmoids as region_sigmoid leaves them */
} predictions;

/* The activations stand where they are kept for the second reading, if they are. */
static predictions read_predictions(const job *j, const memory *m, const stretch *s)
{
    const lf_region_call *const call = j->call;
    const kernels *const k = lf_kernels(j->dtype);
    const view z = read_stretch(&j->pred, s, call, j->dtype, 0, m->z, m->flat);
    if (call->activation == LF_PROBABILITIES) return (predictions){z, z};
    const view p = j->keeps ? place(&j->grad, s, j->size, m->out) : planes_in(m->out, s);
    if (call->activation == LF_SOFTMAX)
        k->region_softmax(s->classes, s->full, z.data, z.step, p.data, p.step, call->pixel ? m->logs : NULL);
    else
        for (size_t c = 0; c < s->classes; c++) k->region_sigmoid(s->full, plane(z, c, j->size), plane(p, c, j->size));
    return (predictions){z, p};
}

/* --- Losses of positions ------------------------------------------------------------------------------------------ */

static double class_weight(const job *j, size_t k) { return j->call->class_weight ? j->call->class_weight[k] : 1; }

/* The binary loss of a class: adds its sums, or with a gradient writes scale times that. */
static void binary_pixels(const job *j, const memory *m, const stretch *s, const masks *found, size_t c, view z,
                          double *sums, double scale, void *grad)
{
    const kernels *const k = lf_kernels(j->dtype);
    const void *x = plane(z, c, j->size), *keep = NULL;
    const double v = class_weight(j, c);
    double sum = 0, count = (double)s->n;
    if (v == 0 && !grad) return;
    if (found->lost.data) {
        char *const known = m->z + c * s->full * j->size;
        const char *const lost = plane(found->lost, c, j->size);
        k->region_drop(s->full, lost, 0, x, known);
        k->region_drop(s->full, lost, 0, k->ones, m->kept);
        x = known, keep = m->kept;
        count = k->sum(s->n, keep);
    }
    const lf_pointwise *const loss = &k->pointwise[j->binary - lf_base_f32.pointwise];
    loss->run(s->n, plane(found->t, c, j->size), x, keep, m->alpha, j->binary_param, scale * v, NULL, grad, NULL,
              grad ? NULL : &sum);
    if (grad) return;
    sums[PIXEL_LOSS] += v * sum;
    sums[PIXEL_WEIGHT] += v * count;
}

static void sum_pixels(const job *j, const memory *m, const stretch *s, const masks *found, view z, double *sums)
{
    const lf_region_call *const call = j->call;
    for (size_t c = 0; j->binary && c < s->classes; c++) binary_pixels(j, m, s, found, c, z, sums, 1, NULL);
    if (j->binary) return;
    double two[PIXEL_SUMS];
    lf_kernels(j->dtype)->region_pixels(call->pixel == LF_PIXEL_FOCAL, call->gamma, s->classes, s->full, z.data, z.step,
                                        m->logs, found->t.data, found->t.step, call->class_weight, two, 1, NULL);
    for (size_t i = 0; i < PIXEL_SUMS; i++) sums[i] += two[i];
}

/* Into m->flat, plane after plane. */
static void grad_pixels(const job *j, const memory *m, const stretch *s, const masks *found, view z, double scale)
{
    const lf_region_call *const call = j->call;
    for (size_t c = 0; j->binary && c < s->classes; c++)
        binary_pixels(j, m, s, found, c, z, NULL, scale, m->flat + c * s->full * j->size);
    if (!j->binary)
        lf_kernels(j->dtype)->region_pixels(call->pixel == LF_PIXEL_FOCAL, call->gamma, s->classes, s->full, z.data,
                                            z.step, m->logs, found->t.data, found->t.step, call->class_weight, NULL,
                                            scale, m->flat);
}

/* --- Both readings ------------------------------------------------------------------------------------------------ */

/* Adds the sums of a stretch.  Returns 0 if there is something bad in it. */
static int sum_stretch(job *j, const memory *m, const stretch *s, double *sums)
{
    const lf_region_call *const call = j->call;
    const int alone = j->survey == TARGETS;
    masks found;
    if (!read_masks(j, m, s, &found)) return 0;
    if (alone && !j->totals) return 1;
    const predictions pred = alone ? (predictions){found.t, found.t} : read_predictions(j, m, s);
    view p = pred.p;
    if (j->keeps) write_stretch(&j->grad, s, call, j->dtype, p, m->out, m->flat);
    if (call->pixel && !alone) sum_pixels(j, m, s, &found, pred.z, sums + SUMS * s->classes);
    if (found.lost.data && !alone) p = without_lost(j, s, p, found.lost, planes_in(m->z, s));
    const int raw = call->activation == LF_PROBABILITIES && !alone;
    if (raw && j->checks && !is_unit(j, s, p, 0, LF_BAD_PRED)) return 0;
    if (j->survey && !j->totals) return 1;
    for (size_t c = 0; c < s->classes; c++) {
        double three[SUMS];
        lf_kernels(j->dtype)->region_sums(call->activation == LF_SIGMOID && !alone, call->squared, s->n,
                                          plane(p, c, j->size), plane(found.t, c, j->size), three);
        for (size_t i = 0; i < SUMS; i++) sums[i * s->classes + c] += three[i];
    }
    return 1;
}

/* Writes the derivatives of a stretch. */
static void grad_stretch(job *j, const memory *m, const stretch *s, const double *by, double pixels)
{
    const lf_region_call *const call = j->call;
    const kernels *const k = lf_kernels(j->dtype);
    masks found;
    predictions pred;
    read_masks(j, m, s, &found); /* known to be good */
    if (j->keeps)
        pred.p = read_stretch(&j->grad, s, call, j->dtype, 0, m->out, m->flat);
    else
        pred = read_predictions(j, m, s);
    const view p = pred.p, out = place(&j->grad, s, j->size, m->out);
    if (call->pixel) grad_pixels(j, m, s, &found, pred.z, pixels);
    if (call->activation == LF_SOFTMAX)
        k->region_chain(s->classes, s->full, p.data, p.step, found.t.data, found.t.step, found.lost.data,
                        found.lost.step, by, out.data, out.step);
    else
        for (size_t c = 0; c < s->classes; c++)
            k->region_grad(call->activation == LF_SIGMOID, s->full, plane(p, c, j->size), plane(found.t, c, j->size),
                           by + 3 * c, plane(out, c, j->size));
    for (size_t c = 0; call->pixel && c < s->classes; c++)
        k->region_add(s->n, m->flat + c * s->full * j->size, plane(out, c, j->size));
    /* A logit of a softmax bears on the other classes too. */
    if (found.lost.data && (call->labels || call->activation != LF_SOFTMAX)) {
        for (size_t c = 0; c < s->classes; c++)
            k->region_drop(s->full, plane(found.lost, c, j->size), 0, plane(out, c, j->size), plane(out, c, j->size));
    }
    write_stretch(&j->grad, s, call, j->dtype, out, m->out, m->flat);
}
