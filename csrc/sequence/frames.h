/* The frames of a sample: where they stand, their softmax, and the probabilities of its labels in them. */
static size_t frame_at(const member *m, int half, size_t row)
{
    return half == FIRST ? m->half[FIRST] - 1 - row : m->half[FIRST] + row;
}

static const char *frame_in(const job *j, const operands *as, const bench *b, const member *m, size_t t)
{
    if (as->in) return as->in + (ptrdiff_t)m->sample * as->in_sample + (ptrdiff_t)t * as->in_frame;
    lf_load(&as->logits, as->dtype, (m->sample * j->frames + t) * j->classes, j->classes, b->in);
    return b->in;
}

/* Frames t ... t + n - 1 one behind the other, and zeros for those that are missing in a tile. */
static const char *tile_in(const job *j, const operands *as, const bench *b, const member *m, size_t t, size_t n)
{
    const size_t length = j->classes * as->size;
    if (as->in && n == TILE && as->in_frame == (ptrdiff_t)length) return frame_in(j, as, b, m, t);
    if (as->in)
        for (size_t r = 0; r < n; r++) memcpy(b->in + r * length, frame_in(j, as, b, m, t + r), length);
    else
        lf_load(&as->logits, as->dtype, (m->sample * j->frames + t) * j->classes, n * j->classes, b->in);
    memset(b->in + n * length, 0, (TILE - n) * length);
    return b->in;
}

/* Tops and sums of frames t ... t + n - 1 of one sample. */
static void survey(const job *j, const operands *as, const char *rows, member *m, size_t t, size_t n)
{
    if (!as->across) {
        softmax_of(as->k, as->size, j->classes, rows, m->top + t, m->sum + t);
        return;
    }
    _Alignas(64) char tile[ROOM];
    row_group g;
    plain_rows(&g, TILE);
    as->k->into_tile(TILE, j->classes, rows, TILE, tile);
    as->k->across_reduce(&PLAIN, j->classes, tile, NULL, as->k->ones, NULL, &g);
    memcpy(m->top + t, g.top, n * sizeof *g.top);
    memcpy(m->sum + t, g.sum, n * sizeof *g.sum);
}

/* Where the probabilities of a segment's rows stand. */
static char *probabilities(const operands *as, const pack *p, int half, size_t first)
{
    return p->y[half] + (p->every > 1 ? 0 : first * y_size(as, p));
}

/* How many of n rows from `first` on are a sample's own. */
static size_t own_rows(const member *m, int half, size_t first, size_t n)
{
    const size_t own = m->half[half] > first ? m->half[half] - first : 0;
    return own < n ? own : n;
}

/* Frames that are done together, of rows r, r + 1, ...: returns the first in the order of time.  In the first half time
 * goes against the rows. */
static size_t tile_at(const operands *as, const member *m, int half, size_t first, size_t r, size_t end, size_t *n)
{
    *n = !as->across ? 1 : end - r < TILE ? end - r : TILE;
    return frame_at(m, half, first + (half == FIRST ? r + *n - 1 : r));
}

static size_t row_of(int half, size_t r, size_t n, size_t l) { return half == FIRST ? r + n - 1 - l : r + l; }

/* The probabilities of labels and blanks, in units of each frame's largest, for rows from `first` on: n of them.  The
 * first time, frames are looked at. */
static void emit(const job *j, const operands *as, pack *p, int half, size_t first, size_t n, int first_time)
{
    const bench *const b = &p->bench[half];
    const lattice *const g = &p->lattice;
    const int softmax = !j->call->log_probabilities;
    const size_t row = y_size(as, p);
    char *const y = probabilities(as, p, half, first);
    for (size_t i = 0; i < g->members; i++) {
        member *const m = &p->member[i];
        const int last = i + 1 == g->members; /* then rows are complete, and still in the first-level cache */
        char *const labels = y + g->lane[i] * as->size;
        const size_t busy = own_rows(m, half, first, n);
        for (size_t r = 0, step; r < busy; r += step) {
            const size_t t = tile_at(as, m, half, first, r, busy, &step);
            const char *const frames = as->across ? tile_in(j, as, b, m, t, step) : frame_in(j, as, b, m, t);
            if (first_time && softmax) survey(j, as, frames, m, t, step);
            for (size_t l = 0; l < step; l++) {
                const size_t at = row_of(half, r, step, l) * row;
                m->met[half] |= as->k->lattice_gather(m->labels + 1, frames + l * j->classes * as->size, m->label,
                                                      softmax ? m->top[t + l] : 0, labels + at);
                if (softmax && isnan(m->sum[t + l])) m->met[half] |= LATTICE_NAN;
                if (last) as->k->lattice_emit(g, y + at);
            }
        }
        for (size_t r = busy; r < n; r++) {
            as->k->lattice_wait(m->labels + 1, labels + r * row);
            if (last) as->k->lattice_emit(g, y + r * row);
        }
    }
}

static void deliver_posteriors(const job *j, const operands *as, const pack *p, size_t i, int half, size_t first,
                               size_t n)
{
    const bench *const b = &p->bench[half];
    const member *const m = &p->member[i];
    const size_t line = line_size(as, p), lane = p->lattice.lane[i] * as->size, width = 2 * j->call->max_labels + 1;
    for (size_t r = 0; r < n; r++) {
        const size_t frame = m->sample * j->frames + frame_at(m, half, first + r);
        as->k->lattice_interleave(m->labels + 1, b->occupation + lane + r * line, b->blanks + lane + r * line,
                                  b->factor[r * p->lattice.members + i], b->pairs);
        lf_write(&as->posteriors, as->dtype, frame * width, 2 * m->labels + 1, b->pairs);
    }
}

/* Softmax minus occupation, times the sample's factor. */
static void deliver_gradients(const job *j, const operands *as, const pack *p, size_t i, int half, size_t first,
                              size_t n)
{
    const bench *const b = &p->bench[half];
    const member *const m = &p->member[i];
    const size_t line = line_size(as, p), lane = p->lattice.lane[i] * as->size;
    for (size_t r = 0; r < n; r++) {
        const size_t t = frame_at(m, half, first + r);
        char *const to =
            as->out ? as->out + (ptrdiff_t)m->sample * as->out_sample + (ptrdiff_t)t * as->out_frame : b->out;
        if (j->call->log_probabilities)
            memset(to, 0, j->classes * as->size);
        else
            as->k->lattice_softmax(j->classes, frame_in(j, as, b, m, t), m->top[t], m->scale / m->sum[t], to);
        as->k->lattice_scatter(m->labels + 1, m->label, b->occupation + lane + r * line,
                               m->scale * b->factor[r * p->lattice.members + i], to);
        if (!as->out) lf_write(&as->grad, as->dtype, (m->sample * j->frames + t) * j->classes, j->classes, to);
    }
}

/* What is wanted of n rows from `first` on, whose occupations are known. */
static void deliver(const job *j, const operands *as, const pack *p, int half, size_t first, size_t n)
{
    for (size_t i = 0; i < p->lattice.members; i++) {
        const size_t own = own_rows(&p->member[i], half, first, n);
        if (p->member[i].outcome != POSSIBLE) continue;
        if (j->call->posteriors.data) deliver_posteriors(j, as, p, i, half, first, own);
        if (j->call->grad.data) deliver_gradients(j, as, p, i, half, first, own);
    }
}
