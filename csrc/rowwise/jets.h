/* Losses that need the jets of all classes. */
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
        w->k->along_reduce(&j->kernel_options, 1, n, n, elements(w, &j->pred, row * j->classes + part * BLOCK, n, w->z),
                           NULL, NULL, NULL, &w->part);
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
