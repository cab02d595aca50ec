#include "cli/conversation.h"

#include <string.h>

#include "cli/chat_json.h"
#include "core/file.h"
#include "core/mem.h"

static void free_turn(jt_turn *t) {
    jt_str_free(&t->user), jt_str_free(&t->answer);
    jt_str_free(&t->reasoning), jt_str_free(&t->calls);
}

void jt_conversation_clear(jt_conversation *c) {
    for (size_t i = 0; i < c->n_turn; i++) free_turn(&c->turn[i]);
    c->n_turn = c->n = 0;
}

void jt_conversation_free(jt_conversation *c) {
    jt_conversation_clear(c);
    jt_str_free(&c->system), jt_str_free(&c->tools);
    jt_free(c->id);
    jt_free(c->turn);
    *c = (jt_conversation){0};
}

/* UTF-8, as templates take it. */
static jt_status check_text(const char *s, size_t n, const char *what, jt_error *err) {
    for (size_t i = 0; i < n;) {
        int w = jt_utf8_next(s + i, n - i, NULL);
        if (!w) return jt_error_set(err, JT_INVALID, "%s: byte %zu is not UTF-8; chat templates take text only", what, i);
        i += (size_t)w;
    }
    return JT_OK;
}

static void add_message(jt_str *o, const char *role, const char *text, size_t n) {
    if (o->s[o->n - 1] != '[') jt_str_puts(o, ", ");
    jt_str_printf(o, "{\"role\": \"%s\", \"content\": ", role);
    jt_str_json(o, text, n);
}

/* Messages of tools: one for each of the results, with name and number of its call. */
static jt_status add_results(jt_str *o, const jt_turn *before, const char *results, size_t n, jt_error *err) {
    jt_str list = {0};
    jt_json *calls = NULL, *text = NULL;
    jt_str_printf(&list, "[%s]", before ? jt_str_c(&before->calls) : "");
    jt_status s = jt_str_check(&list, err);
    if (!s) s = jt_json_parse(list.s, list.n, &calls, err);
    if (!s) s = jt_json_parse(results, n, &text, err);
    for (size_t i = 0; !s && i < jt_json_count(text); i++) {
        const jt_json *call = jt_json_item(calls, i);
        const char *id = jt_json_string(jt_json_member(call, "id"), NULL);
        const char *name = jt_json_string(jt_json_member(jt_json_member(call, "function"), "name"), NULL);
        size_t k = 0;
        const char *said = jt_json_string(jt_json_item(text, i), &k);
        add_message(o, "tool", said ? said : "", k);
        if (name) jt_str_puts(o, ", \"name\": "), jt_str_json(o, name, strlen(name));
        if (id) jt_str_puts(o, ", \"tool_call_id\": "), jt_str_json(o, id, strlen(id));
        jt_str_putc(o, '}');
    }
    jt_json_free(calls);
    jt_json_free(text);
    jt_str_free(&list);
    return s;
}

static jt_status add_question_of(jt_str *o, const jt_turn *before, const jt_turn *t, jt_error *err) {
    if (t->tool) return add_results(o, before, jt_str_c(&t->user), t->user.n, err);
    add_message(o, "user", jt_str_c(&t->user), t->user.n);
    jt_str_putc(o, '}');
    return JT_OK;
}

static void add_answer_of(jt_str *o, const jt_turn *t) {
    add_message(o, "assistant", jt_str_c(&t->answer), t->answer.n);
    if (t->reasoning.n) jt_str_puts(o, ", \"reasoning_content\": "), jt_str_json(o, t->reasoning.s, t->reasoning.n);
    if (t->calls.n) jt_str_printf(o, ", \"tool_calls\": [%s]", t->calls.s);
    jt_str_putc(o, '}');
}

/* Tokens of the first n turns as the template writes them; `last` is one more question or NULL, then the answer is opened. */
static jt_status write_turns(const jt_conversation *c, size_t n, const jt_turn *last, jt_tokens *out, jt_error *err) {
    jt_str o = {0};
    jt_json *v = NULL;
    jt_status s = JT_OK;
    jt_str_puts(&o, "{\"messages\": [");
    if (!(s = jt_str_check(&o, err)) && c->system.n) {
        s = check_text(c->system.s, c->system.n, "the system message", err);
        add_message(&o, "system", c->system.s, c->system.n);
        jt_str_putc(&o, '}');
    }
    for (size_t i = 0; !s && i < n; i++) {
        s = add_question_of(&o, i ? &c->turn[i - 1] : NULL, &c->turn[i], err);
        add_answer_of(&o, &c->turn[i]);
    }
    if (!s && last) s = add_question_of(&o, n ? &c->turn[n - 1] : NULL, last, err);
    jt_str_putc(&o, ']');
    if (c->tools.n) jt_str_printf(&o, ", \"tools\": %s", c->tools.s);
    jt_str_printf(&o, ", \"add_generation_prompt\": %s}", last ? "true" : "false");
    if (!s) s = jt_str_check(&o, err);
    if (!s) s = jt_json_parse(o.s, o.n, &v, err);
    if (!s) s = jt_chat_json_encode(c->tokenizer, v, out, err);
    jt_json_free(v);
    jt_str_free(&o);
    return s;
}

static jt_status add_ids(jt_conversation *c, const jt_token *t, size_t n, jt_error *err) {
    jt_status s = jt_grow((void **)&c->id, &c->cap, c->n + n, sizeof *c->id, err);
    if (s) return s;
    for (size_t i = 0; i < n; i++) c->id[c->n + i] = t[i].id;
    c->n += n;
    return JT_OK;
}

static bool begins_with(const jt_tokens *a, const jt_tokens *b) {
    if (a->n < b->n) return false;
    for (size_t i = 0; i < b->n; i++)
        if (a->t[i].id != b->t[i].id) return false;
    return true;
}

/* The whole conversation anew, where the template changes what was said before (Qwen 3 leaves out earlier reasoning): tokens of
 * earlier turns are then no longer known one by one. */
static jt_status write_anew(jt_conversation *c, const jt_tokens *all, jt_error *err) {
    size_t was = c->n;
    c->n = 0;
    jt_status s = add_ids(c, all->t, all->n, err);
    if (s) return c->n = was, s;
    for (size_t i = 0; i < c->n_turn; i++) c->turn[i].begin = c->turn[i].open = c->turn[i].end = 0;
    return JT_OK;
}

/* Whether the tokens so far say what the template writes of the same turns: it may leave out earlier reasoning, or trim answers. */
static jt_status said_alike(const jt_conversation *c, const jt_tokens *before, bool *alike, jt_error *err) {
    char *a = NULL, *b = NULL;
    size_t n_a, n_b;
    int32_t *ids = jt_alloc(before->n, sizeof *ids);
    if (!ids) return jt_nomem(err, "the conversation", before->n, sizeof *ids);
    for (size_t i = 0; i < before->n; i++) ids[i] = before->t[i].id;
    jt_status s = jt_decode(c->tokenizer, c->id, c->n, 1, &a, &n_a, err);
    if (!s) s = jt_decode(c->tokenizer, ids, before->n, 1, &b, &n_b, err);
    *alike = !s && n_a == n_b && !memcmp(a, b, n_a);
    jt_text_free(a);
    jt_text_free(b);
    jt_free(ids);
    return s;
}

/* What the template writes for one more question after the turns so far: the difference of two writings, if the first begins
 * the second and is what the tokens so far say. */
static jt_status add_question(jt_conversation *c, const jt_turn *last, jt_error *err) {
    jt_tokens all = {0}, before = {0};
    bool known = !c->n_turn || c->turn[c->n_turn - 1].end;
    jt_status s = write_turns(c, c->n_turn, last, &all, err);
    if (!s && c->n_turn && known && write_turns(c, c->n_turn, NULL, &before, NULL)) known = false;
    if (!s && known && c->n_turn) known = begins_with(&all, &before);
    if (!s && known && c->n_turn) s = said_alike(c, &before, &known, err);
    if (!s && known)
        s = add_ids(c, all.t + before.n, all.n - before.n, err);
    else if (!s)
        s = write_anew(c, &all, err);
    jt_tokens_free(&all);
    jt_tokens_free(&before);
    return s;
}

static jt_status ask(jt_conversation *c, const char *user, bool tool, jt_error *err) {
    jt_turn t = {.begin = c->n, .tool = tool};
    jt_status s = jt_grow((void **)&c->turn, &c->cap_turn, c->n_turn + 1, sizeof *c->turn, err);
    jt_str_puts(&t.user, user);
    if (!s) s = jt_str_check(&t.user, err);
    if (!s) s = check_text(user, t.user.n, "the question", err);
    if (!s) s = add_question(c, &t, err);
    if (s) {
        c->n = t.begin;
        free_turn(&t);
        return s;
    }
    if (c->n_turn && !c->turn[c->n_turn - 1].end) t.begin = 0;
    t.open = t.end = c->n;
    c->turn[c->n_turn++] = t;
    return JT_OK;
}

jt_status jt_conversation_ask(jt_conversation *c, const char *user, jt_error *err) { return ask(c, user, false, err); }

jt_status jt_conversation_results(jt_conversation *c, const char *results, jt_error *err) { return ask(c, results, true, err); }

size_t jt_conversation_calls(const jt_conversation *c) {
    jt_str list = {0};
    jt_json *v = NULL;
    if (!c->n_turn || !c->turn[c->n_turn - 1].calls.n) return 0;
    jt_str_printf(&list, "[%s]", c->turn[c->n_turn - 1].calls.s);
    size_t n = !list.failed && !jt_json_parse(list.s, list.n, &v, NULL) ? jt_json_count(v) : 0;
    jt_json_free(v);
    jt_str_free(&list);
    return n;
}

jt_status jt_conversation_tools(jt_conversation *c, const char *json, size_t n, jt_error *err) {
    jt_json *v = NULL;
    jt_str text = {0};
    jt_status s = jt_json_parse(json, n, &v, err);
    if (!s) s = jt_chat_json_tools(v, err);
    if (!s) jt_json_write(v, &text);
    if (!s) s = jt_str_check(&text, err);
    jt_json_free(v);
    if (s) {
        jt_str_free(&text);
        return s;
    }
    jt_str_free(&c->tools);
    c->tools = text;
    jt_conversation_clear(c);
    return JT_OK;
}

/* The tokens that close an answer: what follows "x" when the format writes a conversation that ends in it. */
static jt_status find_close(const jt_conversation *c, jt_tokens *out, jt_error *err) {
    const jt_message m[2] = {{"user", "x"}, {"assistant", "x"}};
    jt_tokens open = {0}, whole = {0}, x = {0};
    jt_status s = jt_chat_encode(c->tokenizer, m, 1, 1, &open, err);
    if (!s) s = jt_chat_encode(c->tokenizer, m, 2, 0, &whole, err);
    if (!s) s = jt_encode(c->tokenizer, "x", 1, 0, &x, err);
    size_t from = whole.n;
    for (size_t i = open.n; !s && x.n && i + x.n <= whole.n; i++) { /* the last "x" behind the opening */
        size_t k = 0;
        while (k < x.n && whole.t[i + k].id == x.t[k].id) k++;
        if (k == x.n) from = i + x.n;
    }
    if (!s && begins_with(&whole, &open)) {
        size_t cap = 0;
        s = jt_grow((void **)&out->t, &cap, whole.n - from + 1, sizeof *out->t, err);
        if (!s) {
            out->cap = cap, out->n = whole.n - from;
            memcpy(out->t, whole.t + from, out->n * sizeof *out->t);
        }
    }
    jt_tokens_free(&open);
    jt_tokens_free(&whole);
    jt_tokens_free(&x);
    return s;
}

static jt_status set_text(jt_str *to, const jt_str *from, jt_error *err) {
    jt_str_clear(to);
    jt_str_add(to, jt_str_c(from), from->n);
    return jt_str_check(to, err);
}

jt_status jt_conversation_answer_parts(jt_conversation *c, const int32_t *ids, size_t n, const jt_str *content, const jt_str *reasoning,
                                       const jt_str *calls, jt_error *err) {
    jt_turn *t = &c->turn[c->n_turn - 1];
    jt_tokens close = {0};
    jt_status s = find_close(c, &close, err);
    if (!s) s = jt_grow((void **)&c->id, &c->cap, c->n + n, sizeof *c->id, err);
    if (!s) {
        if (n) memcpy(c->id + c->n, ids, n * sizeof *ids);
        c->n += n;
        bool ended = n && close.n && ids[n - 1] == close.t[0].id;
        s = add_ids(c, close.t + ended, close.n - ended, err);
    }
    if (!s) s = set_text(&t->answer, content, err);
    if (!s) s = set_text(&t->reasoning, reasoning, err);
    if (!s) s = set_text(&t->calls, calls, err);
    jt_tokens_free(&close);
    if (s)
        jt_conversation_undo(c);
    else
        t->end = c->n;
    return s;
}

jt_status jt_conversation_answer(jt_conversation *c, const int32_t *ids, size_t n, const char *text, size_t n_text, jt_error *err) {
    const jt_str none = {0};
    jt_str content = {0};
    jt_str_add(&content, text, n_text);
    jt_status s = jt_str_check(&content, err);
    if (s)
        jt_conversation_undo(c);
    else
        s = jt_conversation_answer_parts(c, ids, n, &content, &none, &none, err);
    jt_str_free(&content);
    return s;
}

jt_status jt_conversation_messages(const jt_conversation *c, jt_message **out, size_t *n, jt_error *err) {
    jt_message *m = jt_alloc(2 * c->n_turn + 1, sizeof *m);
    if (!m) return jt_nomem(err, "messages", 2 * c->n_turn + 1, sizeof *m);
    *out = m, *n = 0;
    if (c->system.n) m[(*n)++] = (jt_message){"system", jt_str_c(&c->system)};
    for (size_t i = 0; i < c->n_turn; i++) {
        m[(*n)++] = (jt_message){c->turn[i].tool ? "tool" : "user", jt_str_c(&c->turn[i].user)};
        if (i + 1 < c->n_turn) m[(*n)++] = (jt_message){"assistant", jt_str_c(&c->turn[i].answer)};
    }
    return JT_OK;
}

void jt_conversation_undo(jt_conversation *c) {
    if (!c->n_turn) return;
    jt_turn *t = &c->turn[--c->n_turn];
    c->n = t->begin;
    free_turn(t);
}

void jt_conversation_reopen(jt_conversation *c) {
    if (!c->n_turn) return;
    jt_turn *t = &c->turn[c->n_turn - 1];
    if (!t->open) { /* its tokens are no longer known: without them, for want of memory, the answer is refused */
        jt_tokens all = {0};
        c->n = 0;
        if (!write_turns(c, c->n_turn - 1, t, &all, NULL) && !add_ids(c, all.t, all.n, NULL)) t->open = c->n;
        jt_tokens_free(&all);
    }
    c->n = t->end = t->open;
    jt_str_clear(&t->answer), jt_str_clear(&t->reasoning), jt_str_clear(&t->calls);
    t->choice++;
}

/* ---- files ---- */

jt_status jt_conversation_copy(const jt_conversation *c, jt_conversation *out, jt_error *err) {
    jt_conversation r = {.tokenizer = c->tokenizer};
    jt_status s = set_text(&r.system, &c->system, err);
    if (!s) s = set_text(&r.tools, &c->tools, err);
    if (!s) s = jt_grow((void **)&r.id, &r.cap, c->n, sizeof *r.id, err);
    if (!s) s = jt_grow((void **)&r.turn, &r.cap_turn, c->n_turn, sizeof *r.turn, err);
    for (size_t i = 0; !s && i < c->n_turn; i++) {
        jt_turn *t = &r.turn[r.n_turn++];
        *t = c->turn[i];
        t->user = t->answer = t->reasoning = t->calls = (jt_str){0};
        s = set_text(&t->user, &c->turn[i].user, err);
        if (!s) s = set_text(&t->answer, &c->turn[i].answer, err);
        if (!s) s = set_text(&t->reasoning, &c->turn[i].reasoning, err);
        if (!s) s = set_text(&t->calls, &c->turn[i].calls, err);
    }
    if (s) {
        jt_conversation_free(&r);
        return s;
    }
    if (c->n) memcpy(r.id, c->id, c->n * sizeof *r.id);
    r.n = c->n;
    *out = r;
    return JT_OK;
}

void jt_conversation_write(const jt_conversation *c, jt_str *o) {
    jt_str_puts(o, "\"system\": ");
    jt_str_json(o, jt_str_c(&c->system), c->system.n);
    if (c->tools.n) jt_str_printf(o, ", \"tools\": %s", c->tools.s);
    jt_str_puts(o, ",\n \"turns\": [");
    for (size_t i = 0; i < c->n_turn; i++) {
        const jt_turn *t = &c->turn[i];
        jt_str_puts(o, i ? ",\n  {\"user\": " : "\n  {\"user\": ");
        jt_str_json(o, jt_str_c(&t->user), t->user.n);
        jt_str_puts(o, ", \"answer\": ");
        jt_str_json(o, jt_str_c(&t->answer), t->answer.n);
        if (t->reasoning.n) jt_str_puts(o, ", \"reasoning\": "), jt_str_json(o, t->reasoning.s, t->reasoning.n);
        if (t->calls.n) jt_str_printf(o, ", \"calls\": [%s]", t->calls.s);
        if (t->tool) jt_str_puts(o, ", \"tool\": true");
        jt_str_printf(o, ", \"choice\": %u, \"begin\": %zu, \"open\": %zu, \"end\": %zu}", t->choice, t->begin, t->open, t->end);
    }
    jt_str_puts(o, "],\n \"ids\": [");
    for (size_t i = 0; i < c->n; i++) jt_str_printf(o, "%s%d", i ? ", " : "", c->id[i]);
    jt_str_putc(o, ']');
}

jt_status jt_conversation_save(const jt_conversation *c, const char *path, const char *model, jt_error *err) {
    jt_str o = {0};
    jt_str_puts(&o, "{\"jeton_chat\": 1, \"model\": ");
    jt_str_json(&o, model, strlen(model));
    jt_str_puts(&o, ",\n ");
    jt_conversation_write(c, &o);
    jt_str_puts(&o, "}\n");
    jt_status s = jt_file_save(path, &o, err);
    jt_str_free(&o);
    return s;
}

static jt_status bad(const char *path, const char *what, jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "%s: not a conversation saved by jeton: %s", path, what);
}

static const char *member_text(const jt_json *v, const char *name) {
    size_t n = 0;
    const char *s = jt_json_string(jt_json_member(v, name), &n);
    return s && strlen(s) == n ? s : NULL;
}

static bool member_count(const jt_json *v, const char *name, size_t most, size_t *out) {
    int64_t i;
    if (!jt_json_i64(jt_json_member(v, name), &i) || i < 0 || (uint64_t)i > most) return false;
    *out = (size_t)i;
    return true;
}

static jt_status load_ids(jt_conversation *c, const jt_json *ids, const char *path, jt_error *err) {
    if (!ids || jt_json_kind_of(ids) != JT_JSON_ARRAY) return bad(path, "\"ids\" is missing", err);
    size_t n = jt_json_count(ids);
    jt_status s = jt_grow((void **)&c->id, &c->cap, n, sizeof *c->id, err);
    if (s) return s;
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        if (!jt_json_i64(jt_json_item(ids, i), &id) || id < 0 || id >= jt_tokenizer_vocab(c->tokenizer))
            return bad(path, "\"ids\" holds what is no token of this model", err);
        c->id[i] = (int32_t)id;
    }
    c->n = n;
    return JT_OK;
}

/* The parts of a turn that it may have besides question and answer. */
static jt_status load_parts(const jt_json *v, const char *path, jt_turn *t, jt_error *err) {
    const jt_json *calls = jt_json_member(v, "calls"), *reasoning = jt_json_member(v, "reasoning"), *tool = jt_json_member(v, "tool");
    if (reasoning && !member_text(v, "reasoning")) return bad(path, "\"reasoning\" that is no text", err);
    if (reasoning) jt_str_puts(&t->reasoning, member_text(v, "reasoning"));
    if (tool && !jt_json_bool(tool, &t->tool)) return bad(path, "\"tool\" is neither true nor false", err);
    if (calls && jt_json_kind_of(calls) != JT_JSON_ARRAY) return bad(path, "\"calls\" is no list", err);
    for (size_t i = 0; i < jt_json_count(calls); i++) {
        if (i) jt_str_puts(&t->calls, ", ");
        jt_json_write(jt_json_item(calls, i), &t->calls);
    }
    jt_status s = jt_str_check(&t->reasoning, err);
    return s ? s : jt_str_check(&t->calls, err);
}

static jt_status load_turn(jt_conversation *c, const jt_json *v, const char *path, jt_error *err) {
    const char *user = member_text(v, "user"), *answer = member_text(v, "answer");
    size_t choice, before = c->n_turn ? c->turn[c->n_turn - 1].end : 0;
    jt_turn t = {0};
    if (!user || !answer) return bad(path, "a turn without \"user\" and \"answer\"", err);
    if (!member_count(v, "choice", UINT32_MAX, &choice) || !member_count(v, "begin", c->n, &t.begin) ||
        !member_count(v, "open", c->n, &t.open) || !member_count(v, "end", c->n, &t.end) || t.begin != before || t.begin > t.open ||
        t.open > t.end)
        return bad(path, "a turn whose tokens do not fit the others", err);
    t.choice = (uint32_t)choice;
    jt_status s = jt_grow((void **)&c->turn, &c->cap_turn, c->n_turn + 1, sizeof *c->turn, err);
    jt_str_puts(&t.user, user);
    jt_str_puts(&t.answer, answer);
    if (!s) s = jt_str_check(&t.user, err);
    if (!s) s = jt_str_check(&t.answer, err);
    if (!s) s = load_parts(v, path, &t, err);
    if (s)
        free_turn(&t);
    else
        c->turn[c->n_turn++] = t;
    return s;
}

/* The same turns with another model: its own tokens for the same text. */
static jt_status load_text(jt_conversation *c, const jt_json *turns, const char *path, jt_error *err) {
    for (size_t i = 0; i < jt_json_count(turns); i++) {
        const char *user = member_text(jt_json_item(turns, i), "user"), *answer = member_text(jt_json_item(turns, i), "answer");
        if (!user || !answer) return bad(path, "a turn without \"user\" and \"answer\"", err);
        jt_tokens t = {0};
        int32_t *ids = NULL;
        jt_status s = jt_encode(c->tokenizer, answer, strlen(answer), 0, &t, err);
        if (!s && !(ids = jt_alloc(t.n, sizeof *ids))) s = jt_nomem(err, path, t.n, sizeof *ids);
        for (size_t k = 0; !s && k < t.n; k++) ids[k] = t.t[k].id;
        jt_turn parts = {0};
        if (!s) s = load_parts(jt_json_item(turns, i), path, &parts, err);
        if (!s) s = ask(c, user, parts.tool, err);
        jt_str_puts(&parts.answer, answer);
        if (!s) s = jt_str_check(&parts.answer, err);
        if (!s) s = jt_conversation_answer_parts(c, ids, t.n, &parts.answer, &parts.reasoning, &parts.calls, err);
        free_turn(&parts);
        jt_free(ids);
        jt_tokens_free(&t);
        if (s) return s;
    }
    return JT_OK;
}

jt_status jt_conversation_read(const jt_json *v, bool again, const char *path, jt_conversation *out, jt_error *err) {
    jt_conversation r = {.tokenizer = out->tokenizer};
    const jt_json *turns = jt_json_member(v, "turns");
    const char *system = member_text(v, "system");
    if (!system || !turns || jt_json_kind_of(turns) != JT_JSON_ARRAY) return bad(path, "\"system\" or \"turns\" is missing", err);
    jt_str_puts(&r.system, system);
    const jt_json *tools = jt_json_member(v, "tools");
    jt_status s = tools ? jt_chat_json_tools(tools, err) : JT_OK;
    if (!s && tools) jt_json_write(tools, &r.tools);
    if (!s) s = jt_str_check(&r.system, err);
    if (!s) s = jt_str_check(&r.tools, err);
    if (!s && again) s = load_text(&r, turns, path, err);
    if (!s && !again) s = load_ids(&r, jt_json_member(v, "ids"), path, err);
    for (size_t i = 0; !s && !again && i < jt_json_count(turns); i++) s = load_turn(&r, jt_json_item(turns, i), path, err);
    if (!s && r.n != (r.n_turn ? r.turn[r.n_turn - 1].end : 0)) s = bad(path, "\"ids\" goes on after the last turn", err);
    if (s)
        jt_conversation_free(&r);
    else
        *out = r;
    return s;
}

jt_status jt_conversation_load(jt_conversation *c, const char *path, const char *model, int *again, jt_error *err) {
    jt_json *root;
    jt_status s = jt_json_read(path, &root, err);
    if (s) return s;
    jt_conversation r = {.tokenizer = c->tokenizer};
    int64_t version;
    const char *name = member_text(root, "model");
    if (!jt_json_i64(jt_json_member(root, "jeton_chat"), &version) || version != 1)
        s = bad(path, "\"jeton_chat\" is not 1", err);
    else if (!name)
        s = bad(path, "\"model\" is missing", err);
    *again = !s && strcmp(name, model) != 0;
    if (!s) s = jt_conversation_read(root, *again, path, &r, err);
    jt_json_free(root);
    if (s) return s;
    jt_conversation_free(c);
    *c = r;
    return JT_OK;
}
