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

enum { BITS = 64, WORDS = 8, STRIP = BITS * WORDS };

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
    int32_t *reference, *hypothesis; /* ids of the symbols, from 1; 0: not in the reference */
    int32_t *row_of;                 /* of each id, in `match`; 0: not in this strip */
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
    w->reference = take(&a, m, sizeof *w->reference);
    w->hypothesis = take(&a, j->hypotheses, sizeof *w->hypothesis);
    w->row_of = take(&a, m + 1, sizeof *w->row_of);
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
    const int missing = (j->references && !call->references) || (j->hypotheses && !call->hypotheses);
    return missing ? LF_BAD_ARGUMENT : LF_OK;
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

static entry *look_up(const worker *w, int64_t symbol)
{
    const uint64_t mixed = (uint64_t)symbol * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(mixed ^ mixed >> 32) & (w->slots - 1);
    while (w->table[i].id && w->table[i].symbol != symbol) i = (i + 1) & (w->slots - 1);
    return &w->table[i];
}

static void number_symbols(worker *w, size_t m, const int64_t *reference, size_t n, const int64_t *hypothesis)
{
    int32_t ids = 0;
    w->slots = slots_for(m);
    memset(w->table, 0, w->slots * sizeof *w->table);
    for (size_t i = 0; i < m; i++) {
        entry *const e = look_up(w, reference[i]);
        if (!e->id) *e = (entry){reference[i], ++ids};
        w->reference[i] = e->id;
    }
    for (size_t j = 0; j < n; j++) w->hypothesis[j] = look_up(w, hypothesis[j])->id;
    memset(w->row_of, 0, ((size_t)ids + 1) * sizeof *w->row_of);
}

/* --- The distance ------------------------------------------------------------------------------------------------- */

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

/* One strip through the hypothesis; returns by how much the last row's D grows along it. */
static int64_t run_strip(worker *w, size_t rows, size_t n, column *keep)
{
    const size_t words = (rows + BITS - 1) / BITS, bottom = (rows - 1) % BITS;
    column c;
    memset(c.plus, -1, sizeof c.plus);
    memset(c.minus, 0, sizeof c.minus);
    int64_t growth = 0;
    for (size_t j = 0; j < n; j++) {
        const uint64_t *const match = w->match[w->row_of[w->hypothesis[j]]];
        uint64_t up = w->step[j] > 0, down = w->step[j] < 0; /* of the row above */
        for (size_t k = 0; k < words; k++) {
            const uint64_t plus = c.plus[k], minus = c.minus[k], equal = match[k] | down;
            const uint64_t zero = (((equal & plus) + plus) ^ plus) | equal | minus; /* D(i, j) = D(i - 1, j - 1) */
            const uint64_t right_up = minus | ~(zero | plus), right_down = plus & zero;
            const size_t last = k + 1 < words ? BITS - 1 : bottom;
            const uint64_t shifted_up = right_up << 1 | up, shifted_down = right_down << 1 | down;
            up = right_up >> last & 1, down = right_down >> last & 1;
            c.plus[k] = shifted_down | ~(zero | shifted_up);
            c.minus[k] = shifted_up & zero;
        }
        w->step[j] = (signed char)((int)up - (int)down);
        growth += w->step[j];
        if (keep) keep[j] = c;
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
    memset(w->step, 1, n);
    for (size_t first = 0; first < m; first += STRIP) {
        const size_t rows = m - first < STRIP ? m - first : STRIP;
        match_strip(w, first, rows);
        call->distance[pair] = (int64_t)m + run_strip(w, rows, n, counts ? w->columns + first / STRIP * n : NULL);
        for (size_t i = 0; i < rows; i++) w->row_of[w->reference[first + i]] = 0;
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
    for (size_t p = first; p < last; p++) {
        const int64_t reference = call->reference_starts[p], hypothesis = call->hypothesis_starts[p];
        do_pair(&w, call, p, call->references + reference, (size_t)(call->reference_starts[p + 1] - reference),
                call->hypotheses + hypothesis, (size_t)(call->hypothesis_starts[p + 1] - hypothesis));
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
