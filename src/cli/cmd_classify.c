/* jeton classify and jeton rerank: what a model's head says of texts, and of a query with each of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/embed_texts.h"
#include "cli/interrupt.h"
#include "cli/out.h"

struct classify_run {
    const jt_args *args;
    jt_model *model;
    jt_model_info info;
    jt_texts texts;
    jt_text_rows rows;
    float *x; /* [texts][labels] */
};

static int classify_interrupted(void *self, int done) {
    (void)self, (void)done;
    return jt_interrupted();
}

static jt_status classify_all(struct classify_run *c, jt_text_way way, jt_error *err) {
    enum { CHUNK = 512 };
    size_t labels = (size_t)c->info.labels, floats;
    const jt_embed_options o = {.progress = classify_interrupted};
    way.model = c->model, way.truncate = jt_arg_flag(c->args, "truncate");
    if (!jt_model_tokenizer(c->model))
        return jt_error_set(err, JT_UNSUPPORTED, "%s: its files carry no tokenizer that this build reads", c->info.name);
    if (!labels)
        return jt_error_set(err, JT_UNSUPPORTED, "%s has no head that classifies or ranks; 'jeton embed' gives its vectors", c->info.name);
    if (!jt_mul(c->texts.n, labels, &floats) || !(c->x = jt_alloc(floats, sizeof *c->x)))
        return jt_nomem(err, "results", c->texts.n, labels * sizeof *c->x);
    jt_status s = JT_OK;
    for (size_t i = 0, n; i < c->texts.n && !s; i += n) {
        n = c->texts.n - i < CHUNK ? c->texts.n - i : CHUNK;
        s = jt_text_rows_make(&way, c->texts.line + i, n, i + 1, &c->rows, err);
        if (!s) s = jt_classify(c->model, c->rows.row, (int)n, &o, c->x + i * labels, err);
    }
    return s;
}

/* With one label the sigmoid, else the softmax, as transformers' pipelines do. */
static void classify_probabilities(const float *x, int n, double *p) {
    double most = (double)x[0], sum = 0;
    for (int i = 1; i < n; i++) most = (double)x[i] > most ? (double)x[i] : most;
    for (int i = 0; i < n; i++) sum += p[i] = exp((double)x[i] - most);
    for (int i = 0; i < n; i++) p[i] = n == 1 ? 1 / (1 + exp(-(double)x[0])) : p[i] / sum;
}

static bool classify_print(const struct classify_run *c, jt_str *o) {
    int labels = c->info.labels;
    double *p = jt_alloc((size_t)labels, sizeof *p);
    bool json = jt_arg_flag(c->args, "json"), good = p != NULL;
    for (size_t i = 0; i < c->texts.n && good; i++) {
        const float *x = c->x + i * (size_t)labels;
        int best = 0;
        classify_probabilities(x, labels, p);
        for (int k = 1; k < labels; k++)
            if (x[k] > x[best]) best = k;
        const char *name = jt_model_label(c->model, best);
        jt_str_clear(o);
        if (json) {
            jt_str_printf(o, "{\"index\": %zu, \"label\": ", i);
            jt_str_json(o, name, strlen(name));
            jt_str_printf(o, ", \"score\": %.6f, \"logits\": [", p[best]);
            for (int k = 0; k < labels; k++) {
                if (k) jt_str_puts(o, ", ");
                jt_text_float(o, x[k]);
            }
            jt_str_puts(o, "]}\n");
        } else {
            jt_str_printf(o, "%.6f\t%s\t", p[best], name);
            jt_str_add(o, c->texts.line[i].s, c->texts.line[i].n);
            jt_str_putc(o, '\n');
        }
        good = !o->failed;
        if (good && !jt_out_str(o)) break;
    }
    jt_free(p);
    return good;
}

/* ---- rerank ---- */

struct ranked {
    float score;
    size_t index;
};

/* Best first; of equal ones in the order they were given. */
static int ranked_order(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static bool rerank_print(const struct classify_run *c, jt_str *o) {
    struct ranked *r = jt_alloc(c->texts.n, sizeof *r);
    size_t most = (size_t)jt_arg_int(c->args, "top");
    bool json = jt_arg_flag(c->args, "json"), good = r != NULL;
    for (size_t i = 0; good && i < c->texts.n; i++) r[i] = (struct ranked){c->x[i], i};
    if (good) qsort(r, c->texts.n, sizeof *r, ranked_order);
    for (size_t i = 0; i < c->texts.n && good && (!most || i < most); i++) {
        const jt_text_line *t = &c->texts.line[r[i].index];
        jt_str_clear(o);
        if (json) jt_str_printf(o, "{\"index\": %zu, \"score\": ", r[i].index);
        jt_text_float(o, r[i].score);
        if (json) {
            jt_str_puts(o, ", \"text\": ");
            jt_str_json(o, t->s, t->n);
            jt_str_puts(o, "}\n");
        } else {
            jt_str_printf(o, "\t%zu\t", r[i].index);
            jt_str_add(o, t->s, t->n);
            jt_str_putc(o, '\n');
        }
        good = !o->failed;
        if (good && !jt_out_str(o)) break;
    }
    jt_free(r);
    return good;
}

static int classify_run(const jt_args *a, bool rank) {
    struct classify_run c = {.args = a};
    jt_session session;
    jt_error err;
    jt_str line = {0};
    jt_text_way way = {.tabs = !rank};
    if (rank) way.query = (jt_text_line){jt_arg_pos(a, 1), strlen(jt_arg_pos(a, 1))};
    jt_interrupt_install();
    jt_status s = jt_texts_read(a, rank ? 2 : 1, &c.texts, &err);
    int code = s ? jt_fail(&err) : jt_session_open(a, jt_arg_pos(a, 0), &session);
    if (!code) {
        c.model = session.model;
        jt_model_get_info(c.model, &c.info);
        s = rank && c.info.labels > 1
                ? jt_error_set(&err, JT_UNSUPPORTED, "%s tells %d labels apart; a model that ranks has one, see 'jeton classify'",
                               c.info.name, c.info.labels)
                : classify_all(&c, way, &err);
        if (!s && !(rank ? rerank_print : classify_print)(&c, &line)) s = jt_nomem(&err, "a line", c.texts.n, sizeof(struct ranked));
        if (s) code = jt_fail(&err);
        jt_text_rows_free(&c.rows);
        jt_session_close(&session);
    }
    jt_free(c.x);
    jt_str_free(&line);
    jt_texts_free(&c.texts);
    return code;
}

static int run_classify(const jt_args *a) { return classify_run(a, false); }
static int run_rerank(const jt_args *a) { return classify_run(a, true); }

static const jt_pos classify_pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "a folder or a GGUF file with a head that classifies"},
    {"TEXT", JT_POS_TEXT, true, true, "texts, or pairs with a tab between (default: the lines of --file or of standard input)"},
    {0},
};
static const jt_opt classify_opts[] = {
    {"file", 'f', JT_OPT_FILE, "FILE", NULL, 0, 0, "texts, a line each; - is standard input"},
    {"truncate", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "cut off the end of texts that are too long, instead of refusing them"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print a JSON object a line, with the head's numbers"},
    {0},
};
static const jt_example classify_examples[] = {
    {"jeton classify sentiment/ \"what a day\"", "probability, label and text"},
    {"jeton classify nli/ $'A man sleeps.\\tSomebody is awake.'", "a pair of texts"},
    {0},
};
const jt_command jt_cmd_classify = {
    .name = "classify",
    .summary = "the label that a model gives each text",
    .about =
        "Texts are the arguments, or the lines of --file, or of standard input where neither is given. Probabilities are the softmax of "
        "what the head says, with one label the sigmoid.",
    .opt = classify_opts,
    .model_options = true,
    .encoders = true,
    .pos = classify_pos,
    .example = classify_examples,
    .run = run_classify,
};

static const jt_pos rerank_pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "a folder or a GGUF file with a head that ranks (a cross-encoder)"},
    {"QUERY", JT_POS_TEXT, false, false, "what is looked for"},
    {"TEXT", JT_POS_TEXT, true, true, "what may answer it (default: the lines of --file or of standard input)"},
    {0},
};
static const jt_opt rerank_opts[] = {
    {"file", 'f', JT_OPT_FILE, "FILE", NULL, 0, 0, "texts, a line each; - is standard input"},
    {"top", 'n', JT_OPT_INT, "N", "0", 0, 1 << 30, "print the best N; 0 is all"},
    {"truncate", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "cut off the end of texts that are too long, instead of refusing them"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print a JSON object a line"},
    {0},
};
static const jt_example rerank_examples[] = {
    {"jeton rerank ms-marco-MiniLM-L6-v2/ \"how tall is it\" -f passages.txt -n 10", "score, number and text of the ten best lines"},
    {0},
};
const jt_command jt_cmd_rerank = {
    .name = "rerank",
    .summary = "texts in the order in which they answer a query",
    .about = "Every text is read together with the query. Scores are what the model's head says, numbers of texts begin at 0.",
    .opt = rerank_opts,
    .model_options = true,
    .encoders = true,
    .pos = rerank_pos,
    .example = rerank_examples,
    .run = run_rerank,
};
