/* Masks as the kernels want them: some classes of some positions of one sample, each class a plane, in place or copied.
 * Included by run.c alone. */

/* An array of samples x positions x classes. */
typedef struct {
    int wanted;
    lf_array by_row, by_class;         /* in its own order, and with the classes first */
    int apart;                         /* the positions of a class of a sample are contiguous */
    int planes;                        /* ... in the kernels' dtype */
    int rows;                          /* else the classes of a position are, one position after another */
    ptrdiff_t sample_step, class_step; /* of planes: in bytes */
} table;

/* Class k, position l: element k * step + l. */
typedef struct {
    char *data;
    ptrdiff_t step;
} view;

/* A stretch of a sample: n positions and some of the classes; n is `full` but for the last run. */
typedef struct {
    size_t sample, position, n, full, first_class, classes;
} stretch;

static int open_table(const lf_region_call *call, lf_dtype dtype, table *t, lf_in in)
{
    const size_t size = lf_itemsize(dtype), shape3[3] = {call->samples, call->positions, call->classes};
    const ptrdiff_t step = in.stride, row = (ptrdiff_t)call->classes * step;
    const ptrdiff_t strides3[3] = {(ptrdiff_t)call->positions * row, row, step};
    const lf_layout plain = {3, shape3, strides3}, *const layout = in.layout ? in.layout : &plain;
    t->wanted = in.data != NULL;
    if (!t->wanted) return 1;
    const int last = layout->ndim - 1;
    if (last < 1 || last >= LF_MAX_NDIM || layout->shape[0] != call->samples || layout->shape[last] != call->classes)
        return 0;
    size_t shape[LF_MAX_NDIM];
    ptrdiff_t strides[LF_MAX_NDIM];
    shape[0] = layout->shape[last];
    strides[0] = layout->strides[last];
    for (int k = 0; k < last; k++) shape[k + 1] = layout->shape[k], strides[k + 1] = layout->strides[k];
    const lf_layout turned = {layout->ndim, shape, strides};
    const lf_layout plane = {last - 1, layout->shape + 1, layout->strides + 1};
    lf_array a;
    if (!lf_open(&t->by_row, dtype, in.data, in.dtype, 0, layout) ||
        !lf_open(&a, dtype, in.data, in.dtype, 0, &plane) ||
        !lf_open(&t->by_class, dtype, in.data, in.dtype, 0, &turned))
        return 0;
    const ptrdiff_t item = (ptrdiff_t)lf_itemsize(in.dtype);
    t->sample_step = layout->strides[0];
    t->class_step = layout->strides[last];
    t->apart = a.ndim == 1 && a.stride == item;
    t->planes = a.in_place && t->sample_step % (ptrdiff_t)size == 0 && t->class_step % (ptrdiff_t)size == 0;
    t->rows = !t->apart && call->classes > 1 && t->by_row.ndim == 1 && t->by_row.stride == item;
    return 1;
}

static char *plane_at(const table *t, const stretch *s, size_t size)
{
    return t->by_row.data + (ptrdiff_t)s->sample * t->sample_step + (ptrdiff_t)s->first_class * t->class_step +
           (ptrdiff_t)(s->position * size);
}

static view planes_in(void *room, const stretch *s) { return (view){room, (ptrdiff_t)s->full}; }

/* Where elements are or are to be: in the array itself, or in a room. */
static view place(const table *t, const stretch *s, size_t size, void *room)
{
    if (!t->planes || s->n != s->full) return planes_in(room, s);
    return (view){plane_at(t, s, size), t->class_step / (ptrdiff_t)size};
}

static char *plane(view v, size_t k, size_t size) { return v.data + (ptrdiff_t)k * v.step * (ptrdiff_t)size; }

/* The elements of a stretch, in place unless they are to be changed; what fills up the last run is 0. */
static view read_stretch(const table *t, const stretch *s, const lf_region_call *call, lf_dtype dtype, int changes,
                         void *room, void *flat)
{
    const kernels *const k = lf_kernels(dtype);
    const size_t size = lf_itemsize(dtype), all = call->classes;
    const size_t row = s->sample * call->positions + s->position;
    const view there = place(t, s, size, room), copy = planes_in(room, s);
    if (there.data != room && !changes) return there;
    for (size_t g = 0; t->rows && s->classes == all && g < s->full; g += TILE) {
        const size_t n = s->n - g < TILE ? s->n - g : TILE, at = (row + g) * all;
        const char *from = t->by_row.data + at * size;
        if (g >= s->n) {
            for (size_t c = 0; c < all; c++) memset(plane(copy, c, size) + g * size, 0, TILE * size);
            continue;
        }
        if (!t->by_row.in_place) {
            lf_load(&t->by_row, dtype, at, n * all, flat);
            from = flat;
        }
        k->into_tile(n, all, from, s->full, copy.data + g * size);
    }
    if (t->rows && s->classes == all) return copy;
    for (size_t c = 0; c < s->classes; c++) {
        char *const to = plane(copy, c, size);
        const size_t at = (s->first_class + c) * call->samples * call->positions + row;
        if (t->planes)
            memcpy(to, plane_at(t, s, size) + (ptrdiff_t)c * t->class_step, s->n * size);
        else
            lf_load(&t->by_class, dtype, at, s->n, to);
        memset(to + s->n * size, 0, (s->full - s->n) * size);
    }
    return copy;
}

/* A result that was formed in a room, where `place` told, to where it belongs. */
static void write_stretch(const table *t, const stretch *s, const lf_region_call *call, lf_dtype dtype, view v,
                          const void *room, void *flat)
{
    const kernels *const k = lf_kernels(dtype);
    const size_t size = lf_itemsize(dtype), all = call->classes;
    const size_t row = s->sample * call->positions + s->position;
    if (v.data != room) return;
    for (size_t g = 0; t->rows && s->classes == all && g < s->n; g += TILE) {
        const size_t n = s->n - g < TILE ? s->n - g : TILE, at = (row + g) * all;
        if (t->by_row.in_place)
            k->out_of_tile(n, all, v.data + g * size, s->full, t->by_row.data + at * size);
        else {
            k->out_of_tile(n, all, v.data + g * size, s->full, flat);
            lf_write(&t->by_row, dtype, at, n * all, flat);
        }
    }
    if (t->rows && s->classes == all) return;
    for (size_t c = 0; c < s->classes; c++) {
        const size_t at = (s->first_class + c) * call->samples * call->positions + row;
        if (t->planes)
            memcpy(plane_at(t, s, size) + (ptrdiff_t)c * t->class_step, plane(v, c, size), s->n * size);
        else
            lf_write(&t->by_class, dtype, at, s->n, plane(v, c, size));
    }
}
