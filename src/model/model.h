/* model.h: what an open model is made of. */
#ifndef JT_MODEL_MODEL_H
#define JT_MODEL_MODEL_H

#include "core/mem.h"
#include "jeton/model.h"
#include "model/network.h"
#include "model/rope.h"
#include "model/safetensors.h"
#include "tensor/head.h"

/* A page: JT_TILE positions of all layers; or the states of the recurrences after one node. Shared by states; calls on one
 * model do not overlap, so a plain count will do. */
typedef struct jt_page {
    jt_buffer *buffer;
    int refs;
    struct jt_page *next; /* in the model's list of free pages */
} jt_page;

/* A node outside the trunk. */
typedef struct jt_tree_node {
    int32_t parent, depth, rank, position;
    const jt_layers *layers; /* the layers it ran, in its state's table; NULL: all */
} jt_tree_node;

/* Nodes [first, first + kept), evaluated as one with rows that may be gone. */
typedef struct jt_group_span {
    int32_t first, kept, rows;
} jt_group_span;
/* Nodes after which the states of the recurrences are kept. */
typedef struct jt_marks {
    struct jt_mark {
        int32_t node;
        jt_page *page;
    } * at; /* [n], nodes ascending */
    size_t n, cap;
} jt_marks;

struct jt_state {
    jt_model *model;
    int context, length;
    jt_rope_set *rope;  /* of its context; the model's */
    int trunk;          /* nodes [0, trunk): each follows the one before; depth, rank and position are its number */
    jt_tree_node *node; /* [length - trunk]: the others */
    jt_page **page;
    jt_buffer **buffer; /* of the pages, as the environment wants them */
    size_t n_page, cap_page, cap_buffer, cap_node;
    jt_group_span *group; /* groups of two rows or more, ascending */
    size_t n_group, cap_group;
    jt_marks marks;
    struct jt_layer_set *sets;  /* distinct sets of layers that nodes ran, shared by forks */
    uint64_t tapped;            /* hash of the taps and adapters that were ever in force; 0: none */
    bool watched;               /* taps that capture or call a function, or functions that choose keys, were ever in force */
    struct jt_taps *taps;       /* in force; shared by forks; NULL: none */
    struct jt_adapter *adapter; /* in force; shared by forks; NULL: none */
    float adapter_scale;
    bool raw;                /* keys are kept before the rotation */
    struct jt_key_set *keys; /* in force; shared by forks; NULL: rows see all */
    int in_batch;            /* 1 + its span while a batch is checked */
};

/* A set of layers; the table is a list that only grows, so that nodes may point into it. */
typedef struct jt_layer_set {
    jt_layers layers;
    int refs;
    struct jt_layer_set *next;
} jt_layer_set;

/* Taps of states, immutable once set. */
typedef struct jt_taps {
    int refs, n;
    int captures; /* slots a row needs */
    bool host;
    jt_env_tap *tap;
    jt_arena memory;
} jt_taps;
void jt_taps_put(jt_taps *t);
/* The width of a site (jt_site). */
int jt_taps_width(const jt_model *m, int site);

/* Lists of keys of states, immutable once set. */
typedef struct jt_key_set {
    int refs, n;
    bool select; /* some are chosen by functions */
    jt_env_keys *keys;
    jt_arena memory;
} jt_key_set;
void jt_key_set_put(jt_key_set *k);

/* A span's rows as the environment wants them, made for one eval in its arena. */
typedef struct jt_span_plan {
    jt_tree_node *node;       /* [n]; NULL: the span continues a trunk and needs no tables */
    const jt_env_path **path; /* [n] */
    const uint8_t *cut;       /* [n] or NULL: a pass may begin at this row */
    const int32_t *group;     /* [n] or NULL: the first row of its group */
    int n_group;              /* groups of two rows or more */
} jt_span_plan;

/* Memory of evals, reused; grows and is kept. */
typedef struct jt_eval_work {
    jt_env_input *input; /* [ubatch], and so on */
    int32_t *type, *position, *row_seq, *slot, *rank, *depth, *wanted;
    const jt_env_path **path;
    jt_env_seq *seq;
    jt_env_row_taps *taps;
    jt_env_lora *lora;
    const float **vector;
    const uint64_t **layers;
    jt_buffer *capture;
    jt_env_path *trunk; /* paths of the sequences that are trunks */
    jt_buffer **mark;   /* [n_mark] of the environment */
    size_t n_mark, cap_mark;
    jt_head_want *want; /* [JT_HEAD_ROWS] */
    jt_buffer *storage, *head;
    void **scratch; /* [threads] */
    size_t scratch_bytes;
    jt_env_row_keys *keys; /* [ubatch] */
    jt_env_select select;
} jt_eval_work;

/* A list with what eval needs to know of it. */
typedef struct jt_graph {
    jt_list list;
    jt_val final;
    int lora_rank; /* of a list with JT_GRAPH_LORA: what it was built for */
    uint64_t lora_roles;
} jt_graph;

/* Kinds of lists: with the residual stream exported, with a node at every site, with nodes for adapters, with lists of keys
 * and raw keys; and the final norm alone; the map of pooled rows, without and with the head that classifies. */
enum {
    JT_GRAPH_RESIDUAL = 1,
    JT_GRAPH_TAPS = 2,
    JT_GRAPH_LORA = 4,
    JT_GRAPH_KEYS = 8,
    JT_GRAPH_PROJECT = 16,
    JT_GRAPH_POOLED,
    JT_GRAPH_CLASSES,
    JT_GRAPHS
};

struct jt_model {
    jt_engine *engine;
    jt_model_options options;
    jt_config config;
    jt_gguf *gguf; /* one of the two files is open */
    jt_safetensors *tensors;
    jt_json *config_json;
    jt_tokenizer *tokenizer;
    jt_weights weights;
    jt_ref *ref;
    void **copies; /* tensors that the file holds unaligned */
    size_t n_copies, cap_copies;
    const jt_weights *set[1];
    jt_kv_layout kv;
    jt_rope_set *ropes;
    jt_graph graph[JT_GRAPHS]; /* by JT_GRAPH_*, built when first asked for */
    int lora_rank;             /* the largest rank, and the roles, of all adapters opened so far */
    uint64_t lora_roles;
    struct jt_adapter *adapter; /* of new states; NULL: none */
    float adapter_scale;
    jt_eval_work work;
    size_t mark_bytes; /* of a mark; 0: the model has no recurrence */
    jt_page *free_page, *free_mark;
    struct jt_imatrix_sums *sums; /* being collected in evals; NULL: none */
    jt_arena text;                /* strings of the info */
    bool normalise;               /* embeddings */
    const char **label;           /* [classes] */
    jt_model_info info;
};

/* Fills m->weights and m->ref from the open file; every tensor must be used. */
jt_status jt_model_load_weights(jt_model *m, jt_error *err);
/* Changes the name of a tensor of the family to that in `f`, where names there begin otherwise: in a file of the body alone
 * they have no beginning, in one of a model with other parts they say which part it is. */
void jt_model_place(const jt_config *c, const jt_safetensors *f, char *name, size_t cap);
/* Whether a tensor belongs to the part of such a model that is not text. */
bool jt_model_other_part(const jt_config *c, const char *name);
/* The tokenizer of a GGUF file; *out is NULL if the file has none. */
jt_status jt_model_load_tokenizer(const jt_gguf *g, jt_tokenizer **out, jt_error *err);
/* The tokenizer of a folder (tokenizer_folder.c); *out is NULL if it has none that this build reads. */
jt_status jt_model_load_folder_tokenizer(const jt_config *c, const char *path, jt_tokenizer **out, jt_error *err);
/* Builds the graph of `kind` and runs it on `rows` vectors (at most ubatch), which stand in m->work.vector; *e holds its values. */
jt_status jt_eval_vectors(jt_model *m, int kind, int rows, jt_env *e, jt_error *err);
/* What files beside config.json say of embeddings and labels (embed_files.c). */
jt_status jt_model_load_pooling(jt_model *m, const char *path, jt_error *err);
/* Builds one of the model's lists. */
jt_status jt_model_build(jt_model *m, int kind, jt_error *err);
/* A page for writing, from the free list or new; and giving one back. */
jt_status jt_page_get(jt_model *m, jt_page **out, jt_error *err);
void jt_page_put(jt_model *m, jt_page *p);
/* The same of a mark. */
jt_status jt_mark_get(jt_model *m, jt_page **out, jt_error *err);
void jt_mark_put(jt_model *m, jt_page *p);

enum { JT_MARK_EVERY = 256 }; /* depths at which a linear run of nodes leaves a mark for good */
/* The page of a node's mark; NULL: it has none. */
jt_page *jt_marks_find(const jt_marks *m, int node);
/* Room for n more; and adding one, which then cannot fail. The page is taken over. */
jt_status jt_marks_room(jt_marks *m, size_t n, jt_error *err);
void jt_marks_add(jt_marks *m, int node, jt_page *p);
/* Keeps the marks of nodes below n. */
void jt_marks_cut(jt_marks *m, jt_model *model, int n);
/* Keeps the marks below `base`, and those of slot[i], which becomes node base + i. */
void jt_marks_keep(jt_marks *m, jt_model *model, int base, const int32_t *slot, int n);
jt_status jt_marks_fork(const jt_marks *from, jt_marks *to, jt_error *err);
void jt_marks_free(jt_marks *m, jt_model *model);

/* The marks that an eval makes for one span, until it succeeds. */
typedef struct jt_span_marks {
    jt_marks made;
    int anchor; /* the node that the span's first row goes on from, -1: none */
    int end;    /* the last row of the pass before, -1: none */
} jt_span_marks;
/* Plans the steps of rows [done, done + n) of a span, which are rows [row, ...) of the pass and have these paths;
 * *locals is raised to the local places needed. */
jt_status jt_steps_plan(const jt_span *p, const jt_span_plan *plan, jt_span_marks *made, int done, int n, int row,
                        const jt_env_path *const *path, jt_arena *a, jt_env_seq *seq, int *locals, jt_error *err);
/* Room in the state, so that jt_steps_commit cannot fail; and the marks made become the state's. Before its nodes are added. */
jt_status jt_steps_room(const jt_span *p, jt_span_marks *made, jt_error *err);
void jt_steps_commit(const jt_span *p, const jt_span_plan *plan, jt_span_marks *made);

/* Makes slots [first, first + n) writable, with what they hold. */
jt_status jt_state_reserve(jt_state *s, int first, int n, jt_error *err);
/* The node's record, made up for the trunk. */
jt_tree_node jt_state_node(const jt_state *s, int node);
/* Room for n more nodes; and adding them (node NULL: n that continue the trunk). Adding cannot fail. */
jt_status jt_state_room(jt_state *s, int n, jt_error *err);
void jt_state_add(jt_state *s, const jt_tree_node *node, int n);
/* Groups of a state (groups.c): room for n more; adding those of the next rows, which cannot fail; what is left after
 * truncations to n nodes and to a path of which `path` nodes, slot[], follow the first `base`. */
jt_status jt_groups_room(jt_state *s, int n, jt_error *err);
void jt_groups_add(jt_state *s, const jt_span_plan *p, int n);
void jt_groups_truncate(jt_state *s, int n);
void jt_groups_keep(jt_state *s, int base, const int32_t *slot, int path);
/* Finds the groups of a span and forbids passes to part them. */
jt_status jt_groups_plan(const jt_span *p, int index, jt_arena *a, jt_span_plan *plan, jt_error *err);
/* Keys of a pass (keys.c): of row `at`, which is row i of its span; the tables for all; their memory at the end. */
void jt_keys_set_row(jt_eval_work *w, int at, const jt_state *s, const jt_span_plan *plan, int i);
jt_status jt_keys_prepare(jt_model *m, const jt_batch *b, jt_env *e, jt_error *err);
void jt_keys_free_work(jt_eval_work *w);
/* The set as its state's table holds it, added if it is new; NULL with *err set when memory is short. */
const jt_layers *jt_state_layers(jt_state *s, const jt_layers *l, jt_error *err);
/* Checks a span's arrays and makes its plan. */
jt_status jt_span_plan_make(const jt_span *p, int index, jt_arena *a, jt_span_plan *out, jt_error *err);

#endif
