/* Hinge losses: the largest of other scores against the label's.
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
