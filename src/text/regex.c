/* regex.c: PCRE2 behind regex.h. Matches are made by its compiler to machine code where the processor has one, else by its
 * interpreter; both obey the limits. */
#include "text/regex.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/mem.h"
#include "core/str.h"
#include "text/regex_pattern.h"

enum {
    REGEX_MOST_PATTERN = 1 << 16, /* bytes, as written */
    REGEX_MOST_STEPS = 50000000,  /* of one match */
    REGEX_MOST_DEPTH = 100000,
    REGEX_MOST_HEAP = 64 << 10, /* KiB */
    REGEX_STACK = 1 << 20,      /* bytes, for machine code */
    REGEX_GROUPS = 8            /* that are looked at, the whole match counted */
};

struct jt_regex {
    pcre2_code *code;
};

static void *regex_alloc(size_t n, void *data) {
    (void)data;
    return jt_alloc(n, 1);
}
static void regex_free(void *p, void *data) {
    (void)data;
    jt_free(p);
}

jt_status jt_regex_new(const char *pattern, size_t n, jt_regex **out, jt_error *err) {
    if (n > REGEX_MOST_PATTERN)
        return jt_error_set(err, JT_LIMIT, "regular expression: %zu bytes; at most %d are possible", n, REGEX_MOST_PATTERN);
    jt_str text = {0};
    pcre2_general_context *general = NULL;
    pcre2_compile_context *context = NULL;
    jt_regex *r = jt_alloc(1, sizeof *r);
    jt_status st = r ? JT_OK : jt_nomem(err, "a regular expression", 1, sizeof *r);
    if (!st &&
        (!(general = pcre2_general_context_create(regex_alloc, regex_free, NULL)) || !(context = pcre2_compile_context_create(general))))
        st = jt_nomem(err, "a regular expression", 1, sizeof *r);
    for (int script = 1; !st && script >= 0 && !r->code; script--) { /* versions before 10.40 know scripts by their names alone */
        int code;
        PCRE2_SIZE at;
        char why[128] = "";
        jt_str_clear(&text);
        if ((st = jt_regex_pattern(pattern, n, script, &text, err))) break;
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        r->code = pcre2_compile((PCRE2_SPTR)jt_str_c(&text), text.n, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                &code, &at, context);
        if (r->code) {
            (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD); /* where there is no such compiler, slower */
        } else if (code == PCRE2_ERROR_HEAP_FAILED) {
            st = jt_nomem(err, "a regular expression", text.n, 1);
        } else if (!script) {
            pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
            st = jt_error_set(err, JT_FORMAT, "regular expression \"%.*s\": %s", (int)(n < 60 ? n : 60), pattern, why);
        }
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    jt_str_free(&text);
    if (st)
        jt_regex_free(r);
    else
        *out = r;
    return st;
}

void jt_regex_free(jt_regex *r) {
    if (!r) return;
    pcre2_code_free(r->code);
    jt_free(r);
}

void jt_regex_work_free(jt_regex_work *w) {
    pcre2_match_data_free(w->match);
    pcre2_match_context_free(w->context);
    pcre2_jit_stack_free(w->stack);
    jt_free(w->clean);
    *w = (jt_regex_work){0};
}

static jt_status work_ready(jt_regex_work *w, jt_error *err) {
    if (w->match && w->context && w->stack) return JT_OK;
    pcre2_general_context *general = pcre2_general_context_create(regex_alloc, regex_free, NULL);
    if (general && !w->match) w->match = pcre2_match_data_create(REGEX_GROUPS, general);
    if (general && !w->context) w->context = pcre2_match_context_create(general);
    if (general && !w->stack) w->stack = pcre2_jit_stack_create(32 << 10, REGEX_STACK, general);
    pcre2_general_context_free(general);
    if (!w->match || !w->context || !w->stack) return jt_nomem(err, "a match", 1, REGEX_STACK);
    pcre2_set_match_limit(w->context, REGEX_MOST_STEPS);
    pcre2_set_depth_limit(w->context, REGEX_MOST_DEPTH);
    pcre2_set_heap_limit(w->context, REGEX_MOST_HEAP);
    pcre2_jit_stack_assign(w->context, NULL, w->stack);
    return JT_OK;
}

jt_status jt_regex_text(jt_regex_work *w, const char *s, size_t n, const char **use, jt_error *err) {
    size_t at = 0;
    *use = s;
    while (at < n) {
        int k = (unsigned char)s[at] < 0x80 ? 1 : jt_utf8_next(s + at, n - at, NULL);
        if (!k) break;
        at += (size_t)k;
    }
    if (at == n) return JT_OK;
    jt_status st = n > w->clean_cap ? jt_grow((void **)&w->clean, &w->clean_cap, n, 1, err) : JT_OK;
    if (st) return st;
    memcpy(w->clean, s, n);
    while (at < n) {
        int k = jt_utf8_next(s + at, n - at, NULL);
        if (!k) w->clean[at] = 0x1a; /* a control character: no letter, number, sign or space */
        at += k ? (size_t)k : 1;
    }
    *use = w->clean;
    return JT_OK;
}

static void find_group(const jt_regex *r, const PCRE2_SIZE *o, uint32_t pairs, jt_regex_match *m) {
    uint32_t groups = 0;
    pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    m->group_begin = o[0], m->group_end = groups ? o[0] : o[1];
    for (uint32_t k = 1; k < pairs; k++) {
        if (o[2 * k] == PCRE2_UNSET || o[2 * k + 1] <= o[2 * k]) continue;
        m->group_begin = o[2 * k], m->group_end = o[2 * k + 1];
        return;
    }
}

jt_status jt_regex_next(const jt_regex *r, jt_regex_work *w, const char *s, size_t n, size_t at, bool ask, jt_regex_match *m,
                        jt_error *err) {
    jt_status st = work_ready(w, err);
    if (st) return st;
    *m = (jt_regex_match){0};
    for (uint32_t partial = ask ? PCRE2_PARTIAL_HARD : 0;; partial = 0) {
        int got = pcre2_match(r->code, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK | partial, w->match, w->context);
        if (got == PCRE2_ERROR_PARTIAL) {
            m->open = true;
            continue;
        }
        if (got >= 0) {
            const PCRE2_SIZE *o = pcre2_get_ovector_pointer(w->match);
            m->begin = o[0], m->end = o[1], m->found = o[1] >= o[0];
            find_group(r, o, got ? (uint32_t)got : REGEX_GROUPS, m);
        } else if (got == PCRE2_ERROR_NOMATCH) {
            m->open = m->open || ask;
        } else if (got == PCRE2_ERROR_NOMEMORY || got == PCRE2_ERROR_HEAPLIMIT) {
            return jt_nomem(err, "a match of a regular expression", 1, REGEX_STACK);
        } else {
            char why[128] = "";
            pcre2_get_error_message(got, (PCRE2_UCHAR *)why, sizeof why);
            return jt_error_set(err, JT_LIMIT, "regular expression at byte %zu: %s", at, why);
        }
        return JT_OK;
    }
}
