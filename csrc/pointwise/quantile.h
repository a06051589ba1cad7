/* Quantile (pinball) loss.
 *
 *     value = q d           d >= 0,     d = target - pred
 *             (q - 1) d     otherwise
 *
 * At d = 0 the sub-gradient is 0, as for the absolute error, which is twice this loss at q = 1/2.
 *
 * R. Koenker, G. Bassett, "Regression quantiles", Econometrica 46 (1978) 33-50, doi:10.2307/1913643.
 */
inline_ jet quantile(real target, real pred, const real *param)
{
    const real q = param[0], d = target - pred;
    const real slope = d >= 0 ? q : q - 1;
    return (jet){.value = slope * d, .grad = d != 0 ? -slope * (d == d ? 1 : d) : 0, .hess = 0};
}
