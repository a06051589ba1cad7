/* The table of contents of the optimizers' updates: a new one adds a line to each half.
 *
 * An update sees a weight, already shrunk by decoupled decay, the gradient g as loop.h prepares it, and its state, zero
 * before the first step.  What depends on the number of the step alone comes as a parameter. */
#include "sgd.h"
#include "adam.h"
#include "nadam.h"
#include "rmsprop.h"
#include "adagrad.h"
#include "adadelta.h"
#include "lion.h"

/* name, states, parameters of its own */
#define STEPS(X)                                                                                                       \
    X(sgd, 0, 1)                                                                                                       \
    X(momentum, 1, 5)                                                                                                  \
    X(adam, 2, 6)                                                                                                      \
    X(amsgrad, 3, 6)                                                                                                   \
    X(nadam, 2, 7)                                                                                                     \
    X(rmsprop, 1, 4)                                                                                                   \
    X(rmsprop_momentum, 2, 5)                                                                                          \
    X(rmsprop_centered, 2, 4)                                                                                          \
    X(rmsprop_centered_momentum, 3, 5)                                                                                 \
    X(adagrad, 1, 2)                                                                                                   \
    X(adadelta, 2, 4)                                                                                                  \
    X(lion, 1, 5)
