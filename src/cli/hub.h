/* hub.h: models of the Hugging Face hub: names, lists of files, choosing among them, bringing them.
 *
 * Files are kept as the Python package huggingface_hub keeps them, so that each finds what the other brought:
 *     CACHE/models--ORG--REPO/blobs/ETAG               the bytes; ETAG.incomplete while they come
 *     CACHE/models--ORG--REPO/snapshots/COMMIT/PATH    a link to a blob
 *     CACHE/models--ORG--REPO/refs/REVISION            the commit that a branch or tag is
 *     CACHE/.locks/models--ORG--REPO/ETAG.lock         flock while the blob comes
 * The ETag of a large file is its SHA-256, that of a small one its SHA-1 as a git blob. */
#ifndef JT_CLI_HUB_H
#define JT_CLI_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/http.h"
#include "core/mem.h"
#include "core/str.h"
#include "jeton/status.h"

/* ---- names ---- */

/* ORG/REPO[@REVISION][:WHAT]; WHAT is a file's path or a kind such as Q4_K_M, "" when not said. */
typedef struct jt_hub_name {
    char repo[200], revision[200], what[600];
} jt_hub_name;
/* Also takes an address of the hub's pages, and "hf.co/" or "hf:" before the name. JT_INVALID says what a name looks like. */
jt_status jt_hub_name_parse(const char *text, jt_hub_name *out, jt_error *err);
/* True when `text` can be nothing but such a name: ORG/REPO, and no path of a file. */
bool jt_hub_name_like(const char *text);
/* A path inside a repository that stays inside whatever folder it is put in. */
bool jt_hub_path_safe(const char *path);
bool jt_is_commit(const char *s); /* 40 or 64 hexadecimal digits */

/* ---- lists of files ---- */

typedef struct jt_hub_file {
    const char *path;
    int64_t size; /* -1: not said */
    char sum[65]; /* SHA-256 or SHA-1 of a git blob in hexadecimal, which is also the blob's name; "": not said */
} jt_hub_file;
typedef struct jt_hub_listing {
    char commit[72]; /* "": not said */
    jt_hub_file *file;
    size_t n;
    jt_arena arena;
} jt_hub_listing;
/* An answer of /api/models/REPO/revision/REVISION, or of .../tree/REVISION, whose pages may be read one after the other into
 * the same listing. A name that leads out of its folder is refused. Free with jt_hub_listing_free whatever comes back. */
jt_status jt_hub_listing_parse(const char *json, size_t n, jt_hub_listing *out, jt_error *err);
void jt_hub_listing_free(jt_hub_listing *l);

/* What of a repository makes a model. */
typedef struct jt_hub_choice {
    size_t *file; /* places in the listing, in the arena's memory */
    size_t n;
    bool folder; /* the model is the folder; else it is file[0] */
} jt_hub_choice;
/* `what` as in a name. JT_UNKNOWN lists what there is, or what is near. */
jt_status jt_hub_choose(jt_hub_listing *l, const char *repo, const char *what, jt_hub_choice *out, jt_error *err);

/* Where a file's name says how its weights are stored: "Q4_K_M" in "a-Q4_K_M.gguf"; 0 bytes: it does not. */
size_t jt_gguf_kind_in_name(const char *path, const char **begin);
/* "NAME-00002-of-00005.gguf": the part and the number of parts; false for other names. `stem` gets the bytes before "-00002". */
bool jt_gguf_part(const char *path, int *part, int *parts, size_t *stem);
/* Images and importance matrices are GGUF files, too, and no models by themselves. */
bool jt_gguf_is_model_name(const char *path);

/* ---- the hub ---- */

typedef struct jt_hub {
    jt_str endpoint, cache, token;
    bool offline;
    double first_wait; /* seconds before the second attempt; doubled for each further */
    jt_http *http;     /* NULL while nothing was asked */
    long timeout;
} jt_hub;
/* From HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, JETON_RETRY_WAIT.
 * Free with jt_hub_close whatever comes back. */
jt_status jt_hub_open(jt_hub *h, jt_error *err);
void jt_hub_close(jt_hub *h);
/* The cache folder alone. */
jt_status jt_hub_cache(jt_str *out, jt_error *err);

enum { JT_HUB_ATTEMPTS = 5 }; /* in a row that brought nothing */
/* Waits before attempt number `attempt` (from 1), or as long as the server asked. JT_CANCELLED after Ctrl-C; JT_IO when it
 * asks for more than ten minutes. */
jt_status jt_hub_wait(const jt_hub *h, int attempt, const jt_http_answer *a, const char *why, jt_error *err);
/* An answer as text; a status that is not 2xx is left in `a`, with the text empty. */
jt_status jt_hub_ask(jt_hub *h, const char *url, jt_str *out, jt_http_answer *a, jt_error *err);
/* Says why the hub refused `path` of a repository ("" for the repository itself). */
jt_status jt_hub_refused(jt_hub *h, const jt_hub_name *name, const char *path, const jt_http_answer *a, jt_error *err);
/* ENDPOINT/api/models/REPO<below> and ENDPOINT/REPO/resolve/REVISION/PATH. */
void jt_hub_api_url(const jt_hub *h, const char *repo, const char *below, jt_str *out);
void jt_hub_file_url(const jt_hub *h, const char *repo, const char *revision, const char *path, jt_str *out);
/* CACHE/models--ORG--REPO */
void jt_hub_repo_folder(const char *cache, const char *repo, jt_str *out);

/* Completes size and sum of `f` by asking for its headers; `commit` (72 bytes) gets the commit when it is "". */
jt_status jt_hub_learn(jt_hub *h, const jt_hub_name *name, char *commit, jt_hub_file *f, jt_error *err);
/* Brings a file into blobs/ and links it into the snapshot of `commit`; `at` of `of` is for the messages. */
jt_status jt_hub_fetch(jt_hub *h, const jt_hub_name *name, const char *commit, const jt_hub_file *f, size_t at, size_t of, jt_error *err);
/* Links PATH of the snapshot to the blob. */
jt_status jt_hub_link(const jt_hub *h, const char *repo, const char *commit, const jt_hub_file *f, jt_error *err);
/* Compares a file with its sum; true when the sum is not known. *mine (65 bytes, may be NULL) gets its own. */
jt_status jt_hub_check(const char *path, const char *sum, char *mine, bool *same, jt_error *err);

/* Brings what the name says and gives the path of the model: a GGUF file or a folder. `check`: files that are already here
 * are compared with their sums, too. */
jt_status jt_hub_pull(const char *name, bool check, jt_str *path, jt_error *err);

#endif
