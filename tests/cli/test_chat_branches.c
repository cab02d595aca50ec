/* Branches of a chat: copies that go on alone, saved and loaded together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "chat_vocab.h"
#include "cli/branches.h"
#include "core/mem.h"

static void exchange(jt_branches *b, const char *user) {
    jt_error e;
    jt_conversation *c = &b->talk[b->at];
    jt_tokens yes = {0};
    int32_t ids[8];
    assert_int_equal(jt_conversation_ask(c, user, &e), JT_OK);
    assert_int_equal(jt_encode(tokenizer, "yes", 3, 0, &yes, &e), JT_OK);
    assert_true(yes.n && yes.n <= 8);
    for (size_t i = 0; i < yes.n; i++) ids[i] = yes.t[i].id;
    assert_int_equal(jt_conversation_answer(c, ids, yes.n, "yes", 3, &e), JT_OK);
    jt_tokens_free(&yes);
}

static void same_talk(const jt_conversation *a, const jt_conversation *b) {
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_turn, b->n_turn);
    if (a->n) assert_memory_equal(a->id, b->id, a->n * sizeof *a->id);
    assert_string_equal(jt_str_c(&a->system), jt_str_c(&b->system));
    for (size_t i = 0; i < a->n_turn; i++) {
        assert_string_equal(jt_str_c(&a->turn[i].user), jt_str_c(&b->turn[i].user));
        assert_string_equal(jt_str_c(&a->turn[i].answer), jt_str_c(&b->turn[i].answer));
        assert_int_equal(a->turn[i].end, b->turn[i].end);
        assert_int_equal(a->turn[i].choice, b->turn[i].choice);
    }
}

/* Three branches of 1, 3 and 2 exchanges; the second goes on. */
static void grow(jt_branches *b) {
    jt_error e;
    assert_int_equal(jt_branches_begin(b, tokenizer, &e), JT_OK);
    jt_str_puts(&b->talk[0].system, "Be brief.");
    exchange(b, "One");
    assert_int_equal(jt_branches_fork(b, &e), JT_OK);
    exchange(b, "Two");
    assert_int_equal(jt_branches_fork(b, &e), JT_OK);
    b->at = 1;
    exchange(b, "Three");
}

static void branches_go_on_alone(void **state) {
    (void)state;
    jt_branches b;
    grow(&b);
    assert_int_equal(b.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(b.talk[i].n_turn, i == 0 ? 1 : i == 1 ? 3 : 2);
        assert_string_equal(b.talk[i].system.s, "Be brief.");
        assert_memory_equal(b.talk[i].id, b.talk[0].id, b.talk[0].n * sizeof(int32_t));
    }
    assert_memory_equal(b.talk[1].id, b.talk[2].id, b.talk[2].n * sizeof(int32_t));
    jt_conversation_clear(&b.talk[1]);
    assert_string_equal(jt_str_c(&b.talk[2].turn[1].user), "Two");
    jt_branches_free(&b);
}

static void files_hold_every_branch(void **state) {
    (void)state;
    jt_branches b, r;
    jt_error e;
    int again = 7;
    grow(&b);
    assert_int_equal(jt_branches_begin(&r, tokenizer, &e), JT_OK);
    assert_int_equal(jt_branches_save(&b, path, "tiny", &e), JT_OK);
    assert_int_equal(jt_branches_load(&r, path, "tiny", &again, &e), JT_OK);
    assert_int_equal(again, 0);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.at, 1);
    for (int i = 0; i < 3; i++) same_talk(&r.talk[i], &b.talk[i]);
    assert_int_equal(jt_branches_load(&r, path, "other", &again, &e), JT_OK);
    assert_int_equal(again, 1);
    assert_int_equal(r.talk[1].n_turn, 3);

    /* One branch is the plain file of a conversation. */
    jt_branches one;
    jt_conversation c = {.tokenizer = tokenizer};
    assert_int_equal(jt_branches_begin(&one, tokenizer, &e), JT_OK);
    exchange(&one, "Only");
    assert_int_equal(jt_branches_save(&one, path, "tiny", &e), JT_OK);
    assert_int_equal(jt_conversation_load(&c, path, "tiny", &again, &e), JT_OK);
    same_talk(&c, &one.talk[0]);
    assert_int_equal(jt_branches_load(&r, path, "tiny", &again, &e), JT_OK);
    assert_int_equal(r.n, 1);
    same_talk(&r.talk[0], &c);
    jt_conversation_free(&c);
    jt_branches_free(&one);
    jt_branches_free(&b);
    jt_branches_free(&r);
}

static void wrong_files_change_nothing(void **state) {
    (void)state;
#define TALK "{\"system\": \"\", \"turns\": [], \"ids\": []}"
    static const char *const wrong[] = {
        "{\"jeton_chat\": 3, \"model\": \"tiny\", \"at\": 0, \"branches\": [" TALK "]}",
        "{\"jeton_chat\": 2, \"at\": 0, \"branches\": [" TALK "]}",
        "{\"jeton_chat\": 2, \"model\": \"tiny\", \"at\": 1, \"branches\": [" TALK "]}",
        "{\"jeton_chat\": 2, \"model\": \"tiny\", \"at\": -1, \"branches\": [" TALK "]}",
        "{\"jeton_chat\": 2, \"model\": \"tiny\", \"at\": 0, \"branches\": []}",
        "{\"jeton_chat\": 2, \"model\": \"tiny\", \"at\": 0}",
        "{\"jeton_chat\": 2, \"model\": \"tiny\", \"at\": 0, \"branches\": [" TALK ", {\"system\": \"\"}]}",
        "{\"jeton_chat\": 2, \"model\": \"tiny\", \"at\": 0, \"branches\": [" TALK ", 5]}",
        "[]",
    };
    jt_branches b;
    jt_error e;
    int again;
    grow(&b);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(wrong[i], f) >= 0 && fclose(f) == 0);
        assert_int_equal(jt_branches_load(&b, path, "tiny", &again, &e), JT_FORMAT);
        assert_non_null(strstr(e.message, path));
        assert_int_equal(b.n, 3);
    }
    jt_branches_free(&b);
}

static void failed_allocations(void **state) {
    (void)state;
    jt_branches b, r;
    jt_error e;
    grow(&b);
    for (int i = 0;; i++) {
        int again;
        assert_int_equal(jt_branches_begin(&r, tokenizer, &e), JT_OK);
        alloc_fail_at(i);
        jt_status s = jt_branches_fork(&b, &e);
        if (!s) s = jt_branches_save(&b, path, "tiny", &e);
        if (!s) s = jt_branches_load(&r, path, "tiny", &again, &e);
        alloc_fail_at(-1);
        if (!s) assert_int_equal(r.n, b.n);
        jt_branches_free(&r);
        if (!s) break;
        assert_int_equal(s, JT_NOMEM);
        while (b.n > 3) jt_conversation_free(&b.talk[--b.n]);
        b.at = 1;
    }
    jt_branches_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_go_on_alone),
        cmocka_unit_test(files_hold_every_branch),
        cmocka_unit_test(wrong_files_change_nothing),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
