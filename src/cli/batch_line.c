#include "cli/batch_line.h"

#include <string.h>

#include "cli/chat_json.h"
#include "cli/command.h"
#include "core/json.h"
#include "decode/pipeline.h"

static const char *const keys[] = {"id",       "prompt",     "messages", "system",    "raw",           "decode",     "seed",
                                   "choice",   "max_tokens", "stop",     "stop_ids",  "max_seconds",   "ignore_end", "special",
                                   "logprobs", "adapter",    "tools",    "documents", "template_args", NULL};

static jt_status check_names(const jt_json *v, const char *const *known, const char *where, jt_error *err) {
    void *iter = NULL;
    const char *name;
    const jt_json *value;
    while (jt_json_each(v, &iter, &name, &value)) {
        jt_nearest near = {.to = name};
        const char *const *k = known;
        while (*k && strcmp(*k, name) != 0) jt_nearest_add(&near, *k++);
        if (*k) continue;
        const char *best = jt_nearest_get(&near);
        if (best) return jt_error_set(err, JT_UNKNOWN, "%s has no key \"%.60s\"; did you mean \"%s\"?", where, name, best);
        return jt_error_set(err, JT_UNKNOWN, "%s has no key \"%.60s\"", where, name);
    }
    return JT_OK;
}

static jt_status bad_value(const char *key, const char *want, const jt_json *v, jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "\"%s\" takes %s, not %s", key, want, jt_json_kind_name(jt_json_kind_of(v)));
}

static jt_status read_flag(const jt_json *v, const char *key, int *out, jt_error *err) {
    const jt_json *m = jt_json_member(v, key);
    bool x;
    if (!m) return JT_OK;
    if (!jt_json_bool(m, &x)) return bad_value(key, "true or false", m, err);
    *out = x;
    return JT_OK;
}

static jt_status read_count(const jt_json *v, const char *key, int64_t most, int64_t *out, jt_error *err) {
    const jt_json *m = jt_json_member(v, key);
    int64_t x;
    if (!m) return JT_OK;
    if (!jt_json_i64(m, &x)) return bad_value(key, "a whole number", m, err);
    if (x < 0 || x > most) return jt_error_set(err, JT_FORMAT, "\"%s\" is %lld; it takes 0 to %lld", key, (long long)x, (long long)most);
    *out = x;
    return JT_OK;
}

static jt_status read_text(const jt_json *v, const char *key, const char **out, jt_error *err) {
    const jt_json *m = jt_json_member(v, key);
    if (!m) return JT_OK;
    const char *s = jt_json_string(m, NULL);
    if (!s) return bad_value(key, "text", m, err);
    *out = s;
    return JT_OK;
}

static jt_status read_id(const jt_json *v, jt_str *id, jt_error *err) {
    const jt_json *m = jt_json_member(v, "id");
    int64_t i;
    size_t n;
    if (!m) return JT_OK;
    const char *s = jt_json_string(m, &n);
    if (s)
        jt_str_json(id, s, n);
    else if (jt_json_i64(m, &i))
        jt_str_printf(id, "%lld", (long long)i);
    else
        return bad_value("id", "text or a whole number", m, err);
    return jt_str_check(id, err);
}

/* Strings outlive the document in the arena. */
static jt_status read_stops(const jt_json *v, jt_batch_line *l, jt_error *err) {
    const jt_json *m = jt_json_member(v, "stop");
    if (!m) return JT_OK;
    bool one = jt_json_kind_of(m) == JT_JSON_STRING;
    if (!one && jt_json_kind_of(m) != JT_JSON_ARRAY) return bad_value("stop", "text or a list of texts", m, err);
    size_t n = one ? 1 : jt_json_count(m), len;
    const char **stop = jt_arena_alloc(&l->arena, n + 1, sizeof *stop);
    if (!stop) return jt_nomem(err, "stop strings", n, sizeof *stop);
    for (size_t i = 0; i < n; i++) {
        const char *s = jt_json_string(one ? m : jt_json_item(m, i), &len);
        if (!s) return bad_value("stop", "text or a list of texts", jt_json_item(m, i), err);
        if (!(stop[i] = jt_arena_copy(&l->arena, s, len))) return jt_nomem(err, "a stop string", len, 1);
    }
    l->request.stop = stop, l->request.n_stop = n;
    return JT_OK;
}

static jt_status read_ids(const jt_json *m, const char *key, jt_arena *a, const int32_t **out, size_t *count, jt_error *err) {
    if (jt_json_kind_of(m) != JT_JSON_ARRAY) return bad_value(key, "a list of token ids", m, err);
    size_t n = jt_json_count(m);
    int32_t *ids = jt_arena_alloc(a, n + 1, sizeof *ids);
    if (!ids) return jt_nomem(err, key, n, sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        int64_t x;
        if (!jt_json_i64(jt_json_item(m, i), &x) || x < 0 || x > INT32_MAX)
            return bad_value(key, "a list of token ids", jt_json_item(m, i), err);
        ids[i] = (int32_t)x;
    }
    *out = ids, *count = n;
    return JT_OK;
}

static jt_status read_numbers(const jt_json *v, jt_batch_line *l, jt_error *err) {
    jt_request *r = &l->request;
    const jt_json *logprobs = jt_json_member(v, "logprobs"), *seconds = jt_json_member(v, "max_seconds");
    const jt_json *stop_ids = jt_json_member(v, "stop_ids");
    int64_t seed = -1, choice = r->choice, tokens = r->max_tokens, top = 0;
    jt_status s = read_count(v, "seed", INT64_MAX, &seed, err);
    if (!s) s = read_count(v, "choice", UINT32_MAX, &choice, err);
    if (!s) s = read_count(v, "max_tokens", 1 << 24, &tokens, err);
    if (!s && seconds && !jt_json_double(seconds, &r->max_seconds)) s = bad_value("max_seconds", "a number", seconds, err);
    if (!s && logprobs && !jt_json_bool(logprobs, &l->logprobs)) {
        s = read_count(v, "logprobs", 20, &top, err);
        l->logprobs = true;
    }
    if (!s && stop_ids) s = read_ids(stop_ids, "stop_ids", &l->arena, &r->stop_ids, &r->n_stop_ids, err);
    if (!s) s = read_flag(v, "ignore_end", &r->ignore_end, err);
    if (!s) s = read_flag(v, "special", &r->special, err);
    if (s) return s;
    if (seed >= 0) r->seed = (uint64_t)seed;
    r->choice = (uint32_t)choice, r->max_tokens = (int)tokens, r->top_logprobs = (int)top;
    return JT_OK;
}

static jt_status read_adapter(const jt_json *v, jt_batch_line *l, jt_error *err) {
    const char *name = NULL;
    jt_status s = read_text(v, "adapter", &name, err);
    if (s || !name) return s;
    if (!*name) return l->request.adapter = NULL, JT_OK;
    l->request.adapter = jt_arena_copy(&l->arena, name, strlen(name));
    return l->request.adapter ? JT_OK : jt_nomem(err, "the name of an adapter", strlen(name), 1);
}

/* ---- the prompt ---- */

/* A message of the line's own, which outlives the JSON. */
static jt_status add_message(jt_batch_line *l, jt_message *list, const char *role, const char *content, jt_error *err) {
    jt_message *m = &list[l->request.n_messages++];
    m->role = jt_arena_copy(&l->arena, role, strlen(role));
    m->content = jt_arena_copy(&l->arena, content, strlen(content));
    return m->role && m->content ? JT_OK : jt_nomem(err, "a message", strlen(content), 1);
}

/* Checks a message: its content is text, or null beside calls. */
static jt_status check_message(const jt_json *v, size_t i, const char **role, const char **content, jt_error *err) {
    static const char *const names[] = {"role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name", NULL};
    const jt_json *said = jt_json_member(v, "content"), *calls = jt_json_member(v, "tool_calls");
    bool none = (!said || jt_json_kind_of(said) == JT_JSON_NULL) && jt_json_count(calls);
    *role = jt_json_string(jt_json_member(v, "role"), NULL);
    *content = none ? "" : jt_json_string(said, NULL);
    if (!*role || !*content) return jt_error_set(err, JT_FORMAT, "message %zu is no object with the texts \"role\" and \"content\"", i + 1);
    jt_status s = check_names(v, names, "a message", err);
    if (!s && calls && jt_json_kind_of(calls) != JT_JSON_ARRAY) s = bad_value("tool_calls", "a list of calls", calls, err);
    for (size_t k = 0; !s && k < jt_json_count(calls); k++) {
        const jt_json *f = jt_json_member(jt_json_item(calls, k), "function");
        if (!jt_json_string(jt_json_member(f, "name"), NULL))
            s = jt_error_set(err, JT_FORMAT, "call %zu of message %zu is no object {\"function\": {\"name\": ..., \"arguments\": ...}}",
                             k + 1, i + 1);
    }
    return s;
}

static void write_messages(const jt_json *list, const jt_message *m, size_t n, jt_str *o) {
    size_t own = n - jt_json_count(list); /* messages that are not in the list */
    jt_str_puts(o, "{\"messages\": [");
    for (size_t i = 0; i < n; i++) {
        if (i) jt_str_puts(o, ", ");
        if (i < own) {
            jt_str_puts(o, "{\"role\": ");
            jt_str_json(o, m[i].role, strlen(m[i].role));
            jt_str_puts(o, ", \"content\": ");
            jt_str_json(o, m[i].content, strlen(m[i].content));
            jt_str_putc(o, '}');
        } else {
            jt_json_write(jt_json_item(list, i - own), o);
        }
    }
    jt_str_putc(o, ']');
}

/* The tokens of messages m[0..n), of which the last are those of the list, with whatever else the line gives the template. */
static jt_status encode_chat(const jt_json *v, const jt_json *list, const jt_message *m, size_t n, const jt_tokenizer *t, jt_tokens *out,
                             jt_error *err) {
    static const char *const more[] = {"tools", "documents", NULL};
    const jt_json *args = jt_json_member(v, "template_args");
    jt_str o = {0};
    jt_json *root = NULL;
    write_messages(list, m, n, &o);
    for (const char *const *k = more; *k; k++) {
        if (!jt_json_member(v, *k)) continue;
        jt_str_printf(&o, ", \"%s\": ", *k);
        jt_json_write(jt_json_member(v, *k), &o);
    }
    void *iter = NULL;
    const char *name;
    const jt_json *value;
    while (args && jt_json_each(args, &iter, &name, &value)) {
        jt_str_puts(&o, ", ");
        jt_str_json(&o, name, strlen(name));
        jt_str_puts(&o, ": ");
        jt_json_write(value, &o);
    }
    jt_str_puts(&o, ", \"add_generation_prompt\": true}");
    jt_status s = jt_str_check(&o, err);
    if (!s) s = jt_json_parse(o.s, o.n, &root, err);
    if (!s) s = jt_chat_json_encode(t, root, out, err);
    jt_json_free(root);
    jt_str_free(&o);
    return s;
}

static jt_status check_template(const jt_json *v, jt_error *err) {
    const jt_json *args = jt_json_member(v, "template_args"), *documents = jt_json_member(v, "documents");
    static const char *const taken[] = {"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", NULL};
    jt_status s = jt_json_member(v, "tools") ? jt_chat_json_tools(jt_json_member(v, "tools"), err) : JT_OK;
    if (!s && documents && jt_json_kind_of(documents) != JT_JSON_ARRAY) s = bad_value("documents", "a list of documents", documents, err);
    if (!s && args && jt_json_kind_of(args) != JT_JSON_OBJECT) s = bad_value("template_args", "an object", args, err);
    for (const char *const *k = taken; !s && *k; k++)
        if (jt_json_member(args, *k)) s = jt_error_set(err, JT_FORMAT, "\"template_args\" cannot set \"%s\"", *k);
    return s;
}

static jt_status read_messages(const jt_json *list, const char *system, jt_batch_line *l, jt_message *m, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; !s && i < jt_json_count(list); i++) {
        const char *role, *content;
        s = check_message(jt_json_item(list, i), i, &role, &content, err);
        if (!s && !i && system && strcmp(role, "system") != 0) s = add_message(l, m, "system", system, err);
        if (!s) s = add_message(l, m, role, content, err);
    }
    return s;
}

static jt_status encode(const jt_json *v, const jt_json *prompt, const jt_json *messages, const char *system, int raw,
                        const jt_tokenizer *t, jt_batch_line *l, jt_tokens *out, jt_error *err) {
    size_t n = 0;
    jt_status s = JT_OK;
    if (!t) return jt_error_set(err, JT_UNSUPPORTED, "the model's files carry no tokenizer; give \"prompt\" as a list of token ids");
    if (raw && messages) return jt_error_set(err, JT_FORMAT, "\"messages\" need the chat format that \"raw\" turns off");
    if (raw && system) return jt_error_set(err, JT_FORMAT, "a system message needs the chat format that \"raw\" turns off");
    if ((s = check_template(v, err))) return s;
    if (messages && jt_json_member(v, "system") && jt_json_kind_of(messages) == JT_JSON_ARRAY) {
        const char *role = jt_json_string(jt_json_member(jt_json_item(messages, 0), "role"), NULL);
        if (role && strcmp(role, "system") == 0)
            return jt_error_set(err, JT_FORMAT, "\"system\" and a first message of the role \"system\": give one");
    }
    if (messages && (jt_json_kind_of(messages) != JT_JSON_ARRAY || !jt_json_count(messages)))
        return bad_value("messages", "a list of messages that is not empty", messages, err);
    const char *text = messages ? NULL : jt_json_string(prompt, &n);
    if (!messages && !text) return bad_value("prompt", "text or a list of token ids", prompt, err);
    if (raw) return jt_encode(t, text, n, JT_ADD_SPECIAL | JT_PARSE_SPECIAL, out, err);
    if (!messages && !n) return jt_error_set(err, JT_FORMAT, "\"prompt\" is empty; say something");
    n = messages ? jt_json_count(messages) + 1 : 2;
    jt_message *m = jt_arena_alloc(&l->arena, n, sizeof *m);
    if (!m) return jt_nomem(err, "messages", n, sizeof *m);
    l->request.messages = m;
    if (messages) {
        s = read_messages(messages, system, l, m, err);
    } else {
        if (system) s = add_message(l, m, "system", system, err);
        if (!s) s = add_message(l, m, "user", text, err);
    }
    l->parted = true;
    return s ? s : encode_chat(v, messages, m, l->request.n_messages, t, out, err);
}

static jt_status read_prompt(const jt_json *v, const jt_batch_defaults *standard, const jt_tokenizer *t, jt_batch_line *l, jt_error *err) {
    const jt_json *prompt = jt_json_member(v, "prompt"), *messages = jt_json_member(v, "messages");
    const char *system = standard->system;
    int raw = 0;
    jt_tokens tokens = {0};
    if (!prompt == !messages) return jt_error_set(err, JT_FORMAT, "give \"prompt\" or \"messages\"%s", prompt ? ", not both" : "");
    static const char *const chat[] = {"tools", "documents", "template_args", NULL};
    jt_status s = read_flag(v, "raw", &raw, err);
    if (!s) s = read_text(v, "system", &system, err);
    bool plain = raw || (prompt && jt_json_kind_of(prompt) == JT_JSON_ARRAY);
    for (const char *const *k = chat; !s && plain && *k; k++)
        if (jt_json_member(v, *k)) s = jt_error_set(err, JT_FORMAT, "\"%s\" needs the chat format, which this prompt is not put into", *k);
    if (s) return s;
    if (prompt && jt_json_kind_of(prompt) == JT_JSON_ARRAY) {
        if (system) return jt_error_set(err, JT_FORMAT, "a system message cannot stand beside a prompt of token ids");
        return read_ids(prompt, "prompt", &l->arena, &l->request.prompt, &l->request.n_prompt, err);
    }
    s = encode(v, prompt, messages, system, raw, t, l, &tokens, err);
    if (!s && !(l->prompt = jt_alloc(tokens.n, sizeof *l->prompt))) s = jt_nomem(err, "a prompt", tokens.n, sizeof *l->prompt);
    for (size_t i = 0; !s && i < tokens.n; i++) l->prompt[i] = tokens.t[i].id;
    l->request.prompt = l->prompt, l->request.n_prompt = tokens.n;
    jt_tokens_free(&tokens);
    return s;
}

/* Text, or a list in JSON. */
static jt_status read_pipeline(const jt_json *v, const char *decode, const jt_pipelines *known, jt_batch_line *l, jt_error *err) {
    const jt_json *m = jt_json_member(v, "decode");
    const jt_methods *extra = known ? known->extra : NULL;
    jt_str text = {0};
    jt_status s = JT_OK;
    if (m && jt_json_kind_of(m) == JT_JSON_ARRAY) {
        s = jt_pipeline_json_text(m, extra, &text, err);
        if (!s) s = jt_pipeline_parse(jt_str_c(&text), extra, &l->pipeline, err);
    } else {
        s = read_text(v, "decode", &decode, err);
        if (!s) s = jt_pipelines_parse(known, decode, &l->pipeline, err);
    }
    jt_str_free(&text);
    return s;
}

jt_status jt_batch_line_read(const char *s, size_t n, const jt_batch_defaults *standard, const jt_tokenizer *t, jt_batch_line *out,
                             jt_error *err) {
    jt_json *root = NULL;
    *out = (jt_batch_line){.request = standard->request};
    jt_status e = jt_json_parse(s, n, &root, err);
    if (e) return e;
    const char *decode = standard->decode;
    if (jt_json_kind_of(root) != JT_JSON_OBJECT)
        e = jt_error_set(err, JT_FORMAT, "%s where a JSON object is wanted", jt_json_kind_name(jt_json_kind_of(root)));
    if (!e) e = read_id(root, &out->id, err);
    if (!e) e = check_names(root, keys, "a line of a batch", err);
    if (!e) e = read_numbers(root, out, err);
    if (!e) e = read_stops(root, out, err);
    if (!e) e = read_adapter(root, out, err);
    if (!e) e = read_pipeline(root, decode, standard->known, out, err);
    if (!e) e = read_prompt(root, standard, t, out, err);
    out->request.pipeline = out->pipeline;
    jt_json_free(root);
    return e;
}

void jt_batch_line_free(jt_batch_line *l) {
    jt_str_free(&l->id);
    jt_pipeline_free(l->pipeline);
    jt_free(l->prompt);
    jt_arena_free(&l->arena);
    *l = (jt_batch_line){0};
}
