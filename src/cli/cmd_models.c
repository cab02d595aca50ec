/* jeton models list, jeton models remove: the models that are on this machine. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/store.h"

/* "3 days ago" */
static void age_text(int64_t used, char *out, size_t cap) {
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{31557600, "year"}, {2629800, "month"}, {86400, "day"}, {3600, "hour"}, {60, "minute"}};
    int64_t age = (int64_t)time(NULL) - used;
    snprintf(out, cap, "%s", used ? "just now" : "");
    for (size_t i = 0; used && i < sizeof units / sizeof *units; i++) {
        if (age < units[i].seconds) continue;
        long long n = (long long)(age / units[i].seconds);
        snprintf(out, cap, "%lld %s%s ago", n, units[i].name, n == 1 ? "" : "s");
        return;
    }
}

static bool wanted(const jt_stored *m, const char *filter) { return !filter || strcasestr(m->name, filter); }

static void print_table(const jt_store *s, const char *filter) {
    size_t name = 4, type = 4, n = 0;
    uint64_t all = 0;
    char size[32], age[48];
    for (size_t i = 0; i < s->n; i++) {
        if (!wanted(&s->model[i], filter)) continue;
        size_t a = strlen(s->model[i].name), b = strlen(s->model[i].type);
        if (a > name && a <= 80) name = a;
        if (b > type) type = b;
        all += s->model[i].bytes, n++;
    }
    if (!n) {
        jt_say(filter ? "no model here has \"%s\" in its name" : "no models are here; 'jeton pull ORG/REPO' brings one", filter);
        return;
    }
    jt_out("%-*s  %9s  %-*s  %-9s  %s\n", (int)name, "name", "size", (int)type, "kind", "of", "last used");
    for (size_t i = 0; i < s->n; i++) {
        const jt_stored *m = &s->model[i];
        if (!wanted(m, filter)) continue;
        age_text(m->used, age, sizeof age);
        jt_out("%-*s  %9s  %-*s  %-9s  %s\n", (int)name, m->name, jt_size_text(m->bytes, size, sizeof size), (int)type, m->type,
               jt_store_kind_name(m->kind), age);
    }
    jt_out("%zu model%s, %s\n", n, n == 1 ? "" : "s", jt_size_text(all, size, sizeof size));
}

static void member(const char *name, const char *value, jt_str *o) {
    jt_str_printf(o, ", \"%s\": ", name);
    jt_str_json(o, value, strlen(value));
}

static jt_status print_json(const jt_store *s, const char *filter, jt_error *err) {
    jt_str o = {0};
    bool first = true;
    jt_str_putc(&o, '[');
    for (size_t i = 0; i < s->n; i++) {
        const jt_stored *m = &s->model[i];
        if (!wanted(m, filter)) continue;
        jt_str_puts(&o, first ? "\n {\"name\": " : ",\n {\"name\": ");
        jt_str_json(&o, m->name, strlen(m->name));
        if (m->also) member("also", m->also, &o);
        member("kind", m->type, &o);
        member("of", jt_store_kind_name(m->kind), &o);
        member("path", m->path, &o);
        jt_str_printf(&o, ", \"bytes\": %llu, \"used\": %lld}", (unsigned long long)m->bytes, (long long)m->used);
        first = false;
    }
    jt_str_puts(&o, first ? "]\n" : "\n]\n");
    jt_status st = jt_str_check(&o, err);
    if (!st) jt_out_str(&o);
    jt_str_free(&o);
    return st;
}

static int run_list(const jt_args *a) {
    jt_store s = {0};
    jt_error err;
    jt_status st = jt_store_scan(&s, &err);
    if (!st && jt_arg_flag(a, "json"))
        st = print_json(&s, jt_arg_pos(a, 0), &err);
    else if (!st)
        print_table(&s, jt_arg_pos(a, 0));
    jt_store_free(&s);
    return st ? jt_fail(&err) : JT_EXIT_OK;
}

/* A person's yes. Without one, --yes is the only way. */
static int agreed(const jt_args *a, const jt_stored *m) {
    char size[32], answer[16];
    if (jt_arg_flag(a, "yes")) return JT_EXIT_OK;
    if (!isatty(STDIN_FILENO)) return jt_fail_usage(a, "removing %s needs a yes, and there is no terminal; say --yes", m->name);
    fprintf(stderr, "jeton: remove %s (%s) of %s at %s? [y/N] ", m->name, jt_size_text(m->bytes, size, sizeof size),
            jt_store_kind_name(m->kind), m->path);
    fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y')) return JT_EXIT_OK;
    jt_say("%s stays", m->name);
    return JT_EXIT_FAILURE;
}

/* A repository's name means one of its files where a model is to be read, and none where one is to be removed. */
static jt_status check_clear(const jt_store *s, const char *name, jt_error *err) {
    size_t n = strlen(name), count = 0;
    for (size_t i = 0; i < s->n; i++) count += strncasecmp(s->model[i].name, name, n) == 0 && s->model[i].name[n] == ':';
    if (count < 2) return JT_OK;
    return jt_error_set(err, JT_INVALID, "%s: %zu models here are called so; name one of them ('jeton models list %s')", name, count, name);
}

static int remove_one(const jt_args *a, const char *name) {
    jt_store s = {0};
    const jt_stored *m = NULL;
    jt_error err;
    uint64_t freed;
    char size[32];
    jt_status st = jt_store_scan(&s, &err);
    if (!st) st = check_clear(&s, name, &err);
    if (!st) st = jt_store_find(&s, name, &m, &err);
    int code = st ? jt_fail(&err) : agreed(a, m);
    if (!code) {
        st = jt_store_remove(m, &freed, &err);
        code = st ? jt_fail(&err) : JT_EXIT_OK;
    }
    if (!code) jt_out("removed %s, %s freed\n", m->name, jt_size_text(freed, size, sizeof size));
    jt_store_free(&s);
    return code;
}

static int run_remove(const jt_args *a) {
    int code = JT_EXIT_OK;
    for (int i = 0; i < a->n_pos && !code && !jt_interrupted(); i++) code = remove_one(a, jt_arg_pos(a, i));
    return code;
}

static const jt_pos list_pos[] = {{"TEXT", JT_POS_TEXT, true, false, "only models with this in their names"}, {0}};
static const jt_opt list_opts[] = {{"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print a JSON array, with the path of each"}, {0}};
static const jt_example list_examples[] = {{"jeton models", "every model that is here; 'jeton run NAME' takes each of these names"},
                                           {"jeton models list qwen --json", "those with qwen in their names, as JSON"},
                                           {0}};
const jt_command jt_cmd_models_list = {
    .name = "models list",
    .summary = "list the models that are on this machine",
    .about = "Lists models in the folders of Jeton, the Hugging Face hub (HF_HUB_CACHE, HF_HOME), llama.cpp (LLAMA_CACHE), LM Studio and "
             "Ollama (OLLAMA_MODELS). They are used where they lie: every command that takes a model takes these names. 'jeton models' "
             "alone means the same.",
    .opt = list_opts,
    .pos = list_pos,
    .example = list_examples,
    .run = run_list,
};

static const jt_pos remove_pos[] = {{"NAME", JT_POS_MODEL, false, true, "models as 'jeton models' names them"}, {0}};
static const jt_opt remove_opts[] = {{"yes", 'y', JT_OPT_FLAG, NULL, NULL, 0, 0, "remove without asking"}, {0}};
static const jt_example remove_examples[] = {{"jeton models remove bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", "asks, then removes it"},
                                             {0}};
const jt_command jt_cmd_models_remove = {
    .name = "models remove",
    .summary = "remove models from this machine",
    .about =
        "Removes a model's files after asking. Of the hub's cache those go that no other snapshot uses, and with a repository's last file "
        "what is left of it. Models of Ollama share files and are left to 'ollama rm'.",
    .opt = remove_opts,
    .pos = remove_pos,
    .example = remove_examples,
    .run = run_remove,
};
