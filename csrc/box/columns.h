/* Boxes of the caller, wherever their four numbers stand, as blocks of edges. */
#ifndef LF_BOX_COLUMNS_H
#define LF_BOX_COLUMNS_H

#include "../kernels.h"
#include "../streams.h"

enum { EDGES = 4 };

/* The four columns of boxes, or of derivatives. */
typedef struct {
    lf_array column[EDGES];
    char *rows; /* where all are, box after box, in the kernels' dtype; NULL: elsewhere */
    int wanted;
} columns;

typedef struct {
    _Alignas(64) char data[EDGES * BOXES * sizeof(double)];
} boxes;

/* 0: a column is missing, or its dtype or layout is not one. */
int lf_open_columns(columns *c, lf_dtype dtype, const lf_in in[EDGES]);

/* Boxes first ... first + n - 1, n <= BOXES, as edges. */
void lf_read_boxes(const columns *c, lf_dtype dtype, lf_box_format format, size_t first, size_t n, boxes *to);

/* Derivatives by edges as those by the numbers of the format. */
void lf_write_boxes(const columns *c, lf_dtype dtype, lf_box_format format, size_t first, size_t n, boxes *from);

#endif
