/* method.h: writing a way to choose tokens.
 *
 * A *stage* changes the distribution of the next token in place; stages chain. A
 * *strategy* decides what is evaluated and what is emitted. A *scorer* gives a number
 * for an answer; strategies take one as a parameter. Each is described by
 * a row, jt_method, from which come parsing, validation, help and documentation.
 * Built-in methods and your own are the same: fill a row, add it to a jt_methods,
 * give that to jt_pipeline_parse, and its name works in pipelines.
 *
 * A whole stage:
 *
 *   #define TOP_P(X, T) \
 *       X(T, REAL, p, 0.95, JT_RANGE(0, 1), "probability mass kept; 1 is off") \
 *       X(T, INT, min_keep, 1, JT_RANGE(1, 1048576), "candidates always kept")
 *   JT_PARAMS(top_p, TOP_P)
 *
 *   static bool keep(const jt_walk *w, const void *par) {
 *       const struct top_p *a = par;
 *       return w->before < a->p;
 *   }
 *   static jt_status run(const void *par, const void *state, jt_dist *d, jt_step *s) {
 *       const struct top_p *a = par;
 *       if (a->p < 1) jt_dist_trim(d, JT_WALK_MASS, a->min_keep, keep, a);
 *       return JT_OK;
 *   }
 *   const jt_method top_p_row = {.name = "top-p", .kind = JT_STAGE, .summary = "...",
 *                                .neutral = "p=1", JT_PARAMETERS(top_p), .stage = {run}};
 *
 * A hook declares what it needs and the step provides it; it has no side effects,
 * keeps nothing in globals, and may run on any thread, one call at a time per job. */
#ifndef JETON_METHOD_H
#define JETON_METHOD_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_tokenizer jt_tokenizer;

/* ---- the distribution of the next token ---- */

/* Logits of candidates. A candidate is a token whose logit is above -inf; a dist
 * without candidates is *dead*. Order, probabilities, entropy and sums are made
 * when first asked for and kept until the dist changes.
 *
 * Order is: logit down, then id up. It is grown on demand. Probability is
 * exp(logit - max) / S over the candidates left, with S summed in double. Results
 * are the same bits on every processor. Reading never fails and never allocates. */
typedef struct jt_dist jt_dist;

typedef struct jt_cand {
    int32_t id;
    float logit;
} jt_cand;

JT_API int jt_dist_count(const jt_dist *d); /* candidates left; 0: dead */
JT_API int jt_dist_vocab(const jt_dist *d);
/* The first n candidates in order, all of them if there are fewer; valid until the dist changes or a larger n is asked. */
JT_API const jt_cand *jt_dist_top(jt_dist *d, int n);
/* The first n candidates, and their probabilities among themselves, into ids[n] and p[n]; how many there are. */
JT_API int jt_dist_weights(jt_dist *d, int n, int32_t *ids, float *p);
/* By id; -INFINITY or 0 if it is no candidate. */
JT_API float jt_dist_logit(jt_dist *d, int32_t id);
JT_API double jt_dist_p(jt_dist *d, int32_t id);
JT_API double jt_dist_lnp(jt_dist *d, int32_t id);
JT_API double jt_dist_p_at(jt_dist *d, int rank); /* rank from 0, below the count */
JT_API double jt_dist_entropy(jt_dist *d);        /* nats; 0 if dead */
/* ln of the sum of exp(logit) over the candidates; -INFINITY if dead. */
JT_API double jt_dist_log_sum(jt_dist *d);
/* Mean and variance (the mean of squares of what is apart from it) of the candidates' logits; zeros if dead. */
JT_API void jt_dist_moments(jt_dist *d, double *mean, double *variance);
/* The next candidate by id after `id` (-1: the first); -1 at the end. */
JT_API int32_t jt_dist_next(jt_dist *d, int32_t id);
/* Draws in order: the first candidate whose running sum of exp(logit - max), in double, is at least u * S. -1 if dead. */
JT_API int32_t jt_dist_draw(jt_dist *d, double u);

/* What cannot be (a logit that is no number, an id outside of the vocabulary, a division by 0) changes nothing here, and makes
 * the hook that tried it fail: its run ends with an error that names it. */
/* Keeps the first n in order, at least one. Ties at the border go by lower id. */
JT_API void jt_dist_cut(jt_dist *d, int n);
/* Takes away the first n in order; one at least stays. */
JT_API void jt_dist_drop(jt_dist *d, int n);
/* Keeps one candidate; an id that is none makes the dist dead. */
JT_API void jt_dist_only(jt_dist *d, int32_t id);
/* Adds x to a candidate's logit; -INFINITY removes it. What is no candidate stays none. The sum is kept finite. */
JT_API void jt_dist_add(jt_dist *d, int32_t id, float x);
/* Sets a candidate's logit (finite, or -INFINITY to remove). What is no candidate stays none. */
JT_API void jt_dist_set(jt_dist *d, int32_t id, float logit);
/* Divides every logit by t > 0. Below t = 1e-4 logits are first taken relative to the largest, so that nothing overflows;
 * the probabilities are the same. */
JT_API void jt_dist_divide(jt_dist *d, double t);
/* Every candidate's logit becomes f of it: finite (or made so), or -INFINITY to remove it. */
JT_API void jt_dist_map(jt_dist *d, float (*f)(float logit, const void *par), const void *par);

/* One candidate on a walk through the order. */
typedef struct jt_walk {
    int i; /* its rank, from 0 */
    int32_t id;
    float logit, max; /* its logit and the largest */
    /* With JT_WALK_MASS only: */
    double p, lnp;  /* its probability, and ln of it */
    double before;  /* sum of p of those before it */
    double entropy; /* sum of -p ln p of those before it, nats */
} jt_walk;
/* JT_WALK_OWN: keep() looks at logit, max and lnp alone (lnp with JT_WALK_MASS), and what it keeps it keeps with a larger
 * logit too. Such a walk needs no order. */
enum { JT_WALK_ORDER = 0, JT_WALK_MASS = 1, JT_WALK_OWN = 2 };
/* Walks in order while keep() says yes and returns how many it kept: at least one unless the dist is dead. */
JT_API int jt_dist_walk(jt_dist *d, int what, bool (*keep)(const jt_walk *w, const void *par), const void *par);
/* Cuts where the walk ends, keeping the first `least` in any case. */
JT_API void jt_dist_trim(jt_dist *d, int what, int least, bool (*keep)(const jt_walk *w, const void *par), const void *par);
/* The same, with mass, in another order: by |logit - center| up, then logit down, then id up. keep() looks at `i` and `before`
 * alone, and says no to all that follow what it says no to. */
JT_API void jt_dist_trim_near(jt_dist *d, double center, int least, bool (*keep)(const jt_walk *w, const void *par), const void *par);

/* ---- the step: what a hook is given at one position ---- */

typedef struct jt_step jt_step;

/* Needs. A hook gets only what its row declares; one that a build or model cannot give is refused by name at submission. */
enum {
    JT_NEEDS_HISTORY = 1,   /* jt_step_history, jt_step_counts, jt_step_repeats */
    JT_NEEDS_TOKENIZER = 2, /* jt_setup.tokenizer, jt_step_tokenizer */
    JT_NEEDS_RAW = 4,       /* jt_step_raw: the model's own distribution */
    JT_NEEDS_HIDDEN = 8,    /* jt_step_hidden: the vector that the head multiplies */
    JT_NEEDS_MODEL2 = 16,   /* jt_step_second: a second model's distribution; the row names its `role` */
    JT_NEEDS_SIBLINGS = 32, /* jt_step_sibling: the other branches of the request */
    JT_NEEDS_GRADIENTS = 64,
    JT_NEEDS_STREAM = 128,   /* jt_step_stream: the residual stream entering the layers that the row's `stream` names */
    JT_NEEDS_RAW_KEYS = 256, /* the states of the whole job keep their keys raw (jeton/keys.h) */
    JT_NEEDS_ARRIVED = 512,  /* jt_step_arrived. The stages before this one run again for each decision; JT_ARRIVED stages of a job */
    JT_NEEDS_PROMPT2 = 1024, /* jt_step_second: the model's own distribution after another prompt, which the row's `prompt2` makes */
    JT_NEEDS_PROJECT = 2048  /* jt_step_project: norm and head of any vector */
};
enum { JT_ARRIVED = 4 };

/* The need of one bit in words, "history"; NULL past the last. */
JT_API const char *jt_need_name(uint32_t bit);

/* Position of the token being decided; the number of tokens before it. */
JT_API int32_t jt_step_position(const jt_step *s);
JT_API int32_t jt_step_prompt(const jt_step *s); /* tokens of the prompt */
/* All tokens before this position, oldest first, prompt included. NULL unless declared. */
JT_API const int32_t *jt_step_history(const jt_step *s, int *n);
/* The distinct ids among history[first..position) with their counts, in order of
 * first occurrence. Valid until the hook returns; the next call overwrites it. */
typedef struct jt_count {
    int32_t id, count;
} jt_count;
JT_API const jt_count *jt_step_counts(jt_step *s, int first, int *n);
/* The distinct ids that once followed what the history ends in, from history[first] on, each with the most tokens that were
 * alike before it; the latest first. `stops` (NULL: none) marks the ids that end what is alike, [vocab] bytes; they are
 * not given. O(position - first). Memory as of jt_step_counts. */
JT_API const jt_count *jt_step_repeats(jt_step *s, int first, const unsigned char *stops, int *n);
JT_API const jt_tokenizer *jt_step_tokenizer(const jt_step *s);
/* In `push`: the probability that the accepted token had when it reached this stage; 0 where the stages did not decide it. */
JT_API double jt_step_arrived(const jt_step *s);
JT_API jt_dist *jt_step_raw(jt_step *s); /* read only; NULL in `push` */
/* What the model of the row's role says at the same place, after the same tokens; with JT_NEEDS_PROMPT2 the model itself,
 * after its other prompt and the answer so far. Read only, NULL in `push`. */
JT_API jt_dist *jt_step_second(jt_step *s);
/* [*n] floats: the final hidden vector, after the norm. NULL in `push`. */
JT_API const float *jt_step_hidden(const jt_step *s, int *n);
/* [*n] floats: the stream entering a layer that is declared, of the number of layers what leaves the last. NULL in `push`. */
JT_API const float *jt_step_stream(const jt_step *s, int layer, int *n);
/* What the model would say if its last layer gave x, [hidden] floats: the final norm and the head, or without `norm` the head
 * alone. Read only, until the next call. NULL in `push` and after a failure, which is told in jt_step_error(s). */
JT_API jt_dist *jt_step_project(jt_step *s, const float *x, bool norm);
/* The other branches of the request, in order: how many, and all tokens of one, prompt included. A branch decides after
 * those before it, so it sees what they chose at this step. None in `push`. */
JT_API int jt_step_siblings(const jt_step *s);
JT_API const int32_t *jt_step_sibling(const jt_step *s, int i, int *n);
/* The random number in (0, 1) at this position, method, purpose and index. Purposes are the method's own words. */
JT_API double jt_step_u(const jt_step *s, const char *purpose, uint32_t index);
JT_API void *jt_step_self(const jt_step *s);   /* the row's `self` */
JT_API void *jt_step_shared(const jt_step *s); /* the object that all jobs of the method on this model share */
/* Where a hook that fails leaves its message: return jt_error_set(jt_step_error(s), JT_INVALID, "..."). */
JT_API jt_error *jt_step_error(jt_step *s);

/* Who chose a token. */
typedef enum jt_chosen {
    JT_CHOSEN_DRAWN,   /* the ordinary draw */
    JT_CHOSEN_BEST,    /* the first in order */
    JT_CHOSEN_STRATEGY /* the strategy named it */
} jt_chosen;

/* How one token was chosen. */
typedef struct jt_decision {
    int32_t id;        /* -1: dead, the pipeline left no candidate */
    int32_t position;  /* of the token in the sequence */
    float raw_logprob; /* ln p by the model */
    float logprob;     /* ln p after the pipeline */
    double u;          /* the random number used; NaN if none was drawn */
    uint32_t attempt;
    int32_t candidates;        /* left after the pipeline */
    float entropy;             /* of the model's distribution, nats; NaN unless traced */
    float arrived[JT_ARRIVED]; /* of the job's stages that need it, in their order: jt_step_arrived */
    jt_chosen by;
} jt_decision;

/* ---- parameters ---- */

typedef enum jt_param_type {
    JT_PARAM_REAL,   /* double */
    JT_PARAM_INT,    /* int32_t */
    JT_PARAM_CHOICE, /* int32_t: index into `choices` */
    JT_PARAM_TEXT,   /* const char * */
    JT_PARAM_BIAS,   /* jt_bias_list: any number of key=value, key a token id or "token text" */
    JT_PARAM_STAGES, /* jt_stages_value: stages in parentheses, "(temp:0.8 | top-p:0.9)" */
    JT_PARAM_METHOD  /* jt_method_value: another method of a kind, "recycle" or "(recycle:k=8)" */
} jt_param_type;

typedef enum jt_kind { JT_STAGE, JT_STRATEGY, JT_SCORER } jt_kind;
JT_API const char *jt_kind_name(jt_kind k); /* "stage" */

typedef struct jt_bias {
    const char *text; /* NULL: `id` names the token */
    size_t n_text;
    int32_t id;
    double value;
} jt_bias;
typedef struct jt_bias_list {
    const jt_bias *b;
    int32_t n;
} jt_bias_list;

/* Values that are made of methods live as long as the pipeline that they stand in, and have their parameters' defaults
 * filled in. */
typedef struct jt_pipeline jt_pipeline;
typedef struct jt_method jt_method;
typedef struct jt_stages_value {
    const jt_pipeline *pipeline; /* NULL: none was given, and there is no default. For jt_work_stages (jeton/strategy.h) */
    const char *text;            /* as jt_pipeline_text gives it */
} jt_stages_value;
typedef struct jt_method_value {
    const jt_method *m; /* NULL: none */
    const void *par;
} jt_method_value;

typedef struct jt_param {
    const char *name; /* as in C; in text '-' stands for '_' */
    jt_param_type type;
    size_t offset;        /* into the parameter struct */
    double def;           /* default; a choice's index; JT_REQUIRED: must be given */
    const char *standard; /* STAGES, METHOD: the default as in a pipeline; NULL: none, or required */
    jt_kind kind;         /* METHOD: what it must be */
    double low, high;     /* REAL, INT, BIAS values: allowed range, both ends included */
    const char *choices;  /* CHOICE: "exact|keep" */
    bool file;            /* TEXT: "@path" stands for that file's contents */
    const char *help;
} jt_param;

/* The first parameter may be given without its name: "top-p:0.9". */
#define JT_RANGE(a, b) .low = (a), .high = (b)
#define JT_ONE_OF(list) .choices = (list)
#define JT_FROM_TEXT .file = false /* TEXT; left out it is "" */
#define JT_FROM_FILE .file = true  /* TEXT that may be given as @path */
#define JT_STAGES(text) .standard = (text)
#define JT_METHOD_OF(what, name) .kind = (what), .standard = (name)
#define JT_REQUIRED NAN
#define JT_TYPE_REAL double
#define JT_TYPE_INT int32_t
#define JT_TYPE_CHOICE int32_t
#define JT_TYPE_TEXT const char *
#define JT_TYPE_BIAS jt_bias_list
#define JT_TYPE_STAGES jt_stages_value
#define JT_TYPE_METHOD jt_method_value
#define JT_PARAM_FIELD(T, kind, field, ...) JT_TYPE_##kind field;
#define JT_PARAM_ENTRY(T, kind, field, standard, range, text)                                                                              \
    {.name = #field, .type = JT_PARAM_##kind, .offset = offsetof(struct T, field), .def = (standard), range, .help = (text)},
/* From one list of X(T, type, name, default, range, help): struct x and the table x_param. */
#define JT_PARAMS(x, LIST)                                                                                                                 \
    struct x {                                                                                                                             \
        LIST(JT_PARAM_FIELD, x)                                                                                                            \
    };                                                                                                                                     \
    static const jt_param x##_param[] = {LIST(JT_PARAM_ENTRY, x)};
#define JT_PARAMETERS(x) .param = x##_param, .n_param = (int)(sizeof x##_param / sizeof *x##_param), .param_size = sizeof(struct x)

/* "0 to 1", "exact or keep", "token=value ..."; and the default as text, "required" if there is none. Returns the length
 * that the whole text has; out[cap] is always terminated. */
JT_API size_t jt_param_range(const jt_param *p, char *out, size_t cap);
JT_API size_t jt_param_default(const jt_param *p, char *out, size_t cap);
/* "real", "int", "choice", "text", "bias", "stages", "method". */
JT_API const char *jt_param_type_name(jt_param_type t);

/* ---- the row of a method ---- */

/* What a method is told once, when a job begins. */
typedef struct jt_setup {
    int vocab;
    const jt_tokenizer *tokenizer; /* NULL unless declared */
    const int32_t *prompt;
    int n_prompt;
    int context; /* declared: tokens that prompt and answer may have */
    int layers;  /* of the model */
    int hidden;  /* floats of its vectors */
} jt_setup;

/* What a scorer judges: an answer as it stands, finished or not. */
typedef struct jt_scored {
    const int32_t *ids; /* [n]: the prompt, then the answer */
    int n, n_prompt;
    const float *raw, *staged;     /* [n - n_prompt]: ln p of the answer's tokens by the model, and after the pipeline */
    const jt_tokenizer *tokenizer; /* NULL unless declared */
    bool ended;
} jt_scored;

typedef struct jt_results jt_results; /* what a strategy asked for */
typedef struct jt_work jt_work;       /* what it asks for next */

struct jt_method {
    const char *name; /* lower case, digits and '-' */
    jt_kind kind;
    const char *summary; /* one line */
    const char *formula; /* what it computes */
    const char *paper;   /* "author year, where"; "" if folklore */
    const char *cost;    /* "O(k) after one pass over the vocabulary" */
    /* The setting that changes nothing, bit for bit: "p=1", "always" if there are no parameters to set; words may follow a ';'.
     * NULL if there is none. */
    const char *neutral;
    const char *card;    /* the description it follows, "decoding/top-h"; NULL: none */
    const char *example; /* a pipeline with it; NULL: jt_method_example writes one */
    const jt_param *param;
    int n_param;
    size_t param_size;
    uint32_t needs;
    const char *role; /* JT_NEEDS_MODEL2: which of the driver's models; NULL: "guide" */
    /* JT_NEEDS_STREAM, of a stage: the i-th layer whose stream is wanted, of a model with so many layers; -1: no more. */
    int (*stream)(const void *par, int layers, int i);
    /* JT_NEEDS_PROMPT2, of a stage: the prompt that takes the place of the request's, *n tokens in ids[most]; at least one. */
    jt_status (*prompt2)(const void *par, const jt_setup *u, int32_t *ids, int most, int *n, jt_error *err);
    /* State of one job: flat bytes, zeroed, copied when a branch forks. `state_bytes` (if not NULL) gives the size in place
     * of `state_size`; `open` (may be NULL) fills it and may refuse the job. */
    size_t state_size;
    size_t (*state_bytes)(const void *par, const jt_setup *u);
    jt_status (*open)(const void *par, void *state, const jt_setup *u, jt_error *err);
    /* An object that outlives jobs, of so many bytes, zeroed: one for the method and model of a driver, made when the first
     * job that names the method is submitted, freed with the driver. No two hooks have it at once. What is read from it may
     * change how fast a text comes, never the text: which jobs came before is no part of a request. Rows that have one outlive
     * the drivers. NULL: none. In `u` there is no prompt. `shared_open` fills it and `shared_close` ends it; both may be NULL. */
    size_t (*shared_size)(const jt_setup *u);
    jt_status (*shared_open)(void *shared, const jt_setup *u, jt_error *err);
    void (*shared_close)(void *shared);
    void *self; /* yours; see jt_step_self */
    union {
        struct {
            /* Changes `d`. May run any number of times at one position, so state changes in `push` alone. */
            jt_status (*run)(const void *par, const void *state, jt_dist *d, jt_step *s);
            /* A token was accepted (may be NULL); `s` is the step that decided it. */
            void (*push)(const void *par, void *state, const jt_decision *made, jt_step *s);
        } stage;
        struct {
            jt_status (*advance)(const void *par, void *state, const jt_results *r, jt_work *w);
            bool inner; /* it drives an inner strategy; else it is a leaf */
            bool many;  /* it gives several answers, so it stands outermost */
            /* A job that is out of time or cancelled lets its strategies give the answers that they have, the innermost first.
             * Children end for that reason, and who waits for children alone is advanced as ever. One that waits for rows is
             * advanced with `end` set in its results, and without rows, if this is true; else it has no more to say. */
            bool unfinished;
            /* Branches that may differ at once, for the memory that a job could need. NULL: 1. */
            int (*width)(const void *par);
        } strategy;
        struct {
            /* A number, the more the better; finite, or -INFINITY. A pure function. */
            jt_status (*judge)(const void *par, const jt_scored *s, double *out, jt_error *err);
        } scorer;
    };
};

/* A built-in method: a line "JT_METHOD(top_p) = {" in any .c file of src/ puts it in the table. */
#define JT_METHOD(x)                                                                                                                       \
    extern const jt_method jt_method_##x;                                                                                                  \
    const jt_method jt_method_##x

/* ---- sets of methods ---- */

/* Methods of your own beside the built-in ones. Immutable once it is in use, and
 * must outlive the pipelines parsed with it; so must the rows. */
typedef struct jt_methods jt_methods;
JT_API jt_status jt_methods_new(jt_methods **out, jt_error *err);
/* Errors: JT_INVALID, saying which field of the row is wrong, or that the name is taken. */
JT_API jt_status jt_methods_add(jt_methods *m, const jt_method *row, jt_error *err);
JT_API void jt_methods_free(jt_methods *m);

/* Built-in methods first, then those of `m` (may be NULL): by number (NULL past the end), by name (NULL if there is none). */
JT_API const jt_method *jt_method_at(const jt_methods *m, int i);
JT_API const jt_method *jt_method_find(const jt_methods *m, const char *name);
/* The method whose name is most like `name`, for "did you mean"; NULL if there are none. */
JT_API const jt_method *jt_method_nearest(const jt_methods *m, const char *name);
/* A pipeline that shows the method: the row's own, or one from its parameters. As jt_param_range returns it. */
JT_API size_t jt_method_example(const jt_method *m, char *out, size_t cap);
/* The setting in the row's `neutral`, without the words behind it; "" if there is none, or it is always neutral. */
JT_API size_t jt_method_neutral(const jt_method *m, char *out, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
