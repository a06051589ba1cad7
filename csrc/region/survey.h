/* Masks are looked at in the order in which they stand in memory; only if something is wrong is the first such element
 * looked for.  Included by run.c alone. */
typedef struct {
    job *j;
    const lf_array *array;
    int by_class, searches; /* searches: for the first one, in an order that is known */
    int is_target, bytes;   /* targets are never NaN, predictions may be; bytes: whole numbers, one after another */
    lf_status status;
} survey;

/* The position of an element in the order of the caller's arrays. */
static size_t index_of(const survey *s, size_t i)
{
    const lf_region_call *const call = s->j->call;
    const size_t rows = call->samples * call->positions;
    return s->by_class ? i % rows * call->classes + i / rows : i;
}

static void survey_blocks(void *context, size_t first_block, size_t last_block)
{
    const survey *const s = context;
    job *const j = s->j;
    const lf_region_call *const call = j->call;
    const kernels *const k = lf_kernels(j->dtype);
    const size_t all = call->samples * call->positions * call->classes;
    const lf_domain unit = {.low = 0, .high = 1, .no_nan = s->is_target};
    lf_buffer buffer, lost;
    buffer.repeated = 0;
    for (size_t b = first_block; b < last_block; b++) {
        const size_t first = b * BLOCK, n = all - first < BLOCK ? all - first : BLOCK;
        if (s->bytes) {
            const unsigned char *const x = (const unsigned char *)s->array->data + first;
            unsigned char any = 0;
            for (size_t i = 0; i < n; i++) any |= x[i];
            if (any <= 1) continue;
        }
        const void *x = lf_read(s->array, j->dtype, first, n, &buffer);
        if (s->is_target && call->has_ignore) {
            if (x != buffer.block) x = memcpy(buffer.block, x, n * j->size);
            buffer.repeated = 0;
            k->region_lose(n, (double)call->ignore, buffer.block, lost.block);
        }
        size_t at = k->check(n, x, unit);
        if (at == n) continue;
        if (!s->searches) {
            report(j, s->status, 0);
            return;
        }
        for (; at < n; at++)
            if (k->check(1, (const char *)x + at * j->size, unit) == 0) report(j, s->status, index_of(s, first + at));
    }
}

/* An array's elements as they stand in memory, if they stand there one after another; else as they come. */
static void as_it_stands(lf_array *flat, const table *t, lf_dtype kernel)
{
    const lf_array *const a = &t->by_class;
    size_t shape[LF_MAX_NDIM];
    ptrdiff_t strides[LF_MAX_NDIM];
    *flat = *a;
    if (a->ndim == 1) return;
    for (int n = 0; n < a->ndim; n++) { /* by insertion: the largest strides first */
        int k = n;
        for (; k > 0 && strides[k - 1] < a->strides[n]; k--) shape[k] = shape[k - 1], strides[k] = strides[k - 1];
        shape[k] = a->shape[n], strides[k] = a->strides[n];
    }
    const lf_layout layout = {a->ndim, shape, strides};
    lf_open(flat, kernel, a->data, a->dtype, 0, &layout);
}

static lf_status survey_masks(job *j, const table *t, lf_status status)
{
    const lf_region_call *const call = j->call;
    const size_t all = call->samples * call->positions * call->classes, blocks = (all + BLOCK - 1) / BLOCK;
    const int is_target = status == LF_BAD_TARGET, in_order = t->by_row.ndim == 1;
    const int ignores = is_target && call->has_ignore;
    if (!all || (t->by_row.dtype == LF_BOOL && !ignores)) return LF_OK;
    lf_array flat;
    as_it_stands(&flat, t, j->dtype);
    survey s = {.j = j, .array = &flat, .is_target = is_target, .status = status};
    s.bytes = flat.ndim == 1 && flat.stride == 1 && flat.dtype == LF_U8 && !ignores;
    lf_status found = lf_parallel(blocks, BLOCK, &j->control, survey_blocks, &s);
    if (!found && j->status) {
        s.array = in_order ? &t->by_row : &t->by_class;
        s.by_class = !in_order, s.searches = 1, s.bytes = 0;
        j->status = LF_OK;
        found = lf_parallel(blocks, BLOCK, &j->control, survey_blocks, &s);
    }
    return j->status ? j->status : found;
}
