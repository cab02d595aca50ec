/* taps.c: the table of sites, and the taps of a state (jeton/tap.h). */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/str.h"
#include "jeton/tap.h"
#include "model/model.h"

/* Order must match jt_site (network.h). */
static const char *const site_names[] = {"residual", "query", "heads", "attention", "mlp", "score"};
_Static_assert(sizeof site_names / sizeof *site_names == JT_SITES, "a name for every site");

const char *jt_site_name(int i) { return i >= 0 && i < JT_SITES ? site_names[i] : NULL; }

static int taps_site_of(const char *name) {
    for (int i = 0; i < JT_SITES; i++)
        if (!strcmp(site_names[i], name)) return i;
    return -1;
}

int jt_taps_width(const jt_model *m, int site) {
    switch (site) {
    case JT_SITE_RESIDUAL:
    case JT_SITE_ATTENTION:
    case JT_SITE_MLP: return m->config.hidden;
    case JT_SITE_QUERY: return m->config.heads * m->config.head_dim;
    case JT_SITE_HEADS: return m->config.heads * jt_config_value_dim(&m->config);
    default: return 0;
    }
}

int jt_site_width(const jt_model *m, const char *site) { return jt_taps_width(m, taps_site_of(site)); }

void jt_taps_put(jt_taps *t) {
    if (!t || --t->refs) return;
    jt_arena_free(&t->memory);
    jt_free(t);
}

static jt_status taps_no_site(const char *name, jt_error *err) {
    const char *best = site_names[0];
    for (int i = 1; i < JT_SITES; i++)
        if (jt_edit_distance(name, site_names[i]) < jt_edit_distance(name, best)) best = site_names[i];
    return jt_error_set(err, JT_UNKNOWN, "site \"%.40s\" is unknown; did you mean \"%s\"?", name, best);
}

static jt_status taps_check(const jt_model *m, const jt_tap *t, int i, int site, jt_error *err) {
    int layers = m->config.layers + (site == JT_SITE_RESIDUAL);
    if ((site == JT_SITE_SCORE) != (t->op == JT_TAP_KEY_BIAS))
        return jt_error_set(err, JT_INVALID, "tap %d: biases of keys belong to the site \"score\", and nothing else does", i);
    if (t->op < JT_TAP_CAPTURE || t->op > JT_TAP_HOST)
        return jt_error_set(err, JT_INVALID, "tap %d: operation %d is unknown", i, (int)t->op);
    if (t->layer_first < 0 || t->layer_end < t->layer_first || t->layer_end > layers)
        return jt_error_set(err, JT_INVALID, "tap %d: layers %d to %d; site \"%s\" has layers 0 to %d", i, t->layer_first, t->layer_end,
                            t->site, layers);
    if (t->row_first < 0 || t->row_end < 0 || t->key_first < 0 || t->key_end < 0)
        return jt_error_set(err, JT_INVALID, "tap %d: rows and keys are counted from 0", i);
    if (t->op == JT_TAP_KEY_BIAS && t->key_end <= t->key_first && !(t->key_first && !t->key_end))
        return jt_error_set(err, JT_INVALID, "tap %d: keys %d to %d are none; key_end must be above key_first, or 0 after a key_first", i,
                            t->key_first, t->key_end);
    if (!isfinite(t->value) && !(t->op == JT_TAP_KEY_BIAS && t->value == -INFINITY))
        return jt_error_set(err, JT_INVALID, "tap %d: its value is not finite; only a bias of keys may be -inf", i);
    if ((t->op == JT_TAP_ADD || t->op == JT_TAP_PROJECT_OUT) && !t->vec)
        return jt_error_set(err, JT_INVALID, "tap %d: its vector is missing", i);
    if (t->op == JT_TAP_HOST && !t->host) return jt_error_set(err, JT_INVALID, "tap %d: its function is missing", i);
    for (int k = 0; t->heads && k < t->n_heads; k++)
        if (t->heads[k] < 0 || t->heads[k] >= m->config.heads)
            return jt_error_set(err, JT_INVALID, "tap %d: head %d; the model has %d", i, t->heads[k], m->config.heads);
    return JT_OK;
}

static float taps_squares(const float *v, int n) {
    float s = 0;
    for (int i = 0; i < n; i++) s += v[i] * v[i];
    return s;
}

static jt_status taps_copy(const jt_model *m, jt_taps *to, const jt_tap *t, int i, jt_error *err) {
    int site = t->site ? taps_site_of(t->site) : -1, width = jt_taps_width(m, site);
    if (site < 0) return taps_no_site(t->site ? t->site : "", err);
    jt_status s = taps_check(m, t, i, site, err);
    if (s) return s;
    jt_env_tap *x = &to->tap[i];
    bool all = !t->layer_first && !t->layer_end;
    *x = (jt_env_tap){.site = site,
                      .op = (int)t->op,
                      .layer_first = t->layer_first,
                      .layer_end = all ? m->config.layers + (site == JT_SITE_RESIDUAL) : t->layer_end,
                      .row_first = t->row_first,
                      .row_end = t->row_end ? t->row_end : INT_MAX,
                      .key_first = t->key_first,
                      .key_end = t->key_end ? t->key_end : INT_MAX,
                      .value = t->value,
                      .tag = t->tag,
                      .host = t->host,
                      .self = t->self};
    if (t->op == JT_TAP_ADD || t->op == JT_TAP_PROJECT_OUT) {
        float *v = jt_arena_alloc(&to->memory, (size_t)width, sizeof *v);
        if (!v) return jt_nomem(err, "vector of a tap", (size_t)width, sizeof *v);
        memcpy(v, t->vec, (size_t)width * sizeof *v);
        x->vec = v, x->norm = taps_squares(v, width);
        if (t->op == JT_TAP_PROJECT_OUT && !(x->norm > 0)) return jt_error_set(err, JT_INVALID, "tap %d: its vector has no length", i);
    }
    if (t->op == JT_TAP_KEY_BIAS && t->heads) {
        uint8_t *h = jt_arena_alloc(&to->memory, (size_t)m->config.heads, 1);
        if (!h) return jt_nomem(err, "heads of a tap", (size_t)m->config.heads, 1);
        for (int k = 0; k < t->n_heads; k++) h[t->heads[k]] = 1;
        x->head = h;
    }
    if (t->op == JT_TAP_CAPTURE) x->capture_at = to->captures, to->captures += x->layer_end - x->layer_first;
    to->host |= t->op == JT_TAP_HOST;
    return JT_OK;
}

/* A host's function counts by its presence: its doing is not known here. */
static uint64_t taps_hash_tap(uint64_t h, const jt_model *m, const jt_env_tap *t) {
    const int word[] = {t->site, t->op, t->layer_first, t->layer_end, t->row_first, t->row_end, t->key_first, t->key_end};
    h = jt_hash_bytes(h, word, sizeof word);
    h = jt_hash_bytes(h, &t->value, sizeof t->value);
    if (t->vec) h = jt_hash_bytes(h, t->vec, (size_t)jt_taps_width(m, t->site) * sizeof *t->vec);
    return t->head ? jt_hash_bytes(h, t->head, (size_t)m->config.heads) : h;
}

jt_status jt_state_set_taps(jt_state *s, const jt_tap *t, int n, jt_error *err) {
    jt_taps *new = NULL;
    if (n < 0 || n > 4096) return jt_error_set(err, JT_INVALID, "%d taps; give 0 to 4096", n);
    if (n) {
        if (!(new = jt_alloc(1, sizeof *new))) return jt_nomem(err, "taps", 1, sizeof *new);
        new->refs = 1, new->n = n;
        new->tap = jt_arena_alloc(&new->memory, (size_t)n, sizeof *new->tap);
        jt_status e = new->tap ? JT_OK : jt_nomem(err, "taps", (size_t)n, sizeof *new->tap);
        for (int i = 0; i < n && !e; i++) e = taps_copy(s->model, new, &t[i], i, err);
        if (e) {
            jt_taps_put(new);
            return e;
        }
    }
    jt_taps_put(s->taps);
    s->taps = new;
    s->watched |= new && (new->host || new->captures);
    s->tapped = jt_hash_u64(s->tapped, (uint64_t)s->length);
    for (int i = 0; i < n; i++) s->tapped = taps_hash_tap(s->tapped, s->model, &new->tap[i]);
    return JT_OK;
}
