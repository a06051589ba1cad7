/* The two passes over the halves of a pack: to the middle, where alpha and beta meet, and on through what the other has
 * left.  Where they meet depends on a sample's own frames alone, so that it makes no difference who computes what. */
typedef void step(const lattice *g, const void *from, const void *y, void *blanks, void *to);

static step *stepping(const operands *as, int half)
{
    return half == FIRST ? as->k->lattice_forward : as->k->lattice_backward;
}

static void *kept(const operands *as, const pack *p, int half, size_t row)
{
    return p->kept[half] + row / p->every * row_size(as, p);
}

static void to_the_middle(const job *j, const operands *as, pack *p, int half)
{
    const bench *const b = &p->bench[half];
    const void *from = p->start[half];
    for (size_t end = p->rows[half]; end;) {
        const size_t first = (end - 1) / p->segment * p->segment;
        emit(j, as, p, half, first, end - first, 1);
        const char *const y = probabilities(as, p, half, first);
        for (size_t r = end; r-- > first;) {
            void *const to = r % p->every == 0 ? kept(as, p, half, r) : b->spare[r % 2];
            stepping(as, half)(&p->lattice, from, y + (r - first) * y_size(as, p), b->y_blanks, to);
            from = to;
        }
        end = first;
    }
}

/* Rows of a segment that were not kept. */
static void again(const operands *as, const pack *p, int half, size_t first, size_t n)
{
    const bench *const b = &p->bench[half];
    const size_t end = first + n;
    const void *from = end < p->rows[half] ? kept(as, p, half, end) : p->start[half];
    for (size_t r = end; r-- > first + 1;) {
        void *const to = b->again + (r - first) * row_size(as, p);
        stepping(as, half)(&p->lattice, from, p->y[half] + (r - first) * y_size(as, p), b->y_blanks, to);
        from = to;
    }
}

static void from_the_middle(const job *j, const operands *as, pack *p, int half)
{
    const bench *const b = &p->bench[half];
    const size_t line = line_size(as, p), rows = p->rows[half];
    const void *now = p->kept[!half];
    for (size_t first = 0; first < rows; first += p->segment) {
        const size_t n = rows - first < p->segment ? rows - first : p->segment;
        if (p->every > 1) {
            emit(j, as, p, half, first, n, 0);
            again(as, p, half, first, n);
        }
        const char *const y = probabilities(as, p, half, first);
        for (size_t r = 0; r < n; r++) {
            void *const next = b->spare[r % 2];
            const size_t met = first + r + (half == SECOND); /* the row that meets what comes through this half */
            if (met == rows) break;
            if (half == SECOND || met + 1 < rows)
                stepping(as, !half)(&p->lattice, now, y + r * y_size(as, p), b->y_blanks, next);
            const void *const other =
                met % p->every == 0 ? kept(as, p, half, met) : b->again + (met - first) * row_size(as, p);
            as->k->lattice_occupation(&p->lattice, half == FIRST ? now : next, other, b->occupation + r * line,
                                      j->call->posteriors.data ? b->blanks + r * line : b->blanks,
                                      b->factor + r * p->lattice.members);
            now = next;
        }
        deliver(j, as, p, half, first, n);
    }
}
