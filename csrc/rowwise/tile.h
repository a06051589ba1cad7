/* Tiles: TILE rows of few classes, turned so that a class of all of them is contiguous.
 *
 * Blocks of four rows and four classes are turned in registers, as many at once as a vector has quarters of four
 * numbers: quarter q holds the rows 4 q ... 4 q + 3.  What is left over is moved one by one. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define TURNS_IN_REGISTERS 1
#endif
#endif

#ifdef TURNS_IN_REGISTERS
typedef real quarter __attribute__((vector_size(4 * sizeof(real))));
#if LF_BITS == 32 && defined(__AVX2__) /* four quarters are no faster: more shuffles on the way in */
enum { QUARTERS = 2 };
#define EACH_QUARTER(a, b, c, d) a, b, c, d, (a) + 4, (b) + 4, (c) + 4, (d) + 4
#else
enum { QUARTERS = 1 };
#define EACH_QUARTER(a, b, c, d) a, b, c, d
#endif
enum { TOGETHER_ROWS = 4 * QUARTERS };
typedef real quarters __attribute__((vector_size(TOGETHER_ROWS * sizeof(real))));

/* Element (i, j) of the block of each quarter becomes (j, i). */
inline_ void turn_blocks(quarters v[4])
{
    enum { S = TOGETHER_ROWS }; /* where the second operand's elements begin */
    const quarters low01 = __builtin_shufflevector(v[0], v[1], EACH_QUARTER(0, S, 1, S + 1)),
                   high01 = __builtin_shufflevector(v[0], v[1], EACH_QUARTER(2, S + 2, 3, S + 3)),
                   low23 = __builtin_shufflevector(v[2], v[3], EACH_QUARTER(0, S, 1, S + 1)),
                   high23 = __builtin_shufflevector(v[2], v[3], EACH_QUARTER(2, S + 2, 3, S + 3));
    v[0] = __builtin_shufflevector(low01, low23, EACH_QUARTER(0, 1, S, S + 1));
    v[1] = __builtin_shufflevector(low01, low23, EACH_QUARTER(2, 3, S + 2, S + 3));
    v[2] = __builtin_shufflevector(high01, high23, EACH_QUARTER(0, 1, S, S + 1));
    v[3] = __builtin_shufflevector(high01, high23, EACH_QUARTER(2, 3, S + 2, S + 3));
}

inline_ quarters gather_quarters(const real *from, size_t pitch)
{
    quarter q[QUARTERS];
    UNROLL
    for (size_t i = 0; i < QUARTERS; i++) memcpy(&q[i], from + 4 * i * pitch, sizeof *q);
#if LF_BITS == 32 && defined(__AVX2__)
    return __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7);
#else
    return q[0];
#endif
}

/* Four classes of a tile from its rows, and back. */
inline_ void turn_in(const real *rows, size_t classes, size_t pitch, real *tile)
{
    for (size_t r = 0; r < TILE; r += TOGETHER_ROWS) {
        quarters v[4];
        UNROLL
        for (size_t i = 0; i < 4; i++) v[i] = gather_quarters(rows + (r + i) * classes, classes);
        turn_blocks(v);
        UNROLL
        for (size_t k = 0; k < 4; k++) memcpy(tile + k * pitch + r, &v[k], sizeof *v);
    }
}

inline_ void turn_out(const real *tile, size_t pitch, size_t classes, real *rows)
{
    for (size_t r = 0; r < TILE; r += TOGETHER_ROWS) {
        quarters v[4];
        UNROLL
        for (size_t k = 0; k < 4; k++) memcpy(&v[k], tile + k * pitch + r, sizeof *v);
        turn_blocks(v);
        UNROLL
        for (size_t i = 0; i < TOGETHER_ROWS; i++)
            memcpy(rows + (r + i) * classes, (const real *)&v[i % 4] + i / 4 * 4, sizeof(quarter));
    }
}
#endif

/* Of n rows; a last block of four classes overlaps the one before.  With a literal number of classes the compiler finds
 * the shuffles for two and three. */
static void into_tile(size_t n, size_t classes, const void *rows, size_t pitch, void *tile)
{
    const real *restrict from = rows;
    real *restrict to = tile;
    if (n == TILE && classes == 2)
        for (size_t l = 0; l < TILE; l++) to[l] = from[2 * l], to[pitch + l] = from[2 * l + 1];
    else if (n == TILE && classes == 3)
        for (size_t l = 0; l < TILE; l++)
            to[l] = from[3 * l], to[pitch + l] = from[3 * l + 1], to[2 * pitch + l] = from[3 * l + 2];
#ifdef TURNS_IN_REGISTERS
    else if (n == TILE && classes >= 4)
        for (size_t k = 0; k < classes; k += 4) {
            const size_t at = k + 4 <= classes ? k : classes - 4;
            turn_in(from + at, classes, pitch, to + at * pitch);
        }
#endif
    else
        for (size_t k = 0; k < classes; k++)
            for (size_t l = 0; l < TILE; l++) to[k * pitch + l] = l < n ? from[l * classes + k] : 0;
}

static void out_of_tile(size_t n, size_t classes, const void *tile, size_t pitch, void *rows)
{
    const real *restrict from = tile;
    real *restrict to = rows;
    if (n == TILE && classes == 2)
        for (size_t l = 0; l < TILE; l++) to[2 * l] = from[l], to[2 * l + 1] = from[pitch + l];
    else if (n == TILE && classes == 3)
        for (size_t l = 0; l < TILE; l++)
            to[3 * l] = from[l], to[3 * l + 1] = from[pitch + l], to[3 * l + 2] = from[2 * pitch + l];
#ifdef TURNS_IN_REGISTERS
    else if (n == TILE && classes >= 4)
        for (size_t k = 0; k < classes; k += 4) {
            const size_t at = k + 4 <= classes ? k : classes - 4;
            turn_out(from + at * pitch, pitch, classes, to + at);
        }
#endif
    else
        for (size_t k = 0; k < classes; k++)
            for (size_t l = 0; l < n; l++) to[l * classes + k] = from[k * pitch + l];
}
