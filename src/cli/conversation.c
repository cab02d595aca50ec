#include "cli/conversation.h"

#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"

static void free_turn(jt_turn *t) {
    jt_str_free(&t->user);
    jt_str_free(&t->answer);
}

void jt_conversation_clear(jt_conversation *c) {
    for (size_t i = 0; i < c->n_turn; i++) free_turn(&c->turn[i]);
    c->n_turn = c->n = 0;
}

void jt_conversation_free(jt_conversation *c) {
    jt_conversation_clear(c);
    jt_str_free(&c->system);
    jt_free(c->id);
    jt_free(c->turn);
    *c = (jt_conversation){0};
}

/* Tokens of the first n turns as the chat format writes them; `last` is one more question or NULL, then the answer is opened. */
static jt_status write_turns(const jt_conversation *c, size_t n, const char *last, jt_tokens *out, jt_error *err) {
    size_t count = 0;
    jt_message *m = jt_alloc(2 * n + 2, sizeof *m);
    if (!m) return jt_nomem(err, "the conversation", 2 * n + 2, sizeof *m);
    if (c->system.n) m[count++] = (jt_message){"system", c->system.s};
    for (size_t i = 0; i < n; i++) {
        m[count++] = (jt_message){"user", jt_str_c(&c->turn[i].user)};
        m[count++] = (jt_message){"assistant", jt_str_c(&c->turn[i].answer)};
    }
    if (last) m[count++] = (jt_message){"user", last};
    jt_status s = jt_chat_encode(c->tokenizer, m, (int)count, last != NULL, out, err);
    jt_free(m);
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

/* What the template writes for one more question after the turns so far: the difference of two writings, if the first begins
 * the second and the tokens so far are known. */
static jt_status add_question(jt_conversation *c, const char *user, jt_error *err) {
    jt_tokens all = {0}, before = {0};
    bool known = !c->n_turn || c->turn[c->n_turn - 1].end;
    jt_status s = write_turns(c, c->n_turn, user, &all, err);
    if (!s && c->n_turn && known && write_turns(c, c->n_turn, NULL, &before, NULL)) known = false;
    if (!s && known && begins_with(&all, &before))
        s = add_ids(c, all.t + before.n, all.n - before.n, err);
    else if (!s)
        s = write_anew(c, &all, err);
    jt_tokens_free(&all);
    jt_tokens_free(&before);
    return s;
}

jt_status jt_conversation_ask(jt_conversation *c, const char *user, jt_error *err) {
    jt_turn t = {.begin = c->n};
    jt_status s = jt_grow((void **)&c->turn, &c->cap_turn, c->n_turn + 1, sizeof *c->turn, err);
    jt_str_puts(&t.user, user);
    if (!s) s = jt_str_check(&t.user, err);
    if (!s) s = add_question(c, user, err);
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

jt_status jt_conversation_answer(jt_conversation *c, const int32_t *ids, size_t n, const char *text, size_t n_text, jt_error *err) {
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
    jt_str_clear(&t->answer);
    jt_str_add(&t->answer, text, n_text);
    if (!s) s = jt_str_check(&t->answer, err);
    jt_tokens_free(&close);
    if (s)
        jt_conversation_undo(c);
    else
        t->end = c->n;
    return s;
}

jt_status jt_conversation_messages(const jt_conversation *c, jt_message **out, size_t *n, jt_error *err) {
    jt_message *m = jt_alloc(2 * c->n_turn + 1, sizeof *m);
    if (!m) return jt_nomem(err, "messages", 2 * c->n_turn + 1, sizeof *m);
    *out = m, *n = 0;
    if (c->system.n) m[(*n)++] = (jt_message){"system", jt_str_c(&c->system)};
    for (size_t i = 0; i < c->n_turn; i++) {
        m[(*n)++] = (jt_message){"user", jt_str_c(&c->turn[i].user)};
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
        if (!write_turns(c, c->n_turn - 1, jt_str_c(&t->user), &all, NULL) && !add_ids(c, all.t, all.n, NULL)) t->open = c->n;
        jt_tokens_free(&all);
    }
    c->n = t->end = t->open;
    jt_str_clear(&t->answer);
    t->choice++;
}

/* ---- files ---- */

jt_status jt_conversation_copy(const jt_conversation *c, jt_conversation *out, jt_error *err) {
    jt_conversation r = {.tokenizer = c->tokenizer};
    jt_str_add(&r.system, jt_str_c(&c->system), c->system.n);
    jt_status s = jt_str_check(&r.system, err);
    if (!s) s = jt_grow((void **)&r.id, &r.cap, c->n, sizeof *r.id, err);
    if (!s) s = jt_grow((void **)&r.turn, &r.cap_turn, c->n_turn, sizeof *r.turn, err);
    for (size_t i = 0; !s && i < c->n_turn; i++) {
        jt_turn *t = &r.turn[r.n_turn++];
        *t = c->turn[i];
        t->user = t->answer = (jt_str){0};
        jt_str_add(&t->user, jt_str_c(&c->turn[i].user), c->turn[i].user.n);
        jt_str_add(&t->answer, jt_str_c(&c->turn[i].answer), c->turn[i].answer.n);
        s = jt_str_check(&t->user, err);
        if (!s) s = jt_str_check(&t->answer, err);
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
    jt_str_puts(o, ",\n \"turns\": [");
    for (size_t i = 0; i < c->n_turn; i++) {
        const jt_turn *t = &c->turn[i];
        jt_str_puts(o, i ? ",\n  {\"user\": " : "\n  {\"user\": ");
        jt_str_json(o, jt_str_c(&t->user), t->user.n);
        jt_str_puts(o, ", \"answer\": ");
        jt_str_json(o, jt_str_c(&t->answer), t->answer.n);
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
        if (!s) s = jt_conversation_ask(c, user, err);
        if (!s) s = jt_conversation_answer(c, ids, t.n, answer, strlen(answer), err);
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
    jt_status s = jt_str_check(&r.system, err);
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
