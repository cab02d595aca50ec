/* Any bytes as a trace: read, compared with itself, written as a page, drawn, and decided again without a model.
 * Covers: src/inspect/trace_read.c, trace_compare.c, trace_part.c, html.c, view.c, view_draw.c, replay_alone.c */
#include <stdint.h>
#include <stdlib.h>

#include "core/mem.h"
#include "inspect/view.h"
#include "jeton/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static jt_status drop(void *self, const char *s, size_t n, jt_error *err) {
    (void)err;
    *(size_t *)self += n + (size_t)(s[0] == 0);
    return JT_OK;
}

static void look(const jt_trace *t) {
    jt_cell cell[24 * 80];
    jt_screen s = {.rows = 24, .cols = 80, .cell = cell};
    jt_looking v;
    jt_view_init(&v, t, "trace");
    for (int i = 0; i < 12; i++) {
        jt_view_draw(&v, &s);
        (void)jt_view_press(&v, i % 3 == 0 ? '\t' : i % 3 == 1 ? JT_KEY_RIGHT : JT_KEY_DOWN);
    }
}

static void decide(const jt_trace *t, const jt_trace_job *j) {
    jt_trace_replayed r;
    jt_error e = {0};
    size_t many = 0;
    for (size_t i = 0; i < j->n_answer; i++) many += j->answer[i].n_token;
    if (t->vocab > 4096 || many > 64 || j->request.n_prompt > 64) return;
    if (jt_trace_replay_alone(t, j, NULL, NULL, &r, &e) != JT_OK && !e.message[0]) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_trace *t = NULL;
    jt_error e = {0};
    size_t bytes = 0;
    if (jt_trace_parse((const char *)data, n, &t, &e) != JT_OK) {
        if (t || !e.message[0]) abort();
        return 0;
    }
    for (size_t i = 0; i < t->n_job; i++) {
        const jt_trace_job *j = &t->job[i];
        for (size_t k = 0; k < j->n_answer; k++) {
            jt_trace_parting p;
            jt_trace_part(&j->answer[k], &j->answer[k], &p);
            if (p.differs != SIZE_MAX || p.identical != j->answer[k].n_token) abort();
        }
        decide(t, j);
    }
    if (t->vocab < 65536 && jt_trace_html(t, "trace", drop, &bytes, &e) != JT_OK) abort();
    look(t);
    jt_trace_free(t);
    return 0;
}
