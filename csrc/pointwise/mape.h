/* Absolute percentage error, in percent as Keras has it.
 *
 *     value = 100 |r| / max(|target|, eps),     r = pred - target
 *
 * At r = 0 the sub-gradient is 0.
 */
inline_ jet mape(real target, real pred, const real *param)
{
    const real eps = param[0], r = pred - target, percent = 100 / r_max(r_abs(target), eps);
    return (jet){.value = r_abs(r) * percent, .grad = r > 0 ? percent : r < 0 ? -percent : r, .hess = 0};
}
