/* What the parts of the driver of CTC share: the call, the samples that go together, and the memory they work in.
 * Included by run.c alone, as the files that build on it are. */
/* Bytes of rows of a half that are all kept; of more, the first of every segment is, and the others come again.  To be
 * set lower by tests. */
#ifndef LATTICE_KEPT
#define LATTICE_KEPT (1 << 19)
#endif

enum {
    ROOM = 16384, /* bytes of a tile of frames: as long as one fits, frames go across the lanes, as in rowwise/ */
    PAD = LATTICE_LANES, /* dead states between the arrays of a row: before the first stands the last of these */
    SHARED = 96,         /* lanes that short samples share */
    KEPT = LATTICE_KEPT
};

enum { FIRST, SECOND }; /* the halves of a sample's frames: alpha comes through one to the middle, beta the other */

typedef enum { POSSIBLE, IMPOSSIBLE, NOT_A_NUMBER, DONE } outcome;

typedef struct {
    size_t sample, frames, labels;
    size_t half[2];       /* frames of each half */
    const int32_t *label; /* its labels, then the blank */
    double scale;
    double *top, *sum; /* of each frame's softmax */
    int met[2];        /* LATTICE_FAR and LATTICE_NAN in each half */
    outcome outcome;
} member;

/* Where one half is worked on, a segment of rows at a time. */
typedef struct {
    char *again, *spare[2], *y_blanks; /* rows of states; a blank's probability in each lane */
    char *occupation, *blanks, *pairs; /* of each row */
    double *factor;                    /* of each row and member */
    char *in, *out;                    /* a frame, where it can't be used where it stands */
} bench;

/* Samples that go through the kernels side by side.  Row j of the first half is alpha of frame half[FIRST] - 1 - j,
 * row j of the second is beta of frame half[FIRST] - 1 + j; each comes from row j + 1.  A sample with fewer frames
 * waits in its row until it is its turn. */
typedef struct {
    member member[LATTICE_MEMBERS];
    lattice lattice;
    size_t rows[2], segment, every;  /* the step between rows that are kept: 1, or a segment */
    char *start[2], *kept[2], *y[2]; /* y: the probabilities of all rows, if all are kept, or a segment's */
    bench bench[2];
} pack;

/* The arrays of the call for kernels of one dtype. */
typedef struct {
    lf_dtype dtype;
    const kernels *k;
    size_t size;
    int across; /* frames go across the lanes */
    lf_array logits, grad, posteriors;
    char *in, *out; /* NULL: frames can't be used where they stand */
    ptrdiff_t in_sample, in_frame, out_sample, out_frame;
} operands;

typedef struct {
    const lf_ctc_call *call;
    operands as[2]; /* in the dtype of the call, and in double */
    size_t classes, frames;
    const int64_t *label_length, *logit_length;
    const int32_t *label;
    const size_t *first_label; /* of each sample */
    lf_array value, scale;
    void (*log)(size_t n, const void *x, void *y);
    size_t together; /* samples of a pack, at most */
    size_t most_frames, most_labels;
    int halves;         /* threads share packs, a half each */
    const size_t *pack; /* first sample of each, and past the last */
    size_t npacks, nslots, slot_size, narrow_size;
    char *slots;
    size_t *free_slot, nfree; /* under lf_lock */
} job;

static size_t padded(size_t lanes) { return (lanes + PAD - 1) / PAD * PAD; }

static size_t root(size_t n)
{
    size_t r = 1;
    while (r * r < n) r++;
    return r;
}

/* Bytes of a number for each lane, a row of states, and a row of probabilities. */
static size_t line_size(const operands *as, const pack *p) { return p->lattice.pitch * as->size; }
static size_t row_size(const operands *as, const pack *p) { return 4 * line_size(as, p); }
static size_t y_size(const operands *as, const pack *p) { return 2 * (line_size(as, p) + LATTICE_MEMBERS * as->size); }

/* The room of a pack of so many samples, lanes and frames (all: of all its samples together); while it is only counted,
 * of a smaller one too. */
static void furnish(pack *p, arena *a, const job *j, const operands *as, size_t count, size_t lanes, size_t frames,
                    size_t all)
{
    lattice *const g = &p->lattice;
    g->lanes = padded(lanes);
    g->pitch = g->lanes + PAD;
    const size_t line = line_size(as, p), row = row_size(as, p);
    p->member[0].top = take(a, all, sizeof(double));
    p->member[0].sum = take(a, all, sizeof(double));
    g->skip = take(a, 1, line);
    g->power = take(a, 1, line);
    const size_t most = frames / 2 + 1, few = most < KEPT / row + 1 ? most : KEPT / row + 1;
    p->segment = (root(most) + TILE - 1) / TILE * TILE;
    p->every = most > KEPT / row ? p->segment : 1;
    const size_t n = p->segment;
    size_t of_y = p->every > 1 ? n : most, of_kept = (most - 1) / p->every + 1;
    if (!a->base) {
        of_y = of_y > few ? of_y : few;
        of_kept = p->every == 1 ? most : root(most) > few ? root(most) : few;
    }
    for (int h = FIRST; h <= SECOND; h++) {
        p->rows[h] = h == SECOND || !frames ? most : (frames + 1) / 2;
        p->y[h] = take(a, of_y, y_size(as, p));
        p->start[h] = take(a, 1, row);
        p->kept[h] = take(a, of_kept, row);
        bench *const b = &p->bench[h];
        if (h == SECOND && !j->halves) {
            *b = p->bench[FIRST];
            continue;
        }
        b->again = p->every > 1 ? take(a, n, row) : NULL;
        b->y_blanks = take(a, 2, line);
        b->spare[0] = take(a, 1, row);
        b->spare[1] = take(a, 1, row);
        b->occupation = take(a, n, line);
        b->blanks = take(a, j->call->posteriors.data ? n : 1, line);
        b->pairs = take(a, j->call->posteriors.data ? 2 : 0, line);
        b->factor = take(a, n * count, sizeof(double));
        b->in = take(a, as->across ? TILE * j->classes : j->classes, as->size);
        b->out = take(a, j->classes, as->size);
    }
}
