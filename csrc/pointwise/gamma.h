/* Half the gamma deviance with log link, without constants.
 *
 *     value = pred + target exp(-pred)
 *
 * At pred = -infinity the exponential wins.  (gamma alone is a function of libm.)
 */
inline_ jet gamma_log(real target, real pred, const real *param)
{
    (void)param;
    const real e = target * r_exp(-pred);
    return (jet){.value = pred == -R_INF ? e : pred + e, .grad = 1 - e, .hess = e};
}
