/* jeton embed: a vector for each text. */
#include <string.h>

#include "cli/command.h"
#include "cli/embed_texts.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "core/file.h"

enum { EMBED_CHUNK = 512 };

struct embed_run {
    const jt_args *args;
    jt_model *model;
    jt_model_info info;
    jt_texts texts;
    jt_text_rows rows;
    jt_embed_options options;
    float *x; /* [EMBED_CHUNK][hidden] */
    jt_str line;
};

static int embed_interrupted(void *self, int done) {
    (void)self, (void)done;
    return jt_interrupted();
}

/* The header of an array float32 [rows][hidden] in NumPy's format, version 1.0. */
static void embed_npy(const struct embed_run *e, jt_str *o) {
    char text[128];
    int n = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %d), }", e->texts.n, e->info.hidden);
    int all = 118; /* with the ten bytes before it a multiple of 64 */
    jt_str_add(o, "\x93NUMPY\x01", 7);
    jt_str_putc(o, 0), jt_str_putc(o, (char)all), jt_str_putc(o, 0);
    jt_str_add(o, text, (size_t)n);
    for (int i = n; i < all - 1; i++) jt_str_putc(o, ' ');
    jt_str_putc(o, '\n');
}

static void embed_values(const struct embed_run *e, const float *x, bool binary, const char *between, jt_str *o) {
    for (int j = 0; j < e->info.hidden; j++) {
        uint32_t bits;
        if (!binary) {
            if (j) jt_str_puts(o, between);
            jt_text_float(o, x[j]);
            continue;
        }
        memcpy(&bits, &x[j], sizeof bits);
        for (int k = 0; k < 4; k++) jt_str_putc(o, (char)(bits >> 8 * k & 255));
    }
}

static bool embed_print(struct embed_run *e, size_t first, size_t n) {
    bool json = !strcmp(jt_arg_text(e->args, "format"), "json"), npy = !strcmp(jt_arg_text(e->args, "format"), "npy"), good = true;
    for (size_t i = 0; i < n && good; i++) {
        const float *x = e->x + i * (size_t)e->info.hidden;
        jt_str_clear(&e->line);
        if (npy && !(first + i)) embed_npy(e, &e->line);
        if (json) jt_str_printf(&e->line, "{\"index\": %zu, \"tokens\": %d, \"embedding\": [", first + i, e->rows.row[i].n);
        embed_values(e, x, npy, json ? ", " : " ", &e->line);
        if (!npy) jt_str_puts(&e->line, json ? "]}\n" : "\n");
        good = !e->line.failed && jt_out_str(&e->line);
    }
    return !e->line.failed;
}

static jt_status embed_all(struct embed_run *e, jt_error *err) {
    jt_text_way way = {.model = e->model, .truncate = jt_arg_flag(e->args, "truncate"), .most = (int)jt_arg_int(e->args, "max-tokens")};
    size_t floats;
    if (!jt_mul(EMBED_CHUNK, (size_t)e->info.hidden, &floats) || !(e->x = jt_alloc(floats, sizeof *e->x)))
        return jt_nomem(err, "vectors", EMBED_CHUNK, (size_t)e->info.hidden * sizeof *e->x);
    jt_status s = JT_OK;
    for (size_t i = 0, n; i < e->texts.n && !s; i += n) {
        n = e->texts.n - i < EMBED_CHUNK ? e->texts.n - i : EMBED_CHUNK;
        s = jt_text_rows_make(&way, e->texts.line + i, n, i + 1, &e->rows, err);
        if (!s) s = jt_embed(e->model, e->rows.row, (int)n, &e->options, e->x, err);
        if (!s && !embed_print(e, i, n)) s = jt_nomem(err, "a line", (size_t)e->info.hidden, 16);
        if (!s && !jt_out_flush()) break;
    }
    return s;
}

static const struct {
    const char *name;
    jt_pooling pooling;
} embed_way[] = {{"mean", JT_POOL_MEAN}, {"cls", JT_POOL_CLS},       {"last", JT_POOL_LAST},
                 {"max", JT_POOL_MAX},   {"pooler", JT_POOL_POOLER}, {"auto", JT_POOL_AUTO}};

static int run(const jt_args *a) {
    struct embed_run e = {.args = a};
    jt_session session;
    jt_error err;
    if (jt_arg_flag(a, "normalize") && jt_arg_flag(a, "no-normalize"))
        return jt_fail_usage(a, "--normalize and --no-normalize: choose one");
    e.options = (jt_embed_options){.normalise = jt_arg_flag(a, "normalize")      ? 1
                                                : jt_arg_flag(a, "no-normalize") ? 0
                                                                                 : -1,
                                   .progress = embed_interrupted};
    for (size_t i = 0; i < sizeof embed_way / sizeof *embed_way; i++)
        if (!strcmp(embed_way[i].name, jt_arg_text(a, "pooling"))) e.options.pooling = embed_way[i].pooling;
    jt_interrupt_install();
    jt_status s = jt_texts_read(a, 1, &e.texts, &err);
    int code = s ? jt_fail(&err) : jt_session_open(a, jt_arg_pos(a, 0), &session);
    if (!code) {
        e.model = session.model;
        jt_model_get_info(e.model, &e.info);
        if (!jt_model_tokenizer(e.model))
            s = jt_error_set(&err, JT_UNSUPPORTED, "%s: its files carry no tokenizer that this build reads", e.info.name);
        else
            s = embed_all(&e, &err);
        if (s) code = jt_fail(&err);
        jt_text_rows_free(&e.rows);
        jt_session_close(&session);
    }
    jt_free(e.x);
    jt_str_free(&e.line);
    jt_texts_free(&e.texts);
    return code;
}

static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "a folder or a GGUF file: an encoder, or a decoder trained for embeddings"},
    {"TEXT", JT_POS_TEXT, true, true, "texts (default: the lines of --file or of standard input)"},
    {0},
};
static const jt_opt opts[] = {
    {"file", 'f', JT_OPT_FILE, "FILE", NULL, 0, 0, "texts, a line each; - is standard input"},
    {"pooling", 0, JT_OPT_CHOICE, "auto|mean|cls|last|max|pooler", "auto", 0, 0,
     "how rows become one: as the model's files say, their mean, the first, the last, the largest of each, or the model's pooler"},
    {"normalize", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "divide vectors by their length (default: as the model's files say)"},
    {"no-normalize", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "leave vectors as they come"},
    {"truncate", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "cut off the end of texts that are too long, instead of refusing them"},
    {"max-tokens", 0, JT_OPT_INT, "N", "0", 0, 1 << 24, "tokens of a text at most; 0 is what the model reads"},
    {"format", 0, JT_OPT_CHOICE, "plain|json|npy", "plain", 0, 0,
     "numbers on a line for each text, a JSON object a line, or one NumPy array of float32"},
    {0},
};
static const jt_example examples[] = {
    {"jeton embed all-MiniLM-L6-v2/ \"a first text\" \"a second one\"", "two lines of 384 numbers"},
    {"jeton embed model.gguf -f texts.txt --format npy > vectors.npy", "an array [lines, width] for numpy.load"},
    {0},
};
const jt_command jt_cmd_embed = {
    .name = "embed",
    .summary = "a vector for each text",
    .about =
        "Texts are the arguments, or the lines of --file, or of standard input where neither is given. What a text's vector is depends on "
        "the text and the model alone, not on the other texts. Numbers read back as the same float32.\n\n"
        "Pooling and length follow modules.json of a sentence-transformers folder, or the pooling type of a GGUF file (whose vectors "
        "have length 1); else encoders give the mean of all rows, decoders the last row.",
    .opt = opts,
    .model_options = true,
    .encoders = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
