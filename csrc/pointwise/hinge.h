/* Hinge loss.
 *
 *     value = max(0, 1 - m),     m = y pred,     y = 1 for target > 0, else -1
 *
 * At the kink m = 1 the sub-gradient is that of the active side, as in scikit-learn.
 *
 * C. Cortes, V. Vapnik, "Support-vector networks", Mach. Learn. 20 (1995) 273-297, doi:10.1007/BF00994018.
 */
inline_ jet hinge(real target, real pred, const real *param)
{
    (void)param;
    const real y = target > 0 ? 1 : -1, m = y * pred;
    return (jet){.value = r_max(1 - m, 0), .grad = m <= 1 ? -y : m > 1 ? 0 : m, .hess = 0};
}
