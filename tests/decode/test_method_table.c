/* Every row of the table: complete, true to its own words, and refusing by name what lies outside of its ranges. New methods
 * are tested here without a line of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "decode/pipeline.h"
#include "decode/random_pipeline.h"
#include "jeton/trial.h"

enum { VOCAB = 300 };

static jt_pipeline *parse(const char *text) {
    jt_error err;
    jt_pipeline *p = NULL;
    if (jt_pipeline_parse(text, NULL, &p, &err)) fail_msg("%s: %s", text, err.message);
    return p;
}

/* Its canonical text and its JSON form read back as the same. */
static void reads_back(const char *text) {
    jt_pipeline *p = parse(text), *q = parse(jt_pipeline_text(p)), *r;
    jt_str json = {0};
    assert_string_equal(jt_pipeline_text(p), jt_pipeline_text(q));
    jt_pipeline_put_json(p, &json);
    r = parse(jt_str_c(&json));
    assert_string_equal(jt_pipeline_text(p), jt_pipeline_text(r));
    jt_pipeline_free(p), jt_pipeline_free(q), jt_pipeline_free(r);
    jt_str_free(&json);
}

/* The method with a list of parameters, where a pipeline can have it. */
static void as_pipeline(const jt_method *m, const char *list, char *out, size_t cap) {
    const char *colon = *list ? ":" : "";
    if (m->kind == JT_SCORER)
        snprintf(out, cap, *list ? "best-of-n:by=(%s%s%s) > sample" : "best-of-n:by=%s%s%s > sample", m->name, colon, list);
    else
        snprintf(out, cap, "%s%s%s%s", m->name, colon, list, m->kind == JT_STRATEGY && m->strategy.inner ? " > sample" : "");
}

static void rows_are_complete(void **state) {
    (void)state;
    const jt_method *m;
    for (int i = 0; (m = jt_method_at(NULL, i)); i++) {
        char list[256], text[600];
        if (!m->summary || !*m->summary || !m->formula || !*m->formula || !m->paper || !m->cost || !*m->cost)
            fail_msg("%s: summary, formula, paper and cost stand in every row", m->name);
        if (m->kind == JT_STAGE && !m->neutral) fail_msg("%s: a stage has a neutral setting", m->name);
        if (m->summary[strlen(m->summary) - 1] == '.') fail_msg("%s: the summary ends with a full stop", m->name);
        if (m->role && !(m->needs & JT_NEEDS_MODEL2)) fail_msg("%s: a role without a second model", m->name);
        assert_ptr_equal(jt_method_find(NULL, m->name), m);
        jt_method_neutral(m, list, sizeof list);
        as_pipeline(m, list, text, sizeof text);
        if (m->neutral) reads_back(text);
        jt_method_example(m, text, sizeof text);
        reads_back(text);
        if (!strstr(text, m->name)) fail_msg("%s: its example is without it: %s", m->name, text);
        for (int k = 0; k < m->n_param; k++) {
            const jt_param *p = m->param + k;
            if (!p->help || !*p->help) fail_msg("%s: %s has no help", m->name, p->name);
            if ((p->type == JT_PARAM_REAL || p->type == JT_PARAM_INT) &&
                (!(p->low <= p->high) || (!isnan(p->def) && !(p->def >= p->low && p->def <= p->high))))
                fail_msg("%s: the default of %s is out of range", m->name, p->name);
        }
    }
    for (uint32_t bit = 1; bit <= JT_NEEDS_PROJECT; bit <<= 1) assert_non_null(jt_need_name(bit));
    assert_null(jt_need_name(2 * JT_NEEDS_PROJECT));
}

/* What else must be given, so that a test of one parameter fails for that one alone. */
static void required_but(const jt_method *m, int but, char *out, size_t cap) {
    *out = 0;
    for (int i = 0; i < m->n_param; i++) {
        const jt_param *p = m->param + i;
        if (i == but || !isnan(p->def)) continue;
        size_t n = strlen(out);
        if (p->type == JT_PARAM_BIAS)
            snprintf(out + n, cap - n, ",0=0");
        else if (p->type == JT_PARAM_CHOICE)
            snprintf(out + n, cap - n, ",%s=%.*s", p->name, (int)strcspn(p->choices, "|"), p->choices);
        else
            snprintf(out + n, cap - n, ",%s=%.9g", p->name, p->low);
    }
}

/* The pipeline is refused, and the message names method and parameter. */
static void refused(const jt_method *m, const jt_param *p, const char *list) {
    char text[600], spelled[64];
    jt_pipeline *q = NULL;
    jt_error err;
    size_t n = 0;
    for (; p->name[n] && n < 63; n++) spelled[n] = p->name[n] == '_' ? '-' : p->name[n];
    spelled[n] = 0;
    as_pipeline(m, list, text, sizeof text);
    jt_status e = jt_pipeline_parse(text, NULL, &q, &err);
    if (e == JT_OK) {
        jt_pipeline_free(q);
        fail_msg("%s: taken", text);
    }
    if (!strstr(err.message, m->name) || !strstr(err.message, p->type == JT_PARAM_BIAS ? "bias" : spelled))
        fail_msg("%s: the message names neither method nor parameter: %s", text, err.message);
}

static void out_of_range_is_refused_by_name(void **state) {
    (void)state;
    const jt_method *m;
    int tried = 0;
    for (int i = 0; (m = jt_method_at(NULL, i)); i++)
        for (int k = 0; k < m->n_param; k++) {
            const jt_param *p = m->param + k;
            char rest[256], list[400];
            required_but(m, k, rest, sizeof rest);
#define REFUSED(...) (snprintf(list, sizeof list, __VA_ARGS__), refused(m, p, list), tried++)
            if (p->type == JT_PARAM_REAL || p->type == JT_PARAM_INT) {
                double step = p->type == JT_PARAM_INT ? 1 : fmax(1, fabs(p->low)) * 1e-9, up = fmax(1, fabs(p->high)) * 1e-9;
                if (isfinite(p->low)) REFUSED("%s=%.17g%s", p->name, p->low - step, rest);
                if (isfinite(p->high)) REFUSED("%s=%.17g%s", p->name, p->high + fmax(up, p->type == JT_PARAM_INT), rest);
                REFUSED("%s=nan%s", p->name, rest);
                REFUSED("%s=1x%s", p->name, rest);
                REFUSED("%s=%s", p->name, rest);
                if (p->type == JT_PARAM_INT) REFUSED("%s=1.5%s", p->name, rest);
                REFUSED("%s=(temp:1)%s", p->name, rest);
            } else if (p->type == JT_PARAM_CHOICE) {
                REFUSED("%s=no-such-choice%s", p->name, rest);
            } else if (p->type == JT_PARAM_BIAS) {
                REFUSED("0=%.17g%s", p->high * 2 + 1, rest);
                REFUSED("0=nan%s", rest);
            } else if (p->type == JT_PARAM_STAGES) {
                REFUSED("%s=temp%s", p->name, rest);
            } else if (p->type == JT_PARAM_METHOD) {
                REFUSED("%s=no-such-method%s", p->name, rest);
            } else if (!p->file) {
                REFUSED("%s=@file%s", p->name, rest);
            }
#undef REFUSED
        }
    assert_true(tried > 100);
}

/* ---- neutral settings ---- */

static float logits[VOCAB], second[VOCAB], hidden[8];
static int32_t history[40];

static jt_given given(draws *d) {
    for (int i = 0; i < VOCAB; i++) logits[i] = (float)(12 * draw_unit(d) - 6), second[i] = (float)(12 * draw_unit(d) - 6);
    for (int i = 0; i < 8; i++) hidden[i] = (float)draw_unit(d);
    for (int i = 0; i < 40; i++) history[i] = draw_below(d, 10);
    return (jt_given){.logits = logits,
                      .second = second,
                      .hidden = hidden,
                      .n_hidden = 8,
                      .history = history,
                      .n_history = 40,
                      .n_prompt = 10,
                      .position = 40};
}

static void neutral_settings_change_no_bit(void **state) {
    (void)state;
    const jt_method *m;
    draws d = {1};
    int tried = 0;
    for (int i = 0; (m = jt_method_at(NULL, i)); i++) {
        char list[256], text[600];
        jt_trial *t = NULL;
        jt_error err;
        if (m->kind != JT_STAGE || m->needs & (JT_NEEDS_STREAM | JT_NEEDS_RAW_KEYS | JT_NEEDS_GRADIENTS | JT_NEEDS_PROJECT)) continue;
        jt_method_neutral(m, list, sizeof list);
        as_pipeline(m, list, text, sizeof text);
        jt_pipeline *p = parse(text);
        if (jt_trial_new(p, VOCAB, NULL, &t, &err)) fail_msg("%s: %s", text, err.message);
        for (int round = 0; round < 3; round++) {
            jt_given g = given(&d);
            jt_dist *x;
            g.go_on = round == 2;
            if (jt_trial_run(t, &g, &x, &err)) fail_msg("%s: %s", text, err.message);
            if (jt_dist_count(x) != VOCAB) fail_msg("%s: %d candidates are left", text, jt_dist_count(x));
            for (int id = 0; id < VOCAB; id++) {
                float y = jt_dist_logit(x, id);
                if (memcmp(&y, &logits[id], sizeof y))
                    fail_msg("%s: the logit of %d was %.9g and is %.9g", text, id, (double)logits[id], (double)y);
            }
            jt_decision made = jt_trial_choose(t, 5);
            assert_int_equal(jt_trial_push(t, &made, &err), JT_OK);
        }
        tried++;
        jt_trial_free(t);
        jt_pipeline_free(p);
    }
    assert_true(tried >= 10);
}

/* Any two stages, with any parameters: something is left or all was banned, and running again gives the same bits. */
static void random_pairs(void **state) {
    (void)state;
    draws d = {7};
    for (int k = 0; k < 300; k++) {
        char text[1000];
        jt_trial *t = NULL;
        jt_error err;
        jt_dist *x;
        draw_pipeline(&d, 1 + k % 3, VOCAB, text, sizeof text);
        jt_pipeline *p = parse(text);
        jt_status e = jt_trial_new(p, VOCAB, NULL, &t, &err);
        jt_given g = given(&d);
        if (e == JT_OK) e = jt_trial_run(t, &g, &x, &err);
        if (e != JT_OK) { /* what only a model has, by name */
            assert_true(e == JT_UNSUPPORTED && strlen(err.message) > 10);
        } else {
            float had[VOCAB];
            int n = jt_dist_count(x);
            for (int id = 0; id < VOCAB; id++) {
                had[id] = jt_dist_logit(x, id);
                if (isnan(had[id]) || had[id] == INFINITY) fail_msg("%s: the logit of %d is %g", text, id, (double)had[id]);
            }
            jt_decision a = jt_trial_decide(t);
            assert_true(n ? a.id >= 0 && a.id < VOCAB && had[a.id] > -INFINITY : a.id < 0);
            assert_int_equal(jt_trial_run(t, &g, &x, &err), JT_OK);
            for (int id = 0; id < VOCAB; id++) {
                float y = jt_dist_logit(x, id);
                if (memcmp(&y, &had[id], sizeof y)) fail_msg("%s: a second run differs at %d", text, id);
            }
            jt_decision b = jt_trial_decide(t);
            assert_true(a.id == b.id && (a.u == b.u || (isnan(a.u) && isnan(b.u))));
        }
        jt_trial_free(t);
        jt_pipeline_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_complete), cmocka_unit_test(out_of_range_is_refused_by_name),
                                       cmocka_unit_test(neutral_settings_change_no_bit), cmocka_unit_test(random_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
