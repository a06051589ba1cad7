/* The one pointwise loop.  f, streamed and want are literals at every call, so that each call becomes a vector
 * loop of its own, and what want leaves out of the jet is never computed. */
enum { VALUE = 1, GRAD = 2, HESS = 4 };

typedef jet formula(real target, real pred, const real *param);

inline_ void loop(formula *f, int streamed, unsigned want, size_t n, const real *restrict target,
                  const real *restrict pred, const real *restrict weight, const real *restrict stream,
                  const real *param, real scale, real *restrict value, real *restrict grad, real *restrict hess)
{
    for (size_t i = 0; i < n; i++) {
        const real here[MAX_PARAM] = {streamed ? stream[i] : param[0], param[1], param[2], param[3], param[4]};
        const jet j = f(target[i], pred[i], here);
        if (want & VALUE) value[i] = weight[i] * j.value;
        if (want & GRAD) grad[i] = scale * weight[i] * j.grad;
        if (want & HESS) hess[i] = scale * weight[i] * j.hess;
    }
}

#define WANT(w)                                                                                                        \
    case w: loop(f, streamed, w, n, target, pred, weight, stream, p, (real)scale, value, grad, hess); break

inline_ void pointwise(formula *f, size_t nparam, int streamed, size_t n, const void *target, const void *pred,
                       const void *weight, const void *stream, const double *param, double scale, void *value,
                       void *grad, void *hess)
{
    real p[MAX_PARAM] = {0};
    for (size_t k = 0; k < nparam; k++) p[k] = (real)param[k];
    switch ((value ? VALUE : 0) | (grad ? GRAD : 0) | (hess ? HESS : 0)) {
        WANT(VALUE);
        WANT(GRAD);
        WANT(HESS);
        WANT(VALUE | GRAD);
        WANT(VALUE | HESS);
        WANT(GRAD | HESS);
        WANT(VALUE | GRAD | HESS);
    }
}
#undef WANT
