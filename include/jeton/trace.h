/* trace.h: decision traces: how every token of a run was chosen, on disk.
 *
 * A trace is JSON lines (docs/traces.md is the format's manual): what was asked, and
 * for each token the random address and number, the model's candidates and what each
 * stage left of them, exactly. It is written as the run goes:
 *
 *   jt_trace_writer_new(put, self, &w, &err);
 *   jt_trace_write_model(w, "", model, "model.gguf", &err);
 *   jt_driver_submit(d, &request, &job, &err);           request.trace = 1
 *   jt_trace_write_request(w, job, &request, &err);
 *   while ((jt_driver_next(d, &e, &err)), e.job) jt_trace_write_event(w, &e, &err);
 *   jt_trace_write_end(w, &err);
 *
 * and read back as a whole with jt_trace_read. jt_trace_replay decides again what a
 * trace tells, and compares.
 *
 * Threads: one at a time for each writer; a trace that was read may be shared. */
#ifndef JETON_TRACE_H
#define JETON_TRACE_H

#include "jeton/decode.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { JT_TRACE_VERSION = 1 };

/* ---- writing ---- */

typedef struct jt_trace_writer jt_trace_writer;
/* Takes n bytes, whole lines; a failure ends the writing. */
typedef jt_status (*jt_trace_put)(void *self, const char *bytes, size_t n, jt_error *err);
JT_API jt_status jt_trace_writer_new(jt_trace_put put, void *self, jt_trace_writer **out, jt_error *err);
JT_API void jt_trace_writer_free(jt_trace_writer *w);
/* A model of the driver: role "" for the main one, which comes first, and the file or folder that it was opened from, which is
 * read in places (jt_trace_digest). All models and adapters come before the first request. */
JT_API jt_status jt_trace_write_model(jt_trace_writer *w, const char *role, jt_model *m, const char *path, jt_error *err);
/* An adapter by its name in the driver; "" for one that is the model's own. */
JT_API jt_status jt_trace_write_adapter(jt_trace_writer *w, const char *name, const jt_adapter *a, const char *path, float scale,
                                        jt_error *err);
/* What was submitted as `job`. */
JT_API jt_status jt_trace_write_request(jt_trace_writer *w, jt_job job, const jt_request *r, jt_error *err);
/* What the driver gave. Events of jobs that were not written are left out. */
JT_API jt_status jt_trace_write_event(jt_trace_writer *w, const jt_event *e, jt_error *err);
/* The last line, by which a reader knows that nothing is missing. */
JT_API jt_status jt_trace_write_end(jt_trace_writer *w, jt_error *err);

/* SHA-256, as 64 digits, of the name, the size, the first MiB and 64 pieces of 64 KiB at even distances of the file, or of
 * each .gguf, .safetensors and .json file of the folder, in the order of their names. It tells models apart that
 * differ in their headers or anywhere much; it is no proof that every weight is the same. `bytes` (may be NULL) gets their size. */
JT_API jt_status jt_trace_digest(const char *path, char out[65], uint64_t *bytes, jt_error *err);

/* ---- reading ---- */

typedef struct jt_trace_model {
    const char *role, *path, *name, *activations, *kv_type, *digest;
    uint64_t bytes, mode;
} jt_trace_model;

typedef struct jt_trace_adapter {
    const char *name, *path, *digest;
    float scale;
    uint64_t mode;
} jt_trace_adapter;

typedef struct jt_trace_token {
    size_t line; /* of the file, from 1 */
    int answer;
    jt_decision decision;
    const char *text; /* the token's bytes; what is not UTF-8 is U+FFFD */
    float eval_seconds;
    const jt_evidence *evidence; /* NULL: no pipeline decided it */
} jt_trace_token;

typedef struct jt_trace_answer {
    int answer;
    const jt_trace_token *token;
    size_t n_token;
    jt_end_reason reason; /* JT_END_NONE: the file ends before the answer does */
} jt_trace_answer;

typedef struct jt_trace_job {
    uint64_t job;
    size_t line;
    jt_request request;   /* as submitted, but for `pipeline` (NULL) and max_seconds; its memory is the trace's */
    const char *pipeline; /* canonical */
    const char *const *stage;
    int n_stage; /* texts of the pipeline's stages, "temp:t=0.8" */
    const jt_trace_answer *answer;
    size_t n_answer;
    size_t n_token;       /* of all answers */
    jt_end_reason reason; /* JT_END_NONE: the file ends before the job does */
    const char *message;  /* of JT_END_ERROR */
} jt_trace_job;

typedef struct jt_trace {
    int version;
    const char *jeton; /* the version that wrote it */
    int vocab;
    const jt_trace_model *model; /* the main one first */
    size_t n_model;
    const jt_trace_adapter *adapter;
    size_t n_adapter;
    const jt_trace_job *job;
    size_t n_job;
    const char *const *text; /* [vocab]: of tokens that were the first candidates; NULL: unknown */
    size_t lines;
    bool complete;    /* the last line is there */
    bool altered;     /* the last line tells another checksum than the lines before it have */
    const char *note; /* what is missing or altered, in words; NULL: nothing */
} jt_trace;

/* Reads a trace, all of it. One that is cut is read up to there, `complete` is false and the note says where it ends. Errors:
 * JT_FORMAT, naming the line, for what is no trace, is of a later version, or has a line that no cut explains. */
JT_API jt_status jt_trace_read(const char *path, jt_trace **out, jt_error *err);
JT_API jt_status jt_trace_parse(const char *text, size_t n, jt_trace **out, jt_error *err);
JT_API void jt_trace_free(jt_trace *t);

/* ---- comparing runs ---- */

/* Where two runs of one job part. Tokens of both are counted by their place in the answer; SIZE_MAX: nowhere. */
typedef struct jt_trace_parting {
    size_t tokens[2], both;      /* of each; places that both have */
    size_t alike, identical;     /* of those: with the same token; with all that is told the same, bit for bit */
    size_t differs, parts;       /* the first place that is not identical, and the first with another token */
    bool logits, draw;           /* at `parts`, or else at `differs`: the model said something else, the draw was another */
    int stage;                   /* the first stage that did something else with the same logits before it, from 1; 0: none */
    const jt_trace_token *a, *b; /* the tokens there */
    char what[240];              /* the first thing that differs there */
} jt_trace_parting;
/* Of one answer each. */
JT_API void jt_trace_part(const jt_trace_answer *a, const jt_trace_answer *b, jt_trace_parting *out);

/* ---- looking ---- */

/* Appends the job as one page of HTML that needs nothing else: tokens by probability, entropy, rank or cost, and for each its
 * candidates and stages. `put` gets it in pieces. */
JT_API jt_status jt_trace_html(const jt_trace *t, const char *title, jt_trace_put put, void *self, jt_error *err);

/* ---- replaying ---- */

/* The first thing in which a token differs from its replay. */
typedef struct jt_trace_difference {
    int answer;
    size_t token; /* of the answer, from 0 */
    size_t line;
    int32_t position;
    char what[240];
} jt_trace_difference;

enum { JT_TRACE_DIFFERENCES = 16 };
typedef struct jt_trace_replayed {
    size_t tokens, same;
    size_t n_difference; /* of which the first JT_TRACE_DIFFERENCES are kept */
    jt_trace_difference difference[JT_TRACE_DIFFERENCES];
} jt_trace_replayed;

/* Does the job again on the driver, which has the trace's models and adapters, with the request alone: neither the tokens nor
 * anything else that the trace tells of the answer are seen by what decides. Then all that is recorded is compared bit for bit,
 * but for seconds. The driver has no other jobs. `extra` (may be NULL): methods of the pipeline that are not built in. */
JT_API jt_status jt_trace_replay(const jt_trace_job *j, jt_driver *d, const jt_methods *extra, jt_trace_replayed *out, jt_error *err);
/* Decides each token of the job again from the candidates that the trace has of the model, which must be all of them
 * (JT_TRACE_ALL): stages and draws are done again after the trace's tokens before it, without any model. The model's
 * own numbers (the sum of the logits, the entropy) are taken as they are. JT_UNSUPPORTED, by name: stages that need a
 * tokenizer (`t` may be NULL), hidden vectors, other models or branches. */
JT_API jt_status jt_trace_replay_alone(const jt_trace *t, const jt_trace_job *j, const jt_tokenizer *tokenizer, const jt_methods *extra,
                                       jt_trace_replayed *out, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
