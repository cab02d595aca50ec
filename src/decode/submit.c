/* submit.c: a request becomes a job: everything that can be refused is refused here. */
#include <limits.h>
#include <string.h>

#include "core/random.h"
#include "decode/driver.h"

enum { STOPS_MOST = 64, STOP_LENGTH_MOST = 4096, CONTEXT_MOST = 1 << 24, RESERVE_MOST = 1 << 16, MESSAGES_MOST = 1 << 16 };

/* The needs of a method that a job's driver cannot give, by name. */
static jt_status submit_method(const jt_driver *d, const jt_method *m, jt_error *err) {
    const char *role = m->role ? m->role : "guide";
    if (m->needs & JT_NEEDS_GRADIENTS)
        return jt_error_set(err, JT_UNSUPPORTED, "%s %s needs gradients, which this build cannot give", jt_kind_name(m->kind), m->name);
    for (int i = 0; m->needs & JT_NEEDS_RAW_KEYS && i < d->n_model; i++)
        if (!d->model[i].ev.open_raw)
            return jt_error_set(err, JT_UNSUPPORTED, "%s %s needs raw keys, which a model of this driver cannot keep",
                                jt_kind_name(m->kind), m->name);
    if (m->needs & JT_NEEDS_PROJECT && !d->model->ev.project)
        return jt_error_set(err, JT_UNSUPPORTED, "%s %s needs the head of a vector, which the model cannot give", jt_kind_name(m->kind),
                            m->name);
    if (m->needs & JT_NEEDS_MODEL2 && jt_driver_role(d, role) < 0)
        return jt_error_set(err, JT_UNSUPPORTED, "%s %s needs a second model in the role \"%s\"; this driver has none: add it first",
                            jt_kind_name(m->kind), m->name, role);
    return JT_OK;
}

static jt_status submit_strategies(const jt_driver *d, const jt_pipeline *p, jt_error *err) {
    for (int i = 0; i < p->n_strategy; i++) {
        const jt_method *m = p->strategy[i].m;
        if (i && m->strategy.many)
            return jt_error_set(err, JT_UNSUPPORTED, "strategy %s gives several answers; it stands outermost, not inside %s", m->name,
                                p->strategy[i - 1].m->name);
        if (m->strategy.inner && i + 1 == p->n_strategy)
            return jt_error_set(err, JT_INVALID, "strategy %s drives an inner strategy, and none is given; write \"%s > sample\"", m->name,
                                m->name);
        jt_status e = submit_method(d, m, err);
        if (e != JT_OK) return e;
    }
    return JT_OK;
}

/* The second sequence that stages read: one role in a pipeline, or one other prompt. */
static jt_status submit_second(jt_driver *d, jt_live *j, jt_error *err) {
    const jt_method *first = NULL;
    j->model2 = -1;
    for (int i = 0; i < j->n_stage; i++) {
        const jt_method *m = j->stage[i].m;
        bool apart = m->needs & JT_NEEDS_PROMPT2;
        if (!apart && !(m->needs & JT_NEEDS_MODEL2)) continue;
        int k = apart ? 0 : jt_driver_role(d, m->role ? m->role : "guide");
        if (first && (k != j->model2 || apart || j->prompt2))
            return jt_error_set(err, JT_UNSUPPORTED, "the stages %s and %s read different second %s; a pipeline has one", first->name,
                                m->name, apart || j->prompt2 ? "sequences" : "models");
        first = m, j->model2 = k;
        if (apart) j->prompt2 = &j->stage[i];
    }
    return j->prompt2 && !d->second ? jt_dist_new(d->model->ev.vocab, d->model->ev.kernels, &d->second, err) : JT_OK;
}

/* Room for what stages project. */
static jt_status submit_project(jt_driver *d, const jt_live *j, jt_error *err) {
    bool any = false;
    for (int i = 0; i < j->n_stage; i++) any |= (j->stage[i].m->needs & JT_NEEDS_PROJECT) != 0;
    if (!any) return JT_OK;
    if (!d->projection && !(d->projection = jt_alloc_aligned((size_t)d->model->ev.vocab, sizeof *d->projection)))
        return jt_nomem(err, "logits", (size_t)d->model->ev.vocab, sizeof *d->projection);
    return d->projected ? JT_OK : jt_dist_new(d->model->ev.vocab, d->model->ev.kernels, &d->projected, err);
}

/* The layers that stages read on one of the driver's models; those that the main one has not are refused. */
static jt_status submit_streams(const jt_driver *d, jt_live *j, int model, jt_error *err) {
    jt_streams *s = &j->streams[model];
    int layers = d->model[model].ev.layers;
    for (int i = 0; i < j->n_stage; i++) {
        const jt_method *m = j->stage[i].m;
        for (int k = 0, layer; m->needs & JT_NEEDS_STREAM && (layer = m->stream(j->stage[i].par, layers, k)) >= 0; k++) {
            if (layer > layers && !model)
                return jt_error_set(err, JT_UNSUPPORTED, "stage %s needs the stream of layer %d; the model has layers 0 to %d", m->name,
                                    layer, layers);
            if (layer > layers) return s->n = -1, JT_OK;
            jt_status e = jt_grow((void **)&s->layer, &s->cap, (size_t)s->n + 1, sizeof *s->layer, err);
            if (e != JT_OK) return e;
            s->layer[s->n++] = layer;
        }
    }
    return JT_OK;
}

/* Everything about the request that needs no memory to judge. */
static jt_status submit_check(const jt_driver *d, const jt_request *r, const jt_pipeline *p, int *context, jt_error *err) {
    if (!r->prompt || !r->n_prompt) return jt_error_set(err, JT_INVALID, "the prompt is empty; give at least one token");
    for (size_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= d->model->ev.vocab)
            return jt_error_set(err, JT_INVALID, "prompt token %zu is %d, outside of the vocabulary (0 to %d)", i, (int)r->prompt[i],
                                d->model->ev.vocab - 1);
    if (r->max_tokens < 0) return jt_error_set(err, JT_INVALID, "max_tokens is %d; give 0 (no limit) or more", r->max_tokens);
    if (r->context < 0 || r->context > CONTEXT_MOST)
        return jt_error_set(err, JT_INVALID, "context is %d; give 0 (the trained context) to %d", r->context, CONTEXT_MOST);
    if (!(r->max_seconds >= 0)) return jt_error_set(err, JT_INVALID, "max_seconds is %g; give 0 (no limit) or more", r->max_seconds);
    if (r->top_logprobs < 0 || r->top_logprobs > JT_TOP_MOST)
        return jt_error_set(err, JT_INVALID, "top_logprobs is %d; give 0 to %d", r->top_logprobs, JT_TOP_MOST);
    if (r->trace_candidates < JT_TRACE_ALL)
        return jt_error_set(err, JT_INVALID, "trace_candidates is %d; give 0 (%d), JT_TRACE_ALL or more", r->trace_candidates, JT_EVIDENCE);
    if (r->on_full != JT_FULL_STOP && r->on_full != JT_FULL_REFUSE)
        return jt_error_set(err, JT_INVALID, "on_full is %d; give JT_FULL_STOP or JT_FULL_REFUSE", (int)r->on_full);
    *context = r->context ? r->context : d->model->ev.context;
    if (r->n_prompt >= (size_t)*context)
        return jt_error_set(err, JT_LIMIT, "the prompt has %zu tokens and the declared context %d; shorten the prompt or declare more",
                            r->n_prompt, *context);
    size_t room = (size_t)*context - r->n_prompt;
    if (r->on_full == JT_FULL_REFUSE && (!r->max_tokens || (size_t)r->max_tokens > room))
        return jt_error_set(err, JT_LIMIT, "the declared context of %d tokens leaves %zu for the answer; set max_tokens to that or less",
                            *context, room);
    if (r->n_stop > STOPS_MOST) return jt_error_set(err, JT_LIMIT, "%zu stop strings; at most %d are taken", r->n_stop, STOPS_MOST);
    if (r->n_stop && !d->model->ev.tokenizer)
        return jt_error_set(err, JT_UNSUPPORTED, "stop strings need a tokenizer, which this model's files lack");
    for (size_t i = 0; i < r->n_stop; i++) {
        if (!r->stop[i] || !r->stop[i][0]) return jt_error_set(err, JT_INVALID, "stop string %zu is empty", i);
        if (strlen(r->stop[i]) > STOP_LENGTH_MOST)
            return jt_error_set(err, JT_LIMIT, "stop string %zu is longer than %d bytes", i, STOP_LENGTH_MOST);
    }
    for (size_t i = 0; i < r->n_stop_ids; i++)
        if (r->stop_ids[i] < 0 || r->stop_ids[i] >= d->model->ev.vocab)
            return jt_error_set(err, JT_INVALID, "stop id %d is outside of the vocabulary (0 to %d)", (int)r->stop_ids[i],
                                d->model->ev.vocab - 1);
    if (r->n_messages > MESSAGES_MOST)
        return jt_error_set(err, JT_LIMIT, "%zu messages; at most %d are taken", r->n_messages, MESSAGES_MOST);
    for (size_t i = 0; i < r->n_messages; i++)
        if (!r->messages[i].role || !r->messages[i].content)
            return jt_error_set(err, JT_INVALID, "message %zu has no %s", i, r->messages[i].role ? "content" : "role");
    return submit_strategies(d, p, err);
}

/* Where the states of the stages lie, one after another. */
static jt_status submit_stages(const jt_driver *d, jt_live *j, const jt_past *past, jt_error *err) {
    jt_setup u = {.vocab = d->model->ev.vocab,
                  .prompt = past->ids,
                  .n_prompt = j->n_prompt,
                  .context = j->context,
                  .layers = d->model->ev.layers,
                  .hidden = d->model->ev.hidden};
    j->stage_at = jt_alloc((size_t)j->n_stage + 1, sizeof *j->stage_at);
    if (!j->stage_at) return jt_nomem(err, "the states of stages", (size_t)j->n_stage, sizeof *j->stage_at);
    for (int i = 0; i < j->n_stage; i++) {
        const jt_method *m = j->stage[i].m;
        size_t bytes = m->state_bytes ? m->state_bytes(j->stage[i].par, &u) : m->state_size;
        j->stage_at[i] = j->stage_bytes;
        if (!jt_round_up(bytes, sizeof(max_align_t), &bytes) || !jt_add(j->stage_bytes, bytes, &j->stage_bytes))
            return jt_nomem(err, "the states of stages", 1, bytes);
    }
    j->stage_at[j->n_stage] = j->stage_bytes;
    return JT_OK;
}

jt_status jt_stages_open(const jt_driver *d, const jt_live *j, const int32_t *prompt, int n, jt_stages **out, jt_error *err) {
    jt_setup u = {.vocab = d->model->ev.vocab,
                  .prompt = prompt,
                  .n_prompt = n,
                  .context = j->context,
                  .layers = d->model->ev.layers,
                  .hidden = d->model->ev.hidden};
    jt_stages *s = jt_alloc(1, sizeof *s + j->stage_bytes);
    jt_status e = JT_OK;
    if (!s) return jt_nomem(err, "the states of stages", 1, j->stage_bytes);
    s->refs = 1;
    for (int i = 0; e == JT_OK && i < j->n_stage; i++) {
        const jt_method *m = j->stage[i].m;
        u.tokenizer = m->needs & JT_NEEDS_TOKENIZER ? d->model->ev.tokenizer : NULL;
        if (m->state_bytes && m->state_bytes(j->stage[i].par, &u) > j->stage_at[i + 1] - j->stage_at[i])
            e = jt_error_set(err, JT_UNSUPPORTED, "stage %s has no room for another prompt", m->name);
        if (e == JT_OK && m->open) e = m->open(j->stage[i].par, s->bytes + j->stage_at[i], &u, err);
    }
    if (e == JT_OK)
        *out = s;
    else
        jt_free(s);
    return e;
}

static jt_status submit_prompt(const jt_live *j, jt_branch *b, const jt_request *r, jt_error *err) {
    size_t most = r->max_tokens ? r->n_prompt + (size_t)r->max_tokens : (size_t)j->context;
    if (most > (size_t)j->context) most = (size_t)j->context;
    if (most > r->n_prompt + RESERVE_MOST) most = r->n_prompt + RESERVE_MOST;
    jt_status e = jt_branch_own(j, b, (int)most, err);
    if (e == JT_OK) {
        memcpy(b->past->ids, r->prompt, r->n_prompt * sizeof *r->prompt);
        b->n = j->n_prompt;
    }
    return e;
}

static jt_status submit_adapter(jt_driver *d, jt_live *j, jt_branch *b, const jt_request *r, jt_error *err) {
    jt_status e = jt_worn_adapter(d, b->model, r->adapter, r->adapter_scale == 0 ? 1 : r->adapter_scale, &j->adapter, err);
    return e == JT_OK ? jt_attr_set(d, b, JT_ATTR_ADAPTER, 0, 0, j->adapter, err) : e;
}

/* The main branch, and its shadow on a second model or after another prompt. */
static jt_status submit_branch(jt_driver *d, jt_live *j, const jt_request *r, jt_branch **out, jt_error *err) {
    jt_branch *b = NULL;
    jt_status e = jt_branch_new(d, j, 0, &b, err);
    if (e == JT_OK) e = submit_prompt(j, b, r, err);
    if (e == JT_OK) e = submit_stages(d, j, b->past, err);
    if (e == JT_OK) e = jt_stages_open(d, j, b->past->ids, b->n, &b->fresh, err);
    if (e == JT_OK) b->stages = b->fresh, b->fresh->refs++;
    if (e == JT_OK && r->adapter) e = submit_adapter(d, j, b, r, err);
    if (e == JT_OK) e = jt_branch_second(d, j, b->past->ids, b->n, &b->shadow, err);
    if (e != JT_OK)
        jt_branch_free(d, j, b);
    else
        *out = b;
    return e;
}

/* The conversation, for strategies that write it anew. */
static jt_status submit_messages(jt_live *j, const jt_request *r, jt_error *err) {
    if (!r->n_messages) return JT_OK;
    if (!(j->message = jt_arena_alloc(&j->words, r->n_messages, sizeof *j->message)))
        return jt_nomem(err, "messages", r->n_messages, sizeof *j->message);
    for (size_t i = 0; i < r->n_messages; i++, j->n_message++) {
        const jt_message *m = &r->messages[i];
        j->message[i].role = jt_arena_copy(&j->words, m->role, strlen(m->role));
        j->message[i].content = jt_arena_copy(&j->words, m->content, strlen(m->content));
        if (!j->message[i].role || !j->message[i].content) return jt_nomem(err, "a message", strlen(m->content), 1);
    }
    return JT_OK;
}

static jt_status submit_shared(jt_driver *d, const jt_live *j, jt_error *err) {
    jt_status e = JT_OK;
    for (int i = 0; e == JT_OK && i < j->pipeline->n_strategy; i++) e = jt_shared_make(d, j->pipeline->strategy[i].m, err);
    for (int i = 0; e == JT_OK && i < j->n_stage; i++) e = jt_shared_make(d, j->stage[i].m, err);
    return e;
}

/* Copies the request into a job and makes its first strategy. */
static jt_status submit_fill(jt_driver *d, jt_live *j, const jt_request *r, jt_error *err) {
    size_t vocab = (size_t)d->model->ev.vocab;
    bool history = false;
    j->seed = r->seed, j->choice = r->choice, j->stream = jt_stream_choice(r->choice);
    j->max_tokens = r->max_tokens;
    j->vocab = d->model->ev.vocab;
    j->ignore_end = r->ignore_end, j->special = r->special, j->trace = r->trace;
    j->top = r->trace && r->top_logprobs < JT_TOP_TRACED ? JT_TOP_TRACED : r->top_logprobs;
    if (j->top > d->model->ev.vocab) j->top = d->model->ev.vocab;
    j->evidence = r->trace_candidates == JT_TRACE_ALL || r->trace_candidates > d->model->ev.vocab ? d->model->ev.vocab
                  : r->trace_candidates                                                           ? r->trace_candidates
                                                                                                  : JT_EVIDENCE;
    for (int i = 0; i < d->n_model; i++)
        if (d->model[i].ev.hidden > j->hidden) j->hidden = d->model[i].ev.hidden;
    for (int i = 0; i < j->pipeline->n_strategy; i++) j->raw_keys |= (j->pipeline->strategy[i].m->needs & JT_NEEDS_RAW_KEYS) != 0;
    for (int i = 0; i < j->n_stage; i++) {
        j->raw_keys |= (j->stage[i].m->needs & JT_NEEDS_RAW_KEYS) != 0;
        j->needs_hidden |= (j->stage[i].m->needs & JT_NEEDS_HIDDEN) != 0;
        j->arrivals += (j->stage[i].m->needs & JT_NEEDS_ARRIVED) != 0;
        j->siblings |= (j->stage[i].m->needs & JT_NEEDS_SIBLINGS) != 0;
    }
    if (j->arrivals > JT_ARRIVED)
        return jt_error_set(err, JT_LIMIT, "%d stages ask what the chosen token's probability was before them; a request has at most %d",
                            j->arrivals, JT_ARRIVED);
    j->submitted = jt_driver_now(d);
    j->max_seconds = r->max_seconds, j->deadline = INFINITY;
    j->stop = jt_alloc(r->n_stop, sizeof *j->stop);
    j->stop_len = jt_alloc(r->n_stop, sizeof *j->stop_len);
    j->stop_ids = jt_alloc(r->n_stop_ids, sizeof *j->stop_ids);
    j->main = jt_alloc(1, sizeof *j->main);
    if (!j->stop || !j->stop_len || !j->stop_ids || !j->main) return jt_nomem(err, "a job", vocab, sizeof(float));
    if (r->n_stop_ids) memcpy(j->stop_ids, r->stop_ids, r->n_stop_ids * sizeof *j->stop_ids);
    j->n_stop_ids = r->n_stop_ids, j->n_stop = r->n_stop;
    for (size_t i = 0; i < r->n_stop; i++) {
        j->stop_len[i] = strlen(r->stop[i]);
        j->stop[i] = jt_alloc(j->stop_len[i] + 1, 1);
        if (!j->stop[i]) return jt_nomem(err, "a stop string", j->stop_len[i], 1);
        memcpy(j->stop[i], r->stop[i], j->stop_len[i]);
    }
    for (int i = 0; i < j->n_stage; i++) history |= (j->stage[i].m->needs & JT_NEEDS_HISTORY) != 0;
    jt_branch *main = NULL;
    jt_status e = history ? jt_grow((void **)&d->alike, &d->cap_alike, (size_t)j->context, sizeof *d->alike, err) : JT_OK;
    if (e == JT_OK) e = submit_second(d, j, err);
    if (e == JT_OK) e = submit_project(d, j, err);
    for (int i = 0; e == JT_OK && i < d->n_model; i++) e = submit_streams(d, j, i, err);
    if (e == JT_OK) e = submit_messages(j, r, err);
    if (e == JT_OK) e = submit_shared(d, j, err);
    if (e == JT_OK) e = submit_branch(d, j, r, &main, err);
    if (e == JT_OK) e = jt_inst_new(d, j, 0, main, &j->root, err);
    if (e != JT_OK) jt_branch_free(d, j, main);
    return e;
}

/* Two live jobs never share a cell of `cancelled`. */
static jt_job submit_id(const jt_driver *d) {
    for (jt_job id = d->last + 1;; id++) {
        const jt_live *j = d->first;
        while (j && j->id % JT_JOBS != id % JT_JOBS) j = j->next;
        if (!j) return id;
    }
}

jt_status jt_driver_submit(jt_driver *d, const jt_request *r, jt_job *out, jt_error *err) {
    const jt_pipeline *p = r->pipeline ? r->pipeline : d->greedy;
    int context = 0;
    jt_status e = submit_check(d, r, p, &context, err);
    if (e != JT_OK) return e;
    if (d->n_live == JT_JOBS) return jt_error_set(err, JT_LIMIT, "%d jobs are live, the most of one driver; wait until some end", JT_JOBS);
    jt_live *j = jt_alloc(1, sizeof *j), **at;
    if (!j) return jt_nomem(err, "a job", 1, sizeof *j);
    j->pipeline = p, j->context = context, j->model2 = -1;
    j->n_prompt = (int)r->n_prompt;
    e = jt_chain_collect(j, err);
    for (int i = 0; e == JT_OK && i < j->n_stage; i++) e = submit_method(d, j->stage[i].m, err);
    if (e == JT_OK) e = submit_fill(d, j, r, err);
    if (e == JT_OK) e = jt_admit_check(d, j, r->max_tokens, err);
    if (e != JT_OK) {
        jt_live_free(d, j);
        return e;
    }
    j->id = d->last = submit_id(d);
    for (at = &d->first; *at; at = &(*at)->next) {
    }
    *at = j;
    d->n_live++;
    *out = j->id;
    jt_admit_waiting(d);
    return JT_OK;
}
