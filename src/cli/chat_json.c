#include "cli/chat_json.h"

#include <string.h>

/* Arguments of a call, as an object or as text. */
static void write_arguments(const jt_json *v, bool text, jt_str *o) {
    size_t n;
    const char *s = jt_json_string(v, &n);
    jt_json *object = NULL;
    jt_str written = {0};
    if (s && !text && !jt_json_parse(s, n, &object, NULL) && jt_json_kind_of(object) == JT_JSON_OBJECT) {
        jt_json_write(object, o);
    } else if (s || !text) {
        jt_json_write(v, o);
    } else {
        jt_json_write(v, &written);
        o->failed = o->failed || written.failed;
        jt_str_json(o, jt_str_c(&written), written.n);
    }
    jt_json_free(object);
    jt_str_free(&written);
}

/* Writes v with the arguments of calls in one form; `path` holds the names that lead to it, outermost first. */
static void write_form(const jt_json *v, const char *const *path, bool text, jt_str *o) {
    void *iter = NULL;
    const char *name;
    const jt_json *member;
    if (!*path) {
        write_arguments(v, text, o);
    } else if (jt_json_kind_of(v) == JT_JSON_ARRAY) {
        jt_str_putc(o, '[');
        for (size_t i = 0; i < jt_json_count(v); i++) {
            if (i) jt_str_puts(o, ", ");
            write_form(jt_json_item(v, i), path, text, o);
        }
        jt_str_putc(o, ']');
    } else if (jt_json_kind_of(v) == JT_JSON_OBJECT) {
        jt_str_putc(o, '{');
        for (bool first = true; jt_json_each(v, &iter, &name, &member); first = false) {
            if (!first) jt_str_puts(o, ", ");
            jt_str_json(o, name, strlen(name));
            jt_str_puts(o, ": ");
            if (strcmp(name, *path) == 0)
                write_form(member, path + 1, text, o);
            else
                jt_json_write(member, o);
        }
        jt_str_putc(o, '}');
    } else {
        jt_json_write(v, o);
    }
}

static jt_status encode_form(const jt_tokenizer *t, const jt_json *v, bool text, jt_tokens *out, jt_error *err) {
    static const char *const path[] = {"messages", "tool_calls", "function", "arguments", NULL};
    jt_str o = {0};
    write_form(v, path, text, &o);
    jt_status s = jt_str_check(&o, err);
    if (!s) s = jt_chat_encode_json(t, jt_str_c(&o), o.n, out, err);
    jt_str_free(&o);
    return s;
}

jt_status jt_chat_json_encode(const jt_tokenizer *t, const jt_json *conversation, jt_tokens *out, jt_error *err) {
    jt_status s = encode_form(t, conversation, false, out, err);
    if (s == JT_INVALID || s == JT_UNSUPPORTED || s == JT_FORMAT) {
        const jt_json *messages = jt_json_member(conversation, "messages");
        bool calls = false;
        for (size_t i = 0; i < jt_json_count(messages); i++)
            calls |= jt_json_count(jt_json_member(jt_json_item(messages, i), "tool_calls")) > 0;
        if (calls && !encode_form(t, conversation, true, out, NULL)) return JT_OK;
    }
    return s;
}

jt_status jt_chat_json_tools(const jt_json *tools, jt_error *err) {
    if (!tools || jt_json_kind_of(tools) != JT_JSON_ARRAY) return jt_error_set(err, JT_FORMAT, "\"tools\" takes a list of tools");
    for (size_t i = 0; i < jt_json_count(tools); i++) {
        const jt_json *f = jt_json_member(jt_json_item(tools, i), "function");
        if (!f || !jt_json_string(jt_json_member(f, "name"), NULL))
            return jt_error_set(err, JT_FORMAT, "tool %zu is no object {\"type\": \"function\", \"function\": {\"name\": ...}}", i + 1);
    }
    return JT_OK;
}
