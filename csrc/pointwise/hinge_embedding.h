/* Hinge embedding loss of a distance.
 *
 *     value = pred                     target > 0
 *             max(0, margin - pred)    otherwise
 */
inline_ jet hinge_embedding(real target, real pred, const real *param)
{
    const real short_of = param[0] - pred;
    const real value = short_of <= 0 ? 0 : short_of, grad = short_of <= 0 ? 0 : short_of > 0 ? -1 : short_of;
    return (jet){.value = target > 0 ? pred : value, .grad = target > 0 ? (pred == pred ? 1 : pred) : grad, .hess = 0};
}
