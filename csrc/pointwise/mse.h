/* Squared error (not halved), as Keras, torch and scikit-learn's metric have it.
 *
 *     value = r^2,     r = pred - target
 *
 * A. M. Legendre, "Nouvelles methodes pour la determination des orbites des cometes" (1805), appendix.
 */
inline_ jet mse(real target, real pred, const real *param)
{
    (void)param;
    const real r = pred - target;
    return (jet){.value = r * r, .grad = 2 * r, .hess = 2};
}
