/* RMSprop: each gradient by the root of a running mean of its squares; that of a centred one is its variance.
 *
 *     v = alpha v + (1 - alpha) g^2,   a = alpha a + (1 - alpha) g
 *     u = g / (sqrt(v) + eps),         centred: g / (sqrt(max(0, v - a^2)) + eps)
 *     w = w - lr u,                    with momentum: b = momentum b + u,  w = w - lr b
 *
 * Of a constant gradient v - a^2 is 0 up to rounding, which may make it negative.
 *
 * T. Tieleman, G. Hinton, Lecture 6.5 of "Neural networks for machine learning", 2012.
 * A. Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850 (centred, with momentum).
 */
inline_ point rmsprop_step(point x, real g, const real *h, int centered, int momentum)
{
    const real lr = h[0], alpha = h[1], fresh = h[2], eps = h[3];
    real *const v = &x.s[0], *const a = &x.s[1], *const b = &x.s[centered ? 2 : 1];
    *v = r_fma(fresh * g, g, alpha * *v);
    real variance = *v;
    if (centered) {
        *a = r_fma(fresh, g - *a, *a);
        variance = r_max(r_fma(-*a, *a, *v), 0);
    }
    const real u = g / (r_sqrt(variance) + eps);
    if (momentum) *b = r_fma(h[4], *b, u);
    x.w = r_fma(-lr, momentum ? *b : u, x.w);
    return x;
}

inline_ point rmsprop(point x, real g, const real *h) { return rmsprop_step(x, g, h, 0, 0); }
inline_ point rmsprop_momentum(point x, real g, const real *h) { return rmsprop_step(x, g, h, 0, 1); }
inline_ point rmsprop_centered(point x, real g, const real *h) { return rmsprop_step(x, g, h, 1, 0); }
inline_ point rmsprop_centered_momentum(point x, real g, const real *h) { return rmsprop_step(x, g, h, 1, 1); }
