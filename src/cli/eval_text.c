#include "cli/eval_text.h"

#include <inttypes.h>

#include "cli/interrupt.h"
#include "core/file.h"
#include "core/mem.h"
#include "jeton/text.h"

const jt_pos jt_eval_pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "a GGUF file, a Hugging Face folder or a known name"},
    {"TEXT", JT_POS_FILE, false, false, "the text, taken byte for byte; - reads standard input"},
    {0},
};

/* *bos: the token that the model's files ask for at the beginning of a text, or -1. */
static jt_status asked_bos(const jt_tokenizer *t, int32_t *bos, jt_error *err) {
    jt_tokens empty = {0};
    jt_status st = jt_encode(t, "", 0, JT_ADD_SPECIAL, &empty, err);
    if (st) return st;
    *bos = empty.n && empty.t[0].id == jt_tokenizer_bos(t) ? empty.t[0].id : -1;
    jt_tokens_free(&empty);
    return JT_OK;
}

static jt_status tokenise(const jt_tokenizer *t, const jt_str *text, int32_t bos, jt_eval_text *e, jt_error *err) {
    jt_tokens tokens = {0};
    jt_status st = jt_encode(t, jt_str_c(text), text->n, 0, &tokens, err);
    if (st) return st;
    size_t before = bos >= 0;
    e->n_ids = tokens.n + before;
    e->ids = jt_alloc(e->n_ids, sizeof *e->ids);
    if (!e->ids)
        st = jt_nomem(err, "the ids of the text", e->n_ids, sizeof *e->ids);
    else if (before)
        e->ids[0] = bos;
    for (size_t i = 0; !st && i < tokens.n; i++) e->ids[before + i] = tokens.t[i].id;
    jt_tokens_free(&tokens);
    return st;
}

static jt_status cut(const jt_model *m, const jt_str *text, int chunk, size_t chunks, jt_eval_text *out, jt_error *err) {
    const jt_tokenizer *t = jt_model_tokenizer(m);
    int32_t bos;
    if (!t) return jt_error_set(err, JT_UNSUPPORTED, "the model's files carry no tokenizer; give ids to 'jeton eval logits' instead");
    jt_status st = asked_bos(t, &bos, err);
    if (!st) st = tokenise(t, text, bos, out, err);
    if (st) return st;
    if (out->n_ids < (size_t)chunk)
        return jt_error_set(err, JT_INVALID, "the text has %zu tokens, fewer than one chunk of %d; give a longer text or a smaller --chunk",
                            out->n_ids, chunk);
    out->windows = jt_windows_halves(out->ids, out->n_ids, chunk, chunks);
    for (size_t i = 0; bos >= 0 && i < out->windows.n; i++) out->ids[i * (size_t)chunk] = bos;
    return JT_OK;
}

jt_status jt_eval_text_open(const jt_model *m, const char *path, int chunk, size_t chunks, jt_eval_text *out, jt_error *err) {
    *out = (jt_eval_text){0};
    jt_status st = jt_file_read(path, &out->text, err);
    if (!st && (st = cut(m, &out->text, chunk, chunks, out, err))) jt_error_in(err, st, "%s", path);
    if (st) jt_eval_text_close(out);
    return st;
}

jt_status jt_eval_text_again(const jt_model *m, const jt_eval_text *as, jt_eval_text *out, jt_error *err) {
    *out = (jt_eval_text){0};
    jt_status st = cut(m, &as->text, as->windows.length, as->windows.n, out, err);
    if (st) jt_eval_text_close(out);
    return st;
}

void jt_eval_text_close(jt_eval_text *t) {
    jt_str_free(&t->text);
    jt_free(t->ids);
    *t = (jt_eval_text){0};
}

int jt_eval_watch_step(void *self, size_t windows_done) {
    jt_eval_watch *w = self;
    char note[64];
    if (w->logprob && windows_done > w->counted) {
        size_t scored = (size_t)jt_windows_scored(w->windows);
        jt_perplexity_add(&w->so_far, w->logprob + w->counted * scored, (windows_done - w->counted) * scored);
        w->counted = windows_done;
    }
    snprintf(note, sizeof note, "%zu of %zu chunks", windows_done, w->windows->n);
    if (w->counted)
        snprintf(note, sizeof note, "%zu of %zu chunks, perplexity %.4f", windows_done, w->windows->n, jt_perplexity_value(&w->so_far));
    jt_progress_set(&w->bar, (double)windows_done / (double)w->windows->n, note);
    return jt_interrupted();
}

static void member(jt_str *out, const char *key, const char *value) {
    jt_str_printf(out, "\"%s\": ", key);
    jt_str_json(out, value, strlen(value));
}

void jt_eval_mode_json(const jt_model *m, jt_str *out) {
    jt_model_info info;
    jt_model_get_info(m, &info);
    member(out, "model", info.name);
    jt_str_puts(out, ", ");
    member(out, "weights", info.weight_types);
    jt_str_puts(out, ", ");
    member(out, "activations", info.activations);
    jt_str_puts(out, ", ");
    member(out, "kv_type", info.kv_type);
    jt_str_printf(out, ", \"mode\": \"%016" PRIx64 "\"", info.mode);
}
