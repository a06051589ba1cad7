/* Margin ranking loss: the first of two scores should be higher by a margin, or lower.
 *
 *     value = max(0, margin - y (pred - other)),     y = 1 for target > 0, else -1
 *
 * The other score is the parameter that may be an array; its derivative is that by pred with the other sign.
 */
inline_ jet margin_ranking(real target, real pred, const real *param)
{
    const real y = target > 0 ? 1 : -1, short_of = param[1] - y * (pred - param[0]);
    return (jet){.value = short_of <= 0 ? 0 : short_of,
                 .grad = short_of <= 0  ? 0
                         : short_of > 0 ? -y
                                        : short_of,
                 .hess = 0};
}
