/* jeton methods check: a pipeline, method by method: what each does with its parameters, what it needs and costs, and what it
 * does to a known distribution. Notes about settings and orders that change nothing or look like a slip come from runs on that
 * distribution, not from lists of names, so that they hold for new methods too. */
#include <math.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/method_text.h"
#include "cli/out.h"
#include "cli/pipelines.h"
#include "decode/pipeline.h"
#include "jeton/trial.h"
#include "step/param.h"

enum { WIDTH = 79, PROBE = 1000, PROBE_HISTORY = 64, PROBE_HIDDEN = 8 };

/* The distribution: the i-th token has a probability in proportion to 1 / (i + 1). */
typedef struct probe {
    float logits[PROBE], second[PROBE], hidden[PROBE_HIDDEN];
    int32_t history[PROBE_HISTORY];
} probe;

static void probe_make(probe *p) {
    for (int i = 0; i < PROBE; i++) p->logits[i] = (float)-log(i + 1), p->second[i] = (float)-log((i + 7) % PROBE + 1);
    for (int i = 0; i < PROBE_HIDDEN; i++) p->hidden[i] = 1;
    for (int i = 0; i < PROBE_HISTORY; i++) p->history[i] = (i * i + 1) % 17;
}

/* What is left after some stages. */
typedef struct left {
    bool known;
    int count;
    int32_t first;
    double entropy;
    uint64_t bits; /* of ids and logits */
} left;

static left measure(const probe *p, const char *text, const jt_methods *extra) {
    jt_pipeline *q = NULL;
    jt_trial *t = NULL;
    jt_dist *d;
    left l = {.known = false, .first = -1, .bits = 14695981039346656037u};
    jt_given g = {.logits = p->logits,
                  .second = p->second,
                  .hidden = p->hidden,
                  .n_hidden = PROBE_HIDDEN,
                  .history = p->history,
                  .n_history = PROBE_HISTORY,
                  .n_prompt = 16,
                  .position = PROBE_HISTORY};
    if (!jt_pipeline_parse(text, extra, &q, NULL) && !jt_trial_new(q, PROBE, NULL, &t, NULL) && !jt_trial_run(t, &g, &d, NULL)) {
        l.known = true, l.count = jt_dist_count(d), l.entropy = jt_dist_entropy(d);
        const jt_cand *c = jt_dist_top(d, l.count);
        if (l.count) l.first = c->id;
        for (int i = 0; i < l.count; i++) {
            uint32_t u;
            memcpy(&u, &c[i].logit, sizeof u);
            l.bits = (l.bits ^ (uint64_t)c[i].id) * 1099511628211u;
            l.bits = (l.bits ^ u) * 1099511628211u;
        }
    }
    jt_trial_free(t);
    jt_pipeline_free(q);
    return l;
}

static void put_node(const jt_node *n, jt_str *o) {
    jt_str_puts(o, n->m->name);
    jt_params_print(n->m, n->par, o);
}

/* The first n stages; with `turned` the last two in the other order. */
static left measure_stages(const probe *p, const jt_pipeline *q, int n, bool turned, const jt_methods *extra) {
    jt_str text = {0};
    left l = {.known = false, .first = -1};
    jt_str_puts(&text, "sample");
    for (int i = 0; i < n; i++) {
        int k = turned && i >= n - 2 ? 2 * n - 3 - i : i;
        jt_str_puts(&text, " | ");
        put_node(&q->stage[k], &text);
    }
    if (!text.failed) l = measure(p, jt_str_c(&text), extra);
    jt_str_free(&text);
    return l;
}

/* Everything that was found out, by stage. */
typedef struct report {
    const jt_pipeline *p;
    left start, after[JT_PIPELINE_MOST], turned[JT_PIPELINE_MOST]; /* turned[i]: after i + 1 stages, the last two the other way round */
    bool greedy;
} report;

static void find_out(const jt_pipeline *p, const jt_methods *extra, report *r) {
    probe b;
    probe_make(&b);
    *r = (report){.p = p, .greedy = !strcmp(p->strategy[p->n_strategy - 1].m->name, "greedy")};
    r->start = measure_stages(&b, p, 0, false, extra);
    for (int i = 0; i < p->n_stage; i++) {
        r->after[i] = measure_stages(&b, p, i + 1, false, extra);
        if (i) r->turned[i] = measure_stages(&b, p, i + 1, true, extra);
    }
}

/* ---- notes ---- */

static const left *before(const report *r, int i) { return i ? &r->after[i - 1] : &r->start; }

/* Whether the parameters that the neutral setting names are as it says: the row's setting, read and written as this one is. */
static bool is_neutral(const jt_node *n, const jt_methods *extra) {
    char list[256];
    jt_str text = {0}, mine = {0};
    jt_pipeline *q = NULL;
    bool same = false;
    jt_method_neutral(n->m, list, sizeof list);
    if (!n->m->neutral) return false;
    if (!*list) return n->m->n_param == 0 || !strncmp(n->m->neutral, "always", 6);
    jt_str_printf(&text, "%s:%s", n->m->name, list);
    put_node(n, &mine);
    if (!text.failed && !mine.failed && !jt_pipeline_parse(text.s, extra, &q, NULL)) {
        same = true;
        for (int i = 0; same && i < n->m->n_param; i++) {
            const jt_param *p = &n->m->param[i];
            const char *at = strstr(list, p->name);
            size_t size = p->type == JT_PARAM_REAL                                ? sizeof(double)
                          : p->type == JT_PARAM_INT || p->type == JT_PARAM_CHOICE ? sizeof(int32_t)
                                                                                  : 0;
            const char *other = (const char *)(q->n_stage ? q->stage[0].par : q->strategy[0].par) + p->offset;
            if (!at || at[strlen(p->name)] != '=') continue;
            same = size && !memcmp((const char *)n->par + p->offset, other, size);
            if (p->type == JT_PARAM_TEXT) {
                const char *a, *b;
                memcpy(&a, (const char *)n->par + p->offset, sizeof a), memcpy(&b, other, sizeof b);
                same = !strcmp(a, b);
            }
        }
    }
    jt_pipeline_free(q);
    jt_str_free(&text), jt_str_free(&mine);
    return same;
}

typedef struct notes {
    jt_str *o;
    bool json;
    int n;
} notes;

static void note(notes *k, const char *text) {
    if (k->json) {
        jt_str_puts(k->o, k->n ? ", " : "");
        jt_str_json(k->o, text, strlen(text));
    } else {
        jt_str_puts(k->o, "  note      ");
        jt_help_wrap(text, 12, 12, WIDTH, k->o);
    }
    k->n++;
}

static void notes_of(const report *r, int i, const jt_methods *extra, notes *k) {
    const jt_node *n = &r->p->stage[i];
    const left *was = before(r, i), *is = &r->after[i];
    char text[400];
    bool neutral = is_neutral(n, extra);
    if (neutral) note(k, "this setting is neutral: it changes nothing");
    if (is->known && !is->count) note(k, "no candidate is left: the answer would end here with the reason dead");
    if (was->known && was->count == 1 && is->known && is->bits == was->bits && !neutral)
        note(k, "one candidate is left before it, so it changes nothing");
    if (r->greedy && was->known && is->known && is->first == was->first && !neutral && !(n->m->needs & ~(uint32_t)JT_NEEDS_TOKENIZER))
        note(k, "greedy takes the best token, and this does not change which that is");
    for (int j = 0; j < i; j++)
        if (r->p->stage[j].m == n->m) {
            snprintf(text, sizeof text, "%s stands here a second time; it acts on what the first one left", n->m->name);
            note(k, text);
            return;
        }
}

static void order_note(const report *r, int i, notes *k) {
    const left *is = &r->after[i], *turned = &r->turned[i];
    char text[400];
    if (!i || !is->known || !turned->known || is->count == turned->count) return;
    const char *a = r->p->stage[i - 1].m->name, *b = r->p->stage[i].m->name;
    bool cut_first = before(r, i)->count < before(r, i - 1)->count && is->count == before(r, i)->count;
    snprintf(text, sizeof text, "order matters: %s before %s would leave %d candidates in place of %d%s%s", b, a, turned->count, is->count,
             cut_first ? "; here the cut is made before " : "", cut_first ? b : "");
    note(k, text);
}

static void all_notes(const report *r, int i, const jt_methods *extra, notes *k) {
    notes_of(r, i, extra, k);
    order_note(r, i, k);
}

/* ---- as text ---- */

static void row(const char *left_text, const char *right, jt_str *o) {
    if (!right || !*right) return;
    jt_str_printf(o, "  %-9s ", left_text);
    for (const char *line = right; *line;) {
        size_t n = strcspn(line, "\n");
        jt_str one = {0};
        if (line != right) jt_str_puts(o, "            ");
        jt_str_add(&one, line, n);
        jt_help_wrap(jt_str_c(&one), 12, 12, WIDTH, o);
        if (one.failed) o->failed = true;
        jt_str_free(&one);
        line += n + (line[n] == '\n');
    }
}

static void text_method(const jt_node *n, int number, jt_str *o) {
    jt_str head = {0}, needs = {0};
    put_node(n, &head);
    jt_method_needs(n->m, &needs);
    jt_str_printf(o, "%d. %s\n", number, jt_str_c(&head));
    row("does", n->m->summary, o);
    row("formula", n->m->formula, o);
    for (int i = 0; i < n->m->n_param; i++) {
        jt_str name = {0};
        jt_method_param_name(&n->m->param[i], &name);
        jt_str_printf(&name, ": %s", n->m->param[i].help);
        row(i ? "" : "with", jt_str_c(&name), o);
        if (name.failed) o->failed = true;
        jt_str_free(&name);
    }
    row("needs", jt_str_c(&needs), o);
    row("cost", n->m->cost, o);
    if (head.failed || needs.failed) o->failed = true;
    jt_str_free(&head), jt_str_free(&needs);
}

static void write_text(const report *r, const jt_methods *extra, jt_str *o) {
    const jt_pipeline *p = r->p;
    jt_str_printf(o, "%s\n", jt_pipeline_text(p));
    for (int i = 0; i < p->n_strategy; i++) {
        jt_str_putc(o, '\n');
        text_method(&p->strategy[i], i + 1, o);
        if (p->strategy[i].m->strategy.inner && i + 1 == p->n_strategy)
            row("note", "it drives a strategy inside, and none is given; write > sample after it", o);
    }
    for (int i = 0; i < p->n_stage; i++) {
        const left *was = before(r, i), *is = &r->after[i];
        char text[200];
        jt_str_putc(o, '\n');
        text_method(&p->stage[i], p->n_strategy + i + 1, o);
        snprintf(text, sizeof text, "%d candidates become %d, entropy %.3f becomes %.3f nats", was->count, is->count, was->entropy,
                 is->entropy);
        row("effect", is->known && was->known ? text : "only a run with a model shows it", o);
        all_notes(r, i, extra, &(notes){.o = o});
    }
    if (p->n_stage)
        jt_str_printf(o, "\nEffects are those on %d tokens of probabilities in proportion to 1, 1/2, 1/3 ..., behind %d tokens.\n", PROBE,
                      PROBE_HISTORY);
}

/* ---- as JSON ---- */

static void put_left(const char *name, const left *l, jt_str *o) {
    jt_str_printf(o, ", \"%s\": ", name);
    if (l->known)
        jt_str_printf(o, "{\"candidates\": %d, \"entropy\": %.9g}", l->count, l->entropy);
    else
        jt_str_puts(o, "null");
}

static void write_json(const report *r, const jt_methods *extra, jt_str *o) {
    const jt_pipeline *p = r->p;
    jt_str_puts(o, "{\"text\": ");
    jt_str_json(o, jt_pipeline_text(p), strlen(jt_pipeline_text(p)));
    jt_str_puts(o, ", \"json\": ");
    jt_pipeline_put_json(p, o);
    jt_str_puts(o, ", \"methods\": [");
    for (int i = 0; i < p->n_strategy + p->n_stage; i++) {
        const jt_node *n = i < p->n_strategy ? &p->strategy[i] : &p->stage[i - p->n_strategy];
        jt_str text = {0};
        put_node(n, &text);
        jt_str_puts(o, i ? ",\n {\"text\": " : "\n {\"text\": ");
        jt_str_json(o, jt_str_c(&text), text.n);
        if (text.failed) o->failed = true;
        jt_str_free(&text);
        jt_str_puts(o, ", \"row\": ");
        jt_method_json(n->m, o);
        jt_str_printf(o, ", \"neutral\": %s", is_neutral(n, extra) ? "true" : "false");
        if (i >= p->n_strategy) {
            put_left("before", before(r, i - p->n_strategy), o);
            put_left("after", &r->after[i - p->n_strategy], o);
            jt_str_puts(o, ", \"notes\": [");
            all_notes(r, i - p->n_strategy, extra, &(notes){.o = o, .json = true});
            jt_str_putc(o, ']');
        }
        jt_str_putc(o, '}');
    }
    jt_str_puts(o, "]}\n");
}

static int run(const jt_args *a) {
    jt_pipelines known = {0};
    jt_pipeline *p = NULL;
    jt_str o = {0};
    jt_error err;
    report *r = jt_alloc(1, sizeof *r);
    jt_status s = r ? jt_pipelines_open(a, &known, &err) : jt_nomem(&err, "a report", 1, sizeof *r);
    if (!s) s = jt_pipelines_parse(&known, jt_arg_pos(a, 0), &p, &err);
    if (!s) {
        find_out(p, known.extra, r);
        (jt_arg_flag(a, "json") ? write_json : write_text)(r, known.extra, &o);
        s = jt_str_check(&o, &err);
    }
    if (!s) jt_out_str(&o);
    jt_str_free(&o);
    jt_pipeline_free(p);
    jt_pipelines_close(&known);
    jt_free(r);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_pos pos[] = {{"PIPELINE", JT_POS_TEXT, false, false, "text, JSON, or @NAME of the config file"}, {0}};
static const jt_opt opts[] = {
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print JSON: its text and JSON form, and each method with its row, effect and notes"},
    JT_PLUGIN_OPT,
    {0}};
static const jt_example examples[] = {{"jeton methods check \"top-p:0.9 | temp:1.5\"", "what each does, and that the order matters"}, {0}};
const jt_command jt_cmd_methods_check = {
    .name = "methods check",
    .summary = "explain a pipeline method by method, with notes on what looks like a slip",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
