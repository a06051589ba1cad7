#include "columns.h"

int lf_open_columns(columns *c, lf_dtype dtype, const lf_in in[EDGES])
{
    const size_t size = lf_itemsize(dtype);
    c->wanted = in[0].data != NULL;
    c->rows = (char *)in[0].data;
    for (size_t k = 0; k < EDGES; k++) {
        lf_array *const a = &c->column[k];
        if ((in[k].data != NULL) != c->wanted) return 0;
        if (!lf_open(a, dtype, in[k].data, in[k].data ? in[k].dtype : dtype, in[k].stride, in[k].layout)) return 0;
        if (a->dtype != dtype || a->ndim != 1 || a->stride != (ptrdiff_t)(EDGES * size) || (uintptr_t)a->data % size ||
            a->data != c->column[0].data + k * size)
            c->rows = NULL;
    }
    return 1;
}

void lf_read_boxes(const columns *c, lf_dtype dtype, lf_box_format format, size_t first, size_t n, boxes *to)
{
    const kernels *const k = lf_kernels(dtype);
    const size_t size = lf_itemsize(dtype);
    for (size_t g = 0; c->rows && g < n; g += TILE)
        k->into_tile(n - g < TILE ? n - g : TILE, EDGES, c->rows + (first + g) * EDGES * size, BOXES,
                     to->data + g * size);
    for (size_t e = 0; !c->rows && e < EDGES; e++) lf_load(&c->column[e], dtype, first, n, to->data + e * BOXES * size);
    k->box_edges(format, n, to->data);
}

void lf_write_boxes(const columns *c, lf_dtype dtype, lf_box_format format, size_t first, size_t n, boxes *from)
{
    const kernels *const k = lf_kernels(dtype);
    const size_t size = lf_itemsize(dtype);
    k->box_chain(format, n, from->data);
    for (size_t g = 0; c->rows && g < n; g += TILE)
        k->out_of_tile(n - g < TILE ? n - g : TILE, EDGES, from->data + g * size, BOXES,
                       c->rows + (first + g) * EDGES * size);
    for (size_t e = 0; !c->rows && e < EDGES; e++)
        lf_write(&c->column[e], dtype, first, n, from->data + e * BOXES * size);
}
