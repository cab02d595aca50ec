/* decode.h: generating text. A pipeline says how tokens are chosen; the driver
 * runs any number of jobs, merging what they ask into one evaluation per model
 * and round.
 *
 *   strategy > strategy | stage:key=value,key=value | stage:value | ...
 *
 * "greedy", "sample | temp:0.8 | top-p:0.9", "temp:0.8 | min-p:0.05" (sample is
 * the default strategy; greedy when the pipeline is empty). What is unknown or
 * out of range is refused with the nearest valid choice named.
 *
 * The same request gives the same text anywhere: neither the order of jobs, nor
 * what runs beside them, nor threads change it. */
#ifndef JETON_DECODE_H
#define JETON_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "jeton/adapter.h"
#include "jeton/method.h"
#include "jeton/model.h"
#include "jeton/status.h"
#include "jeton/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_driver jt_driver;
typedef struct jt_pipeline jt_pipeline;
typedef uint64_t jt_job; /* never 0, never used again by one driver */

/* Parses and validates `text` with the built-in methods and `extra` (may be NULL).
 * Text that begins with "[" is the JSON form of a pipeline (docs/pipelines.md). The message names the place (byte offset) and the nearest
 * valid choice. Immutable; may be shared by jobs and threads. */
JT_API jt_status jt_pipeline_parse(const char *text, const jt_methods *extra, jt_pipeline **out, jt_error *err);
JT_API void jt_pipeline_free(jt_pipeline *p);
/* The pipeline in its canonical spelling, every parameter written out; owned by the pipeline. */
JT_API const char *jt_pipeline_text(const jt_pipeline *p);
/* The preset number i, NULL past the end: its name, and the stages that preset:NAME stands for into *text (may be NULL), in which
 * {parameter=value} is what preset:NAME,parameter=value changes. Stages that then change nothing are left out. */
JT_API const char *jt_preset_at(int i, const char **text);

typedef enum jt_on_full {
    JT_FULL_STOP,  /* the answer ends with reason "context" when the declared context is full (default) */
    JT_FULL_REFUSE /* a request that could reach the end of the context is refused when submitted */
} jt_on_full;

enum { JT_TRACE_ALL = -1 };

typedef struct jt_request {
    const int32_t *prompt; /* token ids, copied; at least one */
    size_t n_prompt;
    const jt_pipeline *pipeline; /* must live until the job's end; NULL: greedy */
    uint64_t seed;
    uint32_t choice; /* which of several answers to one request; part of the random stream */
    int max_tokens;  /* tokens to generate; 0: until another limit */
    int context;     /* declared context, prompt and answer; 0: the model's trained context */
    jt_on_full on_full;
    double max_seconds;      /* 0: no limit; counted from the submission, or the end of its wait for memory; checked after every token */
    const char *const *stop; /* strings that end the answer, also across token borders; not part of the text */
    size_t n_stop;
    const int32_t *stop_ids; /* tokens that end the answer, besides the tokenizer's own */
    size_t n_stop_ids;
    int ignore_end;             /* 1: the tokenizer's end tokens do not end the answer */
    int special;                /* 1: special tokens are written in the text */
    int trace;                  /* 1: events carry candidates, what each stage did, and evidence */
    int trace_candidates;       /* of the evidence, with `trace`: after each stage so many; 0: 20; JT_TRACE_ALL: all */
    const jt_message *messages; /* the conversation that the prompt was made from, copied, for strategies that write it anew */
    size_t n_messages;          /* 0: unknown */
    const char *adapter;        /* of jt_driver_add_adapter: evaluates prompt and answer; NULL: what new states of the model have */
    float adapter_scale;        /* multiplies the adapter's; 0: 1 */
    int top_logprobs;           /* raw and staged logprobs of this many best candidates with each token, 0 to 20 */
} jt_request;

typedef enum jt_end_reason {
    JT_END_NONE,
    JT_END_TOKEN,     /* an end token ("end") */
    JT_END_STOP,      /* a stop string or stop id ("stop") */
    JT_END_LENGTH,    /* max_tokens ("length") */
    JT_END_TIME,      /* max_seconds ("time") */
    JT_END_CONTEXT,   /* the declared context is full ("context") */
    JT_END_DEAD,      /* the pipeline left no candidate ("dead") */
    JT_END_CANCELLED, /* ("cancelled") */
    JT_END_ERROR      /* ("error"), with a message */
} jt_end_reason;
JT_API const char *jt_end_reason_name(jt_end_reason r);

typedef struct jt_candidate {
    int32_t id;
    float raw_logprob, logprob; /* logprob is -INFINITY if a stage removed it */
} jt_candidate;

/* What one stage did at one token. */
typedef struct jt_stage_trace {
    const char *method;
    int32_t before, after; /* candidates */
    float mass;            /* probability kept of what came in */
    float seconds;
} jt_stage_trace;

/* A random number that a stage asked for (jt_step_u). */
typedef struct jt_drawn {
    char purpose[24]; /* its first 23 bytes */
    uint32_t index;
    double u;
} jt_drawn;

/* What one stage drew, and what it left. */
typedef struct jt_stage_evidence {
    const char *method;
    uint32_t occurrence;   /* of the random address */
    int32_t before, after; /* candidates */
    float mass, seconds;   /* as of jt_stage_trace */
    const jt_cand *cand;   /* [n_cand]: the first of what is left, in order; then those of the list before it that are still candidates */
    int32_t n_cand, n_first;
    const jt_drawn *drawn; /* [n_drawn]: the first numbers */
    int32_t n_drawn;
    uint32_t draws;      /* all of them, and the hash of their bits */
    uint64_t draws_hash; /* 0: there are none */
} jt_stage_evidence;

/* All that a decision follows from and that its replay compares (jeton/trace.h). */
typedef struct jt_evidence {
    uint64_t stream; /* of the random address of the ordinary draw, which is the request's seed, this, and the decision's position and
                      * attempt under the method "sample" and the purpose "draw" */
    uint64_t logits; /* hash of the bits of the model's logits */
    double log_sum;  /* ln of the sum of their exp(), as the model gave it */
    int32_t chain;   /* 0: the pipeline's stages; else those of a parameter of its strategies, in their order */
    const jt_cand *raw;
    int32_t n_raw;
    const jt_stage_evidence *stage;
    int32_t n_stage;
} jt_evidence;

typedef enum jt_event_kind {
    JT_EVENT_TOKEN, /* a decision, and the text it completes (may be empty). The token that ends the answer is one too */
    JT_EVENT_END,   /* the last event of a job; `text` is what was still held back */
    JT_EVENT_ANSWER /* the end of an answer that the strategy gave as a whole, after its tokens, with its reason and notes */
} jt_event_kind;

/* Pointers are valid until the next call on the driver. */
typedef struct jt_event {
    jt_job job;
    jt_event_kind kind;
    int answer; /* which answer of the job, from 0; answers of one job do not mix */
    jt_decision decision;
    const char *text; /* whole characters, NUL-terminated; text that could begin a stop string is held back */
    size_t n_text;
    const jt_candidate *top;
    int n_top;
    const jt_stage_trace *stage;
    int n_stage;
    const jt_evidence *evidence; /* of a traced request; NULL where the strategy gave a token that no pipeline decided */
    float eval_seconds;          /* of the evaluation this token waited for */
    jt_end_reason reason;
    const char *message; /* of JT_END_ERROR */
    const int32_t *note; /* JT_EVENT_ANSWER: numbers that the strategy tells of the answer; the method says which */
    int n_note;
    int prompt_tokens, answer_tokens;      /* JT_EVENT_END: of the first answer, as is `reason` when the strategy is done */
    int reused_tokens;                     /* JT_EVENT_END: prompt tokens that another job had evaluated already */
    double prompt_seconds, answer_seconds; /* JT_EVENT_END: wall time to the first token, and after it */
} jt_event;

/* A driver for jobs on `m`. Free ends all jobs. One thread at a time calls it, but for jt_driver_cancel. */
JT_API jt_status jt_driver_new(jt_model *m, jt_driver **out, jt_error *err);
JT_API void jt_driver_free(jt_driver *d);
/* A further model for methods that name its role ("draft", "large", "judge" ...). It must have the same tokens, outlive the
 * driver, and be added before the first job. Errors: JT_INVALID, when the role is taken or the tokens differ. */
JT_API jt_status jt_driver_add_model(jt_driver *d, const char *role, jt_model *m, jt_error *err);
/* An adapter that requests and strategies may name, for the one of the driver's models that it was opened for; it must outlive
 * the driver. `scale` multiplies that of its files. Errors: JT_INVALID, when the name is taken or the model is not there. */
JT_API jt_status jt_driver_add_adapter(jt_driver *d, const char *name, jt_adapter *a, float scale, jt_error *err);
/* A limit on the memory of caches, bytes; 0 (as made): none. The jobs that run could never need more together, each counted
 * with its prompt, all the tokens that it may generate and all branches of its strategy; the others wait, in the order of
 * their submission. A job that could need more than the whole limit is refused when submitted (JT_LIMIT). */
JT_API void jt_driver_set_cache(jt_driver *d, uint64_t bytes);
/* Memory for what jobs that have ended had evaluated, bytes; 0: none. A later job whose prompt begins with the same tokens,
 * in the same numeric mode, goes on from there and says what it would have said, bit for bit. What was used longest ago goes
 * first, and goes for jobs that the limit of jt_driver_set_cache would else let wait. As made: an eighth of that limit, or
 * without one of the memory that was free when the driver was made. */
JT_API void jt_driver_set_prefix(jt_driver *d, uint64_t bytes);
/* Starts a job; everything that can be refused is refused here. */
JT_API jt_status jt_driver_submit(jt_driver *d, const jt_request *r, jt_job *out, jt_error *err);
/* Works until there is an event (returned) or no job is left (*e has kind JT_EVENT_END and job 0). A failure of one job is
 * an event of that job; an error is returned only when the driver itself cannot go on. */
JT_API jt_status jt_driver_next(jt_driver *d, jt_event *e, jt_error *err);
/* Asks the job to end; it ends with JT_END_CANCELLED before its next token, after the answers, finished or not, that its
 * strategy has. Any thread; also a signal handler. */
JT_API void jt_driver_cancel(jt_driver *d, jt_job job);

/* Counters since the driver was made. sequences / evals is the mean batch. */
typedef struct jt_driver_counts {
    uint64_t rounds;    /* at most one evaluation per model each */
    uint64_t evals;     /* evaluations */
    uint64_t sequences; /* spans in them: branches of any jobs that were evaluated together */
    uint64_t rows;      /* new positions in them */
    uint64_t waiting;   /* jobs that wait for memory now */
    uint64_t cache;     /* bytes that the jobs which run could need */
    uint64_t held;      /* bytes of dists that strategies hold */

    uint64_t prefix_hits;   /* branches that went on from what another, or an ended job, had evaluated */
    uint64_t prefix_tokens; /* tokens that they did not evaluate again */
    uint64_t prefix_bytes;  /* kept now */
} jt_driver_counts;
JT_API void jt_driver_stats(const jt_driver *d, jt_driver_counts *out);

#ifdef __cplusplus
}
#endif
#endif
