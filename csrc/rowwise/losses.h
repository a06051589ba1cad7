/* The table of contents of the class losses.
 *
 * A loss of softmax probabilities is a sum over the classes, sum_k f(target_k, p_k), and its file gives the jet of one
 * class: f, slope = p df/dp and curve = (p d/dp)^2 f.  loop.h chains it to the logits. */
#include "crossentropy.h"
#include "focal.h"
#include "generalized.h"
#include "poly.h"
#include "brier.h"

/* name, formula, number of parameters, what the formula allows (kernels.h) */
#define ROWWISE(X)                                                                                                     \
    X(crossentropy, class_crossentropy, 0, ROW_LINEAR | ROW_LOGARITHM)                                                 \
    X(focal, class_focal, 1, ROW_LINEAR)                                                                               \
    X(generalized, class_generalized, 1, ROW_LINEAR)                                                                   \
    X(poly, class_poly, 1, ROW_LINEAR)                                                                                 \
    X(brier, class_brier, 0, 0)                                                                                        \
    X(kullback_leibler, class_crossentropy, 0, ROW_LOGARITHM | ROW_ENTROPY)
