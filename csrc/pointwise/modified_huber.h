/* Modified Huber loss: the squared hinge with a linear tail, for classification.
 *
 *     value = max(0, 1 - m)^2     m >= -1,     m = y pred,  y = 1 for target > 0, else -1
 *             -4 m                otherwise
 *
 * At the joints m = -1 and m = 1 the Hessian is that of the quadratic part.
 *
 * T. Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms",
 * ICML 2004, doi:10.1145/1015330.1015332.
 */
inline_ jet modified_huber(real target, real pred, const real *param)
{
    (void)param;
    const real y = target > 0 ? 1 : -1, m = y * pred, c = r_max(1 - m, 0);
    const int tail = m < -1;
    return (jet){.value = tail ? -4 * m : c * c, .grad = y * (tail ? -4 : -2 * c), .hess = !tail && m <= 1 ? 2 : 0};
}
