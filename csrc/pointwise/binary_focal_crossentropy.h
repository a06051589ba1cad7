/* Binary focal cross-entropy: param = alpha, gamma, label_smoothing, k, and for probabilities eps.
 *
 *     value = balance u^gamma c,     u = (1 - t) p + t (1 - p)  (that is 1 - p_t),   c = -t log p - (1 - t) log(1 - p)
 *
 * with t the smoothed target and p the probability, or the sigmoid of a logit.  balance = t alpha + (1 - t) alpha_0
 * with alpha_0 = k - alpha: k = 1 for a given alpha; alpha = 1 and k = 2 leave the classes unbalanced.
 *
 * With dashes for derivatives by the prediction:
 *     grad / balance = u^gamma (gamma h c + c'),      h = u'/u
 *     hess / balance = u^gamma (gamma ((gamma - 1) h^2 + u''/u) c + 2 gamma h c' + c'')
 * Nothing is divided by u itself, which is 0 where a prediction is right: so every gamma >= 0 is finite.
 *
 * T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal loss for dense object detection", ICCV 2017,
 * arXiv:1708.02002.
 */
inline_ real focal_balance(sides t, const real *param)
{
    return r_fma(t.of_1, param[0], t.of_0 * (param[3] - param[0]));
}

/* u^gamma; a u that has underflowed is as good as the smallest number. */
inline_ real focal_power(real u, real gamma) { return r_exp(gamma * r_log(r_max(u, R_SMALLEST))); }

inline_ jet focal_jet(real factor, real gamma, real h, real h2, real c, real c_finite, real dc, real ddc)
{
    return (jet){.value = factor * c,
                 .grad = factor * (gamma * h * c_finite + dc),
                 .hess = factor * (gamma * (((gamma - 1) * h * h + h2) * c_finite + 2 * h * dc) + ddc)};
}

inline_ jet binary_focal_crossentropy(real target, real pred, const real *param)
{
    const real eps = param[4], gamma = param[1];
    const sides t = smoothed(target, param[2]);
    const real p = r_min(r_max(pred, eps), 1 - eps), d1 = t.of_1 / p, d0 = t.of_0 / (1 - p);
    const real u = t.of_0 * p + t.of_1 * (1 - p), c = -t.of_1 * r_log(p) - t.of_0 * r_log1p(-p);
    return focal_jet(focal_balance(t, param) * focal_power(u, gamma), gamma, (t.of_0 - t.of_1) / u, 0, c, c, d0 - d1,
                     d0 / (1 - p) + d1 / p);
}

/* The sigmoids of a logit and of its negative, and the cross-entropy by the logit; c_finite is for products with slopes
 * that have underflowed where it stops. */
typedef struct {
    real p, q, c, c_finite, dc, ddc;
} logit_terms;

inline_ logit_terms terms_of_logit(sides t, real pred)
{
    const real a = r_abs(pred), e = r_exp_nonpos(-a), large = 1 / (1 + e), small = e * large;
    const int positive = pred > 0;
    const real p = positive ? large : small, q = positive ? small : large, wrong = positive ? t.of_0 : t.of_1;
    const real l = r_log1p01(e);
    return (logit_terms){p,    q, l + (wrong == 0 ? 0 : wrong * a), l + wrong * r_min(a, 2000), t.of_0 * p - t.of_1 * q,
                         p * q};
}

/* p' = p q and p'' = p q (q - p), so h = (t0 - t1) p q / u and u''/u = h (q - p); for a hard label h is q or -p, and
 * 1 / (t0 / q + t1 / p) has that limit. */
inline_ jet binary_focal_crossentropy_logits(real target, real pred, const real *param)
{
    const real gamma = param[1];
    const sides t = smoothed(target, param[2]);
    const logit_terms l = terms_of_logit(t, pred);
    const real u = t.of_0 * l.p + t.of_1 * l.q;
    const real h = (t.of_0 - t.of_1) / (t.of_0 / r_max(l.q, R_SMALLEST) + t.of_1 / r_max(l.p, R_SMALLEST));
    return focal_jet(focal_balance(t, param) * focal_power(u, gamma), gamma, h, h * (l.q - l.p), l.c, l.c_finite, l.dc,
                     l.ddc);
}

/* gamma = 2, the paper's choice, needs neither a power nor a quotient:
 *     grad / balance = u (2 u' c + u c'),      hess / balance = 2 (u'^2 + u u'') c + 4 u u' c' + u^2 c''
 * With L and S the larger and the smaller of the two sigmoids, w the target's share on the side that the logit denies
 * and v on the side that it supports, and derivatives by |pred|:
 *     u = w L + v S,      c' = w L - v S,      u' = (w - v) L S,      u'' = u' (S - L) */
inline_ jet binary_focal_crossentropy_logits_squared(real target, real pred, const real *param)
{
    const sides t = smoothed(target, param[2]);
    const real a = r_abs(pred), up = exp_nonpos_up(-a), large = 1 / r_fma(up, SCALE_DOWN, (real)1);
    const real small = up * SCALE_DOWN * large;
    const int negative = r_negative(pred);
    const real w = negative ? t.of_1 : t.of_0, v = negative ? t.of_0 : t.of_1, vs = v * small;
    const real c = log1p01_up(up, w == 0 ? 0 : w * a), u = r_fma(w, large, vs), dc = r_fma(w, large, -vs);
    const real ddc = large * small, du = (w - v) * ddc, ddu = du * (small - large), balance = focal_balance(t, param);
    const real first = du * c, second = (du * du + u * ddu) * c;
    const real rise = first == first ? first : 0, bend = second == second ? second : 0; /* 0 inf: S has underflowed */
    const real g = balance * u * r_fma(u, dc, 2 * rise);
    return (jet){.value = balance * u * u * c,
                 .grad = r_flip(g, pred),
                 .hess = balance * (2 * bend + u * (4 * du * dc + u * ddc))};
}
