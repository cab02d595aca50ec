/* jeton tokenize: bytes to tokens and back. */
#include <string.h>

#include "cli/command.h"
#include "cli/out.h"
#include "cli/session.h"
#include "core/file.h"
#include "jeton/text.h"

static void json_token(const jt_tokenizer *t, const jt_token *k, jt_str *o) {
    size_t n;
    const char *s = jt_token_bytes(t, k->id, &n);
    jt_str_printf(o, "{\"id\": %d, \"begin\": %zu, \"end\": %zu, \"special\": %s, \"text\": ", k->id, k->begin, k->end,
                  jt_token_is_special(t, k->id) ? "true" : "false");
    jt_str_json(o, s, n);
    jt_str_puts(o, ", \"bytes\": \"");
    for (size_t i = 0; i < n; i++) jt_str_printf(o, "%02x", (unsigned char)s[i]);
    jt_str_puts(o, "\"}");
}

/* Printed piece by piece: the list may be long. */
static bool print_json(const jt_tokenizer *t, const jt_tokens *k, size_t bytes) {
    jt_str o = {0};
    bool ok = jt_out("{\"bytes\": %zu, \"ids\": [", bytes);
    for (size_t i = 0; ok && i < k->n; i++) ok = jt_out("%s%d", i ? ", " : "", k->t[i].id);
    ok = ok && jt_out("],\n \"tokens\": [");
    for (size_t i = 0; ok && i < k->n; i++) {
        jt_str_clear(&o);
        jt_str_puts(&o, i ? ",\n  " : "\n  ");
        json_token(t, &k->t[i], &o);
        ok = !o.failed && jt_out_str(&o);
    }
    bool memory = !o.failed;
    jt_str_free(&o);
    if (ok) jt_out("]}\n");
    return memory;
}

static bool print_table(const jt_tokenizer *t, const jt_tokens *k) {
    jt_str o = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < k->n; i++) {
        size_t n;
        const char *s = jt_token_bytes(t, k->t[i].id, &n);
        jt_str_clear(&o);
        jt_str_printf(&o, "%8d  %8zu  ", k->t[i].id, k->t[i].begin);
        jt_str_json(&o, s, n);
        jt_str_putc(&o, '\n');
        ok = !o.failed && jt_out_str(&o);
    }
    bool memory = !o.failed;
    jt_str_free(&o);
    return memory;
}

/* A vocabulary may lack tokens for some bytes; the models' own tokenizers leave those out, and so it is said. A token's
 * span may hold such bytes. */
static void say_lost_bytes(const jt_tokenizer *t, const jt_tokens *k, size_t bytes) {
    size_t lost = 0, at = 0, n;
    for (size_t i = 0; i < k->n; i++) {
        const jt_token *o = &k->t[i];
        if (o->begin > at) lost += o->begin - at;
        jt_token_bytes(t, o->id, &n);
        if (o->end - o->begin > n) lost += o->end - o->begin - n;
        if (o->end > at) at = o->end;
    }
    lost += bytes - at;
    if (lost)
        jt_say("%zu byte%s of the text %s no token in this vocabulary and %s left out", lost, lost == 1 ? "" : "s",
               lost == 1 ? "has" : "have", lost == 1 ? "is" : "are");
}

static int encode(const jt_args *a, const jt_tokenizer *t, const jt_str *in) {
    jt_tokens k = {0};
    jt_error err;
    int flags = jt_arg_flag(a, "no-special") ? 0 : JT_ADD_SPECIAL | JT_PARSE_SPECIAL;
    if (jt_encode(t, jt_str_c(in), in->n, flags, &k, &err)) return jt_fail(&err);
    if (jt_tokenizer_exact(t)) say_lost_bytes(t, &k, in->n);
    bool memory = true;
    if (jt_arg_flag(a, "json")) {
        memory = print_json(t, &k, in->n);
    } else if (jt_arg_flag(a, "ids")) {
        for (size_t i = 0; i < k.n && jt_out("%s%d", i ? " " : "", k.t[i].id); i++) {
        }
        jt_out("\n");
    } else {
        memory = print_table(t, &k);
    }
    jt_tokens_free(&k);
    if (memory) return JT_EXIT_OK;
    jt_say("no memory to print the tokens");
    return JT_EXIT_FAILURE;
}

/* Ids in decimal with white space, commas or brackets between them, so that what --ids prints and JSON lists are read. */
static jt_status read_ids(const jt_tokenizer *t, const jt_str *in, int32_t **out, size_t *n, jt_error *err) {
    static const char between[] = " \t\r\n,[]";
    size_t cap = 0;
    const char *s = jt_str_c(in);
    for (size_t i = 0; i < in->n;) {
        if (strchr(between, s[i]) && s[i]) {
            i++;
            continue;
        }
        size_t len = 0;
        while (i + len < in->n && !(s[i + len] && strchr(between, s[i + len]))) len++;
        int64_t id;
        if (!jt_read_i64(s + i, len, &id) || id < 0 || id >= jt_tokenizer_vocab(t))
            return jt_error_set(err, JT_FORMAT, "byte %zu: \"%.*s\" is not a token id from 0 to %d", i, (int)(len > 40 ? 40 : len), s + i,
                                jt_tokenizer_vocab(t) - 1);
        jt_status st = jt_grow((void **)out, &cap, *n + 1, sizeof **out, err);
        if (st) return st;
        (*out)[(*n)++] = (int32_t)id;
        i += len;
    }
    return JT_OK;
}

static int decode(const jt_args *a, const jt_tokenizer *t, const jt_str *in) {
    int32_t *ids = NULL;
    size_t n = 0, n_text = 0;
    char *text = NULL;
    jt_error err;
    jt_status s = read_ids(t, in, &ids, &n, &err);
    if (!s) s = jt_decode(t, ids, n, !jt_arg_flag(a, "no-special"), &text, &n_text, &err);
    if (!s && jt_arg_flag(a, "json")) {
        jt_str o = {0};
        jt_str_puts(&o, "{\"text\": ");
        jt_str_json(&o, text, n_text);
        jt_str_puts(&o, "}\n");
        s = jt_str_check(&o, &err);
        if (!s) jt_out_str(&o);
        jt_str_free(&o);
    } else if (!s) {
        jt_out_bytes(text, n_text);
    }
    jt_text_free(text);
    jt_free(ids);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static int run(const jt_args *a) {
    if (jt_arg_flag(a, "ids") && jt_arg_flag(a, "json")) return jt_fail_usage(a, "--ids and --json are two forms of output; choose one");
    if (jt_arg_flag(a, "ids") && jt_arg_flag(a, "decode"))
        return jt_fail_usage(a, "--decode reads ids and prints text; --ids does not go with it");
    jt_engine *e = NULL;
    jt_model *m = NULL;
    jt_str in = {0};
    jt_error err;
    const char *file = jt_arg_pos(a, 1);
    jt_status s = jt_file_read(file ? file : "-", &in, &err);
    if (!s) s = jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err);
    int code = s ? jt_fail(&err) : jt_session_open_on(e, jt_arg_pos(a, 0), &(jt_model_options){.vocab_only = 1}, &m);
    if (!code) {
        const jt_tokenizer *t = jt_model_tokenizer(m);
        if (!t) {
            jt_say("%s: its files carry no tokenizer", jt_arg_pos(a, 0));
            code = JT_EXIT_FILE;
        } else {
            code = jt_arg_flag(a, "decode") ? decode(a, t, &in) : encode(a, t, &in);
        }
    }
    jt_model_free(m);
    jt_engine_free(e);
    jt_str_free(&in);
    return code;
}

static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "whose tokenizer to use: a file, a folder, or a known name"},
    {"FILE", JT_POS_FILE, true, false, "the text, byte for byte (default standard input)"},
    {0},
};
static const jt_opt opts[] = {
    {"ids", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print ids alone, on one line"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object with ids, byte offsets, texts and bytes"},
    {"no-special", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "add no special tokens and take none from the text; with --decode, leave them out"},
    {"decode", 'd', JT_OPT_FLAG, NULL, NULL, 0, 0, "read ids and print the bytes they stand for"},
    {0},
};
static const jt_example examples[] = {
    {"echo \"Hello there\" | jeton tokenize smollm2", "ids, byte offsets and texts, one token a line"},
    {"jeton tokenize smollm2 book.txt --ids | jeton tokenize smollm2 -d", "there and back: the same bytes"},
    {0},
};
const jt_command jt_cmd_tokenize = {
    .name = "tokenize",
    .summary = "turn bytes into tokens, and tokens into bytes",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
