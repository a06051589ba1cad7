/* Brier score of the probability of a class:  value = v (p - t)^2. */
inline_ jet categorical_brier(real target, real pred, const real *param)
{
    const real v = param[0], r = pred - class_target(target, param);
    return (jet){.value = v * r * r, .grad = 2 * v * r, .hess = 2 * v};
}
