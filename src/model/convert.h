/* convert.h: what the files of the converter share. A conversion is a list of tensors to be
 * written, each made of pieces of tensors that are read; planned first, then streamed. */
#ifndef JT_MODEL_CONVERT_H
#define JT_MODEL_CONVERT_H

#include "core/mem.h"
#include "jeton/convert.h"
#include "model/config.h"
#include "model/fp8.h"
#include "model/gguf_write.h"
#include "model/safetensors.h"

enum { JT_CONVERT_DIMS = 8 };

/* What happens to numbers on the way. */
typedef enum jt_convert_turn {
    JT_TURN_NONE,
    JT_TURN_NEG_EXP /* -exp(x) */,
    JT_TURN_LOG_NEG /* ln(-x) */,
    JT_TURN_ADD /* x + by */
} jt_convert_turn;

/* Rows of a tensor that is read. */
typedef struct jt_convert_piece {
    const jt_format *format;
    const uint8_t *data;  /* of its first row; unaligned */
    const uint8_t *scale; /* of Hugging Face's MXFP4, whose blocks and scales are two tensors; else NULL */
    const jt_fp8 *fp8;    /* the data are of 8-bit floats with scales; NULL: they are of `format` */
    uint64_t rows, cols;  /* as they are written */
    uint64_t row_bytes;
    size_t bytes;         /* that may be let go afterwards */
    bool across;          /* row i is column first + i * step of the data, which are [cols][line] */
    uint64_t first, step; /* of rows that are not across, too */
    uint64_t line;
    uint64_t plane_rows, plane_bytes; /* of `across`, above 0: so many rows, then the same of the next plane */
    uint64_t to, to_step;             /* where in a row of tensors beside each other the numbers go */
    int head, rot;                    /* above 0: of each `head` rows the first `rot` are reordered for the rotation */
    bool interleave;                  /* to pairs (2i, 2i + 1), else back */
    jt_role role;
    int layer;
    const float *lora_a, *lora_b; /* of an adapter: [rank][inputs] and [outputs][rank]; NULL: none */
    int lora_rank;
    bool lora_across; /* rows are inputs */
    double lora_scale;
    jt_convert_turn turn;
    float by;
} jt_convert_piece;

/* A tensor to be written. */
typedef struct jt_convert_tensor {
    const char *name;
    const jt_format *format; /* as it will be */
    const jt_format *wanted; /* what its rows are no whole blocks of, or NULL */
    int n_dims;
    uint64_t dim[JT_CONVERT_DIMS]; /* outermost first */
    uint64_t rows, cols;
    bool matrix;             /* may be quantised, as far as its shape goes */
    const char *from;        /* the first tensor it is made of */
    jt_convert_piece *piece; /* one below the other, or beside it */
    size_t n_piece, cap_piece;
    bool beside;
    const jt_role *stack; /* the order of what shares the tensor; NULL: nothing does */
    const float *weight;  /* of its columns, from an importance matrix: [experts][cols]; NULL: none */
    uint64_t expert_rows;
} jt_convert_tensor;

typedef struct jt_conversion {
    const jt_convert_options *options;
    jt_convert_info info;
    const char *in, *out;
    bool to_gguf;
    jt_gguf *gguf; /* one of the two is open */
    jt_safetensors *tensors;
    jt_json *json; /* config.json */
    jt_config config;
    bool has_config; /* the family is known */
    jt_convert_tensor *made;
    size_t n, cap;
    struct jt_imatrix *imatrix;
    struct jt_adapter *adapter;
    int file_type; /* general.file_type; -1: as the input says */
    jt_arena arena;
} jt_conversion;

/* Says a sentence to the caller. */
void jt_convert_note(const jt_conversion *c, const char *fmt, ...) JT_PRINTF(2, 3);

/* Planning (convert_plan.c): fills c->made with names, shapes and pieces, formats as they are read. */
jt_status jt_convert_plan(jt_conversion *c, jt_error *err);
/* Chooses the formats (convert_types.c). */
jt_status jt_convert_choose(jt_conversion *c, jt_error *err);
/* Opens the adapter of the options and gives the pieces what it adds to them (convert_adapter.c). After the plan. */
jt_status jt_convert_adapt(jt_conversion *c, jt_error *err);
/* Opens the input and reads its settings. */
jt_status jt_convert_open(jt_conversion *c, jt_error *err);

/* Settings (convert_config.c): the keys of a GGUF file, or the text of config.json. */
jt_status jt_convert_config_gguf(const jt_conversion *c, jt_gguf_meta *m, jt_error *err);
const char *jt_convert_gguf_name(const jt_conversion *c); /* general.architecture; NULL: not known */
jt_status jt_convert_config_hf(const jt_conversion *c, jt_str *out, jt_error *err);
/* The tokenizer (convert_text.c): the keys, or files into `folder`. */
jt_status jt_convert_text_gguf(jt_conversion *c, jt_gguf_meta *m, jt_error *err);
jt_status jt_convert_text_hf(jt_conversion *c, const char *folder, jt_error *err);
jt_status jt_convert_pooling_hf(const jt_conversion *c, const char *folder, jt_error *err);

/* How the byte-level BPE of a tokenizer.json cuts text, as GGUF files call it; NULL: no such BPE, or no name is known. */
const char *jt_convert_pre_name(const jt_json *tokenizer);

/* Streams one tensor (convert_rows.c): its bytes go to `write` in order. */
typedef jt_status jt_convert_sink(void *to, const void *p, size_t n, jt_error *err);
struct jt_pool;
jt_status jt_convert_stream(const jt_convert_tensor *t, struct jt_pool *pool, jt_convert_sink *sink, void *to, jt_error *err);

#endif
