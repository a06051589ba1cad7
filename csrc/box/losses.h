/* The table of contents of the box losses: of a true box t and a predicted one p the loss with its gradient by p. */
#include "pair.h"
#include "iou.h"
#include "giou.h"
#include "diou.h"
#include "ciou.h"
#include "siou.h"

#define BOX(X) X(iou) X(giou) X(diou) X(ciou) X(siou)
