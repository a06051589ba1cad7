/* Work shared between threads: the only place that knows OpenMP.
 *
 * Bodies must not depend on which thread runs what: whatever they combine is combined exactly, so the number
 * of threads changes no bit.
 */
#ifndef LF_PARALLEL_H
#define LF_PARALLEL_H

#include "lossfast/lossfast.h"

/* Called with disjoint ranges of units that make up 0 ... n, at most one call at a time per thread. */
typedef void parallel_body(void *context, size_t first, size_t last);

/* unit_cost: elements per unit; threads are used when each gets enough of them to pay for its start.
 * Returns LF_OK or LF_INTERRUPTED. */
lf_status lf_parallel(size_t nunits, size_t unit_cost, const lf_control *control, parallel_body *body, void *context);

/* How many threads may share the work. */
size_t lf_threads(const lf_control *control);

/* What one body does at a time. */
void lf_lock(void);
void lf_unlock(void);

#endif
