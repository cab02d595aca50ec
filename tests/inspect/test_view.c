/* The inspector without a terminal: what keys do, and what stands where. */
#include "traced.h"

#include "inspect/view.h"

static const char pipeline[] = "temp:1.5 | top-k:6 | top-p:0.9";

static void screen_make(jt_screen *s, int rows, int cols) {
    *s = (jt_screen){.rows = rows, .cols = cols, .cell = jt_alloc((size_t)rows * (size_t)cols, sizeof *s->cell)};
    assert_non_null(s->cell);
}

/* The characters of a row. */
static void row_text(const jt_screen *s, int row, char out[1024]) {
    out[0] = 0;
    for (int c = 0; c < s->cols; c++) {
        assert_true(strlen(out) + 5 < 1024);
        memcpy(out + strlen(out), s->cell[row * s->cols + c].s, strlen(s->cell[row * s->cols + c].s) + 1);
    }
}

static bool shows(const jt_screen *s, const char *text) {
    char row[1024];
    for (int r = 0; r < s->rows; r++) {
        row_text(s, r, row);
        if (strstr(row, text)) return true;
    }
    return false;
}

static void everything_fits_a_small_terminal(void **state) {
    (void)state;
    fake f;
    jt_str o = {0};
    jt_screen s;
    jt_looking v;
    char text[64];
    fake_make(&f);
    jt_trace *t = traced(&f, pipeline, 4, 30, 0, &o);
    screen_make(&s, 24, 80);
    jt_view_init(&v, t, "t.jsonl");
    for (int i = 0; i < 7; i++) assert_int_equal(jt_view_press(&v, JT_KEY_RIGHT), JT_VIEW_STAY);
    jt_view_draw(&v, &s);
    assert_true(shows(&s, "token 8 of 30") && shows(&s, "t.jsonl") && shows(&s, "colour: probability"));
    assert_true(shows(&s, "temp 265>265") && shows(&s, "top-k 265>6") && shows(&s, "drawn: number"));
    assert_true(shows(&s, "q quit") && shows(&s, "candidate"));
    const jt_trace_token *k = jt_view_token(&v);
    snprintf(text, sizeof text, "%.10g", k->decision.u);
    assert_true(shows(&s, text));
    snprintf(text, sizeof text, "%.5g", (double)k->evidence->raw[0].logit);
    assert_true(shows(&s, text));
    snprintf(text, sizeof text, "%.5g", (double)k->evidence->stage[0].cand[0].logit);
    assert_true(shows(&s, text));
    assert_true(shows(&s, "out"));
    int here = 0;
    for (int i = 0; i < 24 * 80; i++) here += s.cell[i].here;
    assert_true(here > 0);
    jt_free(s.cell);
    jt_trace_free(t);
    jt_str_free(&o);
    fake_free(&f);
}

static void keys_move(void **state) {
    (void)state;
    fake f;
    jt_str o = {0};
    jt_looking v;
    fake_make(&f);
    jt_trace *t = traced(&f, pipeline, 4, 30, 0, &o);
    jt_view_init(&v, t, "x");
    jt_view_press(&v, JT_KEY_LEFT);
    assert_int_equal(v.at, 0);
    jt_view_press(&v, JT_KEY_END);
    assert_int_equal(v.at, 29);
    jt_view_press(&v, 'l');
    assert_int_equal(v.at, 29);
    jt_view_press(&v, JT_KEY_PAGE_UP);
    assert_int_equal(v.at, 9);
    for (int i = 0; i < 100; i++) jt_view_press(&v, JT_KEY_DOWN);
    assert_int_equal(v.candidate, 19);
    jt_view_press(&v, JT_KEY_UP);
    assert_int_equal(v.candidate, 18);
    jt_view_press(&v, JT_KEY_HOME);
    assert_true(v.at == 0 && v.candidate == 0);
    jt_view_press(&v, 'c');
    assert_int_equal(v.mode, JT_VIEW_ENTROPY);
    jt_view_press(&v, '4');
    assert_int_equal(v.mode, JT_VIEW_COST);
    jt_view_press(&v, 'c');
    assert_int_equal(v.mode, JT_VIEW_PROBABILITY);
    for (int i = 0; i < 9; i++) jt_view_press(&v, '>');
    assert_int_equal(v.column, 2);
    jt_view_press(&v, '\t');
    assert_true(v.job == 0 && v.answer == 0);
    assert_int_equal(jt_view_press(&v, JT_KEY_ENTER), JT_VIEW_TAKE);
    assert_int_equal(jt_view_press(&v, 'q'), JT_VIEW_QUIT);
    jt_trace_free(t);
    jt_str_free(&o);
    fake_free(&f);
}

/* Whatever the size, whatever the keys: every cell is written, none beyond. */
static void any_size_is_drawn(void **state) {
    (void)state;
    static const int size[][2] = {{1, 1}, {2, 3}, {5, 20}, {8, 40}, {24, 80}, {60, 200}, {200, 10}};
    static const char *const runs[] = {"greedy", "best-of-n:n=2 > sample | temp:1.4",
                                       "temp:1.5 | top-k:6 | top-p:0.9 | min-p:0.1 | temp:2"};
    fake f;
    uint64_t h = 3;
    fake_make(&f);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        jt_str o = {0};
        jt_looking v;
        jt_trace *t = traced(&f, runs[i], 4, 40, 0, &o);
        jt_view_init(&v, t, "a name that is longer than any terminal is wide, so that it has to be cut somewhere");
        for (size_t k = 0; k < sizeof size / sizeof *size; k++) {
            jt_screen s;
            screen_make(&s, size[k][0], size[k][1]);
            for (int n = 0; n < 40; n++) {
                h = h * 6364136223846793005u + 1442695040888963407u;
                (void)jt_view_press(&v, n % 2 ? JT_KEY_LEFT + (int)(h >> 33) % 9 : " c<>\t1234jkhl"[(h >> 33) % 12]);
                jt_view_draw(&v, &s);
            }
            jt_free(s.cell);
        }
        jt_trace_free(t);
        jt_str_free(&o);
    }
    fake_free(&f);
}

/* Going on with the token that was chosen gives the answer that there was. */
static void going_on_with_the_same_token_is_the_same_answer(void **state) {
    (void)state;
    fake f;
    jt_str o = {0}, again = {0}, other = {0};
    jt_trace *t, *u = NULL, *x = NULL;
    fake_make(&f);
    t = traced(&f, pipeline, 4, 20, 0, &o);
    const jt_trace_answer *a = t->job->answer;
    jt_driver *d = driver_of(&f);
    assert_int_equal(jt_trace_continue(t->job, a, 6, a->token[6].decision.id, d, NULL, into_string, &again, NULL), JT_OK);
    assert_int_equal(jt_trace_parse(again.s, again.n, &u, NULL), JT_OK);
    assert_int_equal(u->job->answer->n_token, 20);
    for (int i = 0; i < 20; i++) assert_int_equal(u->job->answer->token[i].decision.id, a->token[i].decision.id);
    int32_t id = a->token[6].evidence->stage[2].cand[a->token[6].evidence->stage[2].cand[0].id == a->token[6].decision.id].id;
    assert_int_equal(jt_trace_continue(t->job, a, 6, id, d, NULL, into_string, &other, NULL), JT_OK);
    assert_int_equal(jt_trace_parse(other.s, other.n, &x, NULL), JT_OK);
    for (int i = 0; i < 6; i++) assert_int_equal(x->job->answer->token[i].decision.id, a->token[i].decision.id);
    assert_int_equal(x->job->answer->token[6].decision.id, id);
    assert_true(x->job->answer->token[7].evidence->logits != a->token[7].evidence->logits);
    jt_driver_free(d);
    jt_trace_free(t), jt_trace_free(u), jt_trace_free(x);
    jt_str_free(&o), jt_str_free(&again), jt_str_free(&other);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_fits_a_small_terminal),
        cmocka_unit_test(keys_move),
        cmocka_unit_test(any_size_is_drawn),
        cmocka_unit_test(going_on_with_the_same_token_is_the_same_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
