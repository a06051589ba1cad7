/* NAdam: Adam with Nesterov's momentum, that of the next step being used already in this one.
 *
 *     m, v as of Adam,   mu_t = beta1 (1 - 0.96^(t decay) / 2)
 *     w = w - lr ((1 - mu_t) g / (1 - mu_1 ... mu_t) + mu_(t+1) m / (1 - mu_1 ... mu_(t+1)))
 *             / (sqrt(v / (1 - beta2^t)) + eps)
 *
 * by_grad and by_mean are lr times the two factors.
 *
 * T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
 */
inline_ point nadam(point x, real g, const real *h)
{
    const real by_grad = h[0], by_mean = h[1], new1 = h[2], beta2 = h[3], new2 = h[4], root = h[5], eps = h[6];
    adam_moments(&x, g, new1, beta2, new2);
    x.w -= r_fma(by_grad, g, by_mean * x.s[0]) / r_fma(r_sqrt(x.s[1]), root, eps);
    return x;
}
