/* What the sums over a row mean, in double whatever the logits are: compiled for 64 bits alone.
 *
 * With u = z / temperature, s = sum exp(u - max u), log p = u - max u - log s:
 *     l = sum_k c_k f(p_k) + z_loss lse^2,     lse = max u + log s
 *     dl/du_j = P p_j - c_j,       P = sum c + 2 z_loss lse           for f = -log p
 *     d2l/du_j2 = P p_j (1 - p_j) + 2 z_loss p_j^2
 * Of one label y with jet (value, slope B, curve A):
 *     dl/du_j = -B p_j + [j = y] B,     d2l/du_j2 = -B p_j (1 - p_j) + A p_j^2 + [j = y] A (1 - 2 p_j)
 * The label's own derivatives are formed from 1 - p, which does not cancel where the prediction is right. */
#if LF_BITS == 64
/* Rows are finished in whole vectors; what stands beyond the last is finished with them, and not looked at.  The
 * number is rounded before anything branches: else gcc does not see that no rest is left to care for. */
enum { TOGETHER = 16 };
inline_ size_t whole(size_t n) { return (n + TOGETHER - 1) & -(size_t)TOGETHER; }

/* Of a row of minus infinities, or with more than one infinity: NaN.  Conditions in one are integers to gcc, half as wide
 * as what they select from. */
inline_ real defined_sum(real top, real sum)
{
    const real among_infinities = sum > 1 ? R_NAN : sum, above = top == R_INF ? among_infinities : sum;
    return top == -R_INF ? R_NAN : above;
}

/* wants_hess: 0 leaves out what only second derivatives need. */
inline_ void finish_rows(class_formula *f, size_t nparam, row_targets targets, int wants_grad, int wants_hess, size_t n,
                         const row_options *o, row_group *restrict g)
{
    const real param[MAX_PARAM] = {nparam ? o->param[0] : 0};
    const real keep = o->keep, rest = o->rest, factor = o->factor, zl = o->z_loss, scale = o->scale;
    const ureal with_z = zl == 0 ? 0 : ~(ureal)0;
    real sum_of[ROWS], log_of[ROWS]; /* apart: two short chains of operations overlap better than a long one */
    for (size_t l = 0; l < n; l++) {
        sum_of[l] = defined_sum(g->top[l], g->sum[l]);
        log_of[l] = r_log(sum_of[l]);
    }
    for (size_t l = 0; l < n; l++) {
        const real inverse = g->inverse[l], top = g->top[l], weight = g->weight[l];
        const real sum = sum_of[l], log_s = log_of[l];
        const real lse = r_bits(r_int(top * inverse + log_s) & with_z); /* 0 if nobody asks: it may be infinite */
        real value, other = 0, slope = 0, curve = 0, p = 0, q = 1;
        /* slope and curve are the label's own, `other` is what is not */
        if (targets == LABEL || targets == SMOOTHED) {
            const real below = below_top(g->at[l], finite_top(top), inverse);
            const real beaten = g->at[l] < R_INF ? -R_INF : below; /* by an infinite logit */
            const real d = top == R_INF ? beaten : below, log_p = d - log_s;
            const exp_pair e = exp_pair_cell(log_p);
            p = e.exp, q = -e.expm1;
            const class_jet j = f(g->weight_at[l] * keep, p, q, log_p, param);
            value = j.value, slope = j.slope, curve = j.curve;
        } else
            value = g->mass[l] * log_s - g->dot[l], other = g->mass[l];
        if (targets == SMOOTHED) value += factor * (g->mass[l] * log_s - g->dot[l]), other = factor * g->mass[l];
        if (targets == DIVERGENCE) value += g->entropy[l];
        value += zl * lse * lse;
        other += 2 * zl * lse;
        const real total = other - slope;

        g->value[l] = weight * value;
        if (!wants_grad) continue;
        const real by_u = weight * scale * inverse, by_uu = by_u * inverse, to_p = 1 / sum;
        g->by_exp[l] = by_u * total * to_p;
        g->by_c[l] = targets == SMOOTHED ? by_u * factor : by_u;
        g->grad_at[l] = by_u * (slope * q + other * p - (targets == SMOOTHED ? rest * g->weight_at[l] : 0));
        if (!wants_hess) continue;
        g->to_p[l] = to_p;
        g->linear[l] = by_uu * total;
        g->square[l] = by_uu * (curve + 2 * zl - total);
        g->hess_at[l] = by_uu * (total * (p * q) + curve * (q * q) + 2 * zl * (p * p));
    }
}

/* Where jets of all classes are needed: log s and what multiplies the derivatives, in places that are free. */
inline_ void finish_classes(size_t n, const row_options *o, row_group *restrict g)
{
    const real scale = o->scale;
    for (size_t l = 0; l < n; l++) {
        g->dot[l] = r_log(defined_sum(g->top[l], g->sum[l]));
        g->by_exp[l] = g->weight[l] * scale * g->inverse[l];
        g->by_c[l] = g->by_exp[l] * g->inverse[l];
    }
}

static void join_parts(size_t n, double *restrict top, double *restrict sum, double *restrict mass,
                       double *restrict dot, double *restrict entropy, double inverse, double *restrict factor,
                       row_group *g)
{
    const real highest = row_top(n, top), finite = finite_top(highest);
    const size_t all = whole(n);
    for (size_t i = n; i % TOGETHER; i++) top[i] = -R_INF, sum[i] = mass[i] = dot[i] = 0;
    for (size_t i = 0; i < all; i++) {
        const int beaten = highest == R_INF && top[i] < R_INF;
        const real d = beaten ? -R_INF : below_top(finite_top(top[i]), finite, inverse);
        factor[i] = exp_cell(d);
        sum[i] *= factor[i];
        dot[i] = mass[i] == 0 ? dot[i] : dot[i] + mass[i] * d;
    }
    g->top[0] = highest;
    g->sum[0] = block_sum(n, sum);
    g->mass[0] = block_sum(n, mass);
    g->dot[0] = block_sum(n, dot);
    g->entropy[0] = block_sum(n, entropy);
}
#endif
