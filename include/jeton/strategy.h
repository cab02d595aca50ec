/* strategy.h: what a strategy works with.
 *
 * A strategy never evaluates. advance() takes the results of its last requests
 * and writes new ones; the driver merges the requests of all live strategies into
 * one evaluation per model. A *slot* is the strategy's own number for a branch: its
 * inputs, what was evaluated of them, the state of the stages and its random
 * stream. JT_MAIN is the request's sequence, whose prompt is pending at the first
 * call (results are empty there). State is flat bytes that name only slots.
 *
 * Bodies are written straight through:
 *
 *   static jt_status advance(const void *par, void *state, const jt_results *r, jt_work *w) {
 *       struct state *s = state;
 *       JT_BEGIN(s);
 *       for (;;) {
 *           jt_work_next(w, JT_MAIN);
 *           JT_AWAIT(s);              no local lives across it
 *           jt_work_say(w, JT_MAIN, jt_work_decide(w, r->out, 0));
 *       }
 *       JT_END(w);
 *   }
 *
 * where struct state has `int at`. Operations apply in written order, evaluations
 * last. A request that fails is kept by the work and ends the job after advance
 * returns, so bodies check nothing. After an end or a limit what a strategy still
 * emits or pushes is discarded.
 *
 * A *leaf* asks for rows. A strategy with `inner` may run the strategy inside it on
 * a slot instead, some tokens at a time: the slot then holds a child, forks with
 * all that the child has, and what the child emits is the slot's transcript. */
#ifndef JETON_STRATEGY_H
#define JETON_STRATEGY_H

#include "jeton/decode.h"
#include "jeton/keys.h"
#include "jeton/tap.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int16_t jt_slot;
enum { JT_MAIN = 0, JT_SLOTS = 4096 };

/* ---- results ---- */

enum { JT_WANT_DIST = 1, JT_WANT_ENTROPY = 2, JT_WANT_TOP = 4, JT_WANT_TARGETS = 8, JT_WANT_HIDDEN = 16, JT_WANT_STREAM = 32 };

/* A row that was asked for. Dies at the return of advance. */
typedef struct jt_out {
    jt_slot slot;
    int row;                /* which result; for the driver */
    int32_t position;       /* of the token to be decided */
    int node;               /* of the slot's tree, in the order of jt_work_rows; -1: the end of the slot's inputs */
    double entropy;         /* WANT_ENTROPY: of the model's distribution, nats */
    const int32_t *top_ids; /* WANT_TOP: logit down, then id up */
    const float *top_logits;
    int n_top;
    const double *target_logprob; /* WANT_TARGETS, in their order */
    const float *hidden;          /* WANT_HIDDEN: the vector that the head multiplies */
    const float *stream;          /* WANT_STREAM: [n_stream][n_hidden], in the order asked */
    int n_hidden, n_stream;
} jt_out;

/* A child that was run. */
typedef struct jt_child_end {
    jt_slot slot;
    jt_end_reason why;   /* JT_END_NONE: paused */
    int tokens;          /* of the slot's transcript */
    double logprob, raw; /* sums over the transcript: staged, and by the model */
} jt_child_end;

/* A row that a tap read (JT_TAP_CAPTURE, jt_work_taps). Dies at the return of advance. */
typedef struct jt_captured {
    jt_slot slot; /* of the strategy that set the tap, whichever child's branch was evaluated */
    int32_t position;
    int node; /* of a tree; -1: an input */
    int layer, tag, width;
    const float *x; /* [width] */
} jt_captured;

struct jt_results {
    const jt_out *out; /* in the order of the requests */
    int n_out;
    const jt_child_end *child; /* in the order of the requests */
    int n_child;
    const jt_captured *captured; /* since the last advance: by slot, position, node, then as the taps stand */
    int n_captured;
    jt_end_reason end; /* of the job, out of time or cancelled: nothing more is evaluated, and this is the last advance (see jt_method's
                        * `unfinished`); JT_END_NONE: it goes on */
};

/* ---- rows ---- */

/* Evaluates the slot's pending inputs; one result with the dist, for the last. */
JT_API void jt_work_next(jt_work *w, jt_slot slot);
/* The same for each of slots first to first + n - 1 that is not empty. */
JT_API void jt_work_next_all(jt_work *w, jt_slot first, int n);

/* A row of a tree that hangs at the end of the slot's inputs, pending ones included. */
enum { JT_LAST = -1 };
typedef struct jt_row {
    jt_slot slot;
    int parent;            /* an earlier row of the slot in this request, counted from its first; JT_LAST */
    int32_t id;            /* what history, stages and answers see */
    const jt_input *input; /* NULL: the id; else the mixture or vector that is evaluated in its place; copied */
    uint32_t want;
    int n_top;
    const int32_t *targets; /* copied */
    int n_targets;
    const int *stream; /* layers whose entering stream is wanted, 0 to their number (what leaves the last); copied */
    int n_stream;
    const jt_layers *layers; /* NULL: all; copied */
    const int32_t *rank;     /* NULL: by depth; copied */
    const int32_t *place;    /* NULL: by depth; the rotary position, copied */
    const int32_t *group;    /* NULL: alone; rows asked for next to each other with the same number are a group (jt_span.group); copied */
} jt_row;
/* The same as jt_work_next with the wants of `like`, the only fields read of it. */
JT_API void jt_work_want(jt_work *w, jt_slot slot, const jt_row *like);
/* One result for each row that wants something. Rows of one slot are asked at once. What was evaluated goes at the next
 * operation on the slot, but for jt_work_keep. */
JT_API void jt_work_rows(jt_work *w, const jt_row *row, int n);
/* The slot goes on from the row's node: the inputs on its path stay, with their decisions, and stages see them. Slots that
 * follow it and have evaluated the same path go on from there too, without evaluating it again. */
JT_API void jt_work_keep(jt_work *w, const jt_out *o);

/* ---- deciding ---- */

/* The dist of a row: the model's, and after the pipeline. Made when asked, the same whenever asked; read only, and valid
 * until another row's is asked. NULL after a failure. At a tree's row stages see that row's own path. */
JT_API jt_dist *jt_work_raw(jt_work *w, const jt_out *o);
JT_API jt_dist *jt_work_staged(jt_work *w, const jt_out *o);
/* As the stages before mark:name leave it, or all of them if there is no such mark; valid until the next call. */
JT_API jt_dist *jt_work_marked(jt_work *w, const jt_out *o, const char *name);
/* The model's dist, to be changed freely until the next call. */
JT_API jt_dist *jt_work_copy(jt_work *w, const jt_out *o);
/* The pipeline, then the addressed draw of that attempt. A dead decision has id -1. */
JT_API jt_decision jt_work_decide(jt_work *w, const jt_out *o, uint32_t attempt);
/* The pipeline, then the first in order. */
JT_API jt_decision jt_work_best(jt_work *w, const jt_out *o);
/* The decision for an id that the strategy picked itself. */
JT_API jt_decision jt_work_choose(jt_work *w, const jt_out *o, int32_t id);
/* Keeps a dist that was read at the row (NULL: the staged one) beyond this advance, with the bits that it has. It belongs to
 * the row's slot, of a follower's row to the slot that is followed: forks have it too, and it goes when the slot is truncated
 * below the row's position, dropped, or when it is released. Memory counts towards the limit of jt_driver_set_cache. */
typedef int32_t jt_hold; /* never 0, never used again by one job */
JT_API jt_hold jt_work_hold(jt_work *w, const jt_out *o, jt_dist *d);
/* What is held; read only, and valid until the next call. NULL after a failure: no slot of the strategy has it any more. */
JT_API jt_dist *jt_work_held(jt_work *w, jt_hold h);
JT_API void jt_work_release(jt_work *w, jt_hold h); /* in all slots of the strategy */
/* The object that the strategy shares with all jobs of its method on this model (jt_method.shared_size). */
JT_API void *jt_work_shared(jt_work *w);
/* Why an answer in the slot would end with this token, by the rules that need no text: end tokens, stop ids, max_tokens,
 * context. JT_END_NONE: it goes on. */
JT_API jt_end_reason jt_work_ends(const jt_work *w, jt_slot slot, const jt_decision *d);
/* The strategy's own random number in (0, 1) at the slot's end. */
JT_API double jt_work_u(const jt_work *w, jt_slot slot, const char *purpose, uint32_t index);

/* ---- ranking ---- */

/* A token that may follow a row. */
typedef struct jt_pick {
    const jt_out *out;
    int32_t id;
    double sum;       /* of ln p along its path, staged */
    double key;       /* what it is ranked by */
    jt_decision made; /* by jt_work_pick */
} jt_pick;

/* The best picks so far: the largest key first, of equal keys the one that came first. */
typedef struct jt_ranking {
    jt_pick *pick; /* [most] */
    int n, most;
    double (*key)(const void *self, const jt_pick *p); /* NULL: the sum */
    const void *self;
} jt_ranking;
/* Ranks the first `top` tokens after each row that r has of slots first to first + n - 1; sum[i] is that of slot first + i. */
JT_API void jt_work_rank(jt_work *w, jt_ranking *k, const jt_results *r, jt_slot first, int n, const double *sum, int top);
/* Makes the pick's decision; why an answer would end with it, as jt_work_ends. */
JT_API jt_end_reason jt_work_pick(jt_work *w, jt_pick *p);
/* The slot `to` becomes a branch of the pick's slot, of the same stream, that goes on with the pick, which was decided for. */
JT_API void jt_work_take(jt_work *w, jt_slot to, const jt_pick *p);
/* All at once: slot first + i goes on with pick[i], which was decided for and whose slot is one of these; where pick[i] has
 * no `out` the slot is emptied. Streams as of jt_work_arrange. */
JT_API void jt_work_grow(jt_work *w, jt_slot first, int n, const jt_pick *pick);
/* Gives slots first + i that are not empty as answers 0, 1 ..., the largest score[i] first, of equal ones the lower slot.
 * note[i] (NULL: none) is its note. Without any the strategy is done, with JT_END_DEAD. */
JT_API void jt_work_yield_ranked(jt_work *w, jt_slot first, int n, const double *score, const int32_t *note);

/* ---- slots ---- */

/* Appends the token to the slot's inputs; stages see it. A dead decision is not appended. */
JT_API void jt_work_push(jt_work *w, jt_slot slot, const jt_decision *d);
/* Emits the slot's inputs from number `from` on, not below the prompt's end, as they were decided. */
JT_API void jt_work_tell(jt_work *w, jt_slot slot, int from);
/* The model's final norm of x, [hidden] floats as they leave its last layer, into out. */
JT_API void jt_work_norm(jt_work *w, const float *x, float *out);
/* Pushes the decision and emits it. */
JT_API void jt_work_say(jt_work *w, jt_slot slot, jt_decision d);
/* The same as push, but what is evaluated is the mixture or vector of `in` (copied). */
JT_API void jt_work_push_input(jt_work *w, jt_slot slot, const jt_decision *d, const jt_input *in);
/* `to` becomes a second branch with the same past, sharing memory until one side writes; what was there is dropped. Its
 * random stream is that of `from` hashed with the tag; tag < 0: the same stream. */
JT_API void jt_work_fork(jt_work *w, jt_slot to, jt_slot from, int tag);
JT_API void jt_work_drop(jt_work *w, jt_slot slot);
JT_API void jt_work_swap(jt_work *w, jt_slot a, jt_slot b);
/* All at once: slot first + i becomes a branch of what slot first + src[i] was; src[i] == i leaves it as it is, empty too.
 * Streams of the others are hashed with i. */
JT_API void jt_work_arrange(jt_work *w, jt_slot first, int n, const int16_t *src);
/* Forgets all but the first n inputs, not below the prompt's. A child begins anew from there. */
JT_API void jt_work_truncate(jt_work *w, jt_slot slot, int n);
JT_API int jt_work_length(const jt_work *w, jt_slot slot); /* inputs; 0 for an empty slot */
/* A slot on the model of that role (NULL: the model of `of`) with the inputs of `of`, now and whenever it is asked; evaluated when it is
 * asked. Deciding at its rows runs the pipeline as at the end of `of`. It has attributes of its own, and trees: they hang at the end of the
 * inputs that `of` has when they are asked. */
JT_API void jt_work_follow(jt_work *w, jt_slot slot, const char *role, jt_slot of);
/* The slot draws as answer `i` of the request does: as if the request's choice were that much higher. */
JT_API void jt_work_as_choice(jt_work *w, jt_slot slot, uint32_t i);

/* ---- attributes ----
 *
 * Taps, keys, layers and the adapter of a slot are in force from an input's position on, in place of what was set of that kind
 * for it and for later positions; `from` may lie ahead. Forks and children inherit them. Every input and every row of a
 * tree is evaluated with those of its own position, whenever it is; what was evaluated from `from` on is evaluated again
 * when it is asked. Truncating to n forgets what was set for positions after n when the slot had more than n inputs.
 * The prompt is pending at the first call, so that from = 0 precedes it. Slots with different attributes share a batch.
 * On a slot with a child they are set for all branches of the child. */

/* Rows that the taps capture come with the results. A tree may not reach over a position at which taps, keys or
 * adapter change. */
JT_API void jt_work_taps(jt_work *w, jt_slot slot, int from, const jt_tap *t, int n);
/* Which keys the slot's rows attend to (jeton/keys.h), in layers and heads; n = 0: all. Copied, but for `self` of a function that
 * chooses, which lives as long as the job: parameters do. It is asked again when rows are evaluated again, and what it has chosen
 * is shared with no other job. Positions of keys need JT_NEEDS_RAW_KEYS. */
JT_API void jt_work_keys(jt_work *w, jt_slot slot, int from, const jt_keys *k, int n);
/* The inputs that the slot has now are evaluated in groups of `size` (jt_span.group; 0 or 1: alone), counted from `from` on, the
 * last one smaller; inputs that come later are alone until this is asked for them too. A group ends where taps, keys or
 * adapter are set anew, is never parted, however long prompts are cut, and what a truncation leaves of it is evaluated again as
 * a smaller one. At most `ubatch` inputs. */
JT_API void jt_work_group(jt_work *w, jt_slot slot, int from, int size);
/* The layers that inputs and rows without layers of their own run; NULL: all. */
JT_API void jt_work_layers(jt_work *w, jt_slot slot, int from, const jt_layers *layers);
/* An adapter of the slot's model by its name in the driver (jt_driver_add_adapter); scale multiplies that given there.
 * NULL: none. */
JT_API void jt_work_adapter(jt_work *w, jt_slot slot, int from, const char *name, float scale);

/* What the slot decides from now on goes through these stages, a parameter of any strategy of the pipeline; NULL: through
 * the pipeline's own. Forks and children inherit it, and truncation does not take it back. Stages see all decisions,
 * whichever made them. */
JT_API void jt_work_stages(jt_work *w, jt_slot slot, const jt_stages_value *v);

/* ---- text ----
 *
 * The text of a slot is the bytes of its inputs put together, special tokens in their written form; bytes are counted from
 * the beginning of its prompt. Without a tokenizer there is none. */

JT_API int jt_work_prompt(const jt_work *w, jt_slot slot); /* inputs of the slot's prompt */
/* The bytes of inputs first .. end - 1; returns the length that they have. out[cap] is always terminated if cap > 0. */
JT_API size_t jt_work_text(const jt_work *w, jt_slot slot, int first, int end, char *out, size_t cap);
/* Where the text of the input at that position begins; past the last, where the text ends. */
JT_API size_t jt_work_byte(const jt_work *w, jt_slot slot, int position);
/* The inputs [*first, *end) that bytes [from, to) touch. */
JT_API void jt_work_span(const jt_work *w, jt_slot slot, size_t from, size_t to, int *first, int *end);
/* The request's messages; *n = 0 if it had none. */
JT_API const jt_message *jt_work_messages(const jt_work *w, int *n);
/* The slot becomes a branch of its own with these messages, and the opening of an answer, as its prompt: nothing of it is
 * evaluated, and no attributes are set but the request's adapter. Its random stream is the request's hashed with the tag. */
JT_API void jt_work_open(jt_work *w, jt_slot slot, const jt_message *m, int n, int tag);

/* ---- children ---- */

/* Runs the inner strategy on the slot for n more tokens, 0: to its end. One entry of results when it is there. */
JT_API void jt_work_child(jt_work *w, jt_slot slot, int n);
/* Emits what the slot's child has said since the last call. */
JT_API void jt_work_forward(jt_work *w, jt_slot slot);

/* The scorer's number for what stands in the slot, its child's transcript or its own tokens: a parameter of the type METHOD
 * (JT_METHOD_OF(JT_SCORER, ...)). NaN after a failure. */
JT_API double jt_work_score(jt_work *w, jt_slot slot, const jt_method_value *scorer);

/* ---- answers ---- */

/* Gives the token to the level above; ends the answer at an end token, stop string or limit, or when the decision is dead. */
JT_API void jt_work_emit(jt_work *w, const jt_decision *d);
/* Gives the slot, from the prompt on, as answer `choice`, once; the slot is left as it is. Inside another strategy the
 * tokens are emitted instead, and choice must be 0. */
JT_API void jt_work_yield(jt_work *w, jt_slot slot, int choice, const int32_t *note, int n_note);
JT_API void jt_work_done(jt_work *w, jt_end_reason why);

/* A saved line is where the body goes on; no switch may stand around an await. A
 * local whose initialisation an await would jump over is an error: the build
 * compiles src/decode/strategies with -Werror=jump-misses-init where it is known. */
#define JT_BEGIN(s)                                                                                                                        \
    switch ((s)->at) {                                                                                                                     \
    case 0:
#define JT_AWAIT(s)                                                                                                                        \
    do {                                                                                                                                   \
        (s)->at = __LINE__;                                                                                                                \
        return JT_OK;                                                                                                                      \
    case __LINE__:;                                                                                                                        \
    } while (0)
#define JT_END(w)                                                                                                                          \
    }                                                                                                                                      \
    jt_work_done(w, JT_END_STOP);                                                                                                          \
    return JT_OK

#ifdef __cplusplus
}
#endif
#endif
