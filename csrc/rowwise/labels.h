/* Labels: class indices of any dtype, read once into integers that are known to be classes. */
#ifndef LF_LABELS_H
#define LF_LABELS_H

#include "../streams.h"

enum { IGNORED = -1, NO_CLASS = -2 };

/* The labels of n <= BLOCK rows from `first` on: classes below call->classes, IGNORED or NO_CLASS.  Returns whether all
 * are classes. */
int lf_labels(const lf_array *labels, const lf_row_call *call, size_t first, size_t n, int64_t *out);

#endif
