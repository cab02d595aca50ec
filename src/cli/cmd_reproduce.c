/* jeton reproduce: published claims, run. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/eval_run.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/recipe.h"
#include "core/file.h"

/* One recipe, run. */
typedef struct reproduction {
    jt_recipe recipe;
    jt_task task;
    jt_eval_results *results; /* [arms][seeds] */
    jt_effect_found effect[JT_RECIPE_EFFECTS], control[JT_RECIPE_EFFECTS];
    bool holds; /* every control */
    double seconds;
    size_t items;
    bool absent; /* a model that it needs is not here */
    char model[128], weights[128], activations[32];
} reproduction;

static void reproduction_free(reproduction *p) {
    for (int i = 0; p->results && i < p->recipe.n_arm * p->recipe.n_seed; i++) jt_eval_results_free(&p->results[i]);
    jt_free(p->results);
    jt_task_free(&p->task);
    jt_recipe_free(&p->recipe);
    *p = (reproduction){0};
}

/* Where an arm's results are kept, "" for nowhere. */
static jt_status kept(const jt_args *a, const jt_recipe *r, int arm, int seed, jt_str *out, jt_error *err) {
    const char *folder = jt_arg_text(a, "keep");
    if (!folder) return JT_OK;
    jt_status s = jt_make_folder(folder, err);
    jt_str_printf(out, "%s/%s.%d.%lld.jsonl", folder, r->name, arm, (long long)r->seed[seed]);
    return s ? s : jt_str_check(out, err);
}

static int run_arm(const jt_args *a, reproduction *p, const jt_session *s, jt_driver *d, int arm, int seed) {
    const jt_recipe *r = &p->recipe;
    jt_str path = {0};
    jt_error err;
    jt_eval_told told = {0};
    char what[96];
    if (kept(a, r, arm, seed, &path, &err)) {
        jt_str_free(&path);
        return jt_fail(&err);
    }
    snprintf(what, sizeof what, "%.40s, run %d of %d", r->name, arm * r->n_seed + seed + 1, r->n_arm * r->n_seed);
    jt_eval_how how = {
        .decode = r->arm[arm], .seed = (uint64_t)r->seed[seed], .limit = r->limit, .output = path.n ? path.s : NULL, .what = what};
    int code = jt_eval_run(&p->task, s, d, &how, &told);
    if (!code && told.bad) {
        jt_say("%s: %zu of %zu items could not be answered", r->name, told.bad, told.items);
        code = JT_EXIT_FAILURE;
    }
    p->items = told.items;
    p->results[arm * r->n_seed + seed] = told.results;
    jt_str_free(&path);
    return code;
}

static jt_status find_effects(reproduction *p, jt_error *err) {
    const jt_recipe *r = &p->recipe;
    jt_status s = JT_OK;
    p->holds = true;
    for (int i = 0; i < r->n_effect && !s; i++) {
        jt_effect control = r->neutral;
        control.lower = r->effect[i].lower;
        s = jt_effect_find(r, &r->effect[i], r->effect[i].measure, p->results, &p->effect[i], err);
        if (!s) s = jt_effect_find(r, &control, r->effect[i].measure, p->results, &p->control[i], err);
        if (!s) p->holds = p->holds && jt_control_holds(&p->control[i]);
    }
    return s ? jt_error_in(err, s, "%s", r->yaml.path) : JT_OK;
}

static int run_arms(const jt_args *a, reproduction *p, const jt_session *s, jt_driver *d) {
    const jt_recipe *r = &p->recipe;
    jt_error err;
    int code = JT_EXIT_OK;
    for (int i = 0; i < r->n_arm && !code; i++)
        for (int k = 0; k < r->n_seed && !code; k++) code = run_arm(a, p, s, d, i, k);
    if (!code && find_effects(p, &err)) code = jt_fail(&err);
    return code;
}

/* Opens what the recipe names and runs it; *out is to be freed whatever follows. */
static int reproduce(const jt_args *a, const char *path, reproduction *out) {
    jt_session s = {0};
    jt_driver *d = NULL;
    jt_error err;
    jt_model_info info;
    const jt_recipe *r = &out->recipe;
    *out = (reproduction){0};
    if (jt_recipe_read(path, &out->recipe, &err) || jt_task_read(r->task, &out->task, &err)) return jt_fail(&err);
    size_t cells = (size_t)r->n_arm * (size_t)r->n_seed;
    if (!(out->results = jt_alloc(cells, sizeof *out->results)))
        return jt_nomem(&err, "results", cells, sizeof *out->results), jt_fail(&err);
    const char *model = jt_arg_text(a, "model") ? jt_arg_text(a, "model") : r->model;
    double begin = jt_seconds();
    int code = jt_session_open(a, model, &s);
    if (code) {
        jt_say("%s needs the model %s", r->name, model);
        out->absent = code == JT_EXIT_FILE;
        return code;
    }
    jt_model_get_info(s.model, &info);
    snprintf(out->model, sizeof out->model, "%s", info.name);
    snprintf(out->weights, sizeof out->weights, "%s", info.weight_types);
    snprintf(out->activations, sizeof out->activations, "%s", info.activations);
    if (jt_driver_new(s.model, &d, &err)) code = jt_fail(&err);
    if (!code) code = jt_session_add_models(r->model2, (int)r->n_model2, a, &s, d);
    out->absent = code == JT_EXIT_FILE;
    if (!code) code = run_arms(a, out, &s, d);
    out->seconds = jt_seconds() - begin;
    jt_driver_free(d);
    jt_session_close(&s);
    return code;
}

static jt_verdict verdict_of(const reproduction *p, int i) {
    return p->holds ? jt_effect_judge(&p->recipe.effect[i], &p->effect[i]) : JT_VOID;
}

/* ---- what is printed ---- */

static void print_reproduction(const reproduction *p) {
    const jt_recipe *r = &p->recipe;
    jt_out("%s: %s (%s)\n%zu items, %d seeds, %s (%s, activations %s), %.0f s\n", r->name, r->claim, r->source, p->items, r->n_seed,
           p->model, p->weights, p->activations, p->seconds);
    for (int i = 0; i < r->n_effect; i++) {
        const jt_effect *e = &r->effect[i];
        const jt_effect_found *f = &p->effect[i], *c = &p->control[i];
        jt_out("  %s\n", e->what);
        jt_out("    %-12s %s %.4f, %s %.4f\n", e->measure, r->arm[e->with], f->with, r->arm[e->without], f->without);
        jt_out("    effect       %+.4f, 95 %% %+.4f to %+.4f, claimed %s by at least %g: %s\n", f->b.value, f->b.range.low, f->b.range.high,
               e->lower ? "lower" : "higher", e->at_least, jt_verdict_text(verdict_of(p, i)));
        jt_out("    control      %+.4f, 95 %% %+.4f to %+.4f, %zu of %zu equal: %s\n", c->b.value, c->b.range.low, c->b.range.high,
               c->equal, c->cells, jt_control_holds(c) ? "no effect" : "an effect, so that the recipe is void");
    }
    if (r->note) jt_out("  note: %s\n", r->note);
}

static void json_found(const jt_effect_found *f, jt_str *o) {
    jt_str_puts(o, "{\"effect\": ");
    jt_str_number(o, f->b.value);
    jt_str_puts(o, ", \"interval\": [");
    jt_str_number(o, f->b.range.low);
    jt_str_puts(o, ", ");
    jt_str_number(o, f->b.range.high);
    jt_str_printf(o, "], \"equal\": %zu, \"cells\": %zu, \"with\": ", f->equal, f->cells);
    jt_str_number(o, f->with);
    jt_str_puts(o, ", \"without\": ");
    jt_str_number(o, f->without);
    jt_str_putc(o, '}');
}

static jt_status print_json(const reproduction *p, jt_error *err) {
    jt_str o = {0};
    const jt_recipe *r = &p->recipe;
    jt_str_puts(&o, "{\"recipe\": ");
    jt_str_json(&o, r->name, strlen(r->name));
    jt_str_printf(&o, ", \"items\": %zu, \"seeds\": %d, \"control_holds\": %s, \"effects\": [", p->items, r->n_seed,
                  p->holds ? "true" : "false");
    for (int i = 0; i < r->n_effect; i++) {
        jt_str_puts(&o, i ? ", {\"what\": " : "{\"what\": ");
        jt_str_json(&o, r->effect[i].what, strlen(r->effect[i].what));
        jt_str_puts(&o, ", \"measure\": ");
        jt_str_json(&o, r->effect[i].measure, strlen(r->effect[i].measure));
        jt_str_puts(&o, ", \"at_least\": ");
        jt_str_number(&o, r->effect[i].at_least);
        jt_str_printf(&o, ", \"verdict\": \"%s\", \"found\": ", jt_verdict_text(verdict_of(p, i)));
        json_found(&p->effect[i], &o);
        jt_str_puts(&o, ", \"control\": ");
        json_found(&p->control[i], &o);
        jt_str_putc(&o, '}');
    }
    jt_str_puts(&o, "], \"seconds\": ");
    jt_str_number(&o, p->seconds);
    jt_str_puts(&o, "}\n");
    jt_status s = jt_str_check(&o, err);
    if (!s) jt_out_str(&o);
    jt_str_free(&o);
    return s;
}

/* ---- all of them ---- */

static void write_absent(const reproduction *p, jt_str *o) {
    const jt_recipe *r = &p->recipe;
    jt_str_printf(o, "## %s\n\n%s (%s)\n\nNot run: a model of it was not there (%s", r->name, r->claim, r->source, r->model);
    for (size_t i = 0; i < r->n_model2; i++) jt_str_printf(o, ", %s", r->model2[i]);
    jt_str_puts(o, ").\n\n");
}

static void write_row(const reproduction *p, jt_str *o) {
    const jt_recipe *r = &p->recipe;
    jt_str_printf(o, "## %s\n\n%s (%s)\n\n%zu items, %d seeds, %s (%s, activations %s), %.0f s.\n\n", r->name, r->claim, r->source,
                  p->items, r->n_seed, p->model, p->weights, p->activations, p->seconds);
    jt_str_puts(o, "| what | with | without | effect | 95 % | at least | control | verdict |\n| --- | ---: | ---: | ---: | --- | ---: | "
                   "--- | --- |\n");
    for (int i = 0; i < r->n_effect; i++) {
        const jt_effect *e = &r->effect[i];
        const jt_effect_found *f = &p->effect[i], *c = &p->control[i];
        jt_str_printf(o, "| %s (%s, %s) | %.4f | %.4f | %+.4f | %+.4f to %+.4f | %g | %+.4f (%zu of %zu equal) | %s |\n", e->what,
                      e->measure, e->lower ? "lower" : "higher", f->with, f->without, f->b.value, f->b.range.low, f->b.range.high,
                      e->at_least, c->b.value, c->equal, c->cells, jt_verdict_text(verdict_of(p, i)));
    }
    if (r->note) jt_str_printf(o, "\n%s\n", r->note);
    jt_str_putc(o, '\n');
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The recipes of a folder, in order of their names; paths of `arena`. */
static jt_status list_recipes(const char *folder, jt_arena *arena, char ***out, size_t *n, jt_error *err) {
    size_t cap = 0, folder_n = strlen(folder);
    DIR *dir = opendir(folder);
    jt_status s = JT_OK;
    *out = NULL, *n = 0;
    if (!dir) return jt_error_set(err, JT_NOTFOUND, "%s: no such folder of recipes", folder);
    for (const struct dirent *e; !s && (e = readdir(dir));) {
        size_t len = strlen(e->d_name);
        if (len < 6 || e->d_name[0] == '.' || strcmp(e->d_name + len - 5, ".yaml") != 0) continue;
        s = jt_grow((void **)out, &cap, *n + 1, sizeof **out, err);
        char *path = s ? NULL : jt_arena_alloc(arena, folder_n + len + 2, 1);
        if (!s && !path) s = jt_nomem(err, "a recipe's name", len, 1);
        if (s) break;
        snprintf(path, folder_n + len + 2, "%s/%s", folder, e->d_name);
        (*out)[(*n)++] = path;
    }
    closedir(dir);
    if (!s && *n) qsort(*out, *n, sizeof **out, by_name);
    if (!s && !*n) s = jt_error_set(err, JT_NOTFOUND, "%s: no recipe in it", folder);
    return s;
}

/* Code of what ends the work; *worst of what does not: a recipe that is void or cannot be run. */
static int run_one(const jt_args *a, const char *path, jt_str *page, int *worst) {
    reproduction p;
    jt_error err;
    int code = reproduce(a, path, &p);
    if (!code && jt_arg_flag(a, "json")) {
        if (print_json(&p, &err)) code = jt_fail(&err);
    } else if (!code) {
        print_reproduction(&p);
    }
    if (!code && !jt_out_flush()) code = JT_EXIT_OUTPUT;
    if (!code && page) write_row(&p, page);
    if (!code && !p.holds) *worst = JT_EXIT_FAILURE;
    if (code && p.absent && page) write_absent(&p, page);
    if (code && p.absent && page) *worst = code, code = JT_EXIT_OK; /* the others are run */
    reproduction_free(&p);
    return code;
}

static int run_all(const jt_args *a, const char *folder) {
    jt_arena arena = {0};
    jt_error err;
    jt_str page = {0};
    char **path;
    size_t n;
    int code = JT_EXIT_OK, worst = JT_EXIT_OK;
    const char *out = jt_arg_text(a, "output");
    jt_str_puts(
        &page,
        "# Reproductions\n\nWritten by `jeton reproduce --all`: for each recipe of `recipes/` the claim, the effect with its interval of "
        "95 % over seeds and items, and what follows. *agrees*: the whole interval reaches the threshold that the recipe "
        "set before it was run; *does not agree*: none of it does; *cannot tell*: it lies across. The control is the "
        "method at its neutral setting against itself without; where it shows an effect the recipe is *void*.\n\n");
    if (list_recipes(folder, &arena, &path, &n, &err)) code = jt_fail(&err);
    for (size_t i = 0; !code && i < n; i++) code = run_one(a, path[i], &page, &worst);
    if (!code && out && jt_file_save(out, &page, &err)) code = jt_fail(&err) ? JT_EXIT_OUTPUT : JT_EXIT_OK;
    jt_free(path);
    jt_arena_free(&arena);
    jt_str_free(&page);
    return code ? code : worst;
}

static int run(const jt_args *a) {
    const char *name = jt_arg_pos(a, 0), *folder = jt_arg_text(a, "folder");
    jt_str path = {0};
    jt_error err;
    jt_interrupt_install();
    if (jt_arg_flag(a, "all") == (name != NULL)) return jt_fail_usage(a, "give the name of a recipe, or --all");
    if (!name) return run_all(a, folder);
    if (jt_file_exists(name))
        jt_str_puts(&path, name);
    else
        jt_str_printf(&path, "%s/%s.yaml", folder, name);
    int worst = JT_EXIT_OK, code = jt_str_check(&path, &err) ? jt_fail(&err) : run_one(a, path.s, NULL, &worst);
    jt_str_free(&path);
    return code ? code : worst;
}

static const jt_pos pos[] = {
    {"NAME", JT_POS_FILE, true, false, "a recipe: NAME.yaml of the folder of recipes, or a file"},
    {0},
};
static const jt_opt opts[] = {
    {"all", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "every recipe of the folder, in order of their names"},
    {"folder", 0, JT_OPT_FILE, "DIR", "recipes", 0, 0, "where recipes lie"},
    {"output", 'o', JT_OPT_FILE, "FILE", NULL, 0, 0, "with --all: also write a page with all tables"},
    {"keep", 0, JT_OPT_FILE, "DIR", NULL, 0, 0, "keep the results of every run there; after a kill the same line goes on"},
    {"model", 'm', JT_OPT_TEXT, "MODEL", NULL, 0, 0, "a model in place of the recipe's own"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print a JSON object for each recipe"},
    {0},
};
static const jt_example examples[] = {
    {"jeton reproduce top-h", "the effect, its interval, and whether it agrees with the paper's claim"},
    {"jeton reproduce --all -o docs/reproductions.md --keep runs", "all recipes, as a page"},
    {0},
};
const jt_command jt_cmd_reproduce = {
    .name = "reproduce",
    .summary = "run a published claim, and say whether it holds here",
    .about = "A recipe says what a method is claimed to do, by how much at least, on which data, with which pipelines and seeds; all that "
             "is run "
             "is read from it. The effect is the measure with the method less the measure without, turned so that more is more of the "
             "claim. Its interval (95 %) is by the bootstrap over seeds and items. It agrees if the whole interval reaches the threshold, "
             "does not agree if none of it does, and else it cannot be told. The method at its neutral setting against itself without must "
             "show no "
             "effect; if it does, the recipe is void and the exit code is 1.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
