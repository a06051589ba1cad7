/* The table of contents of the region losses: losses of three sums over the positions of two masks,
 *
 *     I = sum p t,   P = sum p,   T = sum t          (squared: P = sum p^2,  T = sum t^2)
 *
 * of predictions p and targets t.  A file gives the loss with its derivatives by I and P; n and d, which keep quotients
 * of nothing defined, are param[0] and param[1].  Sums are doubles whatever the masks are: compiled for 64 bits alone. */
#if LF_BITS == 64
typedef struct {
    real value, by_i, by_p;
} overlap_jet;

typedef overlap_jet overlap_formula(real i, real p, real t, const real *param);

#include "dice.h"
#include "jaccard.h"
#include "tversky.h"
#include "focal_tversky.h"
#include "log_cosh_dice.h"

inline_ void overlap_jets(overlap_formula *f, size_t n, const double *i, const double *p, const double *t,
                          const double *param, double *value, double *by_i, double *by_p)
{
    for (size_t k = 0; k < n; k++) {
        const overlap_jet j = f(i[k], p[k], t[k], param);
        value[k] = j.value, by_i[k] = j.by_i, by_p[k] = j.by_p;
    }
}
#endif

/* name, number of parameters */
#define REGION(X)                                                                                                      \
    X(dice, 2)                                                                                                         \
    X(jaccard, 2)                                                                                                      \
    X(tversky, 4)                                                                                                      \
    X(focal_tversky, 5)                                                                                                \
    X(log_cosh_dice, 2)
