/* The loss of the cosine of two vectors:
 *
 *     cosine              offset - cos(a, b)
 *     cosine_embedding    1 - cos(a, b)                if they are alike,
 *                         max(0, cos(a, b) - margin)   if not
 */
static jet_of_distances cosine(const double *distance, int alike, const double *param)
{
    (void)alike;
    return (jet_of_distances){param[0] - distance[0], {-1}};
}

static jet_of_distances cosine_embedding(const double *distance, int alike, const double *param)
{
    const double c = distance[0], above = c - param[0];
    if (alike) return (jet_of_distances){1 - c, {-1}};
    return above <= 0 ? (jet_of_distances){0} : (jet_of_distances){above, {1}};
}
