/* Edit distance by bit vectors: G. Myers, "A fast bit-vector algorithm for approximate string matching based on dynamic
 * programming", JACM 46 (1999) 395-415, doi:10.1145/316542.316550, in the form of H. Hyyro, "A bit-vector algorithm for
 * computing Levenshtein and Damerau edit distances", Nordic J. Computing 10 (2003) 29-39.
 *
 * With D(i, j) the distance of the first i symbols of the reference and the first j of the hypothesis, a word holds for
 * 64 rows i where D(i, j) - D(i - 1, j) is +1 ("plus") and where it is -1 ("minus").  Strips of so many words go through
 * the hypothesis one after another; what they leave for the next is D(i, j) - D(i, j - 1) in their last row.  Counts are
 * found by walking back along the words, which are then all kept. */
#include "reader.h"

#include <string.h>

enum { BITS = 64, WORDS = 8, STRIP = BITS * WORDS, SMALL = 256 };

typedef struct {
    int64_t symbol;
    int32_t id; /* 0: no entry */
} entry;

typedef struct {
    uint64_t plus[WORDS], minus[WORDS];
} column;

typedef struct {
    const lf_edit_call *call;
    size_t references, hypotheses, columns; /* the most of any pair */
    lf_places places;
} job;

typedef struct {
    size_t slots; /* a power of two */
    entry *table;
    int64_t *symbols[2];             /* of the reference and of the hypothesis */
    int32_t *reference, *hypothesis; /* their ids, from 1; 0: not in the reference */
    int32_t *row_of;                 /* of each id, in `match`; 0: not in this strip, or none is at work */
    uint64_t word[SMALL + 1];        /* of each id, where a reference of one word has it; 0 if none is at work */
    uint64_t (*match)[WORDS];        /* where the strip has a symbol */
    signed char *step;               /* D(i, j) - D(i, j - 1) above the strip, then below */
    column *columns;                 /* strip after strip, if there are counts */
} worker;

static size_t slots_for(size_t n)
{
    size_t slots = 16;
    while (slots < 2 * n) slots *= 2;
    return slots;
}

static arena lay_out(const job *j, char *base, worker *w)
{
    const size_t m = j->references;
    arena a = {.base = base};
    w->table = take(&a, slots_for(m), sizeof *w->table);
    w->symbols[0] = take(&a, m, sizeof(int64_t));
    w->symbols[1] = take(&a, j->hypotheses, sizeof(int64_t));
    w->reference = take(&a, m, sizeof *w->reference);
    w->hypothesis = take(&a, j->hypotheses, sizeof *w->hypothesis);
    w->row_of = take(&a, (m < SMALL ? SMALL : m) + 1, sizeof *w->row_of);
    w->match = take(&a, (m < STRIP ? m : STRIP) + 1, sizeof *w->match);
    w->step = take(&a, j->hypotheses, sizeof *w->step);
    w->columns = take(&a, j->columns, sizeof *w->columns);
    return a;
}

static lf_status open_job(job *j, const lf_edit_call *call)
{
    if (!call) return LF_BAD_ARGUMENT;
    *j = (job){.call = call};
    if (!call->pairs) return LF_OK;
    const int64_t *const reference = call->reference_starts, *const hypothesis = call->hypothesis_starts;
    if (!reference || !hypothesis || !call->distance || reference[0] < 0 || hypothesis[0] < 0) return LF_BAD_ARGUMENT;
    for (size_t p = 0; p < call->pairs; p++) {
        if (reference[p + 1] < reference[p] || hypothesis[p + 1] < hypothesis[p]) return LF_BAD_ARGUMENT;
        const size_t m = (size_t)(reference[p + 1] - reference[p]), n = (size_t)(hypothesis[p + 1] - hypothesis[p]);
        size_t columns;
        if (m >= INT32_MAX || __builtin_mul_overflow((m + STRIP - 1) / STRIP, n, &columns)) return LF_TOO_LARGE;
        j->references = m > j->references ? m : j->references;
        j->hypotheses = n > j->hypotheses ? n : j->hypotheses;
        j->columns = call->counts && columns > j->columns ? columns : j->columns;
    }
    const lf_in *const in[2] = {&call->references, &call->hypotheses};
    const size_t most[2] = {j->references, j->hypotheses};
    for (int i = 0; i < 2; i++)
        if (most[i] && (!in[i]->data || in[i]->layout || in[i]->dtype < LF_I8 || in[i]->dtype > LF_U64))
            return LF_BAD_ARGUMENT;
    return LF_OK;
}

lf_status lf_edit_workspace(const lf_edit_call *call, const lf_control *control, size_t *size)
{
    job j;
    worker unused;
    const lf_status status = size ? open_job(&j, call) : LF_BAD_ARGUMENT;
    if (status) return status;
    const arena one = lay_out(&j, NULL, &unused), shared = {0};
    return lf_places_size(&shared, &one, call->pairs, control, size);
}

/* --- Symbols ------------------------------------------------------------------------------------------------------ */

#define WIDEN_AT(type, step)                                                                                           \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        type x;                                                                                                        \
        memcpy(&x, from + (ptrdiff_t)i * (ptrdiff_t)(step), sizeof x);                                                 \
        to[i] = (int64_t)x;                                                                                            \
    }
#define WIDEN(name, type)                                                                                              \
    case name: WIDEN_AT(type, in.stride) break;

static const int64_t *widened(lf_in in, int64_t first, size_t n, int64_t *to)
{
    const char *const from = n ? (const char *)in.data + (ptrdiff_t)first * in.stride : NULL;
    if (in.dtype == LF_U8 && in.stride == 1) { /* most strings: by a loop that compilers vectorise */
        WIDEN_AT(uint8_t, 1)
        return to;
    }
    switch (in.dtype) {
        WIDEN(LF_I8, int8_t)
        WIDEN(LF_U8, uint8_t)
        WIDEN(LF_I16, int16_t)
        WIDEN(LF_U16, uint16_t)
        WIDEN(LF_I32, int32_t)
        WIDEN(LF_U32, uint32_t)
        WIDEN(LF_I64, int64_t)
        WIDEN(LF_U64, uint64_t)
    default: break;
    }
    return to;
}

static entry *look_up(const worker *w, int64_t symbol)
{
    const uint64_t mixed = (uint64_t)symbol * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(mixed ^ mixed >> 32) & (w->slots - 1);
    while (w->table[i].id && w->table[i].symbol != symbol) i = (i + 1) & (w->slots - 1);
    return &w->table[i];
}

/* Characters are their own numbers, as a rule. */
static int are_small(size_t n, const int64_t *symbols)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) all |= (uint64_t)symbols[i];
    return all < SMALL;
}

static void number_symbols(worker *w, size_t m, const int64_t *reference, size_t n, const int64_t *hypothesis)
{
    if (are_small(m, reference) && are_small(n, hypothesis)) {
        for (size_t i = 0; i < m; i++) w->reference[i] = (int32_t)(reference[i] % SMALL) + 1;
        for (size_t j = 0; j < n; j++) w->hypothesis[j] = (int32_t)(hypothesis[j] % SMALL) + 1;
        return;
    }
    int32_t ids = 0;
    w->slots = slots_for(m);
    memset(w->table, 0, w->slots * sizeof *w->table);
    for (size_t i = 0; i < m; i++) {
        entry *const e = look_up(w, reference[i]);
        if (!e->id) *e = (entry){reference[i], ++ids};
        w->reference[i] = e->id;
    }
    for (size_t j = 0; j < n; j++) w->hypothesis[j] = look_up(w, hypothesis[j])->id;
}

/* --- The distance ------------------------------------------------------------------------------------------------- */

/* Where D(i, j) - D(i, j - 1) is +1 and -1: in the row above a word, in bit 0, and in the rows of the last one. */
typedef struct {
    uint64_t up, down, right_up, right_down;
} border;

static inline __attribute__((always_inline)) void advance(uint64_t match, uint64_t *plus, uint64_t *minus, border *b)
{
    const uint64_t equal = match | b->down;
    const uint64_t zero = (((equal & *plus) + *plus) ^ *plus) | equal | *minus; /* D(i, j) = D(i - 1, j - 1) */
    b->right_up = *minus | ~(zero | *plus), b->right_down = *plus & zero;
    const uint64_t shifted_up = b->right_up << 1 | b->up, shifted_down = b->right_down << 1 | b->down;
    b->up = b->right_up >> (BITS - 1), b->down = b->right_down >> (BITS - 1);
    *plus = shifted_down | ~(zero | shifted_up);
    *minus = shifted_up & zero;
}

static int64_t growth_of(const border *b, size_t row)
{
    return (int64_t)(b->right_up >> row & 1) - (int64_t)(b->right_down >> row & 1);
}

/* A reference of one word: returns by how much its row `bottom` grows. */
static int64_t run_word(const worker *w, size_t bottom, size_t n, column *keep)
{
    uint64_t plus = ~(uint64_t)0, minus = 0;
    int64_t growth = 0;
    for (size_t j = 0; j < n; j++) {
        border b = {.up = 1};
        advance(w->word[w->hypothesis[j]], &plus, &minus, &b);
        growth += growth_of(&b, bottom);
        if (keep) keep[j].plus[0] = plus, keep[j].minus[0] = minus;
    }
    return growth;
}

static void match_strip(worker *w, size_t first, size_t rows)
{
    int32_t used = 0;
    memset(w->match[0], 0, sizeof w->match[0]);
    for (size_t i = 0; i < rows; i++) {
        int32_t *const row = &w->row_of[w->reference[first + i]];
        if (!*row) {
            *row = ++used;
            memset(w->match[used], 0, sizeof w->match[used]);
        }
        w->match[*row][i / BITS] |= (uint64_t)1 << i % BITS;
    }
}

static const uint64_t *match_of(const worker *w, size_t j) { return w->match[w->row_of[w->hypothesis[j]]]; }

static border border_at(const worker *w, size_t j) { return (border){.up = w->step[j] > 0, .down = w->step[j] < 0}; }

static int64_t leave_border(worker *w, size_t j, const border *b, size_t bottom)
{
    w->step[j] = (signed char)((int)b->up - (int)b->down);
    return growth_of(b, bottom);
}

static inline __attribute__((always_inline)) void advance_word(column *c, const uint64_t *match, size_t k, border *b,
                                                               column *keep)
{
    advance(match[k], &c->plus[k], &c->minus[k], b);
    if (keep) keep->plus[k] = c->plus[k], keep->minus[k] = c->minus[k];
}

/* One strip through the hypothesis; returns by how much its last row grows.  Two columns at a time, the second a word
 * behind: alone each would wait for the carry of its word before. */
static int64_t run_strip(worker *w, size_t rows, size_t n, column *keep)
{
    const size_t words = (rows + BITS - 1) / BITS, bottom = (rows - 1) % BITS;
    column c;
    memset(c.plus, -1, sizeof c.plus);
    memset(c.minus, 0, sizeof c.minus);
    int64_t growth = 0;
    size_t j = 0;
    for (; j + 1 < n; j += 2) {
        const uint64_t *const match = match_of(w, j), *const next_match = match_of(w, j + 1);
        column *const kept = keep ? keep + j : NULL, *const next_kept = keep ? keep + j + 1 : NULL;
        border b = border_at(w, j), next = border_at(w, j + 1);
        advance_word(&c, match, 0, &b, kept);
        for (size_t k = 1; k < words; k++) {
            advance_word(&c, match, k, &b, kept);
            advance_word(&c, next_match, k - 1, &next, next_kept);
        }
        advance_word(&c, next_match, words - 1, &next, next_kept);
        growth += leave_border(w, j, &b, bottom) + leave_border(w, j + 1, &next, bottom);
    }
    if (j < n) {
        border b = border_at(w, j);
        for (size_t k = 0; k < words; k++) advance_word(&c, match_of(w, j), k, &b, keep ? keep + j : NULL);
        growth += leave_border(w, j, &b, bottom);
    }
    return growth;
}

/* Substitutions, deletions and insertions. */
static void walk_back(const worker *w, size_t m, size_t n, int64_t *counts)
{
    size_t i = m, j = n;
    while (i && j) {
        const size_t row = i - 1, strip = row / STRIP, word = row % STRIP / BITS, bit = row % BITS;
        const column *const here = &w->columns[strip * n + j - 1];
        if (here->plus[word] >> bit & 1) {
            counts[1]++, i--;
            continue;
        }
        j--;
        if (j && (here[-1].minus[word] >> bit & 1))
            counts[2]++;
        else
            counts[0] += w->reference[--i] != w->hypothesis[j];
    }
    counts[1] += (int64_t)i, counts[2] += (int64_t)j;
}

static void do_pair(worker *w, const lf_edit_call *call, size_t pair, const int64_t *reference, size_t m,
                    const int64_t *hypothesis, size_t n)
{
    int64_t *const counts = call->counts ? call->counts + 3 * pair : NULL;
    for (; m && n && *reference == *hypothesis; m--, n--) reference++, hypothesis++;
    for (; m && n && reference[m - 1] == hypothesis[n - 1]; m--) n--;
    if (counts) counts[0] = 0, counts[1] = n ? 0 : (int64_t)m, counts[2] = m ? 0 : (int64_t)n;
    call->distance[pair] = (int64_t)(m + n);
    if (!m || !n) return;
    number_symbols(w, m, reference, n, hypothesis);
    if (m <= BITS) {
        for (size_t i = 0; i < m; i++) w->word[w->reference[i]] |= (uint64_t)1 << i;
        call->distance[pair] = (int64_t)m + run_word(w, m - 1, n, counts ? w->columns : NULL);
        for (size_t i = 0; i < m; i++) w->word[w->reference[i]] = 0;
    } else {
        memset(w->step, 1, n);
        for (size_t first = 0; first < m; first += STRIP) {
            const size_t rows = m - first < STRIP ? m - first : STRIP;
            match_strip(w, first, rows);
            call->distance[pair] = (int64_t)m + run_strip(w, rows, n, counts ? w->columns + first / STRIP * n : NULL);
            for (size_t i = 0; i < rows; i++) w->row_of[w->reference[first + i]] = 0;
        }
    }
    if (counts) walk_back(w, m, n, counts);
}

static void do_pairs(void *context, size_t first, size_t last)
{
    job *const j = context;
    const lf_edit_call *const call = j->call;
    worker w;
    char *const place = lf_take_place(&j->places);
    lay_out(j, place, &w);
    memset(w.word, 0, sizeof w.word);
    memset(w.row_of, 0, ((j->references < SMALL ? SMALL : j->references) + 1) * sizeof *w.row_of);
    for (size_t p = first; p < last; p++) {
        const int64_t r = call->reference_starts[p], h = call->hypothesis_starts[p];
        const size_t m = (size_t)(call->reference_starts[p + 1] - r), n = (size_t)(call->hypothesis_starts[p + 1] - h);
        do_pair(&w, call, p, widened(call->references, r, m, w.symbols[0]), m,
                widened(call->hypotheses, h, n, w.symbols[1]), n);
    }
    lf_leave_place(&j->places, place);
}

lf_status lf_edit(const lf_edit_call *call, void *workspace, size_t size, const lf_control *control)
{
    job j;
    worker unused;
    lf_control mine;
    const lf_status status = open_job(&j, call);
    if (status) return status;
    if (!call->pairs) return LF_OK;
    const arena one = lay_out(&j, NULL, &unused), shared = {0};
    if (!lf_open_places(&j.places, workspace, size, &shared, &one, control, &mine)) return LF_BAD_ARGUMENT;
    double work = 0; /* words of bits, and symbols */
    for (size_t p = 0; p < call->pairs; p++) {
        const double m = (double)(call->reference_starts[p + 1] - call->reference_starts[p]);
        const double n = (double)(call->hypothesis_starts[p + 1] - call->hypothesis_starts[p]);
        work += m * n / 4 + 16 * (m + n);
    }
    const size_t cost = (size_t)(work / (double)call->pairs) + 1;
    return lf_parallel(call->pairs, cost, &mine, do_pairs, &j);
}
