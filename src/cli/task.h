/* task.h: what `jeton eval` is given: a small YAML file that says how questions become
 * prompts and how answers are judged. Words and meanings are those of
 * lm-evaluation-harness where it has them (docs/eval.md lists all). */
#ifndef JT_CLI_TASK_H
#define JT_CLI_TASK_H

#include "cli/yaml.h"
#include "core/json.h"
#include "jeton/template.h"

typedef enum jt_task_kind { JT_TASK_CHOICE, JT_TASK_GENERATE, JT_TASK_ROLLING } jt_task_kind;

typedef enum jt_filter_kind { JT_FILTER_REGEX, JT_FILTER_STRIP, JT_FILTER_LOWER, JT_FILTER_REMOVE } jt_filter_kind;
typedef struct jt_task_filter {
    jt_filter_kind kind;
    const char *pattern;  /* of REGEX and REMOVE */
    const char *fallback; /* of REGEX: what nothing found becomes */
    int64_t select;       /* of REGEX: which match; negative: from the end */
} jt_task_filter;

typedef struct jt_task {
    jt_yaml yaml; /* holds all texts below */
    const char *name, *data, *fewshot_data;
    jt_task_kind kind;
    jt_template *text, *target, *id, *choices; /* choices NULL: `choice` */
    jt_template **choice;                      /* one for each */
    size_t n_choice;
    const char *target_field; /* "doc_to_target", if it is the name of a field */
    const char *description, *target_delimiter, *fewshot_delimiter;
    int64_t num_fewshot, fewshot_seed; /* fewshot_seed -1: the first ones */
    bool chat;
    const char *system;
    const char **until;
    size_t n_until;
    int64_t max_tokens;
    jt_task_filter *filter;
    size_t n_filter;
    bool ignore_case, ignore_punctuation;
    uint64_t key; /* hash of the file */
} jt_task;

/* Errors name file and line. */
jt_status jt_task_parse(const char *path, const char *s, size_t n, jt_task *out, jt_error *err);
jt_status jt_task_read(const char *path, jt_task *out, jt_error *err);
void jt_task_free(jt_task *t);

/* The data of a task: a JSON object a line, or one JSON list of objects. */
typedef struct jt_docs {
    jt_json **root;
    const jt_json **doc;
    uint64_t *key; /* hash of the doc's text, or of its place in the list */
    size_t n, n_root, cap_doc, cap_root, cap_key;
} jt_docs;
jt_status jt_docs_read(const char *path, size_t most, jt_docs *out, jt_error *err);
void jt_docs_free(jt_docs *d);

#endif
