/* jeton inspect diff: where and why two runs part. */
#include <string.h>

#include "cli/out.h"
#include "jeton/trace.h"

static void say_request(const char *name, const char *a, const char *b, bool json, int *n) {
    if (!strcmp(a, b)) return;
    if (!json) {
        jt_out("%s: %s\n  and: %s\n", name, a, b);
        return;
    }
    jt_str o = {0};
    jt_str_printf(&o, "%s\"%s\": [", (*n)++ ? ", " : "", name);
    jt_str_json(&o, a, strlen(a));
    jt_str_puts(&o, ", ");
    jt_str_json(&o, b, strlen(b));
    jt_str_putc(&o, ']');
    jt_out_str(&o);
    jt_str_free(&o);
}

static void say_number(const char *name, uint64_t a, uint64_t b, bool json, int *n) {
    char x[24], y[24];
    snprintf(x, sizeof x, "%llu", (unsigned long long)a);
    snprintf(y, sizeof y, "%llu", (unsigned long long)b);
    say_request(name, x, y, json, n);
}

/* What was asked of the two runs that differs. */
static void say_requests(const jt_trace *s, const jt_trace *t, const jt_trace_job *a, const jt_trace_job *b, bool json) {
    const jt_request *x = &a->request, *y = &b->request;
    char mode[2][20] = {"", ""}, prompt[2][48] = {"", ""};
    size_t same = 0;
    int n = 0;
    if (s->n_model && t->n_model) {
        snprintf(mode[0], sizeof mode[0], "%016llx", (unsigned long long)s->model->mode);
        snprintf(mode[1], sizeof mode[1], "%016llx", (unsigned long long)t->model->mode);
        say_request("model", s->model->path, t->model->path, json, &n);
        say_request("digest", s->model->digest, t->model->digest, json, &n);
        say_request("activations", s->model->activations, t->model->activations, json, &n);
        say_request("kv_type", s->model->kv_type, t->model->kv_type, json, &n);
        say_request("mode", mode[0], mode[1], json, &n);
    }
    say_request("pipeline", a->pipeline, b->pipeline, json, &n);
    say_number("seed", x->seed, y->seed, json, &n);
    say_number("choice", x->choice, y->choice, json, &n);
    say_number("context", (uint64_t)x->context, (uint64_t)y->context, json, &n);
    while (same < x->n_prompt && same < y->n_prompt && x->prompt[same] == y->prompt[same]) same++;
    if (same < x->n_prompt || same < y->n_prompt) {
        snprintf(prompt[0], sizeof prompt[0], "%zu tokens, alike to token %zu", x->n_prompt, same);
        snprintf(prompt[1], sizeof prompt[1], "%zu tokens", y->n_prompt);
    }
    say_request("prompt", prompt[0], prompt[1], json, &n);
}

static void say_cause(const jt_trace_parting *p) {
    bool other = p->logits || p->stage || p->draw;
    if (p->logits) jt_out("  the model's logits differ\n");
    if (p->stage && p->a->evidence && p->stage <= p->a->evidence->n_stage)
        jt_out("  stage %d, %s, makes something else of the same logits\n", p->stage, p->a->evidence->stage[p->stage - 1].method);
    else if (p->stage)
        jt_out("  stage %d is there in one run only\n", p->stage);
    if (p->draw) jt_out("  the draw differs: %.17g and %.17g\n", p->a->decision.u, p->b->decision.u);
    if (!other) jt_out("  logits, stages and draw are the same\n");
    jt_out("  first of all: %s\n", p->what);
}

static void say_text(const jt_trace_parting *p) {
    jt_out("%zu of %zu tokens are the same, %zu of them in all that is told; %zu and %zu tokens\n", p->alike, p->both, p->identical,
           p->tokens[0], p->tokens[1]);
    if (p->differs != SIZE_MAX && p->differs != p->parts) jt_out("the first difference is at token %zu\n", p->differs);
    if (p->parts != SIZE_MAX)
        jt_out("they part at token %zu (position %d, lines %zu and %zu): \"%s\" and \"%s\"\n", p->parts, (int)p->a->decision.position,
               p->a->line, p->b->line, p->a->text, p->b->text);
    else
        jt_out("no token that both have differs\n");
    if (p->a) say_cause(p);
}

static void say_json(const jt_trace_parting *p) {
    jt_str o = {0};
    jt_str_printf(&o, "\"tokens\": [%zu, %zu], \"both\": %zu, \"alike\": %zu, \"identical\": %zu", p->tokens[0], p->tokens[1], p->both,
                  p->alike, p->identical);
    if (p->differs != SIZE_MAX) jt_str_printf(&o, ", \"first_difference\": %zu", p->differs);
    if (p->parts != SIZE_MAX) jt_str_printf(&o, ", \"parts\": %zu", p->parts);
    if (p->a) {
        jt_str_printf(
            &o, ", \"position\": %d, \"lines\": [%zu, %zu], \"ids\": [%d, %d], \"logits\": %s, \"stage\": %d, \"draw\": %s, \"what\": ",
            (int)p->a->decision.position, p->a->line, p->b->line, (int)p->a->decision.id, (int)p->b->decision.id,
            p->logits ? "true" : "false", p->stage, p->draw ? "true" : "false");
        jt_str_json(&o, p->what, strlen(p->what));
    }
    jt_out_str(&o);
    jt_str_free(&o);
}

static bool diff_jobs(const jt_trace *s, const jt_trace *t, bool json) {
    bool other = s->n_job != t->n_job;
    size_t jobs = s->n_job < t->n_job ? s->n_job : t->n_job;
    if (json) jt_out("{\"jobs\": [");
    for (size_t i = 0; i < jobs; i++) {
        const jt_trace_job *a = &s->job[i], *b = &t->job[i];
        size_t answers = a->n_answer < b->n_answer ? a->n_answer : b->n_answer;
        if (json) jt_out("%s{\"requests\": {", i ? ", " : "");
        say_requests(s, t, a, b, json);
        if (json) jt_out("}, \"answers\": [");
        other |= a->n_answer != b->n_answer;
        for (size_t k = 0; k < answers; k++) {
            jt_trace_parting p;
            jt_trace_part(&a->answer[k], &b->answer[k], &p);
            other |= p.differs != SIZE_MAX || p.tokens[0] != p.tokens[1];
            if (json) jt_out("%s{", k ? ", " : "");
            if (!json && (jobs > 1 || answers > 1)) jt_out("job %zu, answer %zu: ", i + 1, k);
            if (json)
                say_json(&p);
            else
                say_text(&p);
            if (json) jt_out("}");
        }
        if (json) jt_out("]}");
    }
    if (json)
        jt_out("], \"same\": %s}\n", other ? "false" : "true");
    else if (s->n_job != t->n_job)
        jt_out("one trace has %zu jobs and the other %zu\n", s->n_job, t->n_job);
    return other;
}

static int run(const jt_args *a) {
    jt_trace *t[2] = {NULL, NULL};
    jt_error err;
    int code = JT_EXIT_OK;
    for (int i = 0; i < 2 && !code; i++) {
        if (jt_trace_read(jt_arg_pos(a, i), &t[i], &err))
            code = jt_fail(&err);
        else if (t[i]->note)
            jt_say("%s: %s", jt_arg_pos(a, i), t[i]->note);
    }
    if (!code && diff_jobs(t[0], t[1], jt_arg_flag(a, "json"))) code = JT_EXIT_FAILURE;
    jt_trace_free(t[0]), jt_trace_free(t[1]);
    return code;
}

static const jt_pos pos[] = {
    {"A", JT_POS_FILE, false, false, "a trace"},
    {"B", JT_POS_FILE, false, false, "another"},
    {0},
};
static const jt_opt opts[] = {
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    {0},
};
static const jt_example examples[] = {
    {"jeton inspect diff a.jsonl b.jsonl", "the first token that differs, and what made it differ"},
    {0},
};
const jt_command jt_cmd_inspect_diff = {
    .name = "inspect diff",
    .summary = "say where and why two runs part",
    .about = "Jobs and answers are taken in their order. At the first token that differs it says whether the model's logits differ, "
             "which stage makes something else of the same logits, and whether the draw is another. The exit code is 1 when "
             "anything differs.",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
