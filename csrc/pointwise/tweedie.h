/* Half the Tweedie deviance with log link, without constants, for powers other than 1 (Poisson) and 2 (gamma).
 *
 *     value = exp((2 - power) pred) / (2 - power)  -  target exp((1 - power) pred) / (1 - power)
 *
 * Where both exponentials overflow the one with the larger exponent wins: the first for pred > 0, else the second.
 *
 * B. Jorgensen, "Exponential dispersion models", J. R. Statist. Soc. B 49 (1987) 127-162.
 */
inline_ jet tweedie(real target, real pred, const real *param)
{
    const real a = 1 - param[0], b = 2 - param[0];
    const real first = r_exp(b * pred), second = target == 0 ? 0 : target * r_exp(a * pred);
    const real smaller = r_min(r_abs(second), first);
    const real x = (smaller == R_INF) & (pred < 0) ? 0 : first, y = (smaller == R_INF) & (pred > 0) ? 0 : second;
    return (jet){.value = x / b - y / a, .grad = x - y, .hess = b * x - a * y};
}

/* The same for other domains of the target: power >= 2 and power <= 0. */
inline_ jet tweedie_positive(real target, real pred, const real *param) { return tweedie(target, pred, param); }
inline_ jet tweedie_real(real target, real pred, const real *param) { return tweedie(target, pred, param); }
