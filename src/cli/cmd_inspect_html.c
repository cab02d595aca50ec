/* jeton inspect html: a trace as one page. */
#include "cli/out.h"
#include "core/file.h"
#include "jeton/trace.h"

static jt_status to_file(void *self, const char *s, size_t n, jt_error *err) { return jt_file_write(self, s, n, err); }

static jt_status to_out(void *self, const char *s, size_t n, jt_error *err) {
    (void)self;
    return jt_out_bytes(s, n) ? JT_OK : jt_error_set(err, JT_IO, "standard output: the page cannot be written");
}

static int run(const jt_args *a) {
    const char *to = jt_arg_text(a, "output"), *from = jt_arg_pos(a, 0);
    jt_trace *t = NULL;
    jt_writer w = {0};
    jt_error err;
    if (jt_trace_read(from, &t, &err)) return jt_fail(&err);
    if (t->note) jt_say("%s: %s", from, t->note);
    const char *title = jt_arg_text(a, "title") ? jt_arg_text(a, "title") : from;
    jt_status s = to ? jt_file_create(to, &w, &err) : JT_OK;
    if (!s) s = jt_trace_html(t, title, to ? to_file : to_out, &w, &err);
    if (!s && to) s = jt_file_commit(&w, &err);
    jt_file_abandon(&w);
    jt_trace_free(t);
    if (!s) return JT_EXIT_OK;
    jt_say("%s", err.message);
    return s == JT_NOMEM ? JT_EXIT_FAILURE : JT_EXIT_OUTPUT;
}

static const jt_pos pos[] = {
    {"TRACE", JT_POS_FILE, false, false, "a trace, written with --trace by run, batch or chat"},
    {0},
};
static const jt_opt opts[] = {
    {"output", 'o', JT_OPT_FILE, "FILE", NULL, 0, 0, "write the page there; without it to standard output"},
    {"title", 0, JT_OPT_TEXT, "TEXT", NULL, 0, 0, "of the page; else the name of the trace"},
    {0},
};
static const jt_example examples[] = {
    {"jeton inspect html t.jsonl -o t.html", "a page that any browser opens, without a network"},
    {0},
};
const jt_command jt_cmd_inspect_html = {
    .name = "inspect html",
    .summary = "write a trace as one page that any browser opens",
    .about = "Tokens are coloured by probability, entropy, rank or cost (keys 1 to 4), and marked by lines under them too. Arrow keys go "
             "from token to token; beside it stand its candidates before and after each stage, the number that was drawn, and the cost. "
             "The page holds all it needs.",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
