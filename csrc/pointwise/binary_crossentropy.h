/* Binary cross-entropy: param = pos_weight, label_smoothing, and for probabilities eps.
 *
 *     value = -w1 log p - w0 log(1 - p),     w1 = pos_weight t,  w0 = 1 - t,  t = target (1 - s) + s/2
 *
 * of a probability p = pred, kept within [eps, 1 - eps], or of a logit, p = 1 / (1 + exp(-pred)).
 */

/* The two class weights of a target. */
typedef struct {
    real of_1, of_0;
} sides;

inline_ sides smoothed(real target, real smoothing)
{
    const real keep = 1 - smoothing, half = smoothing / 2;
    return (sides){r_fma(target, keep, half), r_fma(1 - target, keep, half)};
}

/* A term with weight 0 is 0 also at an infinite logarithm (eps = 0).  Derivatives at and beyond the bounds are those
 * of the bound: a prediction that is certain and wrong keeps its slope. */
inline_ jet binary_crossentropy(real target, real pred, const real *param)
{
    const real eps = param[2];
    const sides t = smoothed(target, param[1]);
    const real w1 = param[0] * t.of_1, w0 = t.of_0;
    const real p = r_min(r_max(pred, eps), 1 - eps), d1 = w1 == 0 ? 0 : w1 / p, d0 = w0 == 0 ? 0 : w0 / (1 - p);
    const real l1 = w1 == 0 ? 0 : w1 * r_log(p), l0 = w0 == 0 ? 0 : w0 * r_log1p(-p);
    return (jet){.value = -l1 - l0 + 0 * pred, .grad = d0 - d1 + 0 * pred, .hess = d0 / (1 - p) + d1 / p};
}

/* In terms of e = exp(-|z|) <= 1:  -log sigmoid(-+|z|) = log1p(e) + (|z| or 0).  The gradient (w0 - w1 e) / (1 + e) for
 * z > 0, and its mirror image, does not cancel where the prediction is right. */
inline_ jet binary_crossentropy_logits(real target, real pred, const real *param)
{
    const sides t = smoothed(target, param[1]);
    const real w1 = param[0] * t.of_1, w0 = t.of_0, a = r_abs(pred);
    const real up = exp_nonpos_up(-a), e = up * SCALE_DOWN, q = 1 / (1 + e);
    const int negative = r_negative(pred);
    const real wrong = negative ? w1 : w0, right = negative ? w0 : w1, g = r_fma(-right, e, wrong) * q;
    const real linear = wrong == 0 ? 0 : wrong * a;
    return (jet){
        .value = r_fma(w0 + w1, log1p01_up(up, 0), linear), .grad = r_flip(g, pred), .hess = (w0 + w1) * (e * q * q)};
}

/* The same without smoothing and class weights, which is how it is called most.  With d = 1 - t for a positive logit
 * and -t for a negative one the linear part is d z and the gradient d -+ e / (1 + e). */
inline_ jet binary_crossentropy_logits_plain(real target, real pred, const real *param)
{
    (void)param;
    const real up = exp_nonpos_up(-r_abs(pred)), q_down = SCALE_DOWN / r_fma(up, SCALE_DOWN, (real)1), eq = up * q_down;
    const real half = (real)0.5, d = (r_sign(half, pred) + half) - target, linear = d == 0 ? 0 : d * pred;
    return (jet){.value = log1p01_up(up, linear), .grad = d - r_sign(eq, pred), .hess = eq * (q_down * SCALE_UP)};
}
