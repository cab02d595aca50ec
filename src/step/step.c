/* step.c: the accessors of a step. What a row does not declare is not there. */
#include "step/step.h"

#include <string.h>

#include "core/hash.h"
#include "core/random.h"

static bool step_needs(const jt_step *s, uint32_t what) { return (s->method->needs & what) != 0; }

int32_t jt_step_position(const jt_step *s) { return s->n; }
int32_t jt_step_prompt(const jt_step *s) { return s->n_prompt; }

const int32_t *jt_step_history(const jt_step *s, int *n) {
    bool yes = step_needs(s, JT_NEEDS_HISTORY);
    *n = yes ? s->n : 0;
    return yes ? s->history : NULL;
}

const jt_count *jt_step_counts(jt_step *s, int first, int *n) {
    *n = 0;
    if (!step_needs(s, JT_NEEDS_HISTORY)) return NULL;
    for (int i = first < 0 ? 0 : first; i < s->n; i++) {
        int32_t id = s->history[i];
        if (!s->seen[id]) s->count[(*n)++] = (jt_count){.id = id}, s->seen[id] = *n;
        s->count[s->seen[id] - 1].count++;
    }
    for (int i = 0; i < *n; i++) s->seen[s->count[i].id] = 0;
    return s->count;
}

/* The Z algorithm, read backwards: z[k] is how long x[0..n) ends like itself without its last k. */
static void step_alike(const int32_t *x, int n, int32_t *z) {
    int left = 0, right = 0;
    for (int k = 1; k < n; k++) {
        int m = k < right ? (z[k - left] < right - k ? z[k - left] : right - k) : 0;
        while (k + m < n && x[n - 1 - m] == x[n - 1 - k - m]) m++;
        z[k] = m;
        if (k + m > right) left = k, right = k + m;
    }
}

const jt_count *jt_step_repeats(jt_step *s, int first, const unsigned char *stops, int *n) {
    int most = 0, from = first < 0 ? 0 : first;
    *n = 0;
    if (!step_needs(s, JT_NEEDS_HISTORY) || from >= s->n) return NULL;
    const int32_t *x = s->history + from;
    int len = s->n - from;
    while (most < len && !(stops && stops[x[len - 1 - most]])) most++;
    step_alike(x, len, s->alike);
    for (int k = 1; k < len; k++) {
        int32_t id = x[len - k], alike = s->alike[k] < most ? s->alike[k] : most;
        if (!alike || (stops && stops[id])) continue;
        if (!s->seen[id]) s->count[(*n)++] = (jt_count){.id = id}, s->seen[id] = *n;
        jt_count *c = &s->count[s->seen[id] - 1];
        if (alike > c->count) c->count = alike;
    }
    for (int i = 0; i < *n; i++) s->seen[s->count[i].id] = 0;
    return s->count;
}

const jt_tokenizer *jt_step_tokenizer(const jt_step *s) { return step_needs(s, JT_NEEDS_TOKENIZER) ? s->tokenizer : NULL; }
double jt_step_arrived(const jt_step *s) { return step_needs(s, JT_NEEDS_ARRIVED) ? s->arrived : 0; }
jt_dist *jt_step_raw(jt_step *s) { return step_needs(s, JT_NEEDS_RAW) ? s->raw : NULL; }
jt_dist *jt_step_second(jt_step *s) { return step_needs(s, JT_NEEDS_MODEL2 | JT_NEEDS_PROMPT2) ? s->second : NULL; }

const float *jt_step_hidden(const jt_step *s, int *n) {
    bool yes = step_needs(s, JT_NEEDS_HIDDEN) && s->hidden;
    *n = yes ? s->n_hidden : 0;
    return yes ? s->hidden : NULL;
}

const float *jt_step_stream(const jt_step *s, int layer, int *n) {
    *n = 0;
    if (!step_needs(s, JT_NEEDS_STREAM)) return NULL;
    for (int i = 0; s->streams && i < s->n_layer; i++)
        if (s->layer[i] == layer) return *n = s->n_hidden, s->streams + (size_t)i * (size_t)s->n_hidden;
    return NULL;
}

jt_dist *jt_step_project(jt_step *s, const float *x, bool norm) {
    return step_needs(s, JT_NEEDS_PROJECT) && s->project && x ? s->project(s->project_self, x, norm, s->err) : NULL;
}

int jt_step_siblings(const jt_step *s) { return step_needs(s, JT_NEEDS_SIBLINGS) ? s->n_kin : 0; }

const int32_t *jt_step_sibling(const jt_step *s, int i, int *n) {
    bool yes = i >= 0 && i < jt_step_siblings(s);
    *n = yes ? s->kin[i].n : 0;
    return yes ? s->kin[i].ids : NULL;
}

void *jt_step_self(const jt_step *s) { return s->method->self; }
void *jt_step_shared(const jt_step *s) { return s->shared; }
jt_error *jt_step_error(jt_step *s) { return s->err; }

static void step_note(jt_draws *d, const char *purpose, uint32_t index, double u) {
    uint64_t bits;
    memcpy(&bits, &u, sizeof bits);
    if (d->n < JT_DRAWS_KEPT) {
        jt_drawn *k = &d->kept[d->n];
        size_t len = strlen(purpose);
        *k = (jt_drawn){.index = index, .u = u};
        memcpy(k->purpose, purpose, len < sizeof k->purpose ? len : sizeof k->purpose - 1);
    }
    d->n++;
    d->hash = jt_hash_u64(d->hash, bits);
}

double jt_step_u(const jt_step *s, const char *purpose, uint32_t index) {
    double u = jt_random_u(&(jt_address){.seed = s->seed,
                                         .stream = s->stream,
                                         .position = (uint32_t)s->n,
                                         .site = jt_random_site(s->method->name, s->occurrence, purpose),
                                         .index = index});
    if (s->draws) step_note(s->draws, purpose, index, u);
    return u;
}
