/* answer.h: one answer of a model, streamed: what `run` and `chat` share. */
#ifndef JT_CLI_ANSWER_H
#define JT_CLI_ANSWER_H

#include "cli/command.h"
#include "cli/parts.h"
#include "cli/pipelines.h"
#include "cli/session.h"
#include "core/file.h"
#include "jeton/decode.h"
#include "jeton/trace.h"

/* The option rows that say how an answer is made; `pipeline` and `tokens` are the command's own defaults. */
#define JT_ANSWER_OPTS(pipeline, tokens)                                                                                                   \
    {"decode", 'd', JT_OPT_TEXT, "PIPELINE",                                                                                               \
     pipeline, 0,   0,           "how tokens are chosen: greedy, stages such as temp:0.8 | top-p:0.9, or @NAME of the config file"},       \
        {"seed", 's', JT_OPT_U64, "N", "0", 0, 0, "seed of the random numbers; the same seed gives the same text anywhere"},               \
        {"tokens", 'n', JT_OPT_INT, "N", tokens, 0, 1 << 24, "tokens to generate at most; 0: until another limit"},                        \
        {"system", 0, JT_OPT_TEXT, "TEXT", NULL, 0, 0, "the system message, in place of the model's own"},                                 \
        {"stop", 0, JT_OPT_LIST, "TEXT", NULL, 0, 0, "end the answer where this text comes up; it is not printed"},                        \
        {"max-seconds", 0, JT_OPT_REAL, "S", "0", 0, 1e9, "end the answer after so many seconds; 0: no limit"},                            \
        {"on-full",                                                                                                                        \
         0,                                                                                                                                \
         JT_OPT_CHOICE,                                                                                                                    \
         "stop|refuse",                                                                                                                    \
         "stop",                                                                                                                           \
         0,                                                                                                                                \
         0,                                                                                                                                \
         "when the context is full: stop the answer, or refuse beforehand what could fill it"},                                            \
        {"adapter", 0, JT_OPT_TEXT, "NAME", NULL, 0, 0, "answer with the adapter of --lora NAME=PATH"},                                    \
        JT_PLUGIN_OPT, {"model2", 0, JT_OPT_LIST, "ROLE=MODEL",                                                                            \
                        NULL,     0, 0,           "a further model for methods that name its role, such as large=FILE for r2r"},           \
    {                                                                                                                                      \
        "ignore-end", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "go on where the model would end the answer"                                       \
    }

/* What came out. Zero-initialised is empty; jt_answer_clear makes it empty again, memory kept. */
typedef struct jt_answer {
    jt_str text;
    int32_t *id; /* every token decided, the one that ended the answer included */
    float *logprob, *raw_logprob;
    size_t n, cap_id, cap_logprob, cap_raw;
    jt_str top; /* JSON: for each token a list of its best candidates; only with request.top_logprobs */
    jt_end_reason reason;
    int prompt_tokens, reused_tokens, answer_tokens; /* reused: of the prompt, evaluated for an earlier answer */
    double prompt_seconds, answer_seconds;
} jt_answer;
void jt_answer_clear(jt_answer *a);
void jt_answer_free(jt_answer *a);

/* Adds one event to its answer: a token (with its best candidates if `top`), text, and what the end tells. */
jt_status jt_answer_take(const jt_tokenizer *t, const jt_event *e, bool top, jt_answer *out, jt_error *err);

/* Where things go while the answer is made. */
typedef struct jt_answer_sink {
    bool print;             /* the text, to standard output, as it comes */
    jt_trace_writer *trace; /* of request and events; NULL: none */
    jt_parts *parts;        /* the answer's parts, begun by jt_answer_run; NULL: none are told apart */
    jt_parts_show *show;    /* prints them as they come, in place of the text; NULL: none is printed */
} jt_answer_sink;

/* Runs one request to its end and gives a JT_EXIT code, having said what failed. A signal ends the answer
 * (JT_END_CANCELLED, JT_EXIT_OK: the caller decides what that means). A failed write cancels the job. */
int jt_answer_run(jt_driver *d, const jt_tokenizer *t, const jt_request *r, const jt_answer_sink *sink, jt_answer *out);

/* Says on standard error how long the answer took and why it ended. `before`: what to say first, "" or "loaded in 1 s; ". */
void jt_answer_say_timings(const jt_answer *a, const char *before);

/* Fills everything but prompt and pipeline from the options; pointers stay those of `a`. */
void jt_answer_request(const jt_args *a, int context, jt_request *r);

/* Text for the terminal: control characters are shown as pictures, so that no text can work the terminal. To a file or
 * pipe bytes go as they are. */
bool jt_answer_print(const char *s, size_t n);

#endif
