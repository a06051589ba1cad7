/* Where alpha and beta of a pack meet: the probabilities of its samples, and what becomes of those that are impossible,
 * not numbers, or too much for floats. */

/* The lanes of rows that no step writes. */
static void clear_rest(const operands *as, const pack *p)
{
    const lattice *const g = &p->lattice;
    const size_t rows = p->rows[SECOND], rows_of_y = p->every > 1 ? p->segment : rows;
    for (int h = FIRST; h <= SECOND; h++) {
        const bench *const b = &p->bench[h];
        for (int i = 0; i < 2; i++) as->k->lattice_clear(g->lanes, g->pitch, 2, b->spare[i]);
        as->k->lattice_clear(g->lane[g->members], g->pitch, 1, b->y_blanks);
        for (size_t r = 0; r < rows; r += p->every)
            as->k->lattice_clear(g->lanes, g->pitch, 2, p->kept[h] + r / p->every * row_size(as, p));
        for (size_t r = 0; r < rows_of_y; r++)
            as->k->lattice_clear(g->lane[g->members], g->pitch, 1, p->y[h] + r * y_size(as, p));
        for (size_t r = 0; b->again && r < p->segment; r++)
            as->k->lattice_clear(g->lanes, g->pitch, 2, b->again + r * row_size(as, p));
    }
}

static void load_pack(const job *j, const operands *as, pack *p, size_t first, size_t count)
{
    size_t lanes = 0, frames = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t t = (size_t)j->logit_length[first + i];
        lanes += (size_t)j->label_length[first + i] + 1;
        frames = t > frames ? t : frames;
        all += t;
    }
    arena a = {.base = (char *)p};
    take(&a, 1, sizeof *p);
    furnish(p, &a, j, as, count, lanes, frames, all);
    double *top = p->member[0].top, *sum = p->member[0].sum;
    p->lattice.members = count;
    p->lattice.lane[0] = 0;
    for (int h = FIRST; h <= SECOND; h++) as->k->lattice_clear(0, p->lattice.pitch, 2, p->start[h]);
    as->k->lattice_powers(p->lattice.pitch, 0, p->lattice.power);
    as->k->lattice_powers(p->lattice.pitch, 0, p->lattice.skip);
    for (size_t i = 0; i < count; i++) {
        const size_t s = first + i, lane = p->lattice.lane[i];
        member *const m = &p->member[i];
        m->sample = s;
        m->frames = (size_t)j->logit_length[s];
        m->labels = (size_t)j->label_length[s];
        m->half[FIRST] = m->frames - m->frames / 2;
        m->half[SECOND] = m->frames / 2;
        m->label = j->label + j->first_label[s];
        m->top = top, m->sum = sum;
        top += m->frames, sum += m->frames;
        m->met[FIRST] = m->met[SECOND] = 0;
        m->outcome = POSSIBLE;
        m->scale = 1;
        if (j->scale.data) lf_load(&j->scale, LF_F64, s, 1, &m->scale);
        as->k->lattice_skips(m->labels + 1, m->label, (char *)p->lattice.skip + lane * as->size);
        as->k->lattice_set(p->lattice.pitch, p->start[FIRST], lane);
        as->k->lattice_set(p->lattice.pitch, p->start[SECOND], lane + m->labels);
        p->lattice.lane[i + 1] = lane + m->labels + 1;
    }
    clear_rest(as, p);
}

static int derives(const job *j, const pack *p)
{
    if (!j->call->grad.data && !j->call->posteriors.data) return 0;
    for (size_t i = 0; i < p->lattice.members; i++)
        if (p->member[i].outcome == POSSIBLE) return 1;
    return 0;
}

/* -log(mantissa 2^power) where the probabilities are in units of those of a softmax that was not divided by its sums */
static double loss_of(const job *j, const member *m, double mantissa, int64_t power)
{
    double product = 1, log;
    int64_t exponent = 0;
    int e;
    for (size_t t = 0; t < m->frames && !j->call->log_probabilities; t++) {
        product *= m->sum[t];
        if (product > 0x1p900) product = frexp(product, &e), exponent += e;
    }
    /* Near 1, lest a small loss be the difference of large logarithms. */
    double ratio = frexp(product, &e);
    exponent += e - power;
    ratio = frexp(ratio / mantissa, &e);
    exponent += e;
    if (ratio < 0.70710678) ratio *= 2, exponent--;
    j->log(1, &ratio, &log);
    return log + (double)exponent * 0.69314718055994530942;
}

static int fits(const member *m)
{
    size_t needed = m->labels;
    for (size_t k = 1; k < m->labels; k++) needed += m->label[k] == m->label[k - 1];
    return needed <= m->frames;
}

/* A loss below this is too small a part of what a million of roundings of floats may make of it: they grow like the
 * root of the number of frames, or in the worst case with it. */
static double small_loss(size_t frames) { return sqrt((double)frames) / 4 + (double)frames / 256; }

static double again_in_double(const job *j, const pack *p, const member *m, int all);

static double value_of(const job *j, const operands *as, pack *p, size_t i)
{
    member *const m = &p->member[i];
    const size_t row = p->lattice.lane[i], lanes = p->lattice.lane[i + 1] - row;
    const int met = m->met[FIRST] | m->met[SECOND], floats = as->dtype == LF_F32;
    if (met & LATTICE_NAN) {
        m->outcome = NOT_A_NUMBER;
        return NAN;
    }
    int64_t power;
    const double total = as->k->lattice_total(lanes, p->lattice.pitch, row, p->kept[FIRST], p->kept[SECOND], &power);
    if (floats && ((met & LATTICE_FAR) || total == 0) && fits(m)) {
        m->outcome = DONE;
        return again_in_double(j, p, m, 1);
    }
    if (total == 0) {
        m->outcome = IMPOSSIBLE;
        return INFINITY;
    }
    as->k->lattice_powers(lanes, power, (char *)p->lattice.power + row * as->size);
    const double loss = loss_of(j, m, total, power);
    return floats && loss < small_loss(m->frames) ? again_in_double(j, p, m, 0) : loss;
}

static void meet(const job *j, const operands *as, pack *p)
{
    for (size_t i = 0; i < p->lattice.members; i++) {
        const double value = value_of(j, as, p, i);
        if (j->value.data) lf_write(&j->value, LF_F64, p->member[i].sample, 1, &value);
    }
}

/* --- What is not computed: the frames of samples that are impossible or not numbers, and those past the end ---------- */

static void fill(const lf_array *array, size_t first, size_t n, double number)
{
    double block[BLOCK];
    for (size_t i = 0; i < BLOCK && i < n; i++) block[i] = number;
    for (size_t done = 0; done < n; done += BLOCK)
        lf_write(array, LF_F64, first + done, n - done < BLOCK ? n - done : BLOCK, block);
}

static void fill_rest(const job *j, const operands *as, const pack *p)
{
    const size_t classes = j->classes, width = 2 * j->call->max_labels + 1;
    (void)as;
    for (size_t i = 0; i < p->lattice.members; i++) {
        const member *const m = &p->member[i];
        const size_t known = m->outcome == POSSIBLE || m->outcome == DONE ? m->frames : 0, row = m->sample * j->frames;
        const size_t nan = m->outcome == NOT_A_NUMBER ? m->frames : known;
        if (j->call->grad.data) {
            fill(&j->as[1].grad, (row + known) * classes, (nan - known) * classes, NAN);
            fill(&j->as[1].grad, (row + nan) * classes, (j->frames - nan) * classes, 0);
        }
        if (!j->call->posteriors.data) continue;
        for (size_t t = 0; t < known; t++)
            fill(&j->as[1].posteriors, (row + t) * width + 2 * m->labels + 1, width - 2 * m->labels - 1, 0);
        fill(&j->as[1].posteriors, (row + known) * width, (nan - known) * width, NAN);
        fill(&j->as[1].posteriors, (row + nan) * width, (j->frames - nan) * width, 0);
    }
}

/* A sample alone, with all that is wanted of it or only for its value. */
static double again_in_double(const job *j, const pack *p, const member *m, int all)
{
    const operands *const wide = &j->as[1];
    pack *const one = (pack *)((char *)p + j->narrow_size);
    load_pack(j, wide, one, m->sample, 1);
    to_the_middle(j, wide, one, FIRST);
    to_the_middle(j, wide, one, SECOND);
    const double value = value_of(j, wide, one, 0);
    if (!all) return value;
    if (derives(j, one)) {
        from_the_middle(j, wide, one, FIRST);
        from_the_middle(j, wide, one, SECOND);
    }
    fill_rest(j, wide, one);
    return value;
}
