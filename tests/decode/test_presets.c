/* Presets: what they stand for, what changes them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "decode/pipeline.h"

static void expands_into_ordinary_stages(void **state) {
    (void)state;
    static const struct {
        const char *text, *same;
    } t[] = {
        {"preset:hf", "sample | top-k:50,ties=keep"},
        {"preset:hf,temperature=0.7,top-p=0.9", "temp:0.7 | top-k:50,ties=keep | top-p:0.9"},
        {"preset:hf, top_k = 0 ,eta-cutoff=0.001,epsilon-cutoff=0.0003", "epsilon:0.0003 | eta:0.001"},
        {"preset:hf,top-k=0", "sample"},
        {"preset:hf,repetition-penalty=1.1,typical-p=0.9,top-h=0.4,min-p=0.1,no-repeat-ngram-size=3,min-new-tokens=4",
         "repeat-penalty:1.1,window=-1 | no-repeat-ngram:3 | min-length:4 | top-h:0.4,rule=hf | top-k:50,ties=keep | min-p:0.1 | "
         "typical:0.9"},
        {"preset:llamacpp", "top-k:40 | top-p:0.95 | min-p:0.05 | dyn-temp:t=0.8,range=0"},
        {"preset:llamacpp,temp=0.7,top-k=20", "top-k:20 | top-p:0.95 | min-p:0.05 | dyn-temp:t=0.7,range=0"},
        {"preset:llamacpp,temp=1,top-k=0,top-p=1,min-p=0", "sample"},
        {"preset:llamacpp,temp=1,top-k=0,top-p=1,min-p=0,repeat-penalty=1.1,repeat-last-n=32,frequency-penalty=0.5,dry-multiplier=0.8,"
         "xtc-probability=0.5,top-n-sigma=2,typical=0.8,dynatemp-range=0.3",
         "repeat-penalty:1.1,window=32 | frequency-penalty:0.5,window=32,scope=all | dry:0.8 | top-n-sigma:2 | typical:0.8 | "
         "xtc:0.5,threshold=0.1 | dyn-temp:t=1,range=0.3"},
        {"preset:llamacpp-mirostat-1", "temp:0.8 | mirostat-1:5,eta=0.1,lc=yes"},
        {"preset:llamacpp-mirostat-2,mirostat-ent=3", "temp:0.8 | mirostat-2:3,eta=0.1,lc=yes"},
        {"sample | logit-bias:3=1 | preset:hf | temp:2", "logit-bias:3=1 | top-k:50,ties=keep | temp:2"},
        {"best-of-n:2 > sample | preset:hf", "best-of-n:2 > sample | top-k:50,ties=keep"},
        {"soft-thinking:think=(preset:hf,top-k=7)", "soft-thinking:think=(top-k:7,ties=keep)"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        jt_pipeline *p, *q;
        jt_error err;
        if (jt_pipeline_parse(t[i].text, NULL, &p, &err) != JT_OK) fail_msg("%s: %s", t[i].text, err.message);
        if (jt_pipeline_parse(t[i].same, NULL, &q, &err) != JT_OK) fail_msg("%s: %s", t[i].same, err.message);
        assert_string_equal(jt_pipeline_text(p), jt_pipeline_text(q));
        jt_pipeline_free(q);
        assert_int_equal(jt_pipeline_parse(jt_pipeline_text(p), NULL, &q, &err), JT_OK); /* reads back as itself */
        assert_string_equal(jt_pipeline_text(p), jt_pipeline_text(q));
        jt_pipeline_free(p), jt_pipeline_free(q);
    }
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *say;
    } t[] = {
        {"preset:hg", "byte 7: unknown preset \"hg\"; the nearest is \"hf\""},
        {"preset", "byte 6: unknown preset \"\""},
        {"preset:", "unknown preset \"\""},
        {"preset:lamacpp", "the nearest is \"llamacpp\""},
        {"preset:hf=3", "unknown preset"},
        {"preset:hf,topp=0.9", "byte 10: preset:hf has no parameter \"topp\"; the nearest is \"top-p\""},
        {"preset:hf,top-p", "preset:hf: top-p needs a number, as in top-p=1"},
        {"preset:hf,top-p=", "preset:hf: top-p needs a number"},
        {"preset:hf,", "preset:hf has no parameter \"\""},
        {"preset:hf,top-p=1,top-p=2", "byte 18: preset:hf: top-p is given twice"},
        {"preset:hf,top-p=1,top_p=2", "byte 18: preset:hf: top_p is given twice"},
        {"temp:1 | preset:hf,top-p=2", "byte 9: preset:hf,top-p=2: top-p: p=2 is out of range (0 to 1); the nearest valid value is 1"},
        {"preset:hf,top-p=a", "preset:hf,top-p=a: top-p: p=a is not a number"},
        {"best-of-n > preset:hf", "a preset is stages"},
        {"preset:hf > sample", "after a stage stands"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        jt_pipeline *p;
        jt_error err;
        assert_int_not_equal(jt_pipeline_parse(t[i].text, NULL, &p, &err), JT_OK);
        if (!strstr(err.message, t[i].say)) fail_msg("%s: %s", t[i].text, err.message);
    }
}

/* Every preset expands with its defaults, and each of its parameters may be given that default. */
static void every_parameter_can_be_given(void **state) {
    (void)state;
    const char *name, *text;
    int presets = 0;
    for (; (name = jt_preset_at(presets, &text)); presets++)
        for (const char *p = text; (p = strchr(p, '{')); p++) {
            char item[100] = "", line[200];
            jt_pipeline *a, *b;
            memcpy(item, p + 1, strcspn(p + 1, "}"));
            if (!strchr(item, '=')) continue;
            snprintf(line, sizeof line, "preset:%s", name);
            assert_int_equal(jt_pipeline_parse(line, NULL, &a, NULL), JT_OK);
            snprintf(line, sizeof line, "preset:%s,%s", name, item);
            assert_int_equal(jt_pipeline_parse(line, NULL, &b, NULL), JT_OK);
            assert_string_equal(jt_pipeline_text(a), jt_pipeline_text(b));
            jt_pipeline_free(a), jt_pipeline_free(b);
        }
    assert_true(presets >= 4 && !jt_preset_at(presets, NULL) && !jt_preset_at(-1, NULL));
}

static void failed_allocations(void **state) {
    (void)state;
    jt_pipeline *p = NULL;
    jt_error err;
    jt_status e = JT_NOMEM;
    for (int i = 0; e != JT_OK; i++) {
        alloc_fail_at(i);
        e = jt_pipeline_parse("preset:llamacpp,top-k=9", NULL, &p, &err);
        alloc_fail_at(-1);
        if (e != JT_OK) assert_int_equal(e, JT_NOMEM);
    }
    jt_pipeline_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expands_into_ordinary_stages),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_parameter_can_be_given),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
