/* eval_text.h: what the commands that score a text share: the text as windows of
 * ids, the numeric mode in words, and a bar that shows how far the work is. */
#ifndef JT_CLI_EVAL_TEXT_H
#define JT_CLI_EVAL_TEXT_H

#include "cli/command.h"
#include "cli/progress.h"
#include "core/str.h"
#include "score/score.h"

/* MODEL and TEXT, and what --chunk takes. */
extern const jt_pos jt_eval_pos[];
#define JT_EVAL_CHUNK(help)                                                                                                                \
    { "chunk", 0, JT_OPT_INT, "N", "512", 2, 1 << 20, help }

typedef struct jt_eval_text {
    jt_str text;
    int32_t *ids;
    size_t n_ids;
    jt_windows windows;
} jt_eval_text;

/* The file `path` ("-": standard input), tokenised whole with the model's tokenizer,
 * no special tokens in it or added, cut into windows of `chunk` tokens scored from
 * the middle on, at most `chunks` (0: all). For a model whose files ask for a
 * beginning-of-text token it stands before the text and in place of each window's
 * first token, as in llama.cpp. A text shorter than one window is refused. */
jt_status jt_eval_text_open(const jt_model *m, const char *path, int chunk, size_t chunks, jt_eval_text *out, jt_error *err);
/* The same for the text that `as` holds, with another model's tokenizer; out->text stays empty. */
jt_status jt_eval_text_again(const jt_model *m, const jt_eval_text *as, jt_eval_text *out, jt_error *err);
/* Zero-initialised is fine. */
void jt_eval_text_close(jt_eval_text *t);

/* A jt_watch over a text: a bar with the perplexity so far, and Ctrl-C. */
typedef struct jt_eval_watch {
    jt_progress bar;
    const jt_windows *windows;
    const double *logprob; /* as jt_score_windows fills it; NULL: no perplexity on the bar */
    jt_perplexity so_far;
    size_t counted; /* windows in so_far */
} jt_eval_watch;
int jt_eval_watch_step(void *self, size_t windows_done);

/* Members of a JSON object, without braces: "model": NAME, "activations" ... "mode". */
void jt_eval_mode_json(const jt_model *m, jt_str *out);

#endif
