/* Huber loss: quadratic near zero, linear in the tails.
 *
 *     value = r^2 / 2                  |r| <= delta,     r = pred - target
 *             delta (|r| - delta/2)    otherwise
 *
 * With c = min(|r|, delta) both cases are c (|r| - c/2), and the gradient is c with the sign of r: Huber's loss is
 * the squared loss with its gradient clipped.  At the joints |r| = delta the Hessian is taken from inside.
 *
 * P. J. Huber, Ann. Math. Statist. 35 (1964) 73-101, doi:10.1214/aoms/1177703732.
 */
inline_ jet huber(real target, real pred, const real *param)
{
    const real delta = param[0];
    const real r = pred - target, a = r_abs(r), c = r_min(a, delta);
    return (jet){.value = c * (a - c / 2), .grad = r_sign(c, r), .hess = a <= delta};
}
