#include "cli/eval_judge.h"

#include <math.h>
#include <string.h>

jt_status jt_judge_open(const jt_task *t, jt_judge *out, jt_error *err) {
    *out = (jt_judge){.task = t, .regex = jt_alloc(t->n_filter, sizeof(jt_regex *))};
    if (!out->regex) return jt_nomem(err, "filters", t->n_filter, sizeof(jt_regex *));
    for (size_t i = 0; i < t->n_filter; i++) {
        const char *p = t->filter[i].pattern;
        jt_status s = p ? jt_regex_new(p, strlen(p), &out->regex[i], err) : JT_OK;
        if (!s) continue;
        jt_judge_close(out);
        return jt_error_in(err, s, "%s: filter %zu", t->yaml.path, i + 1);
    }
    return JT_OK;
}

void jt_judge_close(jt_judge *j) {
    for (size_t i = 0; j->regex && i < j->task->n_filter; i++) jt_regex_free(j->regex[i]);
    jt_free(j->regex);
    jt_regex_work_free(&j->work);
    *j = (jt_judge){0};
}

/* ---- filters ---- */

static bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f); }

static void strip(const char **s, size_t *n) {
    while (*n && space(**s)) (*s)++, (*n)--;
    while (*n && space((*s)[*n - 1])) (*n)--;
}

/* The i-th match (from the end if negative) of what stands in `in`, its group without blanks around it; or the fallback. */
static jt_status extract(jt_judge *j, const jt_task_filter *f, const jt_regex *re, const jt_str *in, jt_str *out, jt_error *err) {
    const char *text;
    jt_regex_match m = {0}, found = {0};
    jt_status s = jt_regex_text(&j->work, jt_str_c(in), in->n, &text, err);
    for (int64_t i = 0; !s; i++) {
        size_t at = i ? (m.end > m.begin ? m.end : m.end + 1) : 0;
        if (at > in->n) break;
        s = jt_regex_next(re, &j->work, text, in->n, at, false, &m, err);
        if (s || !m.found) break;
        found = m;
        if (i == f->select) break;
        if (f->select >= 0) found.found = false;
    }
    if (s) return s;
    const char *got = found.found ? text + found.group_begin : f->fallback;
    size_t n = found.found ? found.group_end - found.group_begin : strlen(f->fallback);
    if (found.found) strip(&got, &n);
    jt_str_add(out, got, n);
    return jt_str_check(out, err);
}

static jt_status leave_out(jt_judge *j, const jt_regex *re, const jt_str *in, jt_str *out, jt_error *err) {
    const char *text;
    size_t from = 0, at = 0;
    jt_status s = jt_regex_text(&j->work, jt_str_c(in), in->n, &text, err);
    while (!s && at <= in->n) {
        jt_regex_match m;
        s = jt_regex_next(re, &j->work, text, in->n, at, false, &m, err);
        if (s || !m.found) break;
        jt_str_add(out, jt_str_c(in) + from, m.begin - from);
        from = m.end, at = m.end > m.begin ? m.end : m.end + 1;
    }
    if (!s) jt_str_add(out, jt_str_c(in) + from, in->n - from);
    return s ? s : jt_str_check(out, err);
}

static void lower(const jt_str *in, jt_str *out) {
    for (size_t i = 0; i < in->n; i++) jt_str_putc(out, in->s[i] >= 'A' && in->s[i] <= 'Z' ? (char)(in->s[i] + 32) : in->s[i]);
}

jt_status jt_judge_filter(jt_judge *j, const char *s, size_t n, jt_str *out, jt_error *err) {
    jt_str now = {0}, next = {0};
    jt_str_add(&now, s, n);
    jt_status st = jt_str_check(&now, err);
    for (size_t i = 0; !st && i < j->task->n_filter; i++) {
        const jt_task_filter *f = &j->task->filter[i];
        const char *p = jt_str_c(&now);
        size_t len = now.n;
        jt_str_clear(&next);
        switch (f->kind) {
        case JT_FILTER_REGEX: st = extract(j, f, j->regex[i], &now, &next, err); break;
        case JT_FILTER_REMOVE: st = leave_out(j, j->regex[i], &now, &next, err); break;
        case JT_FILTER_STRIP: strip(&p, &len), jt_str_add(&next, p, len); break;
        case JT_FILTER_LOWER: lower(&now, &next); break;
        }
        jt_str was = now;
        now = next, next = was;
        if (!st) st = jt_str_check(&now, err);
    }
    if (!st) jt_str_add(out, jt_str_c(&now), now.n);
    if (!st) st = jt_str_check(out, err);
    jt_str_free(&now);
    jt_str_free(&next);
    return st;
}

/* ---- lines ---- */

static void numbers(jt_str *o, const char *name, const double *x, size_t n) {
    jt_str_printf(o, ", \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        if (i) jt_str_puts(o, ", ");
        jt_str_number(o, x[i]);
    }
    jt_str_putc(o, ']');
}

static double sum_of(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    return sum;
}

static size_t characters(const jt_str *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += ((unsigned char)s->s[i] & 0xC0) != 0x80;
    return n;
}

static size_t best(const double *x, size_t n) {
    size_t at = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

/* A sum of logprobs as JSON can hold it: what a stage has made impossible is far down. */
static double bounded(double x) { return x > -1e30 ? x : -1e30; }

static void judge_choice(const jt_item *item, const jt_batch_result *b, const double *sum, jt_str *o) {
    double each[256];
    size_t answer = best(sum, b->n);
    for (size_t i = 0; i < b->n; i++) each[i] = sum[i] / (double)characters(&item->choice[i]);
    size_t normal = best(each, b->n);
    jt_str_printf(o,
                  ", \"gold\": %zu, \"answer\": %zu, \"answer_norm\": %zu, \"metrics\": {\"acc\": %d, \"acc_norm\": %d, \"gold_logprob\": ",
                  item->gold, answer, normal, answer == item->gold, normal == item->gold);
    jt_str_number(o, sum[item->gold]);
    jt_str_putc(o, '}');
}

/* Words as Python's re.split(r"\s+") counts them. */
static size_t words(const jt_str *s) {
    size_t n = 1;
    for (size_t i = 0; i < s->n; i++) n += space(s->s[i]) && (i == 0 || !space(s->s[i - 1]));
    return n;
}

static jt_status likelihoods(const jt_judge *j, const jt_item *item, const jt_item_request *r, const jt_batch_result *b, jt_str *o,
                             jt_error *err) {
    double sum[256], raw[256];
    size_t tokens = 0;
    if (b->n != r->answers || !b->n || b->n > sizeof sum / sizeof *sum)
        return jt_error_set(err, JT_INVALID, "%zu likelihoods for %zu texts", b->n, r->answers);
    if (j->task->kind == JT_TASK_CHOICE && item->gold >= b->n)
        return jt_error_set(err, JT_INVALID, "the right choice is number %zu of %zu", item->gold, b->n);
    for (size_t i = 0; i < b->n; i++) {
        const jt_answer *a = &b->answer[i].a;
        if (a->n != (size_t)r->length[i])
            return jt_error_set(err, JT_INVALID, "text %zu of %d tokens was cut at %zu; the context is too short", i, r->length[i], a->n);
        sum[i] = bounded(sum_of(a->logprob, a->n)), raw[i] = sum_of(a->raw_logprob, a->n), tokens += a->n;
    }
    numbers(o, "loglikelihood", sum, b->n);
    numbers(o, "raw_loglikelihood", raw, b->n);
    jt_str_puts(o, ", \"tokens\": [");
    for (size_t i = 0; i < b->n; i++) jt_str_printf(o, "%s%zu", i ? ", " : "", b->answer[i].a.n);
    jt_str_puts(o, "], \"greedy\": [");
    for (size_t i = 0; i < b->n; i++) {
        int64_t first = -1;
        (void)jt_read_i64(jt_str_c(&b->answer[i].note), b->answer[i].note.n, &first);
        jt_str_printf(o, "%s%s", i ? ", " : "", first == (int64_t)b->answer[i].a.n ? "true" : "false");
    }
    jt_str_putc(o, ']');
    if (j->task->kind == JT_TASK_CHOICE) {
        judge_choice(item, b, sum, o);
    } else {
        jt_str_puts(o, ", \"metrics\": {\"loglikelihood\": ");
        jt_str_number(o, sum[0]);
        jt_str_printf(o, ", \"words\": %zu, \"bytes\": %zu, \"scored\": %zu}", words(&item->context), item->context.n, tokens);
    }
    return JT_OK;
}

/* Share of the answer's tokens that end four tokens which the answer had before; 0 for short answers. */
static double repetition(const int32_t *id, size_t n) {
    size_t again = 0, most = n < 4096 ? n : 4096;
    for (size_t i = 4; i < most; i++)
        for (size_t k = 3; k < i; k++)
            if (id[k] == id[i] && !memcmp(&id[k - 3], &id[i - 3], 3 * sizeof *id)) {
                again++;
                break;
            }
    return most > 4 ? (double)again / (double)(most - 4) : 0;
}

static bool punctuation(char c) { return (c > 32 && c < 127) && !((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z')); }

/* Whether the texts are equal, as far as the task looks. */
static bool equal(const jt_task *t, const jt_str *a, const jt_str *b) {
    size_t i = 0, k = 0;
    for (;; i++, k++) {
        while (t->ignore_punctuation && i < a->n && punctuation(a->s[i])) i++;
        while (t->ignore_punctuation && k < b->n && punctuation(b->s[k])) k++;
        if (i >= a->n || k >= b->n) return i >= a->n && k >= b->n;
        char x = a->s[i], y = b->s[k];
        if (t->ignore_case && x >= 'A' && x <= 'Z') x = (char)(x + 32);
        if (t->ignore_case && y >= 'A' && y <= 'Z') y = (char)(y + 32);
        if (x != y) return false;
    }
}

static jt_status generated(jt_judge *j, const jt_item *item, const jt_batch_result *b, jt_str *o, jt_error *err) {
    const jt_answer none = {0}, *a = b->n ? &b->answer[0].a : &none;
    jt_end_reason why = b->whole ? a->reason : b->reason;
    jt_str got = {0};
    jt_status s = jt_judge_filter(j, jt_str_c(&a->text), a->text.n, &got, err);
    if (!s) {
        jt_str_puts(o, ", \"text\": ");
        jt_str_json(o, jt_str_c(&a->text), a->text.n);
        jt_str_puts(o, ", \"extracted\": ");
        jt_str_json(o, jt_str_c(&got), got.n);
        if (item->has_target) {
            jt_str_puts(o, ", \"target\": ");
            jt_str_json(o, jt_str_c(&item->target), item->target.n);
        }
        jt_str_printf(o, ", \"stop_reason\": \"%s\", \"metrics\": {", jt_end_reason_name(why));
        if (item->has_target) jt_str_printf(o, "\"exact_match\": %d, ", equal(j->task, &got, &item->target));
        jt_str_printf(o, "\"tokens\": %zu, \"ended\": %d, \"logprob\": ", a->n, why == JT_END_TOKEN || why == JT_END_STOP);
        jt_str_number(o, a->n ? bounded(sum_of(a->raw_logprob, a->n)) / (double)a->n : 0);
        jt_str_puts(o, ", \"repetition\": ");
        jt_str_number(o, repetition(a->id, a->n));
        jt_str_putc(o, '}');
    }
    jt_str_free(&got);
    return s;
}

jt_status jt_judge_line(jt_judge *j, const jt_item *item, const jt_item_request *r, const jt_batch_result *b, jt_str *out, jt_error *err) {
    jt_str_printf(out, ", \"item\": \"%016llx\"", (unsigned long long)item->key);
    jt_status s = j->task->kind == JT_TASK_GENERATE ? generated(j, item, b, out, err) : likelihoods(j, item, r, b, out, err);
    jt_str_puts(out, "}\n");
    return s ? s : jt_str_check(out, err);
}
