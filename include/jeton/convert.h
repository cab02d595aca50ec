/* convert.h: writing a model in another container or with other block formats.
 *
 * From GGUF files (in parts, too) and Hugging Face folders to either. Weights stream from the mapped input, so that
 * memory stays below the largest tensor. The output appears whole or not at all. What the other form cannot say is
 * refused by name. */
#ifndef JETON_CONVERT_H
#define JETON_CONVERT_H

#include <stdint.h>

#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_convert_options {
    /* How to store matrices: a format ("q4_0", "f16", "bf16"), a mixture ("q4_k_m"), or NULL: as the input has them, and
     * float32 where the output's form has no such format. Vectors are stored as float32. */
    const char *type;
    int pure; /* every matrix in `type` itself: no mixture, the head and the embedding included */
    /* "REGEX=FORMAT": tensors whose name in the output matches (POSIX extended) get that format; the first that matches. */
    const char *const *tensor_type;
    int n_tensor_type;
    const char *imatrix; /* file of an importance matrix; NULL: none */
    const char *pre;     /* the pre-tokeniser's name in GGUF; NULL: found out from tokenizer.json */
    const char *adapter; /* a LoRA adapter (jeton/adapter.h) to add to the weights; NULL: none */
    float adapter_scale; /* times its own scale; 0 is read as 1 */
    uint64_t part_bytes; /* above 0: files of at most that many bytes of tensors */
    int threads;         /* 0: one per processor */
    /* Called with a sentence about what is stored otherwise than asked, or left out; may be NULL. */
    void (*note)(void *self, const char *text);
    /* Called now and then with the fraction done; anything but 0 cancels. May be NULL. */
    int (*progress)(void *self, double fraction);
    void *self;
} jt_convert_options;

typedef struct jt_convert_info {
    uint64_t tensors, parameters, bytes_in, bytes_out; /* bytes of tensors */
    uint64_t files;                                    /* with weights */
    uint64_t fallbacks;                                /* tensors whose rows the format does not divide */
} jt_convert_info;

/* Reads `in`, a GGUF file or a folder, and writes `out`: a GGUF file if its name ends in ".gguf", else a new folder.
 * `o` and `info` may be NULL. Errors: JT_UNKNOWN (no such format), JT_UNSUPPORTED (a family, a tensor or a setting that
 * the other form cannot hold), JT_INVALID (the folder exists), JT_FORMAT, JT_IO, JT_NOMEM, JT_CANCELLED. */
JT_API jt_status jt_convert(const char *in, const char *out, const jt_convert_options *o, jt_convert_info *info, jt_error *err);

/* Writes the adapter `in` of the model `model` as a GGUF file if the name ends in ".gguf", else as a new PEFT folder. Of
 * the model only the settings are read. Errors: those of jt_adapter_open and jt_convert. */
JT_API jt_status jt_convert_adapter(const char *model, const char *in, const char *out, jt_convert_info *info, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
