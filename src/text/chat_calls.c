/* chat_calls.c: the forms in which models write tool calls:
 *     {"name": "f", "arguments": {...}}, or "parameters"; a list of them; {"tool_name": ..., "parameters": ...}
 *     several such objects one after the other
 *     <function=f><parameter=x>1</parameter></function>
 *     f\n<arg_key>x</arg_key><arg_value>1</arg_value>
 *     f[ARGS]{...}, with [CALL_ID]id and further [TOOL_CALLS]
 *     <｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{...}\n```<｜tool▁call▁end｜>, or f<｜tool▁sep｜>{...}
 *     <|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{...}<|tool_call_end|> */
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "text/chat_reader.h"

void jt_call_list_free(jt_call_list *l) {
    for (size_t i = 0; i < l->n; i++) jt_str_free(&l->call[i].name), jt_str_free(&l->call[i].arguments), jt_str_free(&l->call[i].id);
    jt_free(l->call);
    *l = (jt_call_list){0};
}

static bool call_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static void call_trim(const char **s, size_t *n) {
    while (*n && call_space(**s)) ++*s, --*n;
    while (*n && call_space((*s)[*n - 1])) --*n;
}

static jt_status call_push(jt_call_list *out, const char *name, size_t n_name, const jt_str *arguments, const char *id, jt_error *err) {
    jt_status s = jt_grow((void **)&out->call, &out->cap, out->n + 1, sizeof *out->call, err);
    if (s) return s;
    jt_call_text *c = &out->call[out->n++];
    *c = (jt_call_text){0};
    jt_str_add(&c->name, name, n_name);
    jt_str_add(&c->arguments, jt_str_c(arguments), arguments->n);
    jt_str_puts(&c->id, id ? id : "");
    if ((s = jt_str_check(&c->name, err)) || (s = jt_str_check(&c->arguments, err))) return s;
    return jt_str_check(&c->id, err);
}

jt_status jt_calls_add(const char *name, size_t n_name, const char *arguments, size_t n, const char *id, jt_call_list *out, bool *ok,
                       jt_error *err) {
    jt_json *v = NULL;
    jt_str text = {0};
    call_trim(&name, &n_name);
    call_trim(&arguments, &n);
    jt_status s = jt_json_parse(arguments, n, &v, err);
    *ok = !s && n_name;
    if (s == JT_FORMAT) s = JT_OK;
    if (*ok) jt_json_write(v, &text);
    if (*ok && !(s = jt_str_check(&text, err))) s = call_push(out, name, n_name, &text, id, err);
    jt_json_free(v);
    jt_str_free(&text);
    return s;
}

static const jt_json *first_member(const jt_json *v, const char *const *names) {
    for (; *names; names++)
        if (jt_json_member(v, *names)) return jt_json_member(v, *names);
    return NULL;
}

/* {"name", "arguments"}, under the names that families give these. */
static jt_status call_object(const jt_json *v, jt_call_list *out, bool *ok, jt_error *err) {
    static const char *const names[] = {"name", "tool_name", NULL}, *const arguments[] = {"arguments", "parameters", NULL},
                             *const ids[] = {"id", "tool_call_id", NULL};
    const jt_json *inner = jt_json_member(v, "function");
    const jt_json *id = first_member(v, ids);
    if (inner && jt_json_kind_of(inner) == JT_JSON_OBJECT) v = inner;
    const jt_json *name = first_member(v, names), *args = first_member(v, arguments);
    size_t n = 0, k = 0;
    const char *s = name ? jt_json_string(name, &n) : NULL, *written = args ? jt_json_string(args, &k) : NULL;
    *ok = s && n && args;
    if (!*ok) return JT_OK;
    const char *i = id ? jt_json_string(id, NULL) : NULL;
    if (written) return jt_calls_add(s, n, written, k, i, out, ok, err);
    jt_str text = {0};
    jt_json_write(args, &text);
    jt_status st = jt_str_check(&text, err);
    if (!st) st = call_push(out, s, n, &text, i, err);
    jt_str_free(&text);
    return st;
}

/* Where the JSON value at s ends, by its brackets; 0 if it does not. */
static size_t json_end(const char *s, size_t n) {
    size_t open = 0;
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        if (text) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                text = false;
            continue;
        }
        if (s[i] == '"') text = true;
        if (s[i] == '{' || s[i] == '[') open++;
        if ((s[i] == '}' || s[i] == ']') && open && !--open) return i + 1;
    }
    return 0;
}

static jt_status calls_json(const char *s, size_t n, jt_call_list *out, bool *ok, jt_error *err) {
    jt_status st = JT_OK;
    *ok = true;
    while (n && *ok && !st) {
        jt_json *v = NULL;
        size_t end = json_end(s, n);
        *ok = end != 0;
        if (!*ok) break;
        st = jt_json_parse(s, end, &v, err);
        if (st == JT_FORMAT) return *ok = false, JT_OK;
        if (!st && jt_json_kind_of(v) == JT_JSON_ARRAY) {
            *ok = jt_json_count(v) > 0;
            for (size_t i = 0; i < jt_json_count(v) && *ok && !st; i++) st = call_object(jt_json_item(v, i), out, ok, err);
        } else if (!st) {
            st = call_object(v, out, ok, err);
        }
        jt_json_free(v);
        s += end, n -= end;
        while (n && (call_space(*s) || *s == ';' || *s == ',')) s++, n--;
    }
    return st;
}

static const char *find_text(const char *s, size_t n, const char *what) { return memmem(s, n, what, strlen(what)); }

/* Appends a value as JSON: what reads as JSON stays so, other text is a string. */
static jt_status add_value(jt_str *o, const char *s, size_t n, jt_error *err) {
    jt_json *v = NULL;
    jt_status st = jt_json_parse(s, n, &v, err);
    if (st == JT_NOMEM) return st;
    if (st)
        jt_str_json(o, s, n);
    else
        jt_json_write(v, o);
    jt_json_free(v);
    return JT_OK;
}

/* Pairs of a key between two marks and a value between two more. */
static jt_status calls_pairs(const char *name, size_t n_name, const char *s, size_t n, const char *const mark[4], jt_call_list *out,
                             bool *ok, jt_error *err) {
    jt_str args = {0};
    jt_status st = JT_OK;
    jt_str_putc(&args, '{');
    *ok = true;
    for (const char *p; !st && (p = find_text(s, n, mark[0]));) {
        const char *key = p + strlen(mark[0]), *end = s + n;
        const char *key_end = find_text(key, (size_t)(end - key), mark[1]);
        const char *behind = key_end ? key_end + strlen(mark[1]) : end;
        const char *value = key_end ? find_text(behind, (size_t)(end - behind), mark[2]) : NULL;
        if (value) value += strlen(mark[2]);
        const char *value_end = value ? find_text(value, (size_t)(end - value), mark[3]) : NULL;
        if (!value_end) {
            *ok = false;
            break;
        }
        size_t k = (size_t)(key_end - key), w = (size_t)(value_end - value);
        if (args.n > 1) jt_str_puts(&args, ", ");
        call_trim(&key, &k);
        if (w && *value == '\n') value++, w--;
        if (w && value[w - 1] == '\n') w--;
        jt_str_json(&args, key, k);
        jt_str_puts(&args, ": ");
        st = add_value(&args, value, w, err);
        s = value_end + strlen(mark[3]), n = (size_t)(end - s);
    }
    jt_str_putc(&args, '}');
    call_trim(&name, &n_name);
    if (!st) st = jt_str_check(&args, err);
    if (!n_name) *ok = false;
    if (!st && *ok) st = call_push(out, name, n_name, &args, NULL, err);
    jt_str_free(&args);
    return st;
}

static jt_status calls_function(const char *s, size_t n, jt_call_list *out, bool *ok, jt_error *err) {
    static const char *const mark[4] = {"<parameter=", ">", "", "</parameter>"};
    jt_status st = JT_OK;
    *ok = true;
    for (const char *p; !st && *ok && (p = find_text(s, n, "<function="));) {
        const char *name = p + 10, *end = s + n, *name_end = find_text(name, (size_t)(end - name), ">");
        const char *close = name_end ? find_text(name_end, (size_t)(end - name_end), "</function>") : NULL;
        if (!close) return *ok = false, JT_OK;
        st = calls_pairs(name, (size_t)(name_end - name), name_end + 1, (size_t)(close - name_end - 1), mark, out, ok, err);
        s = close + 11, n = (size_t)(end - s);
    }
    return st;
}

/* "functions.f:0" is the name f and is the id. */
static void plain_name(const char **s, size_t *n) {
    call_trim(s, n);
    if (*n > 10 && !memcmp(*s, "functions.", 10)) *s += 10, *n -= 10;
    const char *colon = memchr(*s, ':', *n);
    if (colon) *n = (size_t)(colon - *s);
}

/* Calls that each stand between `open` and `close`, the name before `sep`. */
static jt_status calls_marked(const char *s, size_t n, const char *open, const char *sep, const char *close, jt_call_list *out, bool *ok,
                              jt_error *err) {
    jt_status st = JT_OK;
    *ok = true;
    for (const char *p; !st && *ok && (p = find_text(s, n, open));) {
        const char *body = p + strlen(open), *end = s + n, *stop = find_text(body, (size_t)(end - body), close);
        if (!stop) stop = end;
        const char *at = find_text(body, (size_t)(stop - body), sep);
        if (!at) return *ok = false, JT_OK;
        const char *name = body, *args = at + strlen(sep);
        size_t n_name = (size_t)(at - body), n_args = (size_t)(stop - args);
        if (n_name == 8 && !memcmp(name, "function", 8)) { /* the name is the line behind, the arguments a block of code */
            const char *line = memchr(args, '\n', n_args), *code = find_text(args, n_args, "```json");
            if (!line || !code) return *ok = false, JT_OK;
            name = args, n_name = (size_t)(line - args), args = code + 7, n_args = (size_t)(stop - args);
            const char *fence = find_text(args, n_args, "```");
            if (fence) n_args = (size_t)(fence - args);
        }
        const char *id = NULL;
        jt_str id_text = {0};
        if (find_text(name, n_name, "functions.")) {
            const char *w = name;
            size_t k = n_name;
            call_trim(&w, &k);
            jt_str_add(&id_text, w, k);
            st = jt_str_check(&id_text, err);
            id = jt_str_c(&id_text);
        }
        plain_name(&name, &n_name);
        if (!st) st = jt_calls_add(name, n_name, args, n_args, id, out, ok, err);
        jt_str_free(&id_text);
        s = stop < end ? stop + strlen(close) : end, n = (size_t)(end - s);
    }
    return st;
}

/* f[ARGS]{...}[TOOL_CALLS]g[ARGS]{...} */
static jt_status calls_args(const char *s, size_t n, jt_call_list *out, bool *ok, jt_error *err) {
    jt_status st = JT_OK;
    *ok = true;
    while (n && !st && *ok) {
        const char *stop = find_text(s, n, "[TOOL_CALLS]"), *end = s + n;
        if (!stop) stop = end;
        const char *sep = find_text(s, (size_t)(stop - s), "[ARGS]"), *id = find_text(s, (size_t)(stop - s), "[CALL_ID]");
        if (!sep) return *ok = false, JT_OK;
        const char *name_end = id && id < sep ? id : sep;
        jt_str id_text = {0};
        if (id && id < sep) jt_str_add(&id_text, id + 9, (size_t)(sep - id - 9));
        st = jt_str_check(&id_text, err);
        if (!st) st = jt_calls_add(s, (size_t)(name_end - s), sep + 6, (size_t)(stop - sep - 6), jt_str_c(&id_text), out, ok, err);
        jt_str_free(&id_text);
        s = stop < end ? stop + 12 : end, n = (size_t)(end - s);
    }
    return st;
}

jt_status jt_calls_read(const char *s, size_t n, jt_call_list *out, bool *ok, jt_error *err) {
    static const char *const glm[4] = {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"};
    size_t before = out->n;
    jt_status st;
    call_trim(&s, &n);
    *ok = n != 0;
    if (!n) return JT_OK;
    if (*s == '{' || *s == '[') {
        st = calls_json(s, n, out, ok, err);
    } else if (find_text(s, n, "<function=")) {
        st = calls_function(s, n, out, ok, err);
    } else if (find_text(s, n, "[ARGS]")) {
        st = calls_args(s, n, out, ok, err);
    } else if (find_text(s, n, "<｜tool▁call▁begin｜>")) {
        st = calls_marked(s, n, "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", out, ok, err);
    } else if (find_text(s, n, "<|tool_call_begin|>")) {
        st = calls_marked(s, n, "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>", out, ok, err);
    } else {
        const char *key = find_text(s, n, glm[0]);
        const size_t name = key ? (size_t)(key - s) : n;
        *ok = key || !memchr(s, ' ', n);
        st = *ok ? calls_pairs(s, name, s + name, n - name, glm, out, ok, err) : JT_OK;
    }
    while ((st || !*ok) && out->n > before) {
        jt_call_text *c = &out->call[--out->n];
        jt_str_free(&c->name), jt_str_free(&c->arguments), jt_str_free(&c->id);
    }
    return st;
}
