/* The lattice of connectionist temporal classification: A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber,
 * "Connectionist temporal classification", ICML 2006, doi:10.1145/1143844.1143891.
 *
 * The states of a sample with L labels are its L + 1 blanks and its labels, in two vectors: blank k comes before label
 * k.  A probability is m 2^e with a mantissa m of a few units and an integer exponent e, so that nothing under- or
 * overflows however long a sequence is, and no exp or log is needed per state.
 *
 * A row of states is four arrays of `pitch` numbers each: the mantissas of blanks and of labels, then their exponents.
 * Samples stand side by side in its lanes, each with a lane more than it has labels: its last label lane is a state
 * that is never alive, and keeps it apart from the next.  Beyond the lanes in use all states are dead.
 *
 * A row of probabilities has two such arrays, of the labels, and then mantissa and exponent of each sample's blank. */

#define ALIVE_OR_DEAD(e) ((e) < LATTICE_DEAD ? LATTICE_DEAD : (e))
/* The exponent of 0; three of them can be added. */
#define LATTICE_DEAD ((ireal)(LF_BITS == 64 ? -(INT64_C(1) << 60) : -(1 << 28)))
/* Logarithms beyond it are not split into mantissa and exponent right; those of doubles have room for any that occurs. */
#define LATTICE_RANGE ((real)(LF_BITS == 64 ? 0x1p50 : 0x1p21))
/* Nor, lest the exponents of a long sequence overflow, above this: the logarithm of a probability is below 0 anyway. */
#define LATTICE_HIGH ((real)(LF_BITS == 64 ? 0x1p30 : 0x1p4))

typedef struct {
    real *blank, *label;
    ireal *blank_power, *label_power;
} state_row;

inline_ state_row states(void *row, size_t pitch)
{
    real *const m = row;
    return (state_row){m, m + pitch, (ireal *)(m + 2 * pitch), (ireal *)(m + 3 * pitch)};
}

/* 2^d, or 0 where that is not a normal number. */
inline_ real power_down(ireal d) { return power_of_2((ureal)((d < -R_BIAS ? -R_BIAS : d) + R_BIAS)); }

inline_ ireal later(ireal a, ireal b) { return a > b ? a : b; }

/* m 2^e with m in [1, 2) */
inline_ void set_state(real m, ireal e, real *mantissa, ireal *power)
{
    const ureal bits = r_int(m);
    const ireal sum = e + (ireal)(bits >> R_MANTISSA) - R_BIAS;
    *mantissa = r_bits((bits & (EXPONENT_UNIT - 1)) | BITS_OF_1);
    *power = ALIVE_OR_DEAD(sum);
}

/* Kills what stands from a lane on in `arrays` mantissas, followed by as many exponents. */
static void lattice_clear(size_t first, size_t pitch, size_t arrays, void *row)
{
    real *const m = row;
    ireal *const e = (ireal *)(m + arrays * pitch);
    for (size_t i = 0; i < arrays; i++)
        for (size_t k = first; k < pitch; k++) m[i * pitch + k] = 1, e[i * pitch + k] = LATTICE_DEAD;
}

static void lattice_set(size_t pitch, void *row, size_t lane) { states(row, pitch).blank_power[lane] = 0; }

static void lattice_skips(size_t n, const int32_t *labels, void *skip)
{
    ireal *const s = skip;
    for (size_t k = 0; k < n; k++) s[k] = k && labels[k] != labels[k - 1] ? 0 : LATTICE_DEAD;
}

/* z[k] = row[labels[k]] - top, as a softmax sees logits; returns LATTICE_... of what it met. */
static int lattice_gather(size_t n, const void *row, const int32_t *labels, double top, void *z)
{
    const real *const x = row;
    real *restrict const out = z;
    const real t = top < INFINITY ? r_max(r_min((real)top, R_LARGEST), -R_LARGEST) : 0;
    ireal far = 0, bad = 0;
    if (top == INFINITY)
        for (size_t k = 0; k < n; k++) out[k] = x[labels[k]] == R_INF ? 0 : -R_INF;
    else
        for (size_t k = 0; k < n; k++) out[k] = x[labels[k]] - t;
    for (size_t k = 0; k < n; k++) {
        far |= (ireal)((out[k] < -LATTICE_RANGE) & (out[k] > -R_INF)) | (ireal)(out[k] > LATTICE_HIGH);
        bad |= (ireal) !(out[k] < (LF_BITS == 64 ? LATTICE_HIGH : R_INF));
    }
    return (far ? LATTICE_FAR : 0) | (bad ? LATTICE_NAN : 0);
}

inline_ void softmax_lanes(const real *x, real top, real factor, real *to)
{
    INDEPENDENT
    for (size_t l = 0; l < LATTICE_LANES; l++) to[l] = factor * exp_cell(x[l] - top);
}

/* factor exp(z - top); out may be z. */
static void lattice_softmax(size_t n, const void *z, double top, double factor, void *out)
{
    const real *const x = z;
    real *const to = out;
    const real t = finite_top((real)top), f = (real)factor;
    if (top == INFINITY) {
        along_exp(n, z, top, 1, out);
        for (size_t k = 0; k < n; k++) to[k] *= f;
        return;
    }
    /* The last whole group overlaps the one before it, and is read before that is written. */
    const size_t last = n < LATTICE_LANES ? 0 : n - LATTICE_LANES, rest = n < LATTICE_LANES ? n : LATTICE_LANES;
    real tail[LATTICE_LANES] = {0};
    memcpy(tail, x + last, rest * sizeof *tail);
    for (size_t k = 0; k < last; k += LATTICE_LANES) softmax_lanes(x + k, t, f, to + k);
    softmax_lanes(tail, t, f, tail);
    memcpy(to + last, tail, rest * sizeof *tail);
}

/* What a sample is given for frames that are not its own: certainly a blank. */
static void lattice_wait(size_t n, void *z)
{
    real *const out = z;
    for (size_t k = 0; k + 1 < n; k++) out[k] = -R_INF;
    out[n - 1] = 0;
}

/* The probabilities of a frame from what was gathered into the mantissas of row y; each sample's blank stands in the
 * lane after its labels. */
static void lattice_emit(const lattice *g, void *y)
{
    real *const m = y, *const blank = m + 2 * g->pitch;
    ireal *const power = (ireal *)(m + g->pitch), *const blank_power = (ireal *)(blank + LATTICE_MEMBERS);
    const size_t n = g->lane[g->members];
    for (size_t at = 0; at < n; at += LATTICE_LANES) {
        INDEPENDENT
        for (size_t k = at; k < at + LATTICE_LANES; k++) {
            const real z = m[k];
            const int alive = (z >= -LATTICE_RANGE) & (z <= LATTICE_HIGH);
            const exp_parts e = exp_split(alive ? z : 0, 0);
            m[k] = exp_scaled(e.r, 1);
            power[k] = alive ? (ireal)(e.power - r_int(ROUND_SHIFT)) : LATTICE_DEAD;
        }
    }
    for (size_t k = n; k < g->lanes; k++) m[k] = 1, power[k] = LATTICE_DEAD; /* beyond all samples */
    for (size_t i = 0; i < g->members; i++) {
        const size_t last = g->lane[i + 1] - 1;
        blank[i] = m[last];
        blank_power[i] = power[last];
        power[last] = LATTICE_DEAD;
    }
}

/* The probabilities of blanks, to every lane of their sample, which is made once: more is read than need be stored. */
inline_ void spread_blanks(const lattice *g, const void *y, void *blanks)
{
    const real *const blank = (const real *)y + 2 * g->pitch;
    const ireal *const blank_power = (const ireal *)(blank + LATTICE_MEMBERS);
    real *const m = blanks;
    ireal *const power = (ireal *)(m + g->pitch);
    for (size_t i = 0; i < g->members; i++) {
        const real b = blank[i];
        const ireal e = blank_power[i];
        for (size_t k = g->lane[i]; k < g->lane[i + 1]; k++) m[k] = b, power[k] = e;
    }
}

inline_ void forward(size_t lanes, size_t pitch, const void *restrict before, const void *restrict y,
                     const void *restrict blanks, const void *restrict skip, void *restrict alpha)
{
    const real *const bm = before, *const am = bm + pitch, *const pl = y, *const pb = blanks;
    const ireal *const be = (const ireal *)before + 2 * pitch, *const ae = be + pitch;
    const ireal *const pe = (const ireal *)y + pitch, *const qe = (const ireal *)blanks + pitch, *const over = skip;
    const state_row to = states(alpha, pitch);
    for (size_t at = 0; at < lanes; at += LATTICE_LANES) {
        INDEPENDENT
        for (size_t l = 0; l < LATTICE_LANES; l++) {
            const size_t k = at + l;
            const ireal stay = ae[k], step = be[k], left = (ae - 1)[k], jump = left + over[k];
            const ireal top = later(later(stay, step), jump), e = later(step, left);
            const real m = r_fma((am - 1)[k], power_down(jump - top),
                                 r_fma(bm[k], power_down(step - top), am[k] * power_down(stay - top)));
            const real n = r_fma((am - 1)[k], power_down(left - e), bm[k] * power_down(step - e));
            set_state(m * pl[k], top + pe[k], &to.label[k], &to.label_power[k]);
            set_state(n * pb[k], e + qe[k], &to.blank[k], &to.blank_power[k]);
        }
    }
}

/* alpha of a frame from that of the frame before: what reaches a state, times its probability y. */
static void lattice_forward(const lattice *g, const void *before, const void *y, void *blanks, void *alpha)
{
    spread_blanks(g, y, blanks);
    forward(g->lanes, g->pitch, before, y, blanks, g->skip, alpha);
}

inline_ void backward(size_t lanes, size_t pitch, const void *restrict after, const void *restrict y,
                      const void *restrict blanks, const void *restrict skip, void *restrict beta)
{
    const real *const bm = after, *const am = bm + pitch, *const pl = y, *const pb = blanks;
    const ireal *const be = (const ireal *)after + 2 * pitch, *const ae = be + pitch;
    const ireal *const pe = (const ireal *)y + pitch, *const qe = (const ireal *)blanks + pitch, *const over = skip;
    const state_row to = states(beta, pitch);
    for (size_t at = 0; at < lanes; at += LATTICE_LANES) {
        INDEPENDENT
        for (size_t l = 0; l < LATTICE_LANES; l++) {
            const size_t k = at + l, next = k + 1;
            const ireal stay = ae[k] + pe[k], step = be[next] + qe[next], jump = ae[next] + pe[next] + over[next];
            const ireal here = be[k] + qe[k], top = later(later(stay, step), jump), e = later(here, stay);
            const real own = am[k] * pl[k];
            const real m = r_fma(am[next] * pl[next], power_down(jump - top),
                                 r_fma(bm[next] * pb[next], power_down(step - top), own * power_down(stay - top)));
            const real n = r_fma(own, power_down(stay - e), bm[k] * pb[k] * power_down(here - e));
            set_state(m, top, &to.label[k], &to.label_power[k]);
            set_state(n, e, &to.blank[k], &to.blank_power[k]);
        }
    }
}

/* beta of the frame before from that of a frame with the probabilities y. */
static void lattice_backward(const lattice *g, const void *after, const void *y, void *blanks, void *beta)
{
    spread_blanks(g, y, blanks);
    backward(g->lanes, g->pitch, after, y, blanks, g->skip, beta);
}

/* The sum of alpha beta over the lanes of one sample, as mantissa 2^power; the power of no path is below
 * LATTICE_DEAD / 2. */
static double lattice_total(size_t lanes, size_t pitch, size_t lane, const void *alpha, const void *beta,
                            int64_t *power)
{
    const state_row a = states((void *)alpha, pitch), b = states((void *)beta, pitch);
    ireal top = 2 * LATTICE_DEAD;
    for (size_t k = lane; k < lane + lanes; k++) {
        top = later(top, a.blank_power[k] + b.blank_power[k]);
        top = later(top, a.label_power[k] + b.label_power[k]);
    }
    double sum = 0;
    for (size_t k = lane; k < lane + lanes; k++) {
        const ireal blank = a.blank_power[k] + b.blank_power[k] - top;
        const ireal label = a.label_power[k] + b.label_power[k] - top;
        sum += (double)a.blank[k] * (double)b.blank[k] * (double)power_down(blank);
        sum += (double)a.label[k] * (double)b.label[k] * (double)power_down(label);
    }
    *power = top;
    return top < LATTICE_DEAD / 2 ? 0 : sum;
}

static void lattice_powers(size_t lanes, int64_t power, void *powers)
{
    ireal *const p = powers;
    for (size_t k = 0; k < lanes; k++) p[k] = (ireal)power;
}

/* A sum in fixed lanes counted from the first element, wherever that stands; what comes behind the last may be read. */
inline_ real occupation_sum(size_t n, const real *x)
{
    enum { W = LATTICE_LANES };
    real sum[W] = {0};
    for (size_t k = 0; k < n; k += W) {
        const ireal left = (ireal)(n - k);
        for (ireal l = 0; l < W; l++) sum[l] += l < left ? x[k + (size_t)l] : 0;
    }
    real a[W / 2], b[W / 4], c[W / 8];
    for (size_t l = 0; l < W / 2; l++) a[l] = sum[l] + sum[l + W / 2];
    for (size_t l = 0; l < W / 4; l++) b[l] = a[l] + a[l + W / 4];
    for (size_t l = 0; l < W / 8; l++) c[l] = b[l] + b[l + W / 8];
    return c[0] + c[1];
}

inline_ void occupy(size_t lanes, state_row a, state_row b, const ireal *unit, real *label, real *blank)
{
    for (size_t at = 0; at < lanes; at += LATTICE_LANES) {
        INDEPENDENT
        for (size_t k = at; k < at + LATTICE_LANES; k++) {
            label[k] = a.label[k] * b.label[k] * power_down(a.label_power[k] + b.label_power[k] - unit[k]);
            blank[k] = a.blank[k] * b.blank[k] * power_down(a.blank_power[k] + b.blank_power[k] - unit[k]);
        }
    }
}

/* alpha beta of a frame in units of 2^power: of the labels, with the sum over the blanks in the lane after them, and of
 * the blanks.  factor[i] makes those of sample i add up to 1. */
static void lattice_occupation(const lattice *g, const void *alpha, const void *beta, void *label, void *blank,
                               double *factor)
{
    const size_t *const lane = g->lane;
    occupy(g->lanes, states((void *)alpha, g->pitch), states((void *)beta, g->pitch), g->power, label, blank);
    real *const of_label = label, *const of_blank = blank;
    for (size_t i = 0; i < g->members; i++) {
        const size_t n = lane[i + 1] - lane[i];
        const real blanks = occupation_sum(n, of_blank + lane[i]), labels = occupation_sum(n - 1, of_label + lane[i]);
        of_label[lane[i] + n - 1] = blanks;
        factor[i] = 1 / (double)(blanks + labels);
    }
}

/* grad[labels[k]] -= factor occupation[k]; a label that occurs again is met again. */
static void lattice_scatter(size_t n, const int32_t *labels, const void *occupation, double factor, void *grad)
{
    const real *const g = occupation;
    real *const out = grad;
    const real f = (real)factor;
    for (size_t k = 0; k < n; k++) out[labels[k]] -= f * g[k];
}

/* blank 0, label 0, blank 1, ... of n blanks and n - 1 labels, times factor */
static void lattice_interleave(size_t n, const void *label, const void *blank, double factor, void *out)
{
    const real *const l = label, *const b = blank;
    real *const o = out;
    const real f = (real)factor;
    for (size_t k = 0; k < n; k++) {
        o[2 * k] = f * b[k];
        if (k + 1 < n) o[2 * k + 1] = f * l[k];
    }
}
