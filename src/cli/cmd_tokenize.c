/* jeton tokenize: bytes to tokens and back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/out.h"
#include "cli/tokenizer_source.h"
#include "core/file.h"
#include "core/json.h"
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

static int flags_of(const jt_args *a) {
    if (jt_arg_flag(a, "no-special")) return 0;
    return jt_arg_flag(a, "bare") ? JT_PARSE_SPECIAL : JT_ADD_SPECIAL | JT_PARSE_SPECIAL;
}

/* Ids as numbers of 16 or 32 bits, lowest byte first. */
static bool print_binary(const jt_tokens *k, int bits) {
    uint8_t block[4096];
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < k->n; i++) {
        uint32_t id = (uint32_t)k->t[i].id;
        for (int b = 0; b < bits; b += 8) block[n++] = (uint8_t)(id >> b);
        if (n + 4 > sizeof block || i + 1 == k->n) {
            ok = jt_out_bytes(block, n);
            n = 0;
        }
    }
    return ok;
}

static int binary_bits(const jt_args *a) {
    const char *form = jt_arg_text(a, "binary");
    return !form ? 0 : !strcmp(form, "u16") ? 16 : 32;
}

static bool print_ids(const jt_tokens *k, bool first) {
    bool ok = true;
    for (size_t i = 0; ok && i < k->n; i++) ok = jt_out("%s%d", i || !first ? " " : "", k->t[i].id);
    return ok;
}

static int encode(const jt_args *a, const jt_tokenizer *t, const jt_str *in) {
    jt_tokens k = {0};
    jt_error err;
    if (jt_encode_threads(t, jt_str_c(in), in->n, flags_of(a), (int)jt_arg_int(a, "threads"), &k, &err)) return jt_fail(&err);
    if (jt_tokenizer_exact(t)) say_lost_bytes(t, &k, in->n);
    bool memory = true;
    if (jt_arg_flag(a, "json")) {
        memory = print_json(t, &k, in->n);
    } else if (binary_bits(a)) {
        print_binary(&k, binary_bits(a));
    } else if (jt_arg_flag(a, "ids")) {
        print_ids(&k, true);
        jt_out("\n");
    } else {
        memory = print_table(t, &k);
    }
    jt_tokens_free(&k);
    if (memory) return JT_EXIT_OK;
    jt_say("no memory to print the tokens");
    return JT_EXIT_FAILURE;
}

/* Text is read in blocks, and ids are printed as soon as nothing that follows can change them. */
static int encode_stream(const jt_args *a, const jt_tokenizer *t, const char *path) {
    char block[1 << 16];
    jt_encoder *e = NULL;
    jt_tokens k = {0};
    jt_error err;
    bool file = path && strcmp(path, "-") != 0, first = true;
    FILE *f = file ? fopen(path, "rb") : stdin;
    if (!f) {
        jt_say("%s: %s", path, strerror(errno));
        return JT_EXIT_FILE;
    }
    jt_status s = jt_encoder_new(t, flags_of(a), &e, &err);
    for (bool ok = true, more = true; !s && ok && more;) {
        ssize_t n = read(fileno(f), block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) s = jt_error_set(&err, JT_IO, "%s: %s", file ? path : "standard input", strerror(errno));
        more = n > 0;
        k.n = 0;
        if (!s) s = more ? jt_encoder_push(e, block, (size_t)n, &k, &err) : jt_encoder_end(e, &k, &err);
        if (!s) ok = binary_bits(a) ? print_binary(&k, binary_bits(a)) : print_ids(&k, first);
        if (!s && !binary_bits(a) && !more) jt_out("\n");
        if (!s && ok) ok = jt_out_flush();
        first = first && !k.n;
    }
    jt_encoder_free(e);
    jt_tokens_free(&k);
    if (file) fclose(f);
    return s ? jt_fail(&err) : JT_EXIT_OK;
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

/* ---- a text a line ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The text of a line: a JSON string, or {"hex": "..."} for any bytes. */
static jt_status line_text(const char *s, size_t n, jt_str *out, jt_error *err) {
    jt_json *v = NULL;
    size_t k = 0;
    jt_status st = jt_json_parse(s, n, &v, err);
    if (st) return st;
    const char *text = jt_json_string(v, &k), *hex = text ? NULL : jt_json_string(jt_json_member(v, "hex"), &k);
    if (text) jt_str_add(out, text, k);
    for (size_t i = 0; hex && !st && i < k; i += 2) {
        int high = hex_digit(hex[i]), low = i + 1 < k ? hex_digit(hex[i + 1]) : -1;
        if (high < 0 || low < 0)
            st = jt_error_set(err, JT_FORMAT, "\"hex\" is not pairs of hexadecimal digits");
        else
            jt_str_putc(out, (char)(high * 16 + low));
    }
    if (!text && !hex) st = jt_error_set(err, JT_FORMAT, "a line is neither a JSON string nor {\"hex\": ...}");
    jt_json_free(v);
    return st ? st : jt_str_check(out, err);
}

static jt_status line_encode(const jt_args *a, const jt_tokenizer *t, const char *s, size_t n, jt_str *o, jt_error *err) {
    jt_tokens k = {0};
    jt_str text = {0};
    jt_status st = line_text(s, n, &text, err);
    if (!st) st = jt_encode(t, jt_str_c(&text), text.n, flags_of(a), &k, err);
    bool json = jt_arg_flag(a, "json");
    if (json) jt_str_puts(o, "{\"ids\": [");
    for (size_t i = 0; !st && i < k.n; i++) jt_str_printf(o, "%s%d", !i ? "" : json ? ", " : " ", k.t[i].id);
    if (json) jt_str_puts(o, "], \"spans\": [");
    for (size_t i = 0; json && !st && i < k.n; i++) jt_str_printf(o, "%s[%zu, %zu]", i ? ", " : "", k.t[i].begin, k.t[i].end);
    jt_str_puts(o, json ? "]}\n" : "\n");
    jt_tokens_free(&k);
    jt_str_free(&text);
    return st;
}

static jt_status line_decode(const jt_args *a, const jt_tokenizer *t, const char *s, size_t n, jt_str *o, jt_error *err) {
    int32_t *ids = NULL;
    size_t count = 0, bytes = 0;
    char *text = NULL;
    jt_str line = {0};
    jt_str_add(&line, s, n);
    jt_status st = jt_str_check(&line, err);
    if (!st) st = read_ids(t, &line, &ids, &count, err);
    if (!st) st = jt_decode(t, ids, count, !jt_arg_flag(a, "no-special"), &text, &bytes, err);
    jt_str_puts(o, "{\"hex\": \"");
    for (size_t i = 0; !st && i < bytes; i++) jt_str_printf(o, "%02x", (unsigned char)text[i]);
    jt_str_puts(o, "\"}\n");
    jt_text_free(text);
    jt_free(ids);
    jt_str_free(&line);
    return st;
}

static int each_line(const jt_args *a, const jt_tokenizer *t, const jt_str *in) {
    jt_str o = {0};
    jt_error err;
    jt_status s = JT_OK;
    bool ok = true;
    for (size_t at = 0, number = 1; !s && ok && at < in->n; number++) {
        const char *p = jt_str_c(in) + at, *end = memchr(p, '\n', in->n - at);
        size_t n = end ? (size_t)(end - p) : in->n - at;
        jt_str_clear(&o);
        s = (jt_arg_flag(a, "decode") ? line_decode : line_encode)(a, t, p, n, &o, &err);
        if (!s) s = jt_str_check(&o, &err);
        if (s) s = jt_error_in(&err, s, "line %zu", number);
        ok = s || jt_out_str(&o);
        at += n + 1;
    }
    jt_str_free(&o);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static int run(const jt_args *a) {
    static const char *const forms[] = {"ids", "json"};
    int n = jt_arg_text(a, "binary") != NULL;
    for (size_t i = 0; i < 2; i++) n += jt_arg_flag(a, forms[i]);
    if (n > 1) return jt_fail_usage(a, "--ids, --json and --binary are forms of output; choose one");
    if ((jt_arg_flag(a, "ids") || jt_arg_text(a, "binary")) && jt_arg_flag(a, "decode"))
        return jt_fail_usage(a, "--decode reads ids and prints text; --ids and --binary do not go with it");
    if (jt_arg_flag(a, "lines") && (jt_arg_text(a, "binary") || jt_arg_flag(a, "stream")))
        return jt_fail_usage(a, "--lines prints a line for each text; --binary and --stream do not go with it");
    if (jt_arg_flag(a, "stream") && !jt_arg_flag(a, "ids") && !jt_arg_text(a, "binary"))
        return jt_fail_usage(a, "--stream prints ids as they come; give --ids or --binary with it");
    jt_tokenizer_source o = {0};
    const jt_tokenizer *t = NULL;
    jt_str in = {0};
    jt_error err;
    const char *file = jt_arg_pos(a, 1);
    int code = jt_tokenizer_source_open(jt_arg_pos(a, 0), jt_arg_text(a, "encoding"), &o, &t);
    if (!code && binary_bits(a) == 16 && jt_tokenizer_vocab(t) > 1 << 16) {
        jt_say("--binary u16: the vocabulary has %d tokens, which 16 bits do not hold; use u32", jt_tokenizer_vocab(t));
        code = JT_EXIT_USAGE;
    }
    if (!code && jt_arg_flag(a, "stream")) {
        code = encode_stream(a, t, file);
    } else if (!code) {
        jt_status s = jt_file_read(file ? file : "-", &in, &err);
        code = s                          ? jt_fail(&err)
               : jt_arg_flag(a, "lines")  ? each_line(a, t, &in)
               : jt_arg_flag(a, "decode") ? decode(a, t, &in)
                                          : encode(a, t, &in);
    }
    jt_tokenizer_source_close(&o);
    jt_str_free(&in);
    return code;
}

static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "whose tokenizer to use: a model, or a tokenizer's own file or folder"},
    {"FILE", JT_POS_FILE, true, false, "the text, byte for byte (default standard input)"},
    {0},
};
static const jt_opt opts[] = {
    {"ids", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print ids alone, on one line"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object with ids, byte offsets, texts and bytes"},
    {"binary", 0, JT_OPT_CHOICE, "u16|u32", NULL, 0, 0, "print ids as numbers of that many bits, lowest byte first"},
    {"no-special", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "add no special tokens and take none from the text; with --decode, leave them out"},
    {"bare", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "add no special tokens, but take those that the text spells"},
    {"decode", 'd', JT_OPT_FLAG, NULL, NULL, 0, 0, "read ids and print the bytes they stand for"},
    {"lines", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "take each line for a text: a JSON string, or {\"hex\": ...} for any bytes"},
    {"stream", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print ids while the text is still being read"},
    {"threads", 't', JT_OPT_INT, "N", "0", 0, 1024, "threads for a long text; 0 is one per processor, and the ids are the same"},
    {"encoding", 0, JT_OPT_TEXT, "NAME", NULL, 0, 0, "of a file of tiktoken, such as o200k_base"},
    {0},
};
static const jt_example examples[] = {
    {"echo \"Hello there\" | jeton tokenize smollm2", "ids, byte offsets and texts, one token a line"},
    {"jeton tokenize smollm2 book.txt --ids | jeton tokenize smollm2 -d", "there and back: the same bytes"},
    {"jeton tokenize tokenizer.json corpus.txt --binary u32 > corpus.bin", "a corpus for training, by all processors"},
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
