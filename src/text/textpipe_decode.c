/* textpipe_decode.c: text of tokens by the decoders of Hugging Face tokenizers. Each takes a list of strings and gives another;
 * at the end they are put together, and what is not UTF-8 becomes U+FFFD, one for each longest part of a character. */
#include <string.h>

#include "core/mem.h"
#include "text/textpipe_inside.h"

/* A list of strings in one piece of memory. */
struct decode_list {
    jt_str s;
    size_t *end;
    size_t n, cap;
    bool failed;
};

struct decode_run {
    struct decode_list in, out;
    jt_regex_work regex;
};

static void list_end(struct decode_list *l) {
    if (l->n == l->cap && jt_grow((void **)&l->end, &l->cap, l->n + 1, sizeof *l->end, NULL))
        l->failed = true;
    else
        l->end[l->n++] = l->s.n;
}

static void list_put(struct decode_list *l, jt_view v) {
    jt_str_add(&l->s, v.s, v.n);
    list_end(l);
}

static jt_view list_get(const struct decode_list *l, size_t i) {
    size_t begin = i ? l->end[i - 1] : 0;
    return (jt_view){jt_str_c(&l->s) + begin, l->end[i] - begin};
}

static void list_clear(struct decode_list *l) {
    jt_str_clear(&l->s);
    l->n = 0;
}

static void list_free(struct decode_list *l) {
    jt_str_free(&l->s);
    jt_free(l->end);
}

static bool view_same(jt_view a, jt_view b) { return a.n == b.n && (!a.n || !memcmp(a.s, b.s, a.n)); }

/* Appends v with every `from` as `to`. */
static void put_replaced(jt_str *o, jt_view v, jt_view from, jt_view to) {
    for (size_t at = 0; at < v.n;) {
        const char *p = from.n && from.n <= v.n - at ? memmem(v.s + at, v.n - at, from.s, from.n) : NULL;
        size_t hit = p ? (size_t)(p - v.s) : v.n;
        jt_str_add(o, v.s + at, hit - at);
        if (p) jt_str_add(o, to.s, to.n);
        at = hit + (p ? from.n : 0);
    }
}

static jt_status decode_regex(struct decode_run *r, const jt_decode_stage *g, jt_view v, jt_error *err) {
    const char *s;
    size_t at = 0;
    jt_status st = v.n ? jt_regex_text(&r->regex, v.s, v.n, &s, err) : JT_OK;
    for (size_t from = 0; !st && from < v.n;) {
        jt_regex_match m;
        if ((st = jt_regex_next(g->regex, &r->regex, s, v.n, from, false, &m, err)) || !m.found) break;
        jt_str_add(&r->out.s, v.s + at, m.begin - at);
        jt_str_add(&r->out.s, g->step.b.s, g->step.b.n);
        at = m.end;
        int w = m.end == m.begin && m.end < v.n ? jt_utf8_next(v.s + m.end, v.n - m.end, NULL) : 0;
        from = m.end > m.begin ? m.end : m.end + (w ? (size_t)w : 1);
    }
    jt_str_add(&r->out.s, v.s + at, v.n - at);
    list_end(&r->out);
    return st;
}

static void decode_bytes(struct decode_run *r, jt_error *err) {
    jt_str all = {0};
    (void)err;
    for (size_t i = 0; i < r->in.n; i++) {
        jt_view v = list_get(&r->in, i);
        char bytes[JT_TOKEN_MOST_BYTES];
        size_t n = v.n <= sizeof bytes ? jt_byte_level_read(v.s, v.n, bytes) : SIZE_MAX;
        jt_str_add(&all, n == SIZE_MAX ? v.s : bytes, n == SIZE_MAX ? v.n : n);
    }
    jt_text_lossy(&r->out.s, jt_str_c(&all), all.n);
    if (all.failed) r->out.failed = true;
    list_end(&r->out);
    jt_str_free(&all);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void fallback_flush(struct decode_run *r, jt_str *run) {
    bool valid = true;
    for (size_t i = 0; i < run->n;) {
        int w = jt_utf8_next(run->s + i, run->n - i, NULL);
        valid = valid && w;
        i += w ? (size_t)w : 1;
    }
    if (valid && run->n) list_put(&r->out, (jt_view){run->s, run->n});
    for (size_t i = 0; i < run->n && !valid; i++) list_put(&r->out, (jt_view){"\xef\xbf\xbd", 3});
    if (run->failed) r->out.failed = true;
    jt_str_clear(run);
}

static void decode_fallback(struct decode_run *r) {
    jt_str run = {0};
    for (size_t i = 0; i < r->in.n; i++) {
        jt_view v = list_get(&r->in, i);
        int hi = v.n == 6 && !memcmp(v.s, "<0x", 3) && v.s[5] == '>' ? hex_digit(v.s[3]) : -1, lo = hi >= 0 ? hex_digit(v.s[4]) : -1;
        if (lo >= 0) {
            jt_str_putc(&run, (char)(hi * 16 + lo));
            continue;
        }
        fallback_flush(r, &run);
        list_put(&r->out, v);
    }
    fallback_flush(r, &run);
    jt_str_free(&run);
}

/* Up to `start` characters `a` off the front and `stop` off the end. */
static jt_view strip(jt_view v, const jt_decode_step *d) {
    size_t n = d->a.n;
    for (int64_t i = 0; n && i < d->start && v.n >= n && !memcmp(v.s, d->a.s, n); i++) v.s += n, v.n -= n;
    for (int64_t i = 0; n && i < d->stop && v.n >= n && !memcmp(v.s + v.n - n, d->a.s, n); i++) v.n -= n;
    return v;
}

jt_status jt_text_tidy(jt_str *o, jt_view v, jt_error *err) {
    static const char *const pairs[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    jt_str a = {0}, b = {0};
    jt_str_add(&a, v.s, v.n);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        jt_str_clear(&b);
        put_replaced(&b, (jt_view){jt_str_c(&a), a.n}, (jt_view){pairs[i][0], strlen(pairs[i][0])},
                     (jt_view){pairs[i][1], strlen(pairs[i][1])});
        jt_str x = a;
        a = b, b = x;
    }
    jt_str_add(o, jt_str_c(&a), a.n);
    jt_status s = jt_str_check(&a, err);
    if (!s) s = jt_str_check(&b, err);
    jt_str_free(&a), jt_str_free(&b);
    return s;
}

static jt_status decode_wordpiece(struct decode_run *r, const jt_decode_step *d, jt_error *err) {
    jt_str one = {0};
    jt_status s = JT_OK;
    for (size_t i = 0; i < r->in.n && !s; i++) {
        jt_view v = list_get(&r->in, i);
        jt_str_clear(&one);
        bool more = d->a.n <= v.n && !memcmp(v.s, d->a.s, d->a.n);
        if (i && more) v.s += d->a.n, v.n -= d->a.n;
        if (i && !more) jt_str_putc(&one, ' ');
        jt_str_add(&one, v.s, v.n);
        if (!(s = jt_str_check(&one, err)) && d->cleanup) s = jt_text_tidy(&r->out.s, (jt_view){jt_str_c(&one), one.n}, err);
        if (!s && !d->cleanup) jt_str_add(&r->out.s, jt_str_c(&one), one.n);
        list_end(&r->out);
    }
    jt_str_free(&one);
    return s;
}

static jt_status decode_ctc(struct decode_run *r, const jt_decode_step *d, jt_error *err) {
    jt_str one = {0};
    jt_status s = JT_OK;
    for (size_t i = 0; i < r->in.n && !s; i++) {
        jt_view v = list_get(&r->in, i);
        if (i && view_same(v, list_get(&r->in, i - 1))) continue;
        jt_str_clear(&one);
        put_replaced(&one, v, d->a, (jt_view){"", 0});
        size_t before = r->out.s.n;
        if ((s = jt_str_check(&one, err))) break;
        v = (jt_view){jt_str_c(&one), one.n};
        if (d->cleanup) {
            jt_str clean = {0};
            s = jt_text_tidy(&clean, v, err);
            put_replaced(&r->out.s, (jt_view){jt_str_c(&clean), clean.n}, d->b, (jt_view){" ", 1});
            if (!s) s = jt_str_check(&clean, err);
            jt_str_free(&clean);
        } else {
            jt_str_add(&r->out.s, v.s, v.n);
        }
        if (r->out.s.n > before) list_end(&r->out);
    }
    jt_str_free(&one);
    return s;
}

static jt_status decode_stage(struct decode_run *r, const jt_decode_stage *g, jt_error *err) {
    const jt_decode_step *d = &g->step;
    jt_view space = {" ", 1}, none = {"", 0};
    jt_status s = JT_OK;
    switch (d->kind) {
    case JT_DECODE_BYTES: decode_bytes(r, err); return JT_OK;
    case JT_DECODE_FALLBACK: decode_fallback(r); return JT_OK;
    case JT_DECODE_WORDPIECE: return decode_wordpiece(r, d, err);
    case JT_DECODE_CTC: return decode_ctc(r, d, err);
    case JT_DECODE_FUSE: list_put(&r->out, (jt_view){jt_str_c(&r->in.s), r->in.s.n}); return JT_OK;
    default: break;
    }
    for (size_t i = 0; i < r->in.n && !s; i++) {
        jt_view v = list_get(&r->in, i);
        if (d->kind == JT_DECODE_STRIP) {
            list_put(&r->out, strip(v, d));
        } else if (g->regex) {
            s = decode_regex(r, g, v, err);
        } else {
            jt_view to = d->kind == JT_DECODE_REPLACE  ? d->b
                         : d->kind == JT_DECODE_SUFFIX ? (i + 1 == r->in.n ? none : space)
                                                       : (!i && d->scheme != JT_SCHEME_NEVER ? none : space);
            put_replaced(&r->out.s, v, d->a, to);
            list_end(&r->out);
        }
    }
    return s;
}

jt_status jt_textpipe_text(const jt_tokenizer *t, const int32_t *ids, size_t n, int special, jt_str *out, jt_error *err) {
    const jt_textpipe *p = t->pipe;
    struct decode_run r = {0};
    jt_status s = JT_OK;
    for (size_t i = 0; i < n; i++)
        if (special || !jt_type_special(t->types[ids[i]])) list_put(&r.in, p->written[ids[i]]);
    for (size_t i = 0; i < p->n_decode && !s; i++) {
        s = decode_stage(&r, &p->decode[i], err);
        if (!s) s = jt_str_check(&r.out.s, err);
        if (!s && r.out.failed) s = jt_nomem(err, "the decoded text", r.out.n, sizeof *r.out.end);
        struct decode_list x = r.in;
        r.in = r.out, r.out = x;
        list_clear(&r.out);
    }
    if (!s && r.in.failed) s = jt_nomem(err, "the decoded text", r.in.n, sizeof *r.in.end);
    if (!s) s = jt_str_check(&r.in.s, err);
    jt_str all = {0};
    for (size_t i = 0; i < r.in.n && !s && !p->n_decode; i++) {
        jt_view v = list_get(&r.in, i);
        if (i) jt_str_putc(&all, ' ');
        jt_str_add(&all, v.s, v.n);
    }
    if (!s) s = jt_str_check(&all, err);
    const jt_str *text = p->n_decode ? &r.in.s : &all;
    if (!s) jt_text_lossy(out, jt_str_c(text), text->n);
    jt_str_free(&all);
    list_free(&r.in), list_free(&r.out);
    jt_regex_work_free(&r.regex);
    return s ? s : jt_str_check(out, err);
}
