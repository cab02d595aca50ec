/* Reading a command line by the command's table. */
#include "cli/command.h"

#include <assert.h>
#include <string.h>

const jt_exit_row jt_exit_rows[] = {
    {JT_EXIT_OK, "done"},
    {JT_EXIT_FAILURE, "failed, for the reason given on standard error"},
    {JT_EXIT_USAGE, "the command line, the configuration or a pipeline is wrong"},
    {JT_EXIT_FILE, "a model or input file is missing, damaged, not supported or too large for the memory"},
    {JT_EXIT_OUTPUT, "output could not be written (closed pipe, full disk)"},
    {JT_EXIT_INTERRUPTED, "interrupted by Ctrl-C or a signal"},
    {0, NULL},
};

const jt_opt jt_model_opts[] = {
    {"threads", 't', JT_OPT_INT, "N", "0", 0, 1024, "threads to compute with; 0, and at most: one per processor. Never changes results"},
    {"ctx", 'c', JT_OPT_INT, "N", "0", 0, 1 << 24, "tokens of context, prompt and answer together; 0: as the model was trained"},
    {"ubatch", 0, JT_OPT_INT, "N", "512", 1, 65536, "rows evaluated together. Never changes results"},
    {"activations", 0, JT_OPT_CHOICE, "int8|float|bf16", "int8", 0, 0,
     "how activations meet weights: rounded to 8 bits where weights are quantised, never rounded, or both sides in bfloat16"},
    {"kv-type", 0, JT_OPT_CHOICE, "auto|f32|f16|q8_0", "auto", 0, 0,
     "type of cached keys and values; auto: f32 with float activations, else f16"},
    {"lora", 0, JT_OPT_LIST, "[NAME=]PATH[:SCALE]", NULL, 0, 0,
     "apply a LoRA adapter (a PEFT folder or a GGUF file) with its strength multiplied by SCALE; with a name, only where it is named"},
    {"mlock", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "keep the model in memory, or fail"},
    {"no-repack", 0, JT_OPT_FLAG, NULL, NULL, 0, 0,
     "compute from the mapped file, which processes share, and not from a packed copy: slower"},
    {"kernels", 0, JT_OPT_CHOICE, "auto|scalar|avx2|avxvnni|avx512|avx512bf16|neon", "auto", 0, 0,
     "kernel variant, for debugging. Never changes results"},
    {0},
};

const jt_opt jt_global_opts[] = {
    {"config", 0, JT_OPT_FILE, "FILE", NULL, 0, 0, "read this configuration instead of the user's; \"\" for none"},
    {"help", 'h', JT_OPT_FLAG, NULL, NULL, 0, 0, "say how the command is used"},
    {0},
};

const jt_opt *jt_command_opt(const jt_command *c, int i) {
    const jt_opt *lists[3] = {c->opt, c->model_options ? jt_model_opts : NULL, jt_global_opts};
    for (int l = 0; l < 3; l++)
        for (const jt_opt *o = lists[l]; o && o->name; o++)
            if (i-- == 0) return o;
    return NULL;
}

int jt_command_find_opt(const jt_command *c, const char *name, size_t n) {
    const jt_opt *o;
    for (int i = 0; (o = jt_command_opt(c, i)); i++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0) return i;
    return -1;
}

static int find_letter(const jt_command *c, char letter) {
    const jt_opt *o;
    for (int i = 0; (o = jt_command_opt(c, i)); i++)
        if (o->letter == letter) return i;
    return -1;
}

const jt_command *jt_command_find(const char *name) {
    for (int i = 0; jt_commands[i]; i++)
        if (strcmp(jt_commands[i]->name, name) == 0) return jt_commands[i];
    return NULL;
}

const jt_command_group *jt_group_find(const char *name) {
    for (const jt_command_group *g = jt_command_groups; g->name; g++)
        if (strcmp(g->name, name) == 0) return g;
    return NULL;
}

void jt_nearest_add(jt_nearest *n, const char *name) {
    int d = jt_edit_distance(n->to, name);
    /* A name that begins with what was written is near however long it is. */
    size_t len = strlen(n->to);
    if (len >= 2 && strncmp(name, n->to, len) == 0 && d > 1) d = 1;
    if (!n->best || d < n->distance) n->best = name, n->distance = d;
}

const char *jt_nearest_get(const jt_nearest *n) {
    int len = (int)strlen(n->to), most = len < 3 ? 1 : len < 6 ? 2 : 3;
    return n->best && n->distance <= most ? n->best : NULL;
}

/* ---- setting values ---- */

static bool choice_has(const char *choices, const char *value) {
    size_t n = strlen(value);
    for (const char *p = choices; n;) {
        const char *end = strchr(p, '|');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        if (len == n && memcmp(p, value, n) == 0) return true;
        if (!end) break;
        p = end + 1;
    }
    return false;
}

static jt_status bad_number(const jt_opt *o, const char *value, jt_error *err) {
    const char *kind = o->type == JT_OPT_REAL ? "a number" : "a whole number";
    if (o->min < o->max)
        return jt_error_set(err, JT_INVALID, "--%s: \"%s\" is not %s from %.15g to %.15g", o->name, value, kind, o->min, o->max);
    return jt_error_set(err, JT_INVALID, "--%s: \"%s\" is not %s%s", o->name, value, kind,
                        o->type == JT_OPT_U64 ? " from 0 to 2^64 - 1" : "");
}

static jt_status set_list(jt_args *a, jt_opt_value *v, const char *value, jt_from from, jt_error *err) {
    int old = v->from == from ? v->n_list : 0; /* a list on the command line replaces that of the config file */
    const char **list = jt_arena_alloc(&a->arena, (size_t)old + 1, sizeof *list);
    if (!list) return jt_nomem(err, "a list of values", (size_t)old + 1, sizeof *list);
    if (old) memcpy(list, v->list, (size_t)old * sizeof *list);
    list[old] = value;
    v->list = list, v->n_list = old + 1;
    return JT_OK;
}

jt_status jt_args_set(jt_args *a, int opt, const char *value, jt_from from, jt_error *err) {
    const jt_opt *o = jt_command_opt(a->command, opt);
    jt_opt_value *v = &a->value[opt], r = *v;
    size_t n = strlen(value);
    bool bounded = o->min < o->max;
    switch (o->type) {
    case JT_OPT_FLAG:
        if (strcmp(value, "true") == 0)
            r.flag = true;
        else if (strcmp(value, "false") == 0)
            r.flag = false;
        else
            return jt_error_set(err, JT_INVALID, "--%s: \"%s\" is neither true nor false", o->name, value);
        break;
    case JT_OPT_INT:
        if (!jt_read_i64(value, n, &r.i) || (bounded && ((double)r.i < o->min || (double)r.i > o->max))) return bad_number(o, value, err);
        break;
    case JT_OPT_U64:
        if (!jt_read_u64(value, n, &r.u)) return bad_number(o, value, err);
        break;
    case JT_OPT_REAL:
        if (!jt_read_double(value, n, &r.x) || (bounded && (r.x < o->min || r.x > o->max))) return bad_number(o, value, err);
        break;
    case JT_OPT_CHOICE:
        if (!choice_has(o->metavar, value))
            return jt_error_set(err, JT_INVALID, "--%s: \"%s\" is not one of %s", o->name, value, o->metavar);
        break;
    case JT_OPT_LIST: {
        jt_status s = set_list(a, &r, value, from, err);
        if (s) return s;
        break;
    }
    case JT_OPT_TEXT:
    case JT_OPT_FILE: break;
    }
    r.s = value;
    r.from = from;
    *v = r;
    return JT_OK;
}

jt_status jt_args_init(jt_args *a, const jt_command *c, jt_error *err) {
    *a = (jt_args){.command = c};
    const jt_opt *o;
    for (int i = 0; (o = jt_command_opt(c, i)); i++) {
        assert(i < JT_MAX_OPTS);
        if (!o->fallback) continue;
        jt_status s = jt_args_set(a, i, o->fallback, JT_FROM_DEFAULT, err);
        if (s) return s;
    }
    return JT_OK;
}

void jt_args_free(jt_args *a) {
    jt_arena_free(&a->arena);
    *a = (jt_args){0};
}

/* ---- the command line ---- */

static jt_status unknown(const jt_args *a, const char *name, size_t n, jt_error *err) {
    char typed[64];
    if (n >= sizeof typed) n = sizeof typed - 1;
    memcpy(typed, name, n);
    typed[n] = 0;
    jt_nearest near = {.to = typed};
    const jt_opt *o;
    for (int i = 0; (o = jt_command_opt(a->command, i)); i++) jt_nearest_add(&near, o->name);
    const char *best = jt_nearest_get(&near);
    if (best) return jt_error_set(err, JT_UNKNOWN, "%s has no option --%s; did you mean --%s?", a->command->name, typed, best);
    return jt_error_set(err, JT_UNKNOWN, "%s has no option --%s", a->command->name, typed);
}

static jt_status read_long(jt_args *a, int argc, char **argv, int *at, jt_error *err) {
    const char *name = argv[*at] + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    int opt = jt_command_find_opt(a->command, name, n);
    if (opt < 0) return unknown(a, name, n, err);
    const jt_opt *o = jt_command_opt(a->command, opt);
    if (eq) return jt_args_set(a, opt, eq + 1, JT_FROM_LINE, err);
    if (o->type == JT_OPT_FLAG) return jt_args_set(a, opt, "true", JT_FROM_LINE, err);
    if (*at + 1 >= argc) return jt_error_set(err, JT_INVALID, "--%s needs a value: --%s %s", o->name, o->name, o->metavar);
    return jt_args_set(a, opt, argv[++*at], JT_FROM_LINE, err);
}

static jt_status read_letters(jt_args *a, int argc, char **argv, int *at, jt_error *err) {
    for (const char *p = argv[*at] + 1; *p; p++) {
        int opt = find_letter(a->command, *p);
        if (opt < 0) {
            const char *word = argv[*at] + 1;
            if (p == word && word[1] && jt_command_find_opt(a->command, word, strlen(word)) >= 0)
                return jt_error_set(err, JT_UNKNOWN, "%s has no option -%s; did you mean --%s?", a->command->name, word, word);
            return jt_error_set(err, JT_UNKNOWN, "%s has no option -%c", a->command->name, *p);
        }
        const jt_opt *o = jt_command_opt(a->command, opt);
        if (o->type == JT_OPT_FLAG) {
            jt_status s = jt_args_set(a, opt, "true", JT_FROM_LINE, err);
            if (s) return s;
            continue;
        }
        if (p[1]) return jt_args_set(a, opt, p + 1, JT_FROM_LINE, err);
        if (*at + 1 >= argc) return jt_error_set(err, JT_INVALID, "-%c needs a value: -%c %s", *p, *p, o->metavar);
        return jt_args_set(a, opt, argv[++*at], JT_FROM_LINE, err);
    }
    return JT_OK;
}

static jt_status check_count(const jt_args *a, jt_error *err) {
    int least = 0, most = 0;
    bool many = false;
    for (const jt_pos *p = a->command->pos; p && p->metavar; p++) {
        if (!p->optional && a->n_pos <= most)
            return jt_error_set(err, JT_INVALID, "%s needs %s: %s", a->command->name, p->metavar, p->help);
        least += !p->optional, most++, many |= p->many;
    }
    if (!many && a->n_pos > most)
        return jt_error_set(err, JT_INVALID, "%s takes %s%d argument%s, and \"%s\" is one too many%s", a->command->name,
                            least < most ? "at most " : "", most, most == 1 ? "" : "s", a->pos[most],
                            strchr(a->pos[most], ' ') ? "" : "; text with spaces needs quotes");
    return JT_OK;
}

jt_status jt_args_parse(jt_args *a, int argc, char **argv, jt_error *err) {
    a->pos = jt_arena_alloc(&a->arena, (size_t)argc + 1, sizeof *a->pos);
    if (!a->pos) return jt_nomem(err, "the command line", (size_t)argc + 1, sizeof *a->pos);
    bool options = true;
    for (int i = 0; i < argc; i++) {
        const char *s = argv[i];
        jt_status st = JT_OK;
        if (options && strcmp(s, "--") == 0)
            options = false;
        else if (options && s[0] == '-' && s[1] == '-')
            st = read_long(a, argc, argv, &i, err);
        else if (options && s[0] == '-' && s[1])
            st = read_letters(a, argc, argv, &i, err);
        else
            a->pos[a->n_pos++] = s;
        if (st) return st;
        if (jt_arg_flag(a, "help")) return JT_OK;
    }
    return check_count(a, err);
}

/* ---- reading values ---- */

static const jt_opt_value *value_of(const jt_args *a, const char *name) {
    int i = jt_command_find_opt(a->command, name, strlen(name));
    assert(i >= 0 && "the command's table has no such option");
    static const jt_opt_value none;
    return i < 0 ? &none : &a->value[i];
}

bool jt_arg_given(const jt_args *a, const char *name) { return value_of(a, name)->from != JT_FROM_DEFAULT; }
bool jt_arg_flag(const jt_args *a, const char *name) { return value_of(a, name)->flag; }
int64_t jt_arg_int(const jt_args *a, const char *name) { return value_of(a, name)->i; }
uint64_t jt_arg_u64(const jt_args *a, const char *name) { return value_of(a, name)->u; }
double jt_arg_real(const jt_args *a, const char *name) { return value_of(a, name)->x; }
const char *jt_arg_text(const jt_args *a, const char *name) { return value_of(a, name)->s; }

const char *const *jt_arg_list(const jt_args *a, const char *name, int *n) {
    const jt_opt_value *v = value_of(a, name);
    *n = v->n_list;
    return v->list;
}

const char *jt_arg_pos(const jt_args *a, int i) { return i < a->n_pos ? a->pos[i] : NULL; }
