#include "cli/recipe.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "jeton/decode.h"

static const char *const recipe_keys[] = {"recipe", "method", "claim", "source",  "note",    "model", "model2",
                                          "task",   "limit",  "seeds", "effects", "neutral", NULL};
static const char *const effect_keys[] = {"what", "measure", "with", "without", "direction", "at_least", NULL};
static const char *const neutral_keys[] = {"with", "without", NULL};

typedef struct recipe_reading {
    jt_recipe *r;
    jt_yaml *y;
    jt_error *err;
} recipe_reading;

/* The number of a pipeline among the arms. */
static jt_status read_arm(const recipe_reading *k, const jt_yaml_node *map, const char *key, int *out) {
    jt_recipe *r = k->r;
    const char *text = NULL;
    jt_pipeline *p;
    jt_error why;
    jt_status s = jt_yaml_text(k->y, map, key, true, &text, k->err);
    if (s) return s;
    for (int i = 0; i < r->n_arm; i++)
        if (strcmp(r->arm[i], text) == 0) return *out = i, JT_OK;
    if ((s = jt_pipeline_parse(text, NULL, &p, &why))) return jt_yaml_fail(k->y, jt_yaml_get(map, key), k->err, s, "%s", why.message);
    jt_pipeline_free(p);
    *out = r->n_arm;
    r->arm[r->n_arm++] = text;
    return JT_OK;
}

static jt_status read_pair(const recipe_reading *k, const jt_yaml_node *map, jt_effect *e) {
    jt_status s = read_arm(k, map, "with", &e->with);
    if (!s) s = read_arm(k, map, "without", &e->without);
    if (!s && e->with == e->without)
        s = jt_yaml_fail(k->y, map, k->err, JT_FORMAT, "\"with\" and \"without\" are the same pipeline, which shows nothing");
    return s;
}

static jt_status read_effect(const recipe_reading *k, const jt_yaml_node *map, jt_effect *e) {
    int direction = 0;
    jt_status s = jt_yaml_keys(k->y, map, effect_keys, "an effect", k->err);
    if (!s) s = jt_yaml_text(k->y, map, "what", true, &e->what, k->err);
    if (!s) s = jt_yaml_text(k->y, map, "measure", true, &e->measure, k->err);
    if (!s) s = jt_yaml_choice(k->y, map, "direction", true, "higher|lower", &direction, k->err);
    if (!s && !jt_yaml_get(map, "at_least")) s = jt_yaml_fail(k->y, map, k->err, JT_FORMAT, "\"at_least\" is missing");
    if (!s) s = jt_yaml_real(k->y, map, "at_least", 1e-9, 1e9, &e->at_least, k->err);
    if (!s) s = read_pair(k, map, e);
    e->lower = direction == 1;
    return s;
}

static jt_status read_seeds(const recipe_reading *k) {
    const jt_yaml_node *n = jt_yaml_get(k->y->root, "seeds");
    jt_recipe *r = k->r;
    if (!n) return jt_yaml_fail(k->y, k->y->root, k->err, JT_FORMAT, "\"seeds\" is missing");
    if (n->kind != JT_YAML_LIST || !n->n || n->n > JT_RECIPE_SEEDS)
        return jt_yaml_fail(k->y, n, k->err, JT_FORMAT, "\"seeds\" takes a list of 1 to %d numbers", JT_RECIPE_SEEDS);
    for (const jt_yaml_node *c = n->child; c; c = c->next) {
        int64_t x;
        if (c->kind != JT_YAML_SCALAR || !c->plain || !jt_read_i64(c->text, strlen(c->text), &x) || x < 0)
            return jt_yaml_fail(k->y, c, k->err, JT_FORMAT, "\"seeds\" takes whole numbers from 0 on");
        for (int i = 0; i < r->n_seed; i++)
            if (r->seed[i] == x) return jt_yaml_fail(k->y, c, k->err, JT_FORMAT, "the seed %lld is there twice", (long long)x);
        r->seed[r->n_seed++] = x;
    }
    return JT_OK;
}

static jt_status read_effects(const recipe_reading *k) {
    jt_recipe *r = k->r;
    const jt_yaml_node *list = jt_yaml_get(k->y->root, "effects"), *neutral = jt_yaml_get(k->y->root, "neutral");
    jt_status s = JT_OK;
    if (!list || list->kind != JT_YAML_LIST || !list->n || list->n > JT_RECIPE_EFFECTS)
        return jt_yaml_fail(k->y, list ? list : k->y->root, k->err, JT_FORMAT, "\"effects\" takes a list of 1 to %d effects",
                            JT_RECIPE_EFFECTS);
    for (const jt_yaml_node *c = list->child; c && !s; c = c->next) s = read_effect(k, c, &r->effect[r->n_effect++]);
    if (!s && !neutral)
        s = jt_yaml_fail(k->y, k->y->root, k->err, JT_FORMAT,
                         "\"neutral\" is missing: the method at the setting that changes nothing, and without it");
    if (!s) s = jt_yaml_keys(k->y, neutral, neutral_keys, "the neutral control", k->err);
    return s ? s : read_pair(k, neutral, &r->neutral);
}

static jt_status read_recipe(const recipe_reading *k) {
    jt_recipe *r = k->r;
    jt_yaml *y = k->y;
    jt_status s = jt_yaml_keys(y, y->root, recipe_keys, "a recipe", k->err);
    if (!s) s = jt_yaml_text(y, y->root, "recipe", true, &r->name, k->err);
    if (!s) s = jt_yaml_text(y, y->root, "method", true, &r->method, k->err);
    if (!s) s = jt_yaml_text(y, y->root, "claim", true, &r->claim, k->err);
    if (!s) s = jt_yaml_text(y, y->root, "source", true, &r->source, k->err);
    if (!s) s = jt_yaml_text(y, y->root, "note", false, &r->note, k->err);
    if (!s) s = jt_yaml_text(y, y->root, "model", true, &r->model, k->err);
    if (!s) s = jt_yaml_texts(y, y->root, "model2", &r->model2, &r->n_model2, k->err);
    if (!s) s = jt_yaml_text(y, y->root, "task", true, &r->task, k->err);
    if (!s) s = jt_yaml_int(y, y->root, "limit", 1, 1 << 30, &r->limit, k->err);
    if (!s) s = read_seeds(k);
    if (!s) s = read_effects(k);
    if (!s && !(r->task = jt_yaml_beside(y, r->task))) s = jt_nomem(k->err, "a file's name", 1, 1);
    return s;
}

jt_status jt_recipe_parse(const char *path, const char *s, size_t n, jt_recipe *out, jt_error *err) {
    *out = (jt_recipe){0};
    jt_status st = jt_yaml_parse(path, s, n, &out->yaml, err);
    if (!st) st = read_recipe(&(recipe_reading){out, &out->yaml, err});
    if (st) jt_recipe_free(out);
    return st;
}

jt_status jt_recipe_read(const char *path, jt_recipe *out, jt_error *err) {
    jt_str text = {0};
    *out = (jt_recipe){0};
    jt_status s = jt_file_read(path, &text, err);
    if (!s) s = jt_recipe_parse(path, jt_str_c(&text), text.n, out, err);
    jt_str_free(&text);
    return s;
}

void jt_recipe_free(jt_recipe *r) {
    jt_yaml_free(&r->yaml);
    *r = (jt_recipe){0};
}

/* ---- effects ---- */

typedef struct cells {
    const jt_eval_results *with, *without; /* [seeds] */
    const jt_measure *m;
    size_t seeds, items;
    double sign;
} cells;

/* One arm over the seeds pick[0..seeds) and the items behind them. */
static double arm_value(const cells *c, const jt_eval_results *r, const uint32_t *pick) {
    double over = 0, by = 0;
    for (size_t s = 0; s < c->seeds; s++)
        for (size_t i = 0; i < c->items; i++) {
            const double *x = r[pick[s] % c->seeds].row[pick[c->seeds + i] % c->items].x;
            over += x[c->m->over], by += c->m->by < 0 ? 1 : x[c->m->by];
        }
    double x = over / by;
    return c->m->as == JT_MEASURE_MEAN ? x : c->m->as == JT_MEASURE_PERPLEXITY ? exp(-x) : -x / log(2);
}

static double effect_value(const void *self, const uint32_t *pick, size_t n) {
    const cells *c = self;
    (void)n;
    return c->sign * (arm_value(c, c->with, pick) - arm_value(c, c->without, pick)) + 0.0; /* no -0 */
}

static jt_status same_items(const jt_eval_results *a, const jt_eval_results *b, jt_error *err) {
    bool same = a->n == b->n && a->n && a->n_metric == b->n_metric;
    for (int i = 0; same && i < a->n_metric; i++) same = strcmp(a->name[i], b->name[i]) == 0;
    for (size_t i = 0; same && i < a->n; i++) same = a->row[i].index == b->row[i].index && a->row[i].item == b->row[i].item;
    return same ? JT_OK : jt_error_set(err, JT_INVALID, "the runs have results of different items");
}

jt_status jt_effect_find(const jt_recipe *r, const jt_effect *e, const char *measure, const jt_eval_results *results, jt_effect_found *out,
                         jt_error *err) {
    jt_measure m[JT_EVAL_METRICS];
    cells c = {.with = results + (size_t)e->with * (size_t)r->n_seed,
               .without = results + (size_t)e->without * (size_t)r->n_seed,
               .seeds = (size_t)r->n_seed,
               .items = results[(size_t)e->with * (size_t)r->n_seed].n,
               .sign = e->lower ? -1 : 1};
    jt_status s = JT_OK;
    for (size_t k = 0; k < c.seeds && !s; k++) {
        s = same_items(&c.with[0], &c.with[k], err);
        if (!s) s = same_items(&c.with[0], &c.without[k], err);
    }
    if (s) return s;
    int n = jt_measures(&c.with[0], m), at = 0;
    while (at < n && strcmp(m[at].name, measure) != 0) at++;
    if (at == n) return jt_error_set(err, JT_INVALID, "the task has no measure \"%.60s\"", measure);
    c.m = &m[at];
    *out = (jt_effect_found){.cells = c.seeds * c.items};
    for (size_t k = 0; k < c.seeds; k++)
        for (size_t i = 0; i < c.items; i++) out->equal += jt_same_double(c.with[k].row[i].x[c.m->over], c.without[k].row[i].x[c.m->over]);
    /* Picks are drawn below a multiple of both numbers, so that each is a seed, and an item, with equal chance. */
    s = jt_bootstrap_run(effect_value, &c, 2 * c.seeds * c.items, 2000, 1, &out->b, err);
    uint32_t *pick = jt_alloc(c.seeds + c.items, sizeof *pick);
    if (!s && !pick) s = jt_nomem(err, "an effect", c.seeds + c.items, sizeof *pick);
    for (size_t k = 0; !s && k < c.seeds + c.items; k++) pick[k] = (uint32_t)(k < c.seeds ? k : k - c.seeds);
    if (!s) out->with = arm_value(&c, c.with, pick), out->without = arm_value(&c, c.without, pick);
    jt_free(pick);
    return s;
}

jt_verdict jt_effect_judge(const jt_effect *e, const jt_effect_found *f) {
    if (f->b.range.low >= e->at_least) return JT_AGREES;
    return f->b.range.high < e->at_least ? JT_DISAGREES : JT_CANNOT_TELL;
}

bool jt_control_holds(const jt_effect_found *f) { return f->b.range.low <= 0 && f->b.range.high >= 0; }

const char *jt_verdict_text(jt_verdict v) {
    static const char *const text[] = {"agrees", "does not agree", "cannot tell", "void"};
    return text[v];
}
