#include "parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    PER_THREAD = 32768, /* elements that pay for a thread: about 10 us of the cheapest loss */
    PER_POLL = 4 << 20, /* elements between two looks at control->interrupted: about 20 ms of the dearest */
    MAX_THREADS = 256
};

static atomic_int wanted; /* 0: all processors */
static atomic_int forked; /* in a child of fork(), where the threads of libgomp's pool are gone and it would wait
                             for them for ever */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void in_child(void)
{
    atomic_store(&forked, 1);
    pthread_mutex_init(&mutex, NULL); /* its holder may not exist here */
}

__attribute__((constructor)) static void watch_fork(void) { pthread_atfork(NULL, NULL, in_child); }

void lf_set_num_threads(int nthreads)
{
    atomic_store(&wanted, nthreads < 0 ? 0 : nthreads < MAX_THREADS ? nthreads : MAX_THREADS);
}

int lf_get_num_threads(void)
{
#ifdef _OPENMP
    const int n = atomic_load(&wanted);
    if (atomic_load(&forked)) return 1;
    return n ? n : omp_get_max_threads();
#else
    return 1;
#endif
}

void lf_lock(void) { pthread_mutex_lock(&mutex); }
void lf_unlock(void) { pthread_mutex_unlock(&mutex); }

#ifdef _OPENMP
static size_t share(size_t n, size_t part, size_t parts)
{
    return n / parts * part + (part < n % parts ? part : n % parts);
}

/* What one of `all` threads does of n units from `first` on.  It keeps to a range of its own, but for the last quarter:
 * that goes to whoever has time, in pieces of at least `least` units, because processors are not equally fast, and some
 * have other things to do. */
static void run_share(size_t first, size_t n, size_t least, size_t me, size_t all, atomic_size_t *taken,
                      parallel_body *body, void *context)
{
    enum { PIECES = 8 };
    const size_t quarter = n / all / 4, most = quarter / least, pieces = most < PIECES ? most : PIECES;
    const size_t left = pieces ? quarter : 0;
    const size_t from = share(n, me, all), to = share(n, me + 1, all) - left;
    if (from < to) body(context, first + from, first + to);
    for (size_t k = atomic_fetch_add(taken, 1); k < pieces * all; k = atomic_fetch_add(taken, 1)) {
        const size_t piece = k / all, begin = first + share(n, k % all + 1, all) - left;
        body(context, begin + share(left, piece, pieces), begin + share(left, piece + 1, pieces));
    }
}
#endif

static void run(size_t first, size_t last, size_t nthreads, size_t least, parallel_body *body, void *context)
{
#ifdef _OPENMP
    if (nthreads > 1) {
        atomic_size_t taken = 0;
#pragma omp parallel num_threads((int)nthreads)
        run_share(first, last - first, least, (size_t)omp_get_thread_num(), (size_t)omp_get_num_threads(), &taken, body,
                  context);
        return;
    }
#else
    (void)nthreads, (void)least;
#endif
    body(context, first, last);
}

size_t lf_threads(const lf_control *control)
{
    const int asked = control && control->nthreads > 0 ? control->nthreads : 0;
    const int most = atomic_load(&forked) || !asked ? lf_get_num_threads() : asked;
    return (size_t)(most < MAX_THREADS ? most : MAX_THREADS);
}

lf_status lf_parallel(size_t nunits, size_t unit_cost, const lf_control *control, parallel_body *body, void *context)
{
    const size_t limit = lf_threads(control);
    const size_t per_thread = PER_THREAD / unit_cost + 1, per_poll = PER_POLL / unit_cost + 1;
    const size_t poll = per_poll > limit ? per_poll : limit; /* a unit for each thread, however long they are */
    for (size_t first = 0; first < nunits;) {
        const size_t step = control && control->interrupted && nunits - first > poll + poll / 2 ? poll : nunits - first;
        size_t nthreads = step / per_thread;
        nthreads = nthreads < 1 ? 1 : nthreads < limit ? nthreads : limit;
        run(first, first + step, nthreads, per_thread, body, context);
        first += step;
        if (first < nunits && control->interrupted(control->context)) return LF_INTERRUPTED;
    }
    return LF_OK;
}
