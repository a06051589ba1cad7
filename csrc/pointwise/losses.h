/* The table of contents of the pointwise losses: a new loss adds a line to each half. */
#include "binary_crossentropy.h"
#include "binary_focal_crossentropy.h"
#include "mse.h" /* brier.h builds on it */
#include "brier.h"
#include "categorical_crossentropy.h" /* the next four build on it */
#include "categorical_brier.h"
#include "categorical_focal.h"
#include "generalized_crossentropy.h"
#include "poly.h"
#include "exponential.h"
#include "gamma.h"
#include "gaussian_kl.h"
#include "gaussian_nll.h"
#include "hinge.h"
#include "hinge_embedding.h"
#include "huber.h"
#include "kullback_leibler.h"
#include "log_cosh.h"
#include "mae.h"
#include "mape.h"
#include "margin_ranking.h"
#include "modified_huber.h"
#include "msle.h"
#include "poisson.h"
#include "pseudo_huber.h"
#include "quantile.h"
#include "smooth_l1.h"
#include "squared_hinge.h"
#include "tweedie.h"

/* Domains; an open bound is the next number within. */
/* clang-format off */
#define ANY             {.low = -INFINITY, .high = INFINITY}
#define PROBABILITY     {.low = 0, .high = 1}
#define NONNEGATIVE     {.low = 0, .high = INFINITY}
#define POSITIVE        {.low = LF_BITS == 64 ? 0x1p-1074 : 0x1p-149, .high = INFINITY}
#define ABOVE_MINUS_ONE {.low = LF_BITS == 64 ? -1 + 0x1p-53 : -1 + 0x1p-24, .high = INFINITY}
#define SIGN            {.low = -1, .high = 1, .sign_labels = 1}
/* clang-format on */

/* name, number of parameters, whether the first may be an array, domains of target, prediction and that array */
#define POINTWISE(X)                                                                                                   \
    X(binary_crossentropy, 3, 1, PROBABILITY, PROBABILITY, NONNEGATIVE)                                                \
    X(binary_crossentropy_logits, 2, 1, PROBABILITY, ANY, NONNEGATIVE)                                                 \
    X(binary_crossentropy_logits_plain, 0, 0, PROBABILITY, ANY, ANY)                                                   \
    X(binary_focal_crossentropy, 5, 1, PROBABILITY, PROBABILITY, PROBABILITY)                                          \
    X(binary_focal_crossentropy_logits, 4, 1, PROBABILITY, ANY, PROBABILITY)                                           \
    X(binary_focal_crossentropy_logits_squared, 4, 1, PROBABILITY, ANY, PROBABILITY)                                   \
    X(brier, 0, 0, PROBABILITY, PROBABILITY, ANY)                                                                      \
    X(categorical_brier, 3, 1, NONNEGATIVE, PROBABILITY, NONNEGATIVE)                                                  \
    X(categorical_crossentropy, 4, 1, NONNEGATIVE, PROBABILITY, NONNEGATIVE)                                           \
    X(categorical_focal, 5, 1, NONNEGATIVE, PROBABILITY, NONNEGATIVE)                                                  \
    X(exponential, 0, 0, PROBABILITY, ANY, ANY)                                                                        \
    X(gamma_log, 0, 0, POSITIVE, ANY, ANY)                                                                             \
    X(gaussian_kl, 0, 0, ANY, ANY, ANY)                                                                                \
    X(gaussian_nll, 3, 1, ANY, ANY, NONNEGATIVE)                                                                       \
    X(gaussian_nll_var, 3, 1, ANY, ANY, NONNEGATIVE)                                                                   \
    X(generalized_crossentropy, 5, 1, NONNEGATIVE, PROBABILITY, NONNEGATIVE)                                           \
    X(hinge, 0, 0, SIGN, ANY, ANY)                                                                                     \
    X(hinge_embedding, 1, 0, SIGN, ANY, ANY)                                                                           \
    X(huber, 1, 0, ANY, ANY, ANY)                                                                                      \
    X(kullback_leibler, 1, 0, NONNEGATIVE, PROBABILITY, ANY)                                                           \
    X(kullback_leibler_log, 0, 0, NONNEGATIVE, ANY, ANY)                                                               \
    X(log_cosh, 0, 0, ANY, ANY, ANY)                                                                                   \
    X(mae, 0, 0, ANY, ANY, ANY)                                                                                        \
    X(mape, 1, 0, ANY, ANY, ANY)                                                                                       \
    X(margin_ranking, 2, 1, SIGN, ANY, ANY)                                                                            \
    X(modified_huber, 0, 0, SIGN, ANY, ANY)                                                                            \
    X(mse, 0, 0, ANY, ANY, ANY)                                                                                        \
    X(msle, 0, 0, ABOVE_MINUS_ONE, ABOVE_MINUS_ONE, ANY)                                                               \
    X(poisson, 1, 0, NONNEGATIVE, NONNEGATIVE, ANY)                                                                    \
    X(poisson_log, 0, 0, NONNEGATIVE, ANY, ANY)                                                                        \
    X(poly, 5, 1, NONNEGATIVE, PROBABILITY, NONNEGATIVE)                                                               \
    X(pseudo_huber, 1, 0, ANY, ANY, ANY)                                                                               \
    X(quantile, 1, 0, ANY, ANY, ANY)                                                                                   \
    X(smooth_l1, 1, 0, ANY, ANY, ANY)                                                                                  \
    X(squared_hinge, 0, 0, SIGN, ANY, ANY)                                                                             \
    X(tweedie, 1, 0, NONNEGATIVE, ANY, ANY)                                                                            \
    X(tweedie_positive, 1, 0, POSITIVE, ANY, ANY)                                                                      \
    X(tweedie_real, 1, 0, ANY, ANY, ANY)
