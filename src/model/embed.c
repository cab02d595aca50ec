/* embed.c: one vector for a text (jeton/embed.h): rows are evaluated in batches, pooled in a fixed order (docs/numbers.md), and
 * go through the model's pooler and classifying head where that is asked for. */
#include "jeton/embed.h"

#include <math.h>
#include <string.h>

#include "model/model.h"

enum { EMBED_ROWS = 512, EMBED_TEXTS = 128 };

/* Texts that are evaluated together. */
struct embed_batch {
    jt_model *model;
    jt_pooling pooling;
    const jt_embed_text *text;
    int n, rows;
    jt_state *state[EMBED_TEXTS];
    jt_span span[EMBED_TEXTS];
    float *x; /* rows that are pooled */
    jt_want *want;
    size_t cap_x, cap_want;
};

static bool embed_all(jt_pooling p) { return p == JT_POOL_MEAN || p == JT_POOL_MAX; }

static jt_status embed_check(const jt_model *m, const jt_embed_text *t, int i, jt_error *err) {
    int most = m->config.encoder ? m->config.context : 1 << 24;
    if (t->n < 1) return jt_error_set(err, JT_INVALID, "text %d has no tokens", i);
    if (m->config.positions && m->config.positions < most) most = m->config.positions;
    if (t->n > most) return jt_error_set(err, JT_LIMIT, "text %d has %d tokens; the model reads at most %d at once", i, t->n, most);
    return JT_OK;
}

/* As many of the texts as a batch holds. */
static int embed_take(const jt_embed_text *text, int n) {
    int k = 1;
    for (int64_t rows = text[0].n; k < n && k < EMBED_TEXTS && rows + text[k].n <= EMBED_ROWS; k++) rows += text[k].n;
    return k;
}

static jt_status embed_eval(struct embed_batch *b, const jt_embed_options *o, jt_error *err) {
    size_t d = (size_t)b->model->config.hidden, rows = 0, wants = 0;
    bool all = embed_all(b->pooling);
    for (int i = 0; i < b->n; i++) rows += (size_t)b->text[i].n, wants += all ? (size_t)b->text[i].n : 1;
    size_t floats;
    if (rows > INT32_MAX || !jt_mul(wants, d, &floats)) return jt_error_set(err, JT_LIMIT, "%zu tokens are too many", rows);
    jt_status s = jt_grow((void **)&b->x, &b->cap_x, floats, sizeof *b->x, err);
    if (!s) s = jt_grow((void **)&b->want, &b->cap_want, wants, sizeof *b->want, err);
    for (int i = 0; i < b->n && !s; i++) s = jt_state_new(b->model, b->text[i].n, &b->state[i], err);
    if (s) return s;
    int at = 0, w = 0;
    for (int i = 0; i < b->n; i++) {
        const jt_embed_text *t = &b->text[i];
        b->span[i] = (jt_span){.state = b->state[i], .ids = t->ids, .n = t->n, .types = t->types};
        for (int k = 0; k < (all ? t->n : 1); k++, w++)
            b->want[w] = (jt_want){.row = at + (b->pooling == JT_POOL_LAST ? t->n - 1 : k), .final = b->x + (size_t)w * d};
        at += t->n;
    }
    (void)o;
    return jt_eval(b->model, &(jt_batch){.span = b->span, .n_span = b->n, .want = b->want, .n_want = w}, err);
}

/* The rows [n][d] of a text as one. */
static void embed_pool(jt_pooling p, const float *x, int n, size_t d, float *out) {
    if (!embed_all(p)) memcpy(out, x, d * sizeof *out);
    for (size_t j = 0; embed_all(p) && j < d; j++) {
        double sum = 0;
        float most = x[j];
        for (size_t r = 0; r < (size_t)n; r++) {
            float v = x[r * d + j];
            sum += (double)v;
            if (!(v <= most)) most = v;
        }
        out[j] = p == JT_POOL_MAX ? most : (float)(sum / n);
    }
}

static void embed_normalise(float *x, size_t d) {
    double sum = 0;
    for (size_t j = 0; j < d; j++) sum += (double)x[j] * (double)x[j];
    double length = sqrt(sum);
    for (size_t j = 0; j < d && length > 0; j++) x[j] = (float)((double)x[j] / length);
}

static jt_status embed_texts(struct embed_batch *b, const jt_embed_options *o, float *out, jt_error *err) {
    size_t d = (size_t)b->model->config.hidden;
    jt_status s = embed_eval(b, o, err);
    const float *x = b->x;
    for (int i = 0; i < b->n; i++) {
        int rows = embed_all(b->pooling) ? b->text[i].n : 1;
        if (!s) embed_pool(b->pooling, x, rows, d, out + (size_t)i * d);
        x = s ? x : x + (size_t)rows * d;
        jt_state_free(b->state[i]);
        b->state[i] = NULL;
    }
    return s;
}

/* Pooled rows of all texts: out[n][hidden]. */
static jt_status embed_pooled(jt_model *m, const jt_embed_text *text, int n, jt_pooling pooling, const jt_embed_options *o, float *out,
                              jt_error *err) {
    jt_status s = JT_OK;
    if (m->options.vocab_only)
        return jt_error_set(err, JT_INVALID, "the model was opened for its vocabulary only; open it whole to evaluate");
    for (int i = 0; i < n && !s; i++) s = embed_check(m, &text[i], i, err);
    if (s) return s;
    struct embed_batch *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(err, "a batch of texts", 1, sizeof *b);
    b->model = m, b->pooling = pooling;
    for (int i = 0; i < n && !s; i += b->n) {
        b->text = text + i, b->n = embed_take(text + i, n - i);
        if (o && o->progress && o->progress(o->progress_self, i)) s = jt_error_set(err, JT_CANCELLED, "cancelled after %d texts", i);
        if (!s) s = embed_texts(b, o, out + (size_t)i * (size_t)m->config.hidden, err);
    }
    jt_free(b->x), jt_free(b->want);
    jt_free(b);
    return s;
}

/* Runs rows x[n][hidden] through the pooler, and the head with `classes`: out[n][width]. */
static jt_status embed_head(jt_model *m, const float *x, int n, bool classes, float *out, jt_error *err) {
    int kind = classes ? JT_GRAPH_CLASSES : JT_GRAPH_POOLED;
    size_t d = (size_t)m->config.hidden, width = classes ? (size_t)m->config.classes : d;
    jt_status s = JT_OK;
    for (int i = 0, rows; i < n && !s; i += rows) {
        rows = n - i < m->options.ubatch ? n - i : m->options.ubatch;
        for (int k = 0; k < rows; k++) m->work.vector[k] = x + (size_t)(i + k) * d;
        jt_env e;
        if ((s = jt_eval_vectors(m, kind, rows, &e, err))) break;
        jt_buffer_read(e.storage, jt_env_at(&e, m->graph[kind].final), out + (size_t)i * width, (size_t)rows * width * sizeof *out);
    }
    return s;
}

jt_status jt_embed(jt_model *m, const jt_embed_text *text, int n, const jt_embed_options *o, float *out, jt_error *err) {
    jt_pooling p = o && o->pooling != JT_POOL_AUTO ? o->pooling : m->info.pooling;
    int normalise = !o || o->normalise < 0 ? m->normalise : o->normalise;
    size_t d = (size_t)m->config.hidden;
    if (n < 0 || p < JT_POOL_MEAN || p > JT_POOL_POOLER) return jt_error_set(err, JT_INVALID, "%d texts, pooling %d", n, (int)p);
    if (p == JT_POOL_POOLER && (!m->config.encoder || !m->config.pooled))
        return jt_error_set(err, JT_UNSUPPORTED, "pooling by the model's pooler: its files have none");
    jt_status s = embed_pooled(m, text, n, p == JT_POOL_POOLER ? JT_POOL_CLS : p, o, out, err);
    if (!s && p == JT_POOL_POOLER) s = embed_head(m, out, n, false, out, err);
    for (int i = 0; i < n && !s && normalise; i++) embed_normalise(out + (size_t)i * d, d);
    return s;
}

jt_status jt_classify(jt_model *m, const jt_embed_text *text, int n, const jt_embed_options *o, float *out, jt_error *err) {
    size_t floats;
    if (n < 0) return jt_error_set(err, JT_INVALID, "%d texts", n);
    if (!m->config.classes)
        return jt_error_set(err, JT_UNSUPPORTED, "the model has no head that classifies; it is one that is trained for that");
    if (!jt_mul((size_t)n, (size_t)m->config.hidden, &floats)) return jt_error_set(err, JT_LIMIT, "%d texts are too many", n);
    float *x = jt_alloc(floats, sizeof *x);
    if (!x) return jt_nomem(err, "pooled rows", floats, sizeof *x);
    jt_status s = embed_pooled(m, text, n, m->config.classes_pooling, o, x, err);
    if (!s) s = embed_head(m, x, n, true, out, err);
    jt_free(x);
    return s;
}
