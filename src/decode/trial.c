/* trial.c: stages over given logits. The step is filled as a driver fills it for a row. */
#include "jeton/trial.h"

#include <string.h>

#include "core/random.h"
#include "decode/pipeline.h"
#include "step/dist.h"
#include "step/step.h"

enum { TRIAL_CONTEXT = 65536 }; /* declared, unless a history is longer */

struct jt_trial {
    const jt_pipeline *p;
    const jt_tokenizer *tokenizer;
    int vocab;
    bool greedy, ran, open;
    int arrivals; /* stages with JT_NEEDS_ARRIVED */
    jt_dist *raw, *staged, *second;
    int32_t *seen, *alike;
    jt_count *count;
    size_t cap_alike;
    char *state[JT_PIPELINE_MOST];
    void *shared[JT_PIPELINE_MOST]; /* of the first stage of its method */
    int shared_at[JT_PIPELINE_MOST];
    jt_given given; /* of the last run */
    uint32_t site;
};

static jt_status trial_refuse(const jt_method *m, const char *what, jt_error *err) {
    return jt_error_set(err, JT_UNSUPPORTED, "%s %s needs %s, which only a model has; try it with run --trace", jt_kind_name(m->kind),
                        m->name, what);
}

static jt_status trial_check(const jt_pipeline *p, jt_error *err) {
    for (int i = 0; i < p->n_strategy; i++) {
        const char *name = p->strategy[i].m->name;
        if (strcmp(name, "greedy") != 0 && strcmp(name, "sample") != 0)
            return jt_error_set(err, JT_UNSUPPORTED, "strategy %s needs a model; without one there are stages, greedy and sample", name);
    }
    for (int i = 0, arrivals = 0; i < p->n_stage; i++) {
        const jt_method *m = p->stage[i].m;
        arrivals += (m->needs & JT_NEEDS_ARRIVED) != 0;
        if (arrivals > JT_ARRIVED)
            return jt_error_set(err, JT_LIMIT, "%d stages ask what the chosen token's probability was before them; there may be %d",
                                arrivals, JT_ARRIVED);
        if (m->needs & JT_NEEDS_GRADIENTS) return trial_refuse(m, "gradients", err);
        if (m->needs & JT_NEEDS_STREAM) return trial_refuse(m, "streams of layers", err);
        if (m->needs & JT_NEEDS_RAW_KEYS) return trial_refuse(m, "raw keys", err);
        if (m->needs & JT_NEEDS_PROJECT) return trial_refuse(m, "projections", err);
    }
    return JT_OK;
}

static jt_setup trial_setup(const jt_trial *t, const jt_method *m, const jt_given *g) {
    return (jt_setup){.vocab = t->vocab,
                      .tokenizer = m->needs & JT_NEEDS_TOKENIZER ? t->tokenizer : NULL,
                      .prompt = g ? g->history : NULL,
                      .n_prompt = g ? g->n_prompt : 0,
                      .context = g && g->n_history >= TRIAL_CONTEXT ? g->n_history + 1 : TRIAL_CONTEXT};
}

static jt_status trial_share(jt_trial *t, int i, jt_error *err) {
    const jt_method *m = t->p->stage[i].m;
    t->shared_at[i] = i;
    if (!m->shared_size) return JT_OK;
    for (int k = 0; k < i; k++)
        if (t->p->stage[k].m == m) return t->shared_at[i] = k, JT_OK;
    jt_setup u = trial_setup(t, m, NULL);
    size_t bytes = m->shared_size(&u);
    void *object = jt_alloc(1, bytes);
    if (!object) return jt_nomem(err, "an object that jobs share", 1, bytes);
    jt_status e = m->shared_open ? m->shared_open(object, &u, err) : JT_OK;
    if (e == JT_OK)
        t->shared[i] = object;
    else
        jt_free(object);
    return e;
}

jt_status jt_trial_new(const jt_pipeline *p, int vocab, const jt_tokenizer *tokenizer, jt_trial **out, jt_error *err) {
    int known;
    size_t n = vocab > 0 ? (size_t)vocab : 0;
    jt_status e = trial_check(p, err);
    if (e != JT_OK) return e;
    jt_trial *t = jt_alloc(1, sizeof *t);
    if (!t) return jt_nomem(err, "a trial", 1, sizeof *t);
    *t = (jt_trial){.p = p, .vocab = vocab, .tokenizer = tokenizer, .site = jt_random_site("sample", 0, "draw")};
    for (int i = 0; i < p->n_stage; i++) t->arrivals += (p->stage[i].m->needs & JT_NEEDS_ARRIVED) != 0;
    t->greedy = !strcmp(p->strategy[0].m->name, "greedy");
    const jt_kernels *k = jt_kernels_pick(NULL, &known);
    e = jt_dist_new(vocab, k, &t->raw, err);
    if (e == JT_OK) e = jt_dist_new(vocab, k, &t->staged, err);
    if (e == JT_OK) e = jt_dist_new(vocab, k, &t->second, err);
    if (e == JT_OK && (!(t->seen = jt_alloc(n, sizeof *t->seen)) || !(t->count = jt_alloc(n, sizeof *t->count))))
        e = jt_nomem(err, "the counts of a trial", n, sizeof *t->count);
    for (int i = 0; e == JT_OK && i < p->n_stage; i++) e = trial_share(t, i, err);
    if (e == JT_OK)
        *out = t;
    else
        jt_trial_free(t);
    return e;
}

void jt_trial_free(jt_trial *t) {
    if (!t) return;
    for (int i = 0; i < t->p->n_stage; i++) {
        if (t->shared[i] && t->p->stage[i].m->shared_close) t->p->stage[i].m->shared_close(t->shared[i]);
        jt_free(t->shared[i]), jt_free(t->state[i]);
    }
    jt_dist_free(t->raw), jt_dist_free(t->staged), jt_dist_free(t->second);
    jt_free(t->seen), jt_free(t->count), jt_free(t->alike);
    jt_free(t);
}

/* A need that the caller did not give, by name. */
static jt_status trial_needs(const jt_trial *t, const jt_given *g, jt_error *err) {
    for (int i = 0; i < t->p->n_stage; i++) {
        const jt_method *m = t->p->stage[i].m;
        const char *lacks = m->needs & (JT_NEEDS_MODEL2 | JT_NEEDS_PROMPT2) && !g->second ? "second logits (\"second\")"
                            : m->needs & JT_NEEDS_HIDDEN && !g->hidden                    ? "the hidden vector (\"hidden\")"
                                                                                          : NULL;
        if (lacks) return jt_error_set(err, JT_INVALID, "stage %s needs %s, and it is not given", m->name, lacks);
        if (m->needs & JT_NEEDS_HISTORY && g->position != g->n_history)
            return jt_error_set(err, JT_INVALID, "stage %s reads the history: position %d is not its length, %d", m->name, g->position,
                                g->n_history);
    }
    if (g->n_prompt < 0 || g->n_prompt > g->n_history || g->position < g->n_history)
        return jt_error_set(err, JT_INVALID, "a prompt of %d tokens in a history of %d, at position %d", g->n_prompt, g->n_history,
                            g->position);
    for (int i = 0; i < g->n_history; i++)
        if (g->history[i] < 0 || g->history[i] >= t->vocab)
            return jt_error_set(err, JT_INVALID, "history token %d is %d, outside of the vocabulary (0 to %d)", i, (int)g->history[i],
                                t->vocab - 1);
    return JT_OK;
}

/* The states of a job that begins. */
static jt_status trial_open(jt_trial *t, const jt_given *g, jt_error *err) {
    t->open = false;
    for (int i = 0; i < t->p->n_stage; i++) {
        const jt_node *node = &t->p->stage[i];
        jt_setup u = trial_setup(t, node->m, g);
        size_t bytes = node->m->state_bytes ? node->m->state_bytes(node->par, &u) : node->m->state_size;
        jt_free(t->state[i]);
        if (!(t->state[i] = jt_alloc(1, bytes))) return jt_nomem(err, "the states of stages", 1, bytes);
        jt_status e = node->m->open ? node->m->open(node->par, t->state[i], &u, err) : JT_OK;
        if (e != JT_OK) return e;
    }
    t->open = true;
    return JT_OK;
}

static jt_step trial_step(const jt_trial *t, int i, bool row, jt_error *err) {
    const jt_node *node = &t->p->stage[i];
    const jt_given *g = &t->given;
    return (jt_step){.method = node->m,
                     .occurrence = node->occurrence,
                     .vocab = t->vocab,
                     .history = g->history,
                     .n = g->position,
                     .n_prompt = g->n_prompt,
                     .seed = g->seed,
                     .stream = jt_stream_choice(g->choice),
                     .tokenizer = t->tokenizer,
                     .raw = row ? t->raw : NULL,
                     .second = row && g->second ? t->second : NULL,
                     .hidden = row ? g->hidden : NULL,
                     .n_hidden = g->n_hidden,
                     .seen = t->seen,
                     .count = t->count,
                     .alike = t->alike,
                     .shared = t->shared[t->shared_at[i]],
                     .err = err};
}

/* The stages over the last run's logits. With `made` what arrives of its token is noted there. */
static jt_status trial_stages(jt_trial *t, jt_decision *made, jt_error *err) {
    int arrivals = 0;
    jt_status e = JT_OK;
    if (t->given.raw)
        e = jt_dist_load(t->staged, t->given.logits, err);
    else
        jt_dist_view(t->staged, t->raw);
    for (int i = 0; e == JT_OK && i < t->p->n_stage; i++) {
        const jt_node *node = &t->p->stage[i];
        jt_step step = trial_step(t, i, true, err);
        if (made && node->m->needs & JT_NEEDS_ARRIVED) made->arrived[arrivals++] = (float)jt_dist_p(t->staged, made->id);
        err->message[0] = 0;
        e = node->m->stage.run(node->par, t->state[i], t->staged, &step);
        if (e == JT_OK) e = jt_dist_sound(t->staged, err);
        if (e != JT_OK && !err->message[0]) jt_error_set(err, e, "the stage failed without a message");
        if (e != JT_OK) jt_error_in(err, e, "stage %s", node->m->name);
    }
    return e;
}

jt_status jt_trial_run(jt_trial *t, const jt_given *g, jt_dist **out, jt_error *err) {
    jt_error own = {JT_OK, ""};
    t->ran = false;
    if (!err) err = &own;
    jt_status e = trial_needs(t, g, err);
    if (e == JT_OK) e = jt_grow((void **)&t->alike, &t->cap_alike, (size_t)g->n_history + 1, sizeof *t->alike, err);
    if (e == JT_OK && !(g->go_on && t->open)) e = trial_open(t, g, err);
    if (e == JT_OK) e = jt_dist_load(t->raw, g->raw ? g->raw : g->logits, err);
    if (e == JT_OK && g->second) e = jt_dist_load(t->second, g->second, err);
    if (e != JT_OK) return e;
    t->given = *g;
    e = trial_stages(t, NULL, err);
    if (e == JT_OK) t->ran = true, *out = t->staged;
    return e;
}

static jt_decision trial_made(jt_trial *t, int32_t id, double u) {
    jt_decision made = {.id = id, .position = t->given.position, .raw_logprob = NAN, .logprob = NAN, .u = u, .entropy = NAN};
    jt_error err;
    made.candidates = jt_dist_count(t->staged);
    if (id < 0) return made;
    made.raw_logprob = (float)jt_dist_lnp(t->raw, id), made.logprob = (float)jt_dist_lnp(t->staged, id);
    if (t->arrivals && trial_stages(t, &made, &err) != JT_OK) made.id = -1;
    return made;
}

jt_decision jt_trial_decide(jt_trial *t) {
    if (!t->ran) return (jt_decision){.id = -1, .position = -1, .raw_logprob = NAN, .logprob = NAN, .u = NAN, .entropy = NAN};
    if (t->greedy) return trial_made(t, jt_dist_count(t->staged) ? jt_dist_top(t->staged, 1)->id : -1, NAN);
    double u = jt_random_u(&(jt_address){
        .seed = t->given.seed, .stream = jt_stream_choice(t->given.choice), .position = (uint32_t)t->given.position, .site = t->site});
    return trial_made(t, jt_dist_draw(t->staged, u), u);
}

jt_decision jt_trial_choose(jt_trial *t, int32_t id) { return trial_made(t, id < t->vocab ? id : -1, NAN); }

jt_status jt_trial_push(jt_trial *t, const jt_decision *made, jt_error *err) {
    jt_error own = {JT_OK, ""};
    if (!t->ran || made->id < 0 || made->id >= t->vocab)
        return jt_error_set(err, JT_INVALID, "token %d cannot be accepted: %s", (int)made->id,
                            t->ran ? "it is outside of the vocabulary" : "there was no run before");
    for (int i = 0, arrivals = 0; i < t->p->n_stage; i++) {
        const jt_node *node = &t->p->stage[i];
        jt_step step = trial_step(t, i, false, err ? err : &own);
        if (node->m->needs & JT_NEEDS_ARRIVED) step.arrived = (double)made->arrived[arrivals++];
        if (node->m->stage.push) node->m->stage.push(node->par, t->state[i], made, &step);
    }
    return JT_OK;
}
