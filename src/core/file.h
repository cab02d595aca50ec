/* file.h: reading by memory map, writing atomically, and the user's folders. */
#ifndef JT_CORE_FILE_H
#define JT_CORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/str.h"
#include "jeton/status.h"

/* A file mapped for reading. An empty file has n = 0 and a valid p. */
typedef struct jt_map {
    const uint8_t *p;
    size_t n;
    void *base; /* what munmap gets; NULL when nothing is mapped */
} jt_map;
jt_status jt_map_open(const char *path, jt_map *out, jt_error *err);
/* Asks that the mapped bytes stay in memory; a refusal is an error that says how to raise the limit. */
jt_status jt_map_lock(const jt_map *m, jt_error *err);
void jt_map_close(jt_map *m);
/* Tells the system that mapped bytes p[0..n) will not be read soon, so that their
 * memory may be used for other things; they stay readable. */
void jt_map_release(const void *p, size_t n);

/* The whole of an ordinary file, pipe or "-" (standard input) as bytes. */
jt_status jt_file_read(const char *path, jt_str *out, jt_error *err);

/* Writes a file so that it is there whole or not at all: a temporary file in the
 * same folder, synced, renamed over `path` by jt_file_commit. Every write is
 * checked, so a full disk is reported; an unfinished file is removed by
 * jt_file_abandon. Devices and pipes, and all below /dev and
 * /proc ("/dev/full", "/dev/stdout"), are written in place; of a link, the file it leads to is replaced. */
typedef struct jt_writer {
    FILE *f;
    char *path, *temp; /* temp is NULL when written in place */
    bool failed;
} jt_writer;
jt_status jt_file_create(const char *path, jt_writer *out, jt_error *err);
jt_status jt_file_write(jt_writer *w, const void *p, size_t n, jt_error *err);
jt_status jt_file_commit(jt_writer *w, jt_error *err);
void jt_file_abandon(jt_writer *w);
/* All of that with the text of `s`, which may have failed to grow. */
jt_status jt_file_save(const char *path, const jt_str *s, jt_error *err);

/* Makes the folder and those above it. */
jt_status jt_make_folder(const char *path, jt_error *err);
/* Removes a folder and the files in it; folders in it stay, and then it too. */
void jt_folder_remove(const char *path);
bool jt_file_exists(const char *path);
bool jt_is_folder(const char *path);
/* "$XDG_CACHE_HOME/jeton" or "~/.cache/jeton"; "$XDG_CONFIG_HOME/jeton" or "~/.config/jeton". */
jt_status jt_cache_folder(jt_str *out, jt_error *err);
jt_status jt_config_folder(jt_str *out, jt_error *err);

/* Physical memory of the machine and what is free to use now, bytes (0: unknown). */
uint64_t jt_memory_total(void);
uint64_t jt_memory_available(void);
/* Seconds from an arbitrary start, never going back. */
double jt_seconds(void);

#endif
