/* Brier score of a class:  value = r^2,  slope = 2 p r,  curve = 2 p (p + r),  r = p - target. */
inline_ class_jet class_brier(real target, real p, real q, real log_p, const real *param)
{
    (void)log_p, (void)param;
    const real r = target == 1 ? -q : p - target;
    return (class_jet){.value = r * r, .slope = 2 * p * r, .curve = 2 * p * (p + r)};
}
