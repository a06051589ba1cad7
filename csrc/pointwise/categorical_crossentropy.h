/* One class of the losses of probabilities of several classes: param = class weight v, keep and rest of label
 * smoothing, then the loss's own; for logits see csrc/rowwise.
 *
 *     value = -v t log p,     t = keep target + rest,  p = pred, kept within [eps, 1]
 *
 * A class without target costs nothing.  Derivatives at and beyond the bounds are those of the bound. */
inline_ real class_target(real target, const real *param) { return r_fma(target, param[1], param[2]); }
inline_ real class_probability(real pred, real eps) { return r_min(r_max(pred, eps), 1); }

inline_ jet categorical_crossentropy(real target, real pred, const real *param)
{
    const real c = param[0] * class_target(target, param), p = class_probability(pred, param[3]);
    const real slope = c == 0 ? 0 : c / p;
    return (jet){
        .value = (c == 0 ? 0 : -c * r_log(p)) + 0 * pred, .grad = -slope + 0 * pred, .hess = c == 0 ? 0 : slope / p};
}
