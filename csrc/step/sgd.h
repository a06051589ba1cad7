/* Stochastic gradient descent, plain and with momentum:
 *
 *     sgd         w = w - lr g
 *     momentum    v = momentum v + fresh g
 *                 w = w - lr (ahead g + along v)
 *
 * fresh is 1 - dampening.  Polyak's momentum goes along v (ahead 0, along 1); Nesterov's looks ahead from there
 * (ahead 1, along momentum).
 *
 * B. T. Polyak, USSR Comp. Math. Math. Phys. 4 (1964) 1-17, doi:10.1016/0041-5553(64)90137-5.
 * I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum", ICML 2013.
 */
inline_ point sgd(point x, real g, const real *h)
{
    x.w = r_fma(-h[0], g, x.w);
    return x;
}

inline_ point momentum(point x, real g, const real *h)
{
    const real lr = h[0], momentum = h[1], fresh = h[2], ahead = h[3], along = h[4];
    const real v = r_fma(momentum, x.s[0], fresh * g);
    x.s[0] = v;
    x.w = r_fma(-lr, r_fma(ahead, g, along * v), x.w);
    return x;
}
