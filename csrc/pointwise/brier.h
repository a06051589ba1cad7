/* Brier score of a probability.
 *
 *     value = (pred - target)^2
 *
 * G. W. Brier, "Verification of forecasts expressed in terms of probability", Mon. Weather Rev. 78 (1950) 1-3.
 */
inline_ jet brier(real target, real pred, const real *param) { return mse(target, pred, param); }
