/* Tiles: TILE rows of few classes, turned so that a class of all of them is contiguous.  Blocks of four rows and four
 * classes are turned in registers; what is left over is moved one by one. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define TURN_IN_REGISTERS 1
#endif
#endif

#ifdef TURN_IN_REGISTERS
typedef real four __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* from[r][k], rows `from_pitch` apart, to to[k][r] */
inline_ void turn_four(const real *from, size_t from_pitch, real *to, size_t to_pitch)
{
    four r[4], half[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) memcpy(&r[i], from + i * from_pitch, sizeof(four));
    half[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    half[1] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    half[2] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    half[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(half[0], half[2], 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(half[0], half[2], 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(half[1], half[3], 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(half[1], half[3], 2, 3, 6, 7);
    UNROLL
    for (size_t i = 0; i < 4; i++) memcpy(to + i * to_pitch, &r[i], sizeof(four));
}
#endif

/* from[i][j], i < n, j < m, to to[j][i]; a last block of four may go twice. */
inline_ void turn(size_t n, size_t m, const real *from, size_t from_pitch, real *to, size_t to_pitch)
{
#ifdef TURN_IN_REGISTERS
    if (n % 4 == 0 && m >= 4) {
        for (size_t i = 0; i < n; i += 4)
            for (size_t j = 0; j < m; j += 4) {
                const size_t at = j + 4 <= m ? j : m - 4;
                turn_four(from + i * from_pitch + at, from_pitch, to + at * to_pitch + i, to_pitch);
            }
        return;
    }
    if (m % 4 == 0 && n >= 4) {
        for (size_t j = 0; j < m; j += 4)
            for (size_t i = 0; i < n; i += 4) {
                const size_t at = i + 4 <= n ? i : n - 4;
                turn_four(from + at * from_pitch + j, from_pitch, to + j * to_pitch + at, to_pitch);
            }
        return;
    }
#endif
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) to[j * to_pitch + i] = from[i * from_pitch + j];
}

/* With a literal number of classes the compiler finds the shuffles for two and three. */
static void into_tile(size_t n, size_t classes, const void *rows, void *tile)
{
    const real *restrict from = rows;
    real *restrict to = tile;
    if (n < TILE) memset(to, 0, classes * TILE * sizeof(real));
    if (n == TILE && classes == 2)
        for (size_t l = 0; l < TILE; l++) to[l] = from[2 * l], to[TILE + l] = from[2 * l + 1];
    else if (n == TILE && classes == 3)
        for (size_t l = 0; l < TILE; l++)
            to[l] = from[3 * l], to[TILE + l] = from[3 * l + 1], to[2 * TILE + l] = from[3 * l + 2];
    else
        turn(n, classes, from, classes, to, TILE);
}

static void out_of_tile(size_t n, size_t classes, const void *tile, void *rows)
{
    const real *restrict from = tile;
    real *restrict to = rows;
    if (n == TILE && classes == 2)
        for (size_t l = 0; l < TILE; l++) to[2 * l] = from[l], to[2 * l + 1] = from[TILE + l];
    else if (n == TILE && classes == 3)
        for (size_t l = 0; l < TILE; l++)
            to[3 * l] = from[l], to[3 * l + 1] = from[TILE + l], to[3 * l + 2] = from[2 * TILE + l];
    else if (n == TILE)
        turn(classes, TILE, from, TILE, to, classes);
    else
        for (size_t k = 0; k < classes; k++)
            for (size_t l = 0; l < n; l++) to[l * classes + k] = from[k * TILE + l];
}
