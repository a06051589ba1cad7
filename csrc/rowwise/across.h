/* Few classes: rows across the lanes, a tile of them at a time. */
static void read_tile(worker *w, const table *t, size_t first, size_t n, void *tile)
{
    const size_t classes = w->j->classes, size = w->j->size;
    if (t->by_row.in_place)
        w->k->into_tile(n, classes, t->by_row.data + first * classes * size, TILE, tile);
    else if (t->contiguous) {
        lf_load(&t->by_row, w->j->dtype, first * classes, n * classes, w->flat);
        w->k->into_tile(n, classes, w->flat, TILE, tile);
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
        w->k->out_of_tile(n, classes, tile, TILE, t->by_row.data + first * classes * size);
    else if (t->contiguous) {
        w->k->out_of_tile(n, classes, tile, TILE, w->flat);
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
    lf_ahead ahead;
    lf_after(&j->pred.by_row, j->out[GRAD].wanted ? &j->out[GRAD].by_row : &j->pred.by_row, (first + n) * j->classes,
             j->call->rows * j->classes, &ahead);
    w->k->across_reduce(&j->kernel_options, j->classes, w->z, w->target, class_weight, &ahead, g);
    finish(w, TILE);
    end(w, first, n);

    void *const out[2] = {j->out[GRAD].wanted ? w->z : NULL, j->out[HESS].wanted ? w->out[HESS] : NULL};
    void *const hess = out[GRAD] ? out[HESS] : w->z;
    if (!out[GRAD] && !out[HESS]) return;
    w->k->across_spread(&j->kernel_options, j->classes, out[GRAD], j->out[HESS].wanted ? hess : NULL, w->target,
                        class_weight, g);
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
