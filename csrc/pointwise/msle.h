/* Squared logarithmic error.
 *
 *     value = u^2,     u = log(1 + pred) - log(1 + target)
 *
 * The difference of two logarithms cancels where pred is near target; u = +-log1p((high - low) / (1 + low)) with low
 * and high the smaller and the larger of the two does not, and takes one logarithm.
 */
inline_ jet msle(real target, real pred, const real *param)
{
    (void)param;
    const real low = pred < target ? pred : target, high = pred < target ? target : pred;
    const real u = r_sign(r_log1p((high - low) / (1 + low)), pred - target), d = 1 / (1 + pred);
    const int flat = d == 0; /* the prediction is infinite */
    return (jet){.value = u * u, .grad = flat ? 0 : 2 * u * d, .hess = flat ? 0 : 2 * (1 - u) * d * d};
}
