/* libFuzzer target of connectionist temporal classification: tests/fuzz/run.
 *
 * Any bytes become a call: sizes, lengths and labels may be wrong, logits anything, arrays laid out in several ways, and
 * every array is an allocation of its own and exactly as long as it has to be. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const lf_dtype integers[] = {LF_I8, LF_U8, LF_I16, LF_U16, LF_I32, LF_U32, LF_I64, LF_U64};
    bytes b = {data, size};
    const unsigned flags = next(&b), more = next(&b);
    const lf_dtype dtype = flags & 1 ? LF_F64 : LF_F32, given = more & 1 ? LF_F64 : LF_F32;
    const int time_major = flags >> 1 & 1, concatenated = flags >> 2 & 1, in_place = flags >> 3 & 1;
    const int posteriors = flags >> 4 & 1, log_probabilities = flags >> 5 & 1, lengths = flags >> 6 & 1;
    const unsigned large = next(&b) < 16;
    const size_t samples = next(&b) % (large ? 20 : 4), frames = next(&b) % (large ? 150 : 12), most = next(&b) % 7;
    const size_t classes = flags >> 7 ? 1 + next(&b) % 7 : 1 + next(&b) % (large ? 256 : 32);
    const int64_t blank = (int64_t)(next(&b) % 9) - (more >> 1 & 1);
    const lf_dtype integer = integers[more >> 2 & 7];
    if (samples * frames * classes > 4000) return 0;

    const size_t item = lf_itemsize(given), all = samples * frames * classes, width = 2 * most + 1;
    int64_t *const label_length = filled(samples * sizeof *label_length);
    int64_t *const logit_length = filled(samples * sizeof *logit_length);
    size_t sum = 0;
    for (size_t i = 0; i < samples; i++) {
        const unsigned x = next(&b), y = next(&b);
        label_length[i] = x == 255 ? -1 : x == 254 ? INT64_MAX : (int64_t)(x % (most + 1 + (x > 250)));
        logit_length[i] = y == 255 ? -1 : y == 254 ? INT64_MIN : (int64_t)(y % (frames + 1 + (y > 250)));
        if (label_length[i] > 0 && label_length[i] < 1000) sum += (size_t)label_length[i];
    }
    const size_t nlabels = concatenated ? sum + (more >> 5 & 1) : samples * most;
    char *const labels = filled(nlabels * lf_itemsize(integer));
    for (size_t i = 0; i < nlabels * lf_itemsize(integer); i++)
        labels[i] = (char)(i % lf_itemsize(integer) == 0 ? next(&b) % 8 : next(&b) > 250 ? 255 : 0);
    char *const logits = filled(all * item), *const grad = in_place ? logits : filled(all * item);
    for (size_t i = 0; i < all; i++)
        if (given == LF_F64)
            ((double *)logits)[i] = logit(&b);
        else
            ((float *)logits)[i] = (float)logit(&b);
    double *const value = filled(samples * sizeof *value);
    char *const occupation = filled(samples * frames * width * item);
    double *const scale = filled(samples * sizeof *scale);
    for (size_t i = 0; i < samples; i++) scale[i] = next(&b) / 16.0;

    const size_t shape[3] = {samples, frames, classes};
    const ptrdiff_t pitch = (ptrdiff_t)(classes * item);
    const ptrdiff_t strides[3] = {time_major ? pitch : (ptrdiff_t)frames * pitch,
                                  time_major ? (ptrdiff_t)samples * pitch : pitch, (ptrdiff_t)item};
    const lf_layout layout = {3, shape, strides};
    const lf_ctc_call call = {
        .samples = samples,
        .frames = frames,
        .classes = classes,
        .logits = {logits, given, 0, &layout},
        .log_probabilities = log_probabilities,
        .labels = lf_vector(labels, integer),
        .max_labels = most,
        .nlabels = nlabels,
        .concatenated = concatenated,
        .label_lengths = {lengths || concatenated ? label_length : NULL, LF_I64, sizeof *label_length, NULL},
        .logit_lengths = {lengths ? logit_length : NULL, LF_I64, sizeof *logit_length, NULL},
        .blank = blank,
        .scale = {more >> 6 & 1 ? scale : NULL, LF_F64, sizeof *scale, NULL},
        .value = lf_output(value, LF_F64),
        .grad = {grad, given, 0, &layout},
        .posteriors = lf_output(posteriors ? occupation : NULL, given),
    };
    const lf_control control = {.nthreads = 1 + (more >> 7)};
    lf_failure failure = {0};
    size_t room = 0;
    lf_status status = lf_ctc_workspace(dtype, &call, &control, &room, &failure);
    if (!status) {
        char *const workspace = malloc(room);
        memset(workspace, (int)next(&b), room < 4096 ? room : 4096);
        status = lf_ctc_run(dtype, &call, workspace, room, &control, &failure);
        free(workspace);
    }
    if (status) {
        REQUIRE(untouched(value, samples * sizeof *value));
        REQUIRE(in_place || untouched(grad, all * item));
    }
    for (size_t i = 0; i < samples && !status; i++) {
        const double v = value[i];
        REQUIRE(v != -INFINITY);
        for (size_t t = 0; t < frames; t++)
            for (size_t k = 0; k < classes; k++) {
                const char *const at =
                    grad + (ptrdiff_t)i * strides[0] + (ptrdiff_t)t * strides[1] + (ptrdiff_t)(k * item);
                const double g = given == LF_F64 ? *(const double *)at : (double)*(const float *)at;
                REQUIRE(isnan(v) || isfinite(g));
                REQUIRE(v != INFINITY || g == 0);
            }
    }
    free(label_length), free(logit_length), free(labels), free(logits), free(value), free(occupation), free(scale);
    if (!in_place) free(grad);
    return 0;
}
