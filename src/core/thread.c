#include "core/thread.h"

#include <pthread.h>
#include <sched.h>

#include "core/mem.h"

enum { MAX_THREADS = 1024, SPIN = 4000 };

/* A generation counter that threads wait on: spin first, then sleep. */
struct gate {
    _Alignas(JT_ALIGN) atomic_uint value;
    _Alignas(JT_ALIGN) atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

struct jt_pool {
    int threads, spin, started;
    pthread_t *id;
    jt_pool_fn *fn;
    void *arg;
    bool stop;
    struct gate go, barrier;
    _Alignas(JT_ALIGN) atomic_int arrived;
    pthread_mutex_t turn; /* one jt_pool_run at a time */
};

struct worker {
    jt_pool *pool;
    int index;
};

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static bool gate_init(struct gate *g) {
    atomic_init(&g->value, 0);
    atomic_init(&g->sleepers, 0);
    if (pthread_mutex_init(&g->lock, NULL)) return false;
    if (pthread_cond_init(&g->wake, NULL)) {
        pthread_mutex_destroy(&g->lock);
        return false;
    }
    return true;
}

static void gate_end(struct gate *g) {
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
}

static void gate_wait(struct gate *g, unsigned seen, int spin) {
    for (int i = 0; i < spin; i++) {
        if (atomic_load_explicit(&g->value, memory_order_acquire) != seen) return;
        pause_cpu();
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->value) == seen) pthread_cond_wait(&g->wake, &g->lock);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->lock);
}

/* Sequentially consistent: a sleeper either sees the new value or is counted here. */
static void gate_open(struct gate *g) {
    atomic_fetch_add(&g->value, 1);
    if (atomic_load(&g->sleepers) == 0) return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

void jt_pool_barrier(jt_pool *p) {
    if (p->threads == 1) return;
    unsigned seen = atomic_load_explicit(&p->barrier.value, memory_order_acquire);
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) + 1 == p->threads) {
        atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
        gate_open(&p->barrier);
    } else {
        gate_wait(&p->barrier, seen, p->spin);
    }
}

int jt_turns_take(jt_turns *c, int pieces) {
    if (atomic_load_explicit(&c->n, memory_order_relaxed) >= pieces) return -1;
    int i = atomic_fetch_add_explicit(&c->n, 1, memory_order_relaxed);
    return i < pieces ? i : -1;
}

/* Half of the items in one part for each thread, half of the rest likewise, and so on. */
bool jt_turns_part(jt_turns *c, int n, int least, int threads, int *first, int *end) {
    int i = jt_turns_take(c, n), at = 0, size = threads == 1 ? n : n / (2 * threads);
    if (i < 0) return false;
    for (; size > least && i >= threads; i -= threads, size /= 2) at += threads * size;
    if (size < least) size = least;
    if (i > (n - at) / size) return false;
    *first = at + i * size;
    *end = n - *first < size ? n : *first + size;
    return *first < n;
}

static void *work(void *arg) {
    struct worker w = *(struct worker *)arg;
    jt_pool *p = w.pool;
    jt_free(arg);
    unsigned seen = 0;
    for (;;) {
        gate_wait(&p->go, seen, p->spin);
        seen++;
        if (p->stop) return NULL;
        p->fn(p->arg, w.index, p->threads);
        jt_pool_barrier(p);
    }
}

int jt_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

jt_status jt_pool_new(int threads, jt_pool **out, jt_error *err) {
    int cpus = jt_processors();
    if (threads < 0 || threads > MAX_THREADS)
        return jt_error_set(err, JT_INVALID, "threads=%d: must be between 1 and %d, or 0 for one per processor", threads, MAX_THREADS);
    if (!threads) threads = cpus;
    jt_pool *p = jt_alloc_aligned(1, sizeof *p);
    pthread_t *id = jt_alloc((size_t)threads, sizeof *id);
    if (!p || !id) {
        jt_free(p), jt_free(id);
        return jt_nomem(err, "thread pool", (size_t)threads, sizeof *id);
    }
    p->threads = threads, p->id = id, p->spin = threads > cpus ? 0 : SPIN, p->started = 1;
    atomic_init(&p->arrived, 0);
    bool go = gate_init(&p->go), bar = go && gate_init(&p->barrier);
    if (!bar || pthread_mutex_init(&p->turn, NULL)) {
        if (bar) gate_end(&p->barrier);
        if (go) gate_end(&p->go);
        jt_free(p), jt_free(id);
        return jt_error_set(err, JT_NOMEM, "thread pool: the system refused a lock");
    }
    for (int i = 1; i < threads; i++) {
        struct worker *w = jt_alloc(1, sizeof *w);
        if (w) *w = (struct worker){p, i};
        if (!w || pthread_create(&p->id[i], NULL, work, w)) {
            jt_free(w);
            jt_pool_free(p);
            return jt_error_set(err, JT_NOMEM, "thread pool: could not start thread %d of %d; ask for fewer (--threads)", i + 1, threads);
        }
        p->started = i + 1;
    }
    *out = p;
    return JT_OK;
}

int jt_pool_threads(const jt_pool *p) { return p->threads; }

void jt_pool_run(jt_pool *p, jt_pool_fn *fn, void *arg) {
    pthread_mutex_lock(&p->turn);
    if (p->threads == 1) {
        fn(arg, 0, 1);
    } else {
        p->fn = fn, p->arg = arg;
        gate_open(&p->go);
        fn(arg, 0, p->threads);
        jt_pool_barrier(p);
    }
    pthread_mutex_unlock(&p->turn);
}

void jt_pool_free(jt_pool *p) {
    if (!p) return;
    if (p->started > 1) {
        p->stop = true;
        gate_open(&p->go);
        for (int i = 1; i < p->started; i++) pthread_join(p->id[i], NULL);
    }
    pthread_mutex_destroy(&p->turn);
    gate_end(&p->barrier);
    gate_end(&p->go);
    jt_free(p->id);
    jt_free(p);
}
