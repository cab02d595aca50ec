#include "text/chat_reader.h"

#include <string.h>

#include "core/mem.h"

typedef enum reader_state { READ_CONTENT, READ_REASON, READ_CALLS, READ_HEAD } reader_state;

struct jt_reader {
    const jt_reader_style *family;
    jt_reader_fn *fn;
    void *self;
    reader_state state;
    const jt_reader_mark *mark; /* that opened the state */
    jt_reader_part part;        /* of what content is in Harmony's messages */
    jt_str held;                /* not decided yet */
    jt_str head;                /* Harmony: of the message being read */
    jt_str said[2];             /* content and reasoning */
    bool fresh[2];              /* nothing but white space since a mark: it is left out */
    jt_str call;                /* Harmony: arguments of the call being read */
    bool in_call;
    size_t scanned; /* of what is held, without the end of the calls in it */
    size_t total;
    jt_call_list calls;
};

enum { READER_MOST = 64 << 20 };

const char *jt_reader_family(const char *chat_template, size_t n) {
    const jt_reader_style *f = jt_reader_families;
    for (; strcmp(f->name, "plain") != 0; f++)
        for (int i = 0; i < 4 && f->signs[i]; i++)
            if (memmem(chat_template, n, f->signs[i], strlen(f->signs[i]))) return f->name;
    return f->name;
}

static bool reader_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

jt_status jt_reader_new(const char *family, const char *prompt, size_t n_prompt, jt_reader_fn *fn, void *self, jt_reader **out,
                        jt_error *err) {
    const jt_reader_style *f = jt_reader_families;
    while (f->name && strcmp(f->name, family) != 0) f++;
    if (!f->name) return jt_error_set(err, JT_UNKNOWN, "no family of answers is called \"%.60s\"", family);
    jt_reader *r = jt_alloc(1, sizeof *r);
    if (!r) return jt_nomem(err, "a reader of answers", 1, sizeof *r);
    *r = (jt_reader){.family = f, .fn = fn, .self = self, .fresh = {false, true}};
    while (n_prompt && reader_space(prompt[n_prompt - 1])) n_prompt--;
    for (const jt_reader_mark *m = f->marks; m->open; m++) {
        size_t n = strlen(m->open);
        if (m->kind == JT_MARK_REASON && prompt && n <= n_prompt && !memcmp(prompt + n_prompt - n, m->open, n))
            r->state = READ_REASON, r->mark = m;
    }
    *out = r;
    return JT_OK;
}

void jt_reader_free(jt_reader *r) {
    if (!r) return;
    jt_str_free(&r->held), jt_str_free(&r->head), jt_str_free(&r->call);
    jt_str_free(&r->said[0]), jt_str_free(&r->said[1]);
    jt_call_list_free(&r->calls);
    jt_free(r);
}

int jt_reader_knows(const jt_reader *r, const char *s, size_t n) {
    if (r->state == READ_CALLS || r->state == READ_HEAD) return 1;
    for (const jt_reader_mark *m = r->family->marks; m->open; m++)
        if (memmem(m->open, strlen(m->open), s, n) || (m->close && memmem(m->close, strlen(m->close), s, n))) return 1;
    return 0;
}

/* Content or reasoning; white space at the beginning of a part is left out where a mark stands before it. */
static jt_status reader_say(jt_reader *r, jt_reader_part part, const char *s, size_t n, jt_error *err) {
    if (part == JT_PART_CALL) {
        jt_str_add(&r->call, s, n);
        return jt_str_check(&r->call, err);
    }
    while (n && r->fresh[part] && reader_space(*s)) s++, n--;
    if (!n) return JT_OK;
    r->fresh[part] = false;
    jt_str_add(&r->said[part], s, n);
    jt_status st = jt_str_check(&r->said[part], err);
    if (!st && r->fn) r->fn(r->self, part, 0, s, n);
    return st;
}

static void reader_tell_calls(const jt_reader *r, size_t from) {
    for (size_t i = from; r->fn && i < r->calls.n; i++)
        r->fn(r->self, JT_PART_CALL, i, jt_str_c(&r->calls.call[i].name), r->calls.call[i].name.n);
}

/* Drops n bytes from what is held. */
static void reader_past(jt_reader *r, size_t n) {
    memmove(r->held.s, r->held.s + n, r->held.n - n + 1);
    r->held.n -= n;
}

/* The first of the marks in what is held: its place, or where the earliest that may still come begins. */
static const jt_reader_mark *next_mark(const jt_reader *r, size_t *at) {
    const jt_reader_mark *found = NULL;
    *at = r->held.n;
    for (const jt_reader_mark *m = r->family->marks; m->open; m++) {
        size_t n = strlen(m->open);
        const char *p = memmem(jt_str_c(&r->held), r->held.n, m->open, n);
        if (p && (!found || (size_t)(p - r->held.s) < *at)) found = m, *at = (size_t)(p - r->held.s);
    }
    for (const jt_reader_mark *m = r->family->marks; m->open; m++)
        for (size_t n = strlen(m->open), k = n - 1; k > 0; k--)
            if (k <= r->held.n && r->held.n - k < *at && !memcmp(r->held.s + r->held.n - k, m->open, k)) {
                *at = r->held.n - k;
                found = NULL;
            }
    return found;
}

/* White space at the end of [0, at), which is left out before a mark. */
static size_t before_space(const jt_reader *r, size_t at) {
    while (at && reader_space(r->held.s[at - 1])) at--;
    return at;
}

/* The end of a Harmony message: a call's arguments are whole. */
static jt_status end_message(jt_reader *r, jt_error *err) {
    bool ok = false;
    jt_status s = JT_OK;
    if (!r->in_call) return JT_OK;
    r->in_call = false;
    const char *name = memmem(jt_str_c(&r->head), r->head.n, "to=", 3);
    size_t n = 0, before = r->calls.n;
    if (name) {
        name += 3;
        if (!strncmp(name, "functions.", 10)) name += 10;
        n = strcspn(name, " \t\n<");
        s = jt_calls_add(name, n, jt_str_c(&r->call), r->call.n, NULL, &r->calls, &ok, err);
    }
    if (ok) reader_tell_calls(r, before);
    if (!s && !ok) s = reader_say(r, JT_PART_CONTENT, jt_str_c(&r->call), r->call.n, err);
    jt_str_clear(&r->call);
    return s;
}

static jt_status open_mark(jt_reader *r, const jt_reader_mark *m, jt_error *err) {
    jt_status s = end_message(r, err);
    r->mark = m;
    r->part = JT_PART_CONTENT;
    r->fresh[JT_PART_CONTENT] = r->fresh[JT_PART_CONTENT] || m->kind != JT_MARK_DROP || !r->said[JT_PART_CONTENT].n;
    if (m->kind == JT_MARK_REASON) r->state = READ_REASON, r->fresh[JT_PART_REASONING] = true;
    if (m->kind == JT_MARK_CALLS) r->state = READ_CALLS;
    if (m->kind == JT_MARK_HEAD) {
        if (r->state != READ_HEAD) jt_str_clear(&r->head);
        r->state = READ_HEAD;
    }
    return s;
}

/* One step; *more says whether another is possible. */
static jt_status read_content(jt_reader *r, bool end, bool *more, jt_error *err) {
    size_t at;
    const jt_reader_mark *m = next_mark(r, &at);
    if (!m && end) at = r->held.n;
    if (r->family->whole && !r->said[JT_PART_CONTENT].n && !end && !m) {
        size_t i = 0;
        while (i < r->held.n && reader_space(r->held.s[i])) i++;
        if (i == r->held.n || r->held.s[i] == '{') return *more = false, JT_OK; /* it may be a call: wait for the end */
    }
    if (r->family->whole && !r->said[JT_PART_CONTENT].n && (m || end)) {
        size_t i = 0, before = r->calls.n;
        bool ok = false;
        while (i < at && reader_space(r->held.s[i])) i++;
        if (i < at && r->held.s[i] == '{') {
            jt_status s = jt_calls_read(r->held.s, at, &r->calls, &ok, err);
            if (s) return s;
        }
        if (ok) {
            reader_past(r, at);
            reader_tell_calls(r, before);
            return *more = r->held.n > 0, JT_OK;
        }
    }
    size_t stop = end && !m ? at : before_space(r, at);
    jt_status s = stop ? reader_say(r, r->part, r->held.s, stop, err) : JT_OK;
    if (s) return s;
    if (m) {
        reader_past(r, at + strlen(m->open));
        return *more = true, open_mark(r, m, err);
    }
    if (stop) reader_past(r, stop);
    *more = false;
    return JT_OK;
}

/* How much of the held text may still become `mark`. */
static size_t may_become(const jt_reader *r, const char *mark) {
    for (size_t k = strlen(mark) - 1; k > 0; k--)
        if (k <= r->held.n && !memcmp(r->held.s + r->held.n - k, mark, k)) return k;
    return 0;
}

static jt_status read_reason(jt_reader *r, bool end, bool *more, jt_error *err) {
    const char *close = r->mark->close, *p = r->held.n ? memmem(r->held.s, r->held.n, close, strlen(close)) : NULL;
    size_t at = p ? (size_t)(p - r->held.s) : r->held.n - (end ? 0 : may_become(r, close)), stop = before_space(r, at);
    /* "<think>" once more at the beginning, where the prompt had it already */
    size_t n = strlen(r->mark->open), skip = 0;
    if (r->fresh[JT_PART_REASONING]) {
        while (skip < at && reader_space(r->held.s[skip])) skip++;
        if (skip + n <= at && !memcmp(r->held.s + skip, r->mark->open, n))
            skip += n;
        else if (!p && !end && at - skip < n && !memcmp(r->held.s + skip, r->mark->open, at - skip))
            return *more = false, JT_OK;
        else
            skip = 0;
    }
    jt_status s = stop > skip ? reader_say(r, JT_PART_REASONING, r->held.s + skip, stop - skip, err) : JT_OK;
    if (p) {
        reader_past(r, at + strlen(close));
        r->state = READ_CONTENT;
        r->fresh[JT_PART_CONTENT] = true;
        *more = true;
        return s;
    }
    if (stop > skip) reader_past(r, stop);
    *more = false;
    return s;
}

static jt_status read_calls(jt_reader *r, bool end, bool *more, jt_error *err) {
    const char *close = r->mark->close;
    size_t from = close && r->scanned > strlen(close) ? r->scanned - strlen(close) : 0;
    const char *p = close && r->held.n ? memmem(r->held.s + from, r->held.n - from, close, strlen(close)) : NULL;
    bool ok;
    size_t before = r->calls.n, at = p ? (size_t)(p - r->held.s) : r->held.n;
    *more = false;
    r->scanned = r->held.n;
    if (!p && !end) return JT_OK;
    r->scanned = 0;
    size_t stop = at;
    for (const jt_reader_mark *m = r->family->marks; !close && m->open; m++) { /* without marks that end the answer */
        const char *drop = m->kind == JT_MARK_DROP && stop ? memmem(r->held.s, stop, m->open, strlen(m->open)) : NULL;
        if (drop) stop = (size_t)(drop - r->held.s);
    }
    jt_status s = jt_calls_read(jt_str_c(&r->held), stop, &r->calls, &ok, err);
    if (s) return s;
    if (ok) reader_tell_calls(r, before);
    if (!ok) s = reader_say(r, JT_PART_CONTENT, r->mark->open, strlen(r->mark->open), err);
    if (!ok && !s) s = reader_say(r, JT_PART_CONTENT, jt_str_c(&r->held), stop, err);
    if (!ok && !s && p) s = reader_say(r, JT_PART_CONTENT, close, strlen(close), err);
    if (r->held.n) reader_past(r, p ? at + strlen(close) : r->held.n);
    r->state = READ_CONTENT;
    r->fresh[JT_PART_CONTENT] = ok;
    *more = r->held.n > 0;
    return s;
}

/* analysis, final, commentary, with "to=functions.f" for calls. */
static jt_status read_head(jt_reader *r, bool end, bool *more, jt_error *err) {
    static const char message[] = "<|message|>";
    const char *p = r->held.n ? memmem(r->held.s, r->held.n, message, sizeof message - 1) : NULL;
    *more = p != NULL;
    if (!p && end) jt_str_clear(&r->held);
    if (!p) return JT_OK;
    jt_str_add(&r->head, r->held.s, (size_t)(p - r->held.s));
    jt_status s = jt_str_check(&r->head, err);
    reader_past(r, (size_t)(p - r->held.s) + sizeof message - 1);
    r->state = READ_CONTENT;
    r->part = strstr(jt_str_c(&r->head), "analysis") ? JT_PART_REASONING : JT_PART_CONTENT;
    if (strstr(jt_str_c(&r->head), "to=")) r->part = JT_PART_CALL, r->in_call = true;
    if (r->part != JT_PART_CALL) r->fresh[r->part] = true;
    return s;
}

static jt_status reader_run(jt_reader *r, bool end, jt_error *err) {
    jt_status s = JT_OK;
    for (bool more = true; more && !s;) {
        switch (r->state) {
        case READ_CONTENT: s = read_content(r, end, &more, err); break;
        case READ_REASON: s = read_reason(r, end, &more, err); break;
        case READ_CALLS: s = read_calls(r, end, &more, err); break;
        case READ_HEAD: s = read_head(r, end, &more, err); break;
        }
    }
    return s;
}

jt_status jt_reader_push(jt_reader *r, const char *s, size_t n, jt_error *err) {
    if (n > READER_MOST - r->total) return jt_error_set(err, JT_LIMIT, "an answer of more than %d MiB", READER_MOST >> 20);
    r->total += n;
    jt_str_add(&r->held, s, n);
    jt_status st = jt_str_check(&r->held, err);
    return st ? st : reader_run(r, false, err);
}

jt_status jt_reader_end(jt_reader *r, jt_error *err) {
    jt_status s = reader_run(r, true, err);
    return s ? s : end_message(r, err);
}

const char *jt_reader_text(const jt_reader *r, jt_reader_part part, size_t *n) {
    if (part == JT_PART_CALL) return *n = 0, "";
    *n = r->said[part].n;
    return jt_str_c(&r->said[part]);
}

size_t jt_reader_calls(const jt_reader *r) { return r->calls.n; }

jt_reader_call jt_reader_call_at(const jt_reader *r, size_t i) {
    const jt_call_text *c = &r->calls.call[i];
    return (jt_reader_call){jt_str_c(&c->name), jt_str_c(&c->arguments), jt_str_c(&c->id)};
}
