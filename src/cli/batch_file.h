/* batch_file.h: the results of `jeton batch`: a line each, written whole and at
 * once, so that after a kill at most the last line is cut. Opening a file that
 * holds results goes on after them. */
#ifndef JT_CLI_BATCH_FILE_H
#define JT_CLI_BATCH_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "jeton/status.h"

typedef enum jt_batch_begin {
    JT_BATCH_RESUME, /* what is there is done */
    JT_BATCH_RETRY,  /* the same, but for errors; the last result of a request counts */
    JT_BATCH_RESTART /* the file is emptied */
} jt_batch_begin;

typedef struct jt_batch_file {
    int fd; /* -1: closed */
    const char *path;
    bool seekable;       /* a regular file: what it holds was read, and is locked */
    size_t had, had_bad; /* results found, and how many of them are errors */
} jt_batch_file;

/* Opens or makes `path` ("-": standard output) for the results of n requests, where request i has the key key[i]; done[i] is
 * set for each whose result is there, and a cut last line is dropped. JT_INVALID when what is there are results of other
 * requests or no results at all; nothing is then changed. */
jt_status jt_batch_file_open(const char *path, jt_batch_begin how, const uint64_t *key, size_t n, bool *done, jt_batch_file *out,
                             jt_error *err);
/* Appends a whole line, its newline included. */
jt_status jt_batch_file_write(jt_batch_file *f, const jt_str *line, jt_error *err);
void jt_batch_file_close(jt_batch_file *f);

#endif
