/* More classes: along the lanes, rows of one part in groups, longer rows part by part. */
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
    const void *const target = j->call->labels ? w->target : elements(w, &j->soft, at, all, w->target);
    char *const grad = place(w, GRAD, at), *const hess = place(w, HESS, at);
    begin(w, first, n);
    for (size_t r = 0; j->call->labels && r < n; r++)
        g->at[r] = w->label[r] < 0 ? 0 : number(j, z, r * classes + (size_t)w->label[r]);
    w->k->along_reduce(&j->kernel_options, n, classes, classes, z, grad ? grad : hess, target, class_weight, g);
    finish(w, n);
    end(w, first, n);
    if (!grad && !hess) return;
    w->k->along_spread(&j->kernel_options, n, classes, classes, grad, hess, target, class_weight, g);
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
    const void *const target = j->call->labels ? w->target : elements(w, &j->soft, at, n, w->target);
    void *const grad = place(w, GRAD, at), *const hess = place(w, HESS, at);
    row_group *const p = &w->part;
    if (l->label >= 0 && (size_t)l->label / BLOCK == part) l->g->at[0] = number(j, z, (size_t)l->label % BLOCK);
    p->inverse[0] = l->g->inverse[0];
    w->k->along_reduce(&j->kernel_options, 1, n, n, z,
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
    const void *const target = j->call->labels ? w->target : elements(w, &j->soft, at, n, w->target);
    void *const grad = place(w, GRAD, at), *const hess = place(w, HESS, at);
    const row_group *const g = l->g;
    row_group *const p = &w->part;
    if (!j->in_place)
        w->k->along_exp(n, elements(w, &j->pred, at, n, w->z), l->top[part], g->inverse[0], grad ? grad : hess);
    p->by_exp[0] = g->by_exp[0] * l->factor[part], p->to_p[0] = g->to_p[0] * l->factor[part];
    p->by_c[0] = g->by_c[0], p->linear[0] = g->linear[0], p->square[0] = g->square[0];
    w->k->along_spread(&j->kernel_options, 1, n, n, grad, hess, target, part_weights(w, part), p);
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
