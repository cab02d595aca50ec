/* jeton methods try: stages over given logits, without a model. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/out.h"
#include "cli/pipelines.h"
#include "cli/session.h"
#include "cli/try_line.h"
#include "core/file.h"
#include "jeton/trial.h"

typedef struct try_run {
    jt_pipelines known;
    jt_pipeline *pipeline;
    jt_engine *engine;
    jt_model *model;
    jt_tokenizer *own;
    const jt_tokenizer *tokenizer;
    jt_trial *trial;
    size_t vocab;
    jt_try_line line;
    int32_t *history; /* with --steps: what was given and chosen so far */
    size_t n_history, cap_history, n_prompt, number;
    jt_str out;
    bool draw, steps;
    uint64_t seed;
} try_run;

static void put_number(double x, const char *form, jt_str *o) {
    if (isfinite(x))
        jt_str_printf(o, form, x);
    else
        jt_str_puts(o, isnan(x) ? "null" : "\"-inf\"");
}

static void put_answer(jt_dist *d, const jt_decision *made, jt_str *o) {
    int n = jt_dist_count(d);
    const jt_cand *c = jt_dist_top(d, n);
    jt_str_puts(o, "{\"kept\": [");
    for (int i = 0; i < n; i++) jt_str_printf(o, "%s[%d, %.9g]", i ? ", " : "", (int)c[i].id, (double)c[i].logit);
    jt_str_putc(o, ']');
    if (made) {
        jt_str_printf(o, ", \"draw\": {\"id\": ");
        put_number(made->id < 0 ? NAN : (double)made->id, "%.0f", o);
        jt_str_puts(o, ", \"u\": "), put_number(made->u, "%.17g", o);
        jt_str_puts(o, ", \"logprob\": "), put_number((double)made->logprob, "%.9g", o);
        jt_str_puts(o, ", \"raw_logprob\": "), put_number((double)made->raw_logprob, "%.9g", o);
        jt_str_putc(o, '}');
    }
    jt_str_puts(o, "}\n");
}

static jt_status take_history(try_run *t, jt_given *g, jt_error *err) {
    const jt_try_line *l = &t->line;
    if (l->has_history || !t->steps) {
        jt_status e = jt_grow((void **)&t->history, &t->cap_history, l->n_history + 1, sizeof *t->history, err);
        if (e != JT_OK) return e;
        if (l->n_history) memcpy(t->history, l->history, l->n_history * sizeof *l->history);
        t->n_history = l->n_history;
        if (!g->go_on) t->n_prompt = 0;
    }
    if (l->prompt >= 0) t->n_prompt = (size_t)l->prompt;
    if (t->n_prompt > t->n_history)
        return jt_error_set(err, JT_INVALID, "\"prompt\" is %zu, more than the %zu tokens of the history", t->n_prompt, t->n_history);
    g->history = t->history, g->n_history = (int)t->n_history, g->n_prompt = (int)t->n_prompt;
    g->position = l->position >= 0 ? (int)l->position : g->n_history;
    return JT_OK;
}

static jt_status same_length(const jt_try_line *l, const char *key, const jt_try_numbers *x, jt_error *err) {
    if (!x->given || x->n == l->logits.n) return JT_OK;
    return jt_error_set(err, JT_INVALID, "\"%s\" has %zu numbers and \"logits\" %zu", key, x->n, l->logits.n);
}

static jt_status take_step(try_run *t, const jt_decision *made, jt_error *err) {
    if (made->id < 0) return jt_error_set(err, JT_INVALID, "no candidate is left, so no token can be chosen; give \"chosen\"");
    jt_status e = jt_trial_push(t->trial, made, err);
    if (e == JT_OK) e = jt_grow((void **)&t->history, &t->cap_history, t->n_history + 1, sizeof *t->history, err);
    if (e == JT_OK) t->history[t->n_history++] = made->id;
    return e;
}

static jt_status one_line(try_run *t, const char *s, size_t n, jt_error *err) {
    jt_try_line *l = &t->line;
    jt_dist *d = NULL;
    jt_status e = jt_try_line_read(s, n, l, err);
    if (e == JT_OK) e = same_length(l, "raw", &l->raw, err);
    if (e == JT_OK) e = same_length(l, "second", &l->second, err);
    if (e == JT_OK && l->chosen >= 0 && !t->steps) e = jt_error_set(err, JT_INVALID, "\"chosen\" goes with --steps");
    if (e == JT_OK && l->logits.n > INT32_MAX) e = jt_error_set(err, JT_LIMIT, "more logits than token ids");
    if (e == JT_OK && t->trial && t->vocab != l->logits.n) {
        if (t->steps)
            return jt_error_set(err, JT_INVALID, "%zu logits after lines of %zu; with --steps all have one vocabulary", l->logits.n,
                                t->vocab);
        jt_trial_free(t->trial), t->trial = NULL;
    }
    bool go_on = t->steps && t->trial;
    if (e == JT_OK && !t->trial) e = jt_trial_new(t->pipeline, (int)l->logits.n, t->tokenizer, &t->trial, err);
    if (e != JT_OK) return e;
    t->vocab = l->logits.n;
    jt_given g = {.logits = l->logits.x,
                  .raw = l->raw.given ? l->raw.x : NULL,
                  .second = l->second.given ? l->second.x : NULL,
                  .hidden = l->hidden.given ? l->hidden.x : NULL,
                  .n_hidden = l->hidden.given ? (int)l->hidden.n : 0,
                  .seed = l->seed >= 0 ? (uint64_t)l->seed : t->seed,
                  .choice = l->choice >= 0 ? (uint32_t)l->choice : 0,
                  .go_on = go_on};
    e = take_history(t, &g, err);
    if (e == JT_OK) e = jt_trial_run(t->trial, &g, &d, err);
    if (e != JT_OK) return e;
    jt_decision made = {.id = -1};
    if (l->chosen >= 0)
        made = jt_trial_choose(t->trial, (int32_t)l->chosen);
    else if (t->draw || t->steps)
        made = jt_trial_decide(t->trial);
    jt_str_clear(&t->out);
    put_answer(d, t->draw || t->steps ? &made : NULL, &t->out);
    e = jt_str_check(&t->out, err);
    return e == JT_OK && t->steps ? take_step(t, &made, err) : e;
}

static bool blank_line(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", s[i]) || !s[i]) return false;
    return true;
}

/* Lines as they come, each answered before the next is waited for. False when standard output is gone. */
static jt_status each_line(try_run *t, int fd, bool *gone, jt_error *err) {
    static const size_t piece = 1 << 16;
    char *buf = NULL;
    size_t n = 0, cap = 0, from = 0;
    jt_status e = JT_OK;
    for (bool end = false; e == JT_OK && !end && !*gone;) {
        e = jt_grow((void **)&buf, &cap, n + piece, 1, err);
        ssize_t got = e == JT_OK ? read(fd, buf + n, piece) : -1;
        if (e == JT_OK && got < 0 && errno == EINTR) continue;
        if (e == JT_OK && got < 0) e = jt_error_set(err, JT_IO, "cannot read: %s", strerror(errno));
        if (e != JT_OK) break;
        size_t looked = n;
        end = got == 0, n += (size_t)got;
        for (;;) {
            char *stop = memchr(buf + (looked > from ? looked : from), '\n', n - (looked > from ? looked : from));
            if (!stop && !(end && from < n)) break;
            size_t len = (stop ? (size_t)(stop - buf) : n) - from;
            t->number++;
            if (!blank_line(buf + from, len)) {
                e = one_line(t, buf + from, len, err);
                if (e != JT_OK) e = jt_error_in(err, e, "line %zu", t->number);
                if (e != JT_OK || !(jt_out_str(&t->out) && jt_out_flush())) break;
            }
            from += len + (stop != NULL);
            if (!stop) break;
        }
        *gone = e == JT_OK && !jt_out_flush();
        if (from) memmove(buf, buf + from, n - from);
        n -= from, from = 0;
    }
    jt_free(buf);
    return e;
}

static int open_tokenizer(const char *name, try_run *t) {
    jt_error err;
    size_t n = name ? strlen(name) : 0;
    if (!name) return JT_EXIT_OK;
    if ((n > 5 && !strcmp(name + n - 5, ".json")) || (n > 6 && !strcmp(name + n - 6, ".model"))) {
        jt_status e = jt_tokenizer_open(name, &t->own, &err);
        t->tokenizer = t->own;
        return e ? jt_fail(&err) : JT_EXIT_OK;
    }
    if (jt_engine_new(&(jt_engine_options){.threads = 1}, &t->engine, &err)) return jt_fail(&err);
    int code = jt_session_open_on(t->engine, name, &(jt_model_options){.vocab_only = 1}, &t->model);
    if (!code) t->tokenizer = jt_model_tokenizer(t->model);
    return code;
}

static int run(const jt_args *a) {
    const char *path = jt_arg_text(a, "logits");
    try_run t = {.draw = jt_arg_flag(a, "draw"), .steps = jt_arg_flag(a, "steps"), .seed = jt_arg_u64(a, "seed")};
    jt_error err;
    int fd = STDIN_FILENO;
    bool gone = false;
    int code = jt_pipelines_open(a, &t.known, &err) || jt_pipelines_parse(&t.known, jt_arg_pos(a, 0), &t.pipeline, &err) ? jt_fail(&err)
                                                                                                                         : JT_EXIT_OK;
    if (!code && jt_trial_new(t.pipeline, 1, NULL, &t.trial, &err)) code = jt_fail(&err); /* what needs a model, before any line */
    jt_trial_free(t.trial), t.trial = NULL;
    if (!code) code = open_tokenizer(jt_arg_text(a, "tokenizer"), &t);
    if (!code && strcmp(path, "-") != 0 && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
        jt_say("cannot open %s: %s", path, strerror(errno));
        code = JT_EXIT_FILE;
    }
    if (!code && each_line(&t, fd, &gone, &err)) {
        (void)jt_out_flush();
        jt_error_in(&err, err.code, "%s", strcmp(path, "-") != 0 ? path : "standard input");
        code = jt_fail(&err);
    }
    if (fd > STDIN_FILENO) (void)close(fd);
    jt_trial_free(t.trial);
    jt_pipeline_free(t.pipeline);
    jt_pipelines_close(&t.known);
    jt_tokenizer_free(t.own);
    jt_model_free(t.model);
    jt_engine_free(t.engine);
    jt_try_line_free(&t.line);
    jt_free(t.history);
    jt_str_free(&t.out);
    return code;
}

static const jt_pos pos[] = {{"PIPELINE", JT_POS_TEXT, false, false, "stages, and greedy or sample before them"}, {0}};
static const jt_opt opts[] = {
    {"logits", 0, JT_OPT_FILE, "FILE", "-", 0, 0, "lines of JSON, each with \"logits\" and what else stages read; - is standard input"},
    {"draw", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "also choose a token, and print it with the random number and both logprobs"},
    {"steps", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "lines are steps of one answer: stages keep their state, and see the token chosen"},
    {"seed", 's', JT_OPT_U64, "N", "0", 0, 0, "seed of the random numbers, where a line gives none"},
    JT_PLUGIN_OPT,
    {"tokenizer", 0, JT_OPT_FILE, "MODEL", NULL, 0, 0, "a model or tokenizer.json, for stages that read the text of tokens"},
    {0}};
static const jt_example examples[] = {
    {"echo '{\"logits\": [2, 1, 0.5]}' | jeton methods try top-p:0.8", "prints {\"kept\": [[0, 2], [1, 1]]}"},
    {"jeton methods try \"temp:0.7 | min-p:0.1\" --logits rows.jsonl --draw", "a token for each line, too"},
    {0}};
const jt_command jt_cmd_methods_try = {
    .name = "methods try",
    .summary = "run stages over given logits, without a model",
    .about = "Each line is an object: \"logits\", a number for each token (null or \"-inf\": no candidate); and where stages read them "
             "\"history\", the token ids before, of which the first \"prompt\" (default 0) are the prompt's; \"raw\", the model's own "
             "logits where they differ; \"second\", those of a second model; \"hidden\", the final hidden vector; \"position\" (default "
             "the length of the history), \"seed\" and \"choice\" of the random numbers; with --steps \"chosen\", the token taken.\n\n"
             "For each line an object is printed: \"kept\", the candidates left with their logits, most likely first, as float32 that "
             "reads back exactly; with --draw or --steps also \"draw\".",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
