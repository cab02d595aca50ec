/* driver.h: the inside of the driver.
 *
 * A round: jobs that were cancelled or are out of time end; every branch of every
 * job that waits for rows gives a span of its pending inputs; the spans are one
 * ragged evaluation per model; each strategy whose rows and children are there is
 * advanced, which decides, pushes, emits and asks again. What is emitted waits in
 * the job until jt_driver_next has handed it out.
 *
 *   driver.c    the driver, its models, handing out
 *   submit.c    a request becomes a job
 *   round.c     gathering, evaluating, delivering
 *   inst.c      instances of strategies, and the children inside them
 *   finish.c    the end of a job that is out of time or cancelled
 *   branch.c    inputs, decisions and states of a branch, shared by forks
 *   attributes.c taps, keys, adapters and layers of a branch, from a position on
 *   grouped.c   inputs of a branch that are evaluated as one
 *   captures.c  what taps read, on its way to the strategy that set them
 *   work.c      what strategies ask for
 *   chain.c     the stages of a job: the pipeline's, and those given as parameters
 *   rank.c      the best continuations of rows, and what becomes of them
 *   tree.c      rows that hang at the end of a slot
 *   judge.c     what stands in a slot, for scorers
 *   bytes.c     text of slots, and slots made from messages
 *   hold.c      dists that outlive the advance which read them
 *   shared.c    objects that outlive jobs
 *   shape.c     the pipeline over one row
 *   evidence.c  what a traced decision follows from
 *   admit.c     the memory that jobs could need, and who waits for it
 *   prefix.c    branches that begin alike, and states kept after their jobs
 *   reply.c     text, stop strings and limits of one answer
 *   evaluator.c the driver of real models */
#ifndef JT_DECODE_DRIVER_H
#define JT_DECODE_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "decode/pipeline.h"
#include "jeton/adapter.h"
#include "jeton/keys.h"
#include "jeton/strategy.h"
#include "step/dist.h"
#include "step/step.h"

/* An adapter and what multiplies its scale; no adapter: none at all. */
typedef struct jt_wear {
    jt_adapter *adapter;
    float scale;
} jt_wear;

/* What the driver needs from a model. Tests give one whose logits are a function of the tokens alone. */
typedef struct jt_evaluator {
    void *self;
    int vocab, hidden, layers, context; /* context: the trained one */
    size_t token_bytes;                 /* of the cache; 0: not counted */
    size_t branch_bytes;                /* of a branch, whatever its length */
    uint64_t memory;                    /* free when the driver was made, bytes; 0: unknown */
    int ubatch;                         /* rows that one group may have */
    const jt_tokenizer *tokenizer;
    const jt_kernels *kernels;
    jt_status (*open)(void *self, int context, jt_state **out, jt_error *err);
    /* With raw keys (jeton/keys.h); NULL: there are none. */
    jt_status (*open_raw)(void *self, int context, jt_state **out, jt_error *err);
    void (*close)(void *self, jt_state *s);
    jt_status (*fork)(void *self, const jt_state *s, jt_state **out, jt_error *err);
    jt_status (*truncate)(void *self, jt_state *s, int n, jt_error *err);
    jt_status (*truncate_to)(void *self, jt_state *s, int node, jt_error *err);
    jt_status (*eval)(void *self, const jt_batch *b, jt_error *err);
    /* The numeric mode; 0: the state is not to be shared between jobs. NULL: none is. */
    uint64_t (*mode)(void *self, const jt_state *s);
    /* As jt_state_set_taps; the width of a site's rows, 0 for an unknown one. */
    jt_status (*set_taps)(void *self, jt_state *s, const jt_tap *t, int n, jt_error *err);
    int (*site_width)(void *self, const char *site);
    /* As jt_state_set_keys. */
    jt_status (*set_keys)(void *self, jt_state *s, const jt_keys *k, int n, jt_error *err);
    /* NULL: what new states of the model have. */
    jt_status (*set_adapter)(void *self, jt_state *s, const jt_wear *w, jt_error *err);
    /* As jt_project and jt_project_head, of one vector; `final` and `logits` may be NULL. NULL: neither is there. */
    jt_status (*project)(void *self, const float *x, bool norm, float *final, float *logits, jt_error *err);
    double (*now)(void *self); /* seconds */
} jt_evaluator;

jt_status jt_driver_new_with(const jt_evaluator *ev, jt_driver **out, jt_error *err);
jt_status jt_driver_add_with(jt_driver *d, const char *role, const jt_evaluator *ev, jt_error *err);

enum {
    JT_JOBS = 4096,       /* live jobs at most */
    JT_MODELS = 8,        /* of one driver */
    JT_ROWS_ALONE = 512,  /* prompt rows in a round in which no job waits for its next token */
    JT_ROWS_BESIDE = 128, /* and in one where some do */
    JT_ROWS_SHORT = 8,    /* spans up to this are never put off */
    JT_ROWS_TREE = 256,   /* of one slot in one request */
    JT_KEPT_MOST = 64,    /* states kept after their jobs */
    JT_TOP_TRACED = 10,
    JT_EVIDENCE = 20, /* candidates of a trace that does not say how many */
    JT_TOP_MOST = 20
};

/* An adapter that requests and strategies may name. */
typedef struct jt_known {
    struct jt_known *next;
    char name[64];
    int model; /* of the driver */
    jt_wear wear;
} jt_known;

jt_status jt_driver_know(jt_driver *d, const char *name, int model, const jt_wear *w, jt_error *err);

typedef struct jt_live jt_live;
typedef struct jt_inst jt_inst;
typedef struct jt_branch jt_branch;
typedef struct jt_part jt_part;

/* ---- decisions with what a trace tells of them ---- */

typedef struct jt_made {
    jt_decision decision;
    float eval_seconds;
    int n_stage; /* of its trace */
    bool traced;
} jt_made;

/* The evidence of a decision, in one block; shared by all that hold it. */
typedef struct jt_sheet {
    int refs;
    jt_evidence e;
} jt_sheet;
void jt_sheet_put(jt_sheet *s);
/* *at becomes s (NULL: nothing), one reference more. */
void jt_sheet_set(jt_sheet **at, jt_sheet *s);

/* Entry i: made[i], top[i * top of the job ...], stage[i * most_stage of the job ...], of a traced job sheet[i]. */
typedef struct jt_trail {
    jt_made *made;
    jt_candidate *top;
    jt_stage_trace *stage;
    jt_sheet **sheet;
    size_t cap;
} jt_trail;
jt_status jt_trail_reserve(const jt_live *j, jt_trail *t, size_t n, jt_error *err);
/* Copies entry `from` of f to entry `to` of t, for which room is reserved. */
void jt_trail_copy(const jt_live *j, jt_trail *t, size_t to, const jt_trail *f, size_t from, size_t n);
void jt_trail_free(jt_trail *t);

/* ---- branches ---- */

/* An input that is not its id's embedding: n ids with weights, or n = 0 and a vector in the weights. */
typedef struct jt_blend {
    int position, n;
    size_t at, used; /* in blend_id and blend_w */
} jt_blend;

/* Inputs of a branch; forks share it until one of them writes. */
typedef struct jt_past {
    int refs;
    size_t cap;
    int32_t *ids;   /* [cap] */
    jt_trail trail; /* from the prompt's end on */
    jt_blend *blend;
    size_t n_blend, cap_blend, cap_blend_id, cap_blend_w;
    int32_t *blend_id;
    float *blend_w;
} jt_past;

/* The states of the stages of the pipeline, at j->stage_at[i]; shared like the past. */
typedef struct jt_stages {
    int refs;
    _Alignas(max_align_t) unsigned char bytes[];
} jt_stages;

/* ---- attributes ---- */

/* Those before JT_ATTR_LAYERS are of the state, the others of rows. */
typedef enum jt_attr_kind { JT_ATTR_TAPS, JT_ATTR_ADAPTER, JT_ATTR_KEYS, JT_ATTR_LAYERS, JT_ATTR_GROUP } jt_attr_kind;

/* Shared by the branches that have it; immutable. */
typedef struct jt_worn {
    int refs;
    int level;     /* TAPS: of the strategy that reads what they capture */
    jt_tap *tap;   /* [n] */
    jt_keys *keys; /* [n] */
    int n;         /* of taps or keys */
    int size;      /* GROUP: inputs of a group */
    jt_wear wear;
    jt_layers layers;
    jt_arena memory;
} jt_worn;

typedef struct jt_attr {
    jt_attr_kind kind;
    int from, made; /* in force from position `from` on; set when the branch had `made` inputs */
    int end;        /* GROUP: inputs from here on are alone */
    jt_worn *value;
} jt_attr;

/* What is in force at the position, NULL: what a new state has. */
const jt_worn *jt_attr_at(const jt_branch *b, jt_attr_kind kind, int position);
/* The first position after this one at which taps, keys or adapter are set anew; INT_MAX: none. */
int jt_attr_border(const jt_branch *b, int position);
/* The first position at which anything is set anew, or layers or groups are set at all; INT_MAX: none. */
int jt_attr_even(const jt_branch *b);
/* Brings the state to the taps, the keys and the adapter of the position. */
jt_status jt_attr_apply(jt_driver *d, jt_branch *b, int position, jt_error *err);
/* From position `from` on, in place of what was set for later ones; what was evaluated from there on is so no more. */
jt_status jt_attr_set(jt_driver *d, jt_branch *b, jt_attr_kind kind, int from, int made, jt_worn *v, jt_error *err);
jt_status jt_attr_copy(const jt_branch *from, jt_branch *to, jt_error *err);
/* Forgets what was set for positions after n by a branch longer than n. */
void jt_attr_truncate(jt_branch *b, int n);
void jt_attr_free(jt_branch *b);
/* The inputs [*begin, *end) that input p is evaluated with. */
void jt_group_of(const jt_branch *b, int p, int *begin, int *end);
/* Where the group begins that lies on both sides of a cut at p; p: there is none. */
int jt_group_cut(const jt_branch *b, int p);
/* Of `n` pending inputs, how many to take if `most` fit: whole groups, and one at least. */
int jt_group_fit(const jt_branch *b, int n, int most);
/* The most inputs that a group of the branch may have; 0: there are no groups. */
int jt_group_most(const jt_branch *b);
void jt_worn_put(jt_worn *v);
/* The adapter of that name as an attribute; NULL: none. */
jt_status jt_worn_adapter(const jt_driver *d, int model, const char *name, float scale, jt_worn **out, jt_error *err);

/* ---- dists that are held ---- */

/* Shared by the branches that have it; immutable. */
typedef struct jt_held {
    int refs, n; /* n: candidates of a listed one, else the vocabulary */
    size_t bytes;
    jt_cand *cand; /* listed: [n], else NULL */
    float *x;      /* dense: [n], else NULL */
} jt_held;

typedef struct jt_grip {
    jt_hold hold;
    int position;
    jt_held *held;
} jt_grip;

typedef struct jt_grips {
    jt_grip *grip;
    size_t n, cap;
} jt_grips;

jt_status jt_grips_copy(const jt_grips *from, jt_grips *to, jt_error *err);
/* Lets go of those beyond position n. */
void jt_grips_truncate(jt_driver *d, jt_grips *g, int n);
void jt_grips_free(jt_driver *d, jt_grips *g);

/* A row of the tree that hangs at the end of a branch. */
typedef struct jt_twig {
    int parent; /* twig or JT_LAST */
    int32_t id, depth, rank, place, group;
    bool ranked, placed, layered, mixed, grouped;
    jt_layers layers;
    int n_mix; /* mixed: ids of a mixture, or 0 and a vector */
    size_t mix_at, mix_used;
    jt_made made; /* how its id was decided at its parent, if it was */
} jt_twig;

struct jt_branch {
    uint64_t serial; /* of the contents; rows name it */
    int model;       /* of the driver */
    jt_state *state; /* nodes: inputs 0 .. evaluated - 1, then the evaluated tree */
    jt_past *past;
    jt_stages *stages;
    jt_stages *fresh; /* as they were at the prompt's end; shared */
    uint64_t stream;
    int prompt;                /* inputs of the prompt */
    int n, evaluated, follows; /* follows: a slot, -1: none */
    int bent;                  /* the first input evaluated with a rank, place, layers or group of its own; INT_MAX: none */
    int chain;                 /* of the job: the stages that it decides by */
    bool chosen;               /* it is the answer that was given */
    bool apart;                /* a shadow with a prompt of its own */
    jt_branch *shadow;         /* the same inputs on the model of the pipeline's stages, or the answer after their other prompt */
    jt_twig *twig;
    int n_twig;
    size_t cap_twig, n_mix, cap_mix_id, cap_mix_w;
    int32_t *mix_id; /* of the twigs that are mixed */
    float *mix_w;
    bool grown; /* the tree is in the state */
    bool asked; /* rows are wanted */
    jt_grips grips;
    jt_attr *attr; /* [n_attr], by position */
    size_t n_attr, cap_attr;
    bool late;                   /* taps, keys or adapter were set when rows were there already */
    jt_worn *on[JT_ATTR_LAYERS]; /* what the state has now; NULL: what a new one has */

    /* Of a slot with a child. */
    jt_inst *child;
    jt_trail said;
    int n_said, forwarded, run; /* run: tokens left, -1: to the end, 0: not running */
    struct jt_reply *reply;     /* where the transcript ends */
};

jt_status jt_branch_new(jt_driver *d, jt_live *j, int model, jt_branch **out, jt_error *err);
void jt_branch_free(jt_driver *d, jt_live *j, jt_branch *b);
/* The states of all stages after a prompt. */
jt_status jt_stages_open(const jt_driver *d, const jt_live *j, const int32_t *prompt, int n, jt_stages **out, jt_error *err);
/* tag < 0: the same stream. The tree stays with `from`. */
jt_status jt_branch_fork(jt_driver *d, jt_live *j, const jt_branch *from, int tag, jt_branch **out, jt_error *err);
void jt_branch_restream(jt_branch *b, int tag);
/* The second branch that the job's stages read beside b, whose prompt is ids[0..n); NULL if they read none. */
jt_status jt_branch_second(jt_driver *d, jt_live *j, const int32_t *ids, int n, jt_branch **out, jt_error *err);
/* Appends an input; `t` is entry `at` of a trail or NULL. */
jt_status jt_branch_append(jt_live *j, jt_branch *b, const jt_made *made, const jt_trail *t, size_t at, const jt_input *in, int hidden,
                           jt_error *err);
/* Makes the past the branch's own with room for n inputs. */
jt_status jt_branch_own(const jt_live *j, jt_branch *b, int n, jt_error *err);
/* Drops the tree. */
jt_status jt_branch_prune(jt_driver *d, jt_branch *b, jt_error *err);
jt_status jt_branch_truncate(jt_driver *d, jt_branch *b, int n, jt_error *err);
/* Copies the tree that `from` has been asked for. */
jt_status jt_tree_copy(const jt_branch *from, jt_branch *to, jt_error *err);
/* What row `t` of the tree is made from, valid as long as the tree. */
jt_input jt_tree_input(const jt_branch *b, const jt_twig *t);
/* A follower's tree whose path the inputs of `of` went is evaluated input from there on. */
jt_status jt_tree_follow(jt_driver *d, jt_live *j, jt_branch *b, const jt_branch *of, jt_error *err);
/* Whether a follower that waits with a tree still has the inputs of `of`. */
bool jt_branch_alike(const jt_branch *b, const jt_branch *of);
/* Gives a follower the inputs of `of`. */
jt_status jt_branch_sync(jt_driver *d, jt_live *j, jt_branch *b, const jt_branch *of, jt_error *err);
/* The blend at position p, NULL if the input is its id. */
const jt_blend *jt_branch_blend(const jt_branch *b, int p);
/* A copy of the stages' states that b alone has. */
jt_status jt_branch_own_stages(const jt_live *j, jt_branch *b, jt_error *err);

/* ---- answers ---- */

/* An emitted token that waits to be handed out; text, top and stage lie in the reply's arrays. */
typedef struct jt_record {
    jt_decision decision;
    jt_sheet *sheet;
    size_t text, n_text, top, stage;
    int n_top, n_stage, answer_tokens;
    float eval_seconds;
} jt_record;

typedef struct jt_reply {
    struct jt_reply *next; /* in the order of handing out */
    int index;
    bool silent; /* only finds its end, keeps no records */
    bool whole;  /* given as a whole: what it says was said in time */
    jt_detok detok;
    char *held; /* text that could begin a stop string */
    size_t n_held, cap_held;
    int n;
    double first, ended;
    jt_record *record; /* [n_record], those before `handed` are out */
    size_t n_record, cap_record, handed;
    jt_str text;
    jt_candidate *top;
    size_t n_top, cap_top;
    jt_stage_trace *stage;
    size_t n_stage, cap_stage;
    jt_end_reason end; /* JT_END_NONE: open */
    size_t end_text;   /* where the end event's text begins in `text` */
    int32_t *note;
    int n_note;
} jt_reply;

/* Takes entry `at` of the trail into the reply: text, stops, limits, a record. On failure the reply is as it was. */
jt_status jt_reply_take(jt_driver *d, jt_live *j, jt_reply *a, const jt_trail *t, size_t at, jt_error *err);
/* Ends it; the text held back goes into a->text. */
void jt_reply_end(jt_driver *d, const jt_live *j, jt_reply *a, jt_end_reason why);
/* What needs no text: end tokens, stop ids, limits. `n`: tokens with this one. */
jt_end_reason jt_reply_why(const jt_driver *d, const jt_live *j, const jt_decision *made, int n);
jt_status jt_reply_copy(const jt_reply *from, jt_reply **out, jt_error *err); /* of a silent one */
void jt_reply_free(jt_reply *a);
/* Lets go of the evidence of its records. */
void jt_reply_release(jt_reply *a);

/* ---- instances ---- */

/* Memory of a row's results. */
typedef struct jt_room {
    struct jt_room *next;
    float *logits, *second, *hidden; /* [vocab], [vocab], [hidden] or NULL */
    int32_t *top_ids, *targets;
    int *layer; /* of the streams: the strategy's, then the stages' */
    float *top_logits, *stream;
    double *target_logprob;
    size_t cap_layer, cap_stream, cap_top, cap_top_logits, cap_targets, cap_logprob;
    double log_sum, log_sum2, entropy;
} jt_room;

/* A row that is asked for, and its results. */
typedef struct jt_asked {
    jt_slot slot;
    int node, n_top, n_targets, n_stream; /* node: of the slot's tree, -1: the end; n_stream: the strategy's */
    uint32_t want;
    bool ready;
    uint64_t serial;
    int32_t position;
    jt_room *room;
    float eval_seconds;
    jt_decision newest; /* decided at this row; position -1: none */
    jt_trail trace;     /* its entry, one */
} jt_asked;

/* What taps have captured for an instance. */
typedef struct jt_caught {
    jt_captured c;
    size_t at; /* in x */
} jt_caught;
typedef struct jt_catch {
    jt_caught *row; /* those from `n` on are of the evaluation that runs */
    float *x;
    size_t n, n_late, cap, n_x, n_x_late, cap_x;
    jt_captured *out;
    size_t cap_out;
} jt_catch;

/* Takes a captured row of part `p`. A failure is kept in the job. */
void jt_catch_row(jt_live *j, const jt_part *p, int node, int layer, int tag, const float *x, int width);
/* The evaluation is over: what it captured of the job stays, or goes. */
void jt_catch_settle(jt_live *j, bool stays);
/* What was caught, in the order of slots and positions. */
jt_status jt_catch_results(jt_inst *i, jt_results *r, jt_error *err);
jt_status jt_catch_copy(const jt_inst *from, jt_inst *to, jt_error *err);

struct jt_inst {
    const jt_node *node;
    int level; /* in the pipeline's strategies */
    size_t bytes;
    void *state;
    jt_branch **slot;
    size_t n_slot, cap_slot;
    jt_asked *asked; /* [n_asked] asked now; [n_asked, n_asked + n_late): asked by the advance that runs */
    size_t n_asked, n_late, cap_asked;
    jt_slot *ran; /* children that run, in the order of the requests; the same two parts */
    size_t n_ran, n_ran_late, cap_ran;
    jt_catch caught;
    jt_out *out;
    jt_child_end *ends;
    size_t cap_out, cap_ends;
    bool done;
    jt_end_reason end;
    jt_trail emitted; /* by a child: what the level above has not taken begins at `taken` */
    int n_emitted, taken;
};

/* An instance of strategy number `level`; `main` (owned by it on success) is its main slot. */
jt_status jt_inst_new(jt_driver *d, jt_live *j, int level, jt_branch *main, jt_inst **out, jt_error *err);
void jt_inst_free(jt_driver *d, jt_live *j, jt_inst *i);
jt_status jt_inst_fork(jt_driver *d, jt_live *j, const jt_inst *from, int tag, jt_inst **out, jt_error *err);
/* Advances all that can be, the innermost first; the job may end. */
void jt_inst_settle(jt_driver *d, jt_live *j);
/* Memory for the row's results on a model; copies what `like` (NULL: nothing) wants besides numbers. */
jt_status jt_inst_room(const jt_driver *d, jt_live *j, jt_asked *a, int model, const jt_row *like, jt_error *err);
jt_status jt_inst_slots(jt_inst *i, jt_slot most, jt_error *err); /* makes room for slots 0 .. most */
/* Where entry `at` of a trail goes that the instance emits. */
jt_status jt_inst_emit(jt_driver *d, jt_live *j, jt_inst *i, const jt_trail *t, size_t at, jt_error *err);
/* Takes what the child of b has said, as far as was asked for. */
jt_status jt_inst_listen(jt_driver *d, jt_live *j, jt_branch *b, jt_error *err);
void jt_inst_advance(jt_driver *d, jt_live *j, jt_inst *i);
/* Forgets the rows that are asked for. */
void jt_inst_forget(jt_live *j, jt_inst *i);
/* Ends the job for that reason, with the answers that its strategies have. */
void jt_live_finish(jt_driver *d, jt_live *j, jt_end_reason why);
/* Takes the child out of the slot; the slot is a branch again, with its transcript forgotten. */
void jt_inst_unseat(jt_driver *d, jt_live *j, jt_branch *b);

/* ---- states kept after their job ---- */

typedef struct jt_kept {
    struct jt_kept *next; /* the one used last stands first */
    int refs;             /* the driver's, and of jobs that wait to begin from it */
    int model, n;         /* n: nodes of the state, one after another, made from ids */
    uint64_t mode, bytes;
    jt_state *state;
    int32_t *ids;
} jt_kept;

/* The job is over: its states are taken out of it and kept, as far as there is room. */
void jt_prefix_keep(jt_driver *d, jt_live *j);
/* Holds what the job will begin from, so that it is not dropped before. */
void jt_prefix_pin(jt_driver *d, jt_live *j);
void jt_prefix_unpin(jt_driver *d, jt_live *j);
/* The branch goes on from a state, kept or another branch's, that has more of its first inputs; it leaves at least the last
 * of them to be evaluated. */
void jt_prefix_begin(jt_driver *d, jt_live *j, jt_branch *b);
/* How many of b's first inputs it could have from `of` once that has evaluated its own. */
int jt_prefix_alike(const jt_driver *d, const jt_branch *b, const jt_branch *of);
/* Drops what was used longest ago until the jobs' needs and `more` bytes fit beside the rest. */
void jt_prefix_give_way(jt_driver *d, uint64_t more);
/* Drops everything; whether there was anything. */
bool jt_prefix_clear(jt_driver *d);

/* ---- jobs ---- */

typedef struct jt_streams {
    int *layer;
    int n;
    size_t cap;
} jt_streams;

/* Stages that a slot's decisions may go through: stage[first .. end) of the job. All of them see every decision. */
typedef struct jt_chain {
    const jt_pipeline *p;
    int first, end;
} jt_chain;
/* Collects the stages of the pipeline and those in the parameters of its strategies. */
jt_status jt_chain_collect(jt_live *j, jt_error *err);
const jt_chain *jt_chain_of(const jt_live *j, const jt_branch *b);

struct jt_live {
    jt_live *next; /* in order of submission */
    jt_job id;
    const jt_pipeline *pipeline;
    uint64_t seed, stream;
    uint32_t choice;
    int max_tokens, context, n_prompt, top, evidence, vocab, hidden; /* hidden: the widest model's */
    bool ignore_end, special, trace;
    double max_seconds, submitted, deadline; /* submitted: or admitted later */
    uint64_t need;                           /* bytes of caches that it could fill */
    bool admitted;
    jt_kept *pin;
    int reused;  /* prompt tokens of the main model that other jobs had evaluated */
    char **stop; /* [n_stop], each NUL-terminated */
    size_t *stop_len, n_stop;
    int32_t *stop_ids;
    size_t n_stop_ids;

    jt_chain *chain;                  /* [n_chain], the pipeline's own first */
    jt_node *stage;                   /* [n_stage], of all chains */
    int n_chain, n_stage, most_stage; /* most: of one chain */
    size_t *stage_at, stage_bytes;    /* in jt_stages.bytes */
    jt_worn *adapter;                 /* of the request; NULL: none */
    jt_message *message;              /* [n_message]: of the request, in `words` */
    int n_message;
    jt_arena words;
    int model2;             /* of the driver; -1: no stage asks for one */
    const jt_node *prompt2; /* the stage whose second sequence has a prompt of its own; NULL: none */
    int n_prompt2;          /* its tokens */
    bool needs_hidden, siblings, raw_keys;
    int arrivals;                  /* stages with JT_NEEDS_ARRIVED */
    jt_streams streams[JT_MODELS]; /* that stages read, on each of the driver's models */
    uint64_t serial;               /* the newest branch's */
    jt_hold hold;                  /* the newest */
    jt_inst *root;
    jt_room *rooms;   /* free ones */
    jt_status caught; /* a failure to keep what was captured */
    bool catching;    /* the evaluation that runs has captured something */
    jt_kin *kin;
    size_t n_kin, cap_kin;
    int advances; /* since the last evaluation */

    jt_reply *first, *main; /* answers to hand out; what the root emits */
    jt_reply *given;        /* handed out whole, freed by the next call */
    int n_yielded;
    jt_end_reason end;  /* JT_END_NONE: live */
    jt_end_reason last; /* why nothing more is evaluated; JT_END_NONE: it goes on */
    jt_end_reason zero; /* the end of answer 0, when it was given as a whole */
    int zero_tokens;
    double zero_first, ended;
    jt_error error;
};

/* ---- objects that outlive jobs ---- */

typedef struct jt_shared {
    struct jt_shared *next;
    const jt_method *method;
    pthread_mutex_t lock;
    void *object;
} jt_shared;

/* Makes the object of the method, if it has one and it is not there. */
jt_status jt_shared_make(jt_driver *d, const jt_method *m, jt_error *err);
/* The object, nobody else's until jt_shared_leave; NULL: the method has none. */
jt_shared *jt_shared_enter(jt_driver *d, const jt_method *m);
void jt_shared_leave(jt_shared *s);
void jt_shared_free(jt_driver *d);

/* One branch's part of a round. */
struct jt_part {
    jt_live *job;
    jt_branch *branch;
    jt_inst *inst;
    jt_slot slot;
    bool shadow; /* of inst's slot */
    int inputs;  /* pending inputs in it */
    bool last;   /* all that are pending */
    bool tree;   /* with the tree behind them */
    bool whole;  /* nothing of the branch is left for a later round */
};

/* A model of the driver and its batch of a round. */
typedef struct jt_side {
    char role[32];
    jt_evaluator ev;
    jt_part *part;
    jt_span *span;
    jt_want *want;
    size_t n_part, cap_part, cap_span, cap_want, n_want;
    /* Rows of spans that are not plain ids. */
    int32_t *ids, *parent, *rank, *place, *group;
    jt_input *input;
    jt_layers *layers;
    size_t n_row, cap_row;
} jt_side;

/* Evidence that is being written: lists one after another, the model's first. */
typedef struct jt_ink {
    jt_evidence e;
    jt_stage_evidence stage[JT_PIPELINE_MOST];
    jt_cand *cand;
    jt_drawn *drawn;
    size_t n_cand, cap_cand, n_drawn, cap_drawn;
    size_t last; /* where the newest list begins */
} jt_ink;
/* The row's dist is d->raw, and b decides. */
jt_status jt_ink_begin(jt_driver *d, const jt_live *j, const jt_asked *row, const jt_branch *b, jt_error *err);
/* The stage has made d->staged what it is. */
jt_status jt_ink_stage(jt_driver *d, const jt_live *j, const jt_node *node, const jt_stage_trace *t, const jt_draws *draws, jt_error *err);
/* The row has the evidence. */
jt_status jt_ink_end(const jt_driver *d, jt_asked *row, jt_error *err);
void jt_ink_free(jt_ink *k);

struct jt_driver {
    jt_side model[JT_MODELS]; /* the first is the main one */
    int n_model;
    jt_pipeline *greedy;
    jt_known *known;
    jt_shared *shared;
    jt_dist *held;                           /* NULL before the first is read */
    uint64_t held_bytes;                     /* of what is held */
    jt_dist *projected;                      /* NULL before the first job that needs it */
    float *projection;                       /* [vocab]: its logits */
    jt_dist *raw, *staged, *before, *second; /* before: what a traced stage was given, and a strategy's copy */
    int32_t *seen;
    jt_count *count;
    jt_ink ink;
    int32_t *alike; /* [the longest declared context of jobs whose stages read the history] */
    size_t cap_alike;
    uint32_t site;         /* of the ordinary draw */
    jt_live *first, *gone; /* gone: its end was handed out; freed by the next call */
    size_t n_live;
    jt_job last;
    uint64_t cache_most, cache_held; /* 0: no limit; the needs of admitted jobs */
    uint64_t kept_most, kept_held;   /* for states of ended jobs; JT_PREFIX_AUTO: by the limit, else by the memory */
    jt_kept *kept;
    size_t n_kept;
    const jt_side *running; /* the evaluation that runs: its parts run_first .. run_end - 1 */
    size_t run_first, run_end;
    jt_driver_counts counts;
    _Atomic uint64_t cancelled[JT_JOBS]; /* at id % JT_JOBS: the newest job there that was cancelled */
};

/* While an instance is advanced. */
struct jt_work {
    jt_driver *d;
    jt_live *j;
    jt_inst *i;
    void *shared;
    int staged;       /* the row that d->raw and d->staged hold: staged, or ... */
    int raw;          /* only raw; -1: none */
    jt_status status; /* the first failure, its message in j->error */
};

#define JT_PREFIX_AUTO UINT64_MAX

bool jt_live_cancelled(const jt_driver *d, const jt_live *j);
void jt_live_end(jt_driver *d, jt_live *j, jt_end_reason why);
void jt_live_free(jt_driver *d, jt_live *j);
double jt_driver_now(const jt_driver *d);
int jt_driver_role(const jt_driver *d, const char *role); /* -1: none */
void jt_driver_round(jt_driver *d);
/* Notes what the job could need. JT_LIMIT when it is more than the limit. */
jt_status jt_admit_check(const jt_driver *d, jt_live *j, int max_tokens, jt_error *err);
/* Lets jobs begin, in order, while their needs fit. */
void jt_admit_waiting(jt_driver *d);
/* Room for one more part with that many rows and wants, beside those of `parts` others. In round.c. */
jt_status jt_round_reserve(jt_side *m, size_t parts, size_t rows, size_t wants, jt_error *err);

/* The branch that decides at the row which `o` names, if it is as it was. In shape.c. */
jt_status jt_shape_branch(const jt_work *w, const jt_out *o, jt_branch **b);
/* In shape.c: stages see the decision; b's stages become its own. */
jt_status jt_shape_push(jt_driver *d, jt_live *j, jt_branch *b, const jt_made *made, jt_error *err);
/* Calls f for every branch that decides, in order. */
void jt_inst_leaves(jt_inst *i, void (*f)(void *self, jt_branch *b), void *self);

#endif
