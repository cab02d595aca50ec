/* Any bytes as a task, as a recipe, and as the data and results of an evaluation.
 * Covers: src/cli/yaml.c src/cli/task.c src/cli/recipe.c src/cli/eval_item.c src/cli/eval_results.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/eval_item.h"
#include "cli/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The place "file:line: " stands in every message of a file that is read whole. */
static void check_place(const jt_error *e) {
    const char *at = strstr(e->message, "t.yaml:");
    if (!at || at[7] < '0' || at[7] > '9') abort();
}

static void try_items(const jt_task *t) {
    static const char line[] =
        "{\"q\": \"a\", \"question\": \"b\", \"id\": \"i\", \"answer\": \"c\", \"key\": \"A\", \"answerKey\": \"B\", \"gold\": 1, "
        "\"choices\": {\"text\": [\"x\", \"y\"], \"label\": [\"A\", \"B\"]}, \"text\": \"z\"}";
    jt_error e = {0};
    jt_json *root[2] = {NULL, NULL};
    const jt_json *doc[2];
    uint64_t key[2] = {1, 2};
    for (int i = 0; i < 2; i++)
        if (jt_json_parse(line, sizeof line - 1, &root[i], &e)) abort();
    doc[0] = root[0], doc[1] = root[1];
    jt_docs docs = {.doc = doc, .key = key, .n = 2};
    jt_item item;
    if (jt_item_make(t, &docs, NULL, 1, &item, &e)) {
        if (!e.message[0]) abort();
    } else {
        if (t->kind == JT_TASK_CHOICE && item.gold >= item.n_choice) abort();
        jt_item_free(&item);
    }
    jt_json_free(root[0]), jt_json_free(root[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *s = (const char *)data;
    jt_task t;
    jt_recipe r;
    jt_eval_results results = {0};
    jt_error e = {0};
    if (jt_task_parse("t.yaml", s, n, &t, &e)) {
        if (e.code != JT_NOMEM) check_place(&e);
    } else {
        try_items(&t);
        jt_task_free(&t);
    }
    e = (jt_error){0};
    if (jt_recipe_parse("t.yaml", s, n, &r, &e)) {
        if (e.code != JT_NOMEM) check_place(&e);
    } else {
        if (!r.n_effect || !r.n_seed || r.n_arm > JT_RECIPE_ARMS) abort();
        jt_recipe_free(&r);
    }
    e = (jt_error){0};
    if (jt_eval_results_add(&results, s, n, &e) && !e.message[0]) abort();
    jt_eval_results_sort(&results);
    jt_eval_results_free(&results);
    return 0;
}
