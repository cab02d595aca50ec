/* store.h: models that are on this machine already, in the folders of Jeton, the Hugging Face hub, llama.cpp, LM Studio and
 * Ollama, used where they lie.
 *
 *     jeton      ~/.cache/jeton/models: FILE.gguf
 *     hub        HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub: models--ORG--REPO/snapshots (cli/hub.h)
 *     llama.cpp  LLAMA_CACHE or ~/.cache/llama.cpp: ORG_REPO_FILE.gguf with manifest=ORG=REPO=TAG.json, or as the hub's
 *     LM Studio  ~/.lmstudio/models, ~/.cache/lm-studio/models: ORG/REPO/FILE.gguf
 *     Ollama     OLLAMA_MODELS or ~/.ollama/models: manifests/HOST/SPACE/NAME/TAG, a JSON list of layers, and blobs/sha256-HEX
 */
#ifndef JT_CLI_STORE_H
#define JT_CLI_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/str.h"
#include "jeton/status.h"

typedef enum jt_store_kind { JT_STORE_JETON, JT_STORE_HUB, JT_STORE_LLAMA, JT_STORE_LMSTUDIO, JT_STORE_OLLAMA } jt_store_kind;

typedef struct jt_stored {
    jt_store_kind kind;
    const char *name; /* as `jeton run` takes it: "org/repo:Q4_K_M", "llama3.2:1b" */
    const char *also; /* another name for it, or NULL */
    const char *type; /* "Q4_K_M", "safetensors"; "" when nothing says it */
    const char *path; /* the file (the first of several parts) or the folder */
    const char *repo; /* of the hub and its likes: the folder models--ORG--REPO; else NULL */
    uint64_t bytes;
    int64_t used; /* seconds since 1970 when it was last read or written, as far as the file system says; 0: unknown */
} jt_stored;

typedef struct jt_store {
    jt_arena arena;
    jt_stored *model; /* in the order of the kinds, then of names */
    size_t n, cap;
} jt_store;

/* The word for a kind: "hub", "Ollama". */
const char *jt_store_kind_name(jt_store_kind k);

/* Looks into all folders; those that are not there or cannot be read are left out. Free with jt_store_free whatever comes back. */
jt_status jt_store_scan(jt_store *s, jt_error *err);
void jt_store_free(jt_store *s);

/* The model that a name means: its name, its other name, ORG/REPO when one of its files is meant by that, or the last part of
 * a name when that is clear. JT_UNKNOWN with the nearest name, JT_INVALID with the names when several fit. */
jt_status jt_store_find(const jt_store *s, const char *name, const jt_stored **out, jt_error *err);

/* Removes the model's files; of the hub's those that no other snapshot uses. *freed gets the bytes. */
jt_status jt_store_remove(const jt_stored *m, uint64_t *freed, jt_error *err);

/* ---- for the files that look into one folder each ---- */

/* Adds a copy of `m`. */
jt_status jt_store_add(jt_store *s, const jt_stored *m, jt_error *err);
/* A GGUF file with the parts beside it: bytes and time of all. false when one is missing, or it is no file. */
bool jt_store_measure(const char *path, uint64_t *bytes, int64_t *used);
/* Calls `f` for each name in a folder but "." and "..", in order. Folders that cannot be read have none. */
jt_status jt_store_each(const char *folder, jt_status (*f)(void *self, const char *folder, const char *name, jt_error *err), void *self,
                        jt_error *err);
/* "REPO:KIND" when the file's name says a kind, else "REPO:FILE". */
void jt_store_file_name(const char *repo, const char *file, jt_str *out);
jt_status jt_store_scan_hub(jt_store *s, jt_store_kind kind, const char *cache, jt_error *err);
jt_status jt_store_scan_llama(jt_store *s, const char *folder, jt_error *err);
jt_status jt_store_scan_lmstudio(jt_store *s, const char *folder, jt_error *err);
jt_status jt_store_scan_ollama(jt_store *s, const char *folder, jt_error *err);
/* The part of jt_store_remove that knows snapshots and blobs. */
jt_status jt_store_remove_hub(const jt_stored *m, uint64_t *freed, jt_error *err);
/* Removes a file with the parts beside it; *freed grows. */
jt_status jt_store_unlink(const char *path, uint64_t *freed, jt_error *err);
/* Removes a folder and all in it; links are removed, never followed. */
void jt_remove_tree(const char *path);

#endif
