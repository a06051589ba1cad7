/* libFuzzer target of what searches for paths through frames, and of edit distance: tests/fuzz/run.
 *
 * Any bytes become a call of each: sizes, lengths and labels may be wrong, logits anything, every array is an allocation
 * of its own and exactly as long as it has to be, and what is found must make sense. */
#include "fuzz.h"

static void *workspace_of(size_t room, unsigned rubbish)
{
    void *const workspace = malloc(room);
    memset(workspace, (int)rubbish, room < 8192 ? room : 8192);
    return workspace;
}

static size_t frames_of(const lf_ctc_input *in, size_t i)
{
    return in->logit_lengths ? (size_t)in->logit_lengths[i] : in->frames;
}

static int is_label(const lf_ctc_input *in, int64_t label)
{
    return label >= 0 && label < (int64_t)in->classes && label != in->blank;
}

static void greedy(lf_dtype dtype, const lf_ctc_input *in, const lf_control *control, unsigned rubbish)
{
    const size_t n = in->samples;
    int64_t *const labels = filled(n * in->frames * 8), *const lengths = filled(n * 8);
    double *const log_p = filled(n * 8);
    const lf_ctc_greedy_call call = {*in, labels, lengths, log_p};
    lf_failure failure = {0};
    size_t room = 0;
    lf_status status = lf_ctc_greedy_workspace(dtype, &call, control, &room, &failure);
    if (!status) {
        void *const workspace = workspace_of(room, rubbish);
        status = lf_ctc_greedy(dtype, &call, workspace, room, control, &failure);
        free(workspace);
        REQUIRE(!status);
    }
    if (status) REQUIRE(untouched(lengths, n * 8) && untouched(log_p, n * 8));
    for (size_t i = 0; i < n && !status; i++) {
        REQUIRE(lengths[i] >= 0 && (size_t)lengths[i] <= frames_of(in, i));
        for (int64_t k = 0; k < lengths[i]; k++) REQUIRE(is_label(in, labels[i * in->frames + (size_t)k]));
    }
    free(labels), free(lengths), free(log_p);
}

static void beam(lf_dtype dtype, const lf_ctc_input *in, const lf_control *control, bytes *b)
{
    const size_t width = next(b) % 9, top = next(b) % 4, n = in->samples * top;
    const unsigned x = next(b);
    int64_t *const labels = filled(n * in->frames * 8), *const lengths = filled(n * 8);
    double *const log_p = filled(n * 8);
    const lf_ctc_beam_call call = {*in,    width,   top,  x < 128 ? -INFINITY : -(double)(x - 128) / 8,
                                   labels, lengths, log_p};
    lf_failure failure = {0};
    size_t room = 0;
    lf_status status = lf_ctc_beam_workspace(dtype, &call, control, &room, &failure);
    if (!status) {
        void *const workspace = workspace_of(room, x);
        status = lf_ctc_beam(dtype, &call, workspace, room, control, &failure);
        free(workspace);
        REQUIRE(!status);
    }
    if (status) REQUIRE(untouched(lengths, n * 8) && untouched(log_p, n * 8));
    for (size_t i = 0; i < n && !status; i++) {
        REQUIRE(lengths[i] >= 0 && (size_t)lengths[i] <= frames_of(in, i / top));
        REQUIRE(i % top == 0 || isnan(log_p[i]) || log_p[i] <= log_p[i - 1]);
        for (int64_t k = 0; k < lengths[i]; k++) REQUIRE(is_label(in, labels[i * in->frames + (size_t)k]));
        for (size_t k = i / top * top; k < i; k++) { /* no hypothesis comes twice */
            const size_t size = (size_t)lengths[i] * 8;
            REQUIRE(!(log_p[i] > -INFINITY) || lengths[k] != lengths[i] ||
                    memcmp(labels + k * in->frames, labels + i * in->frames, size));
        }
    }
    free(labels), free(lengths), free(log_p);
}

static void align(lf_dtype dtype, const lf_ctc_input *in, const lf_control *control, bytes *b)
{
    const size_t n = in->samples, most = next(b) % 7, frames = n * in->frames;
    const int tight = next(b) % 2;
    int64_t *const starts = malloc(n * 8 + 1), *const counts = malloc(n * 8 + 1);
    size_t nlabels = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned x = next(b);
        counts[i] = x == 255 ? -1 : x == 254 ? INT64_MAX : (int64_t)(x % (most + 1));
        starts[i] = x == 253 ? INT64_MIN : x == 252 ? INT64_MAX : tight ? (int64_t)nlabels : (int64_t)(i * most);
        nlabels += tight && counts[i] > 0 && counts[i] < 100 ? (size_t)counts[i] : 0;
    }
    if (!tight) nlabels = n * most;
    int64_t *const labels = malloc(nlabels * 8 + 1);
    for (size_t i = 0; i < nlabels; i++) {
        const unsigned x = next(b);
        labels[i] = x == 255 ? INT64_MIN : x == 254 ? 1LL << 32 : (int64_t)(x % 8);
    }
    int64_t *const path = filled(frames * 8), *const position = filled(frames * 8);
    int64_t *const start = filled(nlabels * 8), *const end = filled(nlabels * 8);
    double *const frame_score = filled(frames * 8), *const score = filled(nlabels * 8), *const log_p = filled(n * 8);
    const lf_ctc_align_call call = {*in,      nlabels,     labels, starts, counts, path,
                                    position, frame_score, start,  end,    score,  log_p};
    lf_failure failure = {0};
    size_t room = 0;
    lf_status status = lf_ctc_align_workspace(dtype, &call, control, &room, &failure);
    if (!status) {
        void *const workspace = workspace_of(room, next(b));
        status = lf_ctc_align(dtype, &call, workspace, room, control, &failure);
        free(workspace);
        REQUIRE(!status);
    }
    if (status) REQUIRE(untouched(path, frames * 8) && untouched(start, nlabels * 8) && untouched(log_p, n * 8));
    for (size_t i = 0; i < n && !status; i++) {
        const size_t own = log_p[i] > -INFINITY ? frames_of(in, i) : 0, at = i * in->frames;
        size_t k = 0; /* labels that the path has spelled */
        for (size_t t = 0; t < in->frames; t++) {
            const int64_t p = position[at + t];
            REQUIRE(t < own ? p >= -1 && p < counts[i] : p == -2 && path[at + t] == -1 && isnan(frame_score[at + t]));
            if (t >= own) continue;
            REQUIRE(path[at + t] == (p < 0 ? in->blank : labels[starts[i] + p]));
            if (p >= 0 && (size_t)p == k) {
                REQUIRE(start[starts[i] + p] == (int64_t)t);
                k++;
            }
            REQUIRE(p < 0 || (size_t)p + 1 == k);
        }
        REQUIRE(!own || k == (size_t)counts[i]);
    }
    free(starts), free(counts), free(labels), free(path), free(position), free(start), free(end);
    free(frame_score), free(score), free(log_p);
}

static void edit(const lf_control *control, bytes *b)
{
    const size_t pairs = next(b) % 4;
    const unsigned alphabet = 1 + next(b) % 5, longer = next(b) < 8 ? 40 : 1, counted = next(b) % 2;
    int64_t *const starts[2] = {malloc((pairs + 1) * 8), malloc((pairs + 1) * 8)};
    int64_t *symbols[2];
    for (int side = 0; side < 2; side++) {
        starts[side][0] = 0;
        for (size_t i = 0; i < pairs; i++) starts[side][i + 1] = starts[side][i] + next(b) % 18 * longer;
        const size_t all = (size_t)starts[side][pairs];
        symbols[side] = malloc(all * 8 + 1);
        for (size_t i = 0; i < all; i++)
            symbols[side][i] = (int64_t)((uint64_t)(next(b) % alphabet) << (i % 2 ? 0 : 62));
        if (pairs && next(b) == 255) starts[side][next(b) % (pairs + 1)] = -1;
    }
    int64_t *const distance = filled(pairs * 8), *const counts = filled(pairs * 24);
    const lf_edit_call call = {.pairs = pairs,
                               .references = lf_vector(symbols[0], LF_I64),
                               .hypotheses = lf_vector(symbols[1], LF_I64),
                               .reference_starts = starts[0],
                               .hypothesis_starts = starts[1],
                               .distance = distance,
                               .counts = counted ? counts : NULL};
    size_t room = 0;
    lf_status status = lf_edit_workspace(&call, control, &room);
    if (!status) {
        void *const workspace = workspace_of(room, alphabet);
        status = lf_edit(&call, workspace, room, control);
        free(workspace);
        REQUIRE(!status);
    }
    if (status) REQUIRE(untouched(distance, pairs * 8));
    for (size_t i = 0; i < pairs && !status; i++) {
        const int64_t m = starts[0][i + 1] - starts[0][i], n = starts[1][i + 1] - starts[1][i];
        REQUIRE(distance[i] >= (m > n ? m - n : n - m) && distance[i] <= (m > n ? m : n));
        const int64_t *const c = counts + 3 * i;
        REQUIRE(!counted ||
                (c[0] >= 0 && c[1] >= 0 && c[2] >= 0 && c[0] + c[1] + c[2] == distance[i] && c[1] - c[2] == m - n));
    }
    for (int side = 0; side < 2; side++) free(starts[side]), free(symbols[side]);
    free(distance), free(counts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b = {data, size};
    const unsigned flags = next(&b), more = next(&b);
    const lf_control control = {.nthreads = 1 + (more >> 7)};
    if (more % 4 == 3) {
        edit(&control, &b);
        return 0;
    }
    const lf_dtype dtype = flags & 1 ? LF_F64 : LF_F32, given = flags & 2 ? LF_F64 : LF_F32;
    const int time_major = flags >> 2 & 1, log_probabilities = flags >> 3 & 1, lengths = flags >> 4 & 1;
    const unsigned large = flags >> 5 == 0;
    const size_t samples = next(&b) % (large ? 10 : 4), frames = next(&b) % (large ? 150 : 12);
    const size_t classes = 1 + next(&b) % (large ? 256 : 9);
    if (samples * frames * classes > 4000) return 0;
    const size_t item = lf_itemsize(given), all = samples * frames * classes;
    int64_t *const logit_length = malloc(samples * sizeof *logit_length + 1);
    for (size_t i = 0; i < samples; i++) {
        const unsigned x = next(&b);
        logit_length[i] = x == 255 ? -1 : x == 254 ? INT64_MIN : (int64_t)(x % (frames + 1 + (x > 250)));
    }
    char *const logits = malloc(all * item + 1);
    for (size_t i = 0; i < all; i++)
        if (given == LF_F64)
            ((double *)logits)[i] = logit(&b);
        else
            ((float *)logits)[i] = (float)logit(&b);
    const size_t shape[3] = {samples, frames, classes};
    const ptrdiff_t pitch = (ptrdiff_t)(classes * item);
    const ptrdiff_t strides[3] = {time_major ? pitch : (ptrdiff_t)frames * pitch,
                                  time_major ? (ptrdiff_t)samples * pitch : pitch, (ptrdiff_t)item};
    const lf_layout layout = {3, shape, strides};
    const lf_ctc_input in = {samples,
                             frames,
                             classes,
                             {logits, given, 0, &layout},
                             log_probabilities,
                             lengths ? logit_length : NULL,
                             (int64_t)(next(&b) % 9) - (more >> 6 & 1)};
    if (more % 4 == 0) greedy(dtype, &in, &control, next(&b));
    if (more % 4 == 1) beam(dtype, &in, &control, &b);
    if (more % 4 == 2) align(dtype, &in, &control, &b);
    free(logit_length), free(logits);
    return 0;
}
