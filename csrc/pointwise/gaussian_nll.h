/* Gaussian negative log-likelihood with a variance per element: param = variance, its floor eps, an added constant.
 *
 *     value = (log v + r^2 / v) / 2 + constant,     v = max(variance, eps),  r = pred - target
 *
 * Derivatives by the prediction, and by the variance; the floor does not stop the latter, as in torch.
 *
 * D. A. Nix, A. S. Weigend, "Estimating the mean and variance of the target probability distribution",
 * ICNN 1994, doi:10.1109/ICNN.1994.374138.
 */
inline_ jet gaussian_nll(real target, real pred, const real *param)
{
    const real v = r_max(param[0], param[1]), r = pred - target, d = 1 / v;
    return (jet){.value = (r_log(v) + r * r * d) / 2 + param[2], .grad = r * d, .hess = d};
}

inline_ jet gaussian_nll_var(real target, real pred, const real *param)
{
    const real v = r_max(param[0], param[1]), r = pred - target, d = 1 / v, x = r * r * d;
    return (jet){.value = (r_log(v) + x) / 2 + param[2], .grad = (1 - x) * d / 2, .hess = (x - (real)0.5) * d * d};
}
