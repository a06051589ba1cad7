/* Adam, and AMSGrad, whose second moment never falls:
 *
 *     m = beta1 m + (1 - beta1) g
 *     v = beta2 v + (1 - beta2) g^2
 *     w = w - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)      AMSGrad: max v for v
 *
 * The corrections of the bias are folded into two numbers of the step: rate = lr / (1 - beta1^t), and
 * root = 1 / sqrt(1 - beta2^t).  AdamW is the same with decoupled decay.
 *
 * D. P. Kingma, J. Ba, ICLR 2015, arXiv:1412.6980.  S. J. Reddi, S. Kale, S. Kumar, ICLR 2018, arXiv:1904.09237.
 * I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101.
 */
inline_ void adam_moments(point *x, real g, real new1, real beta2, real new2)
{
    x->s[0] = r_fma(new1, g - x->s[0], x->s[0]);
    x->s[1] = r_fma(new2 * g, g, beta2 * x->s[1]);
}

inline_ point adam(point x, real g, const real *h)
{
    const real rate = h[0], new1 = h[1], beta2 = h[2], new2 = h[3], root = h[4], eps = h[5];
    adam_moments(&x, g, new1, beta2, new2);
    x.w = r_fma(-rate, x.s[0] / r_fma(r_sqrt(x.s[1]), root, eps), x.w);
    return x;
}

inline_ point amsgrad(point x, real g, const real *h)
{
    const real rate = h[0], new1 = h[1], beta2 = h[2], new2 = h[3], root = h[4], eps = h[5];
    adam_moments(&x, g, new1, beta2, new2);
    x.s[2] = r_max(x.s[1], x.s[2]);
    x.w = r_fma(-rate, x.s[0] / r_fma(r_sqrt(x.s[2]), root, eps), x.w);
    return x;
}
