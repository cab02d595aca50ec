/* jeton template: what a chat template makes of a conversation. */
#include <string.h>

#include "cli/command.h"
#include "cli/out.h"
#include "cli/template_file.h"
#include "cli/tokenizer_source.h"
#include "core/file.h"
#include "core/json.h"
#include "jeton/template.h"
#include "text/jinja/render.h"

static bool digits(const char **s, int n, int64_t *out) {
    *out = 0;
    for (int i = 0; i < n; i++, ++*s) {
        if (**s < '0' || **s > '9') return false;
        *out = *out * 10 + (**s - '0');
    }
    return true;
}

/* YYYY-MM-DD, then maybe T or a space, HH:MM, :SS and .FFFFFF; a Z at the end is left out. */
static bool read_time(const char *s, int64_t *seconds, int32_t *micro) {
    int64_t y, m, d, hour = 0, minute = 0, second = 0, unit = 100000;
    *micro = 0;
    if (!digits(&s, 4, &y) || *s++ != '-' || !digits(&s, 2, &m) || *s++ != '-' || !digits(&s, 2, &d)) return false;
    if (y < 1 || m < 1 || m > 12 || d < 1 || d > 31) return false;
    if (*s == 'T' || *s == ' ') {
        s++;
        if (!digits(&s, 2, &hour) || *s++ != ':' || !digits(&s, 2, &minute)) return false;
        if (*s == ':' && (s++, !digits(&s, 2, &second))) return false;
        if (*s == '.')
            for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10) *micro += (int32_t)((*s - '0') * unit);
    }
    if (*s == 'Z') s++;
    if (*s || hour > 23 || minute > 59 || second > 59) return false;
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d > before[m] - before[m - 1] + (m == 2 && leap)) return false;
    int64_t past = y - 1, days = past * 365 + past / 4 - past / 100 + past / 400 - 719162 + before[m - 1] + (leap && m > 2) + d - 1;
    *seconds = days * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

static bool print_json(const jt_template_text *t, const jt_tokens *k, const uint8_t *mask) {
    jt_str o = {0};
    jt_str_puts(&o, "{\"text\": ");
    jt_str_json(&o, t->text, t->n);
    jt_str_puts(&o, ",\n \"generation\": [");
    for (size_t i = 0; i < t->n_generation; i++)
        jt_str_printf(&o, "%s[%zu, %zu]", i ? ", " : "", t->generation[i].begin, t->generation[i].end);
    jt_str_puts(&o, "],\n \"from_conversation\": [");
    for (size_t i = 0, any = 0; i < t->n; any++) {
        size_t end = i;
        while (end < t->n && t->from[end] == t->from[i]) end++;
        if (t->from[i]) jt_str_printf(&o, "%s[%zu, %zu]", any > 1 ? ", " : "", i, end);
        i = end;
    }
    if (mask) {
        jt_str_puts(&o, "],\n \"ids\": [");
        for (size_t i = 0; i < k->n; i++) jt_str_printf(&o, "%s%d", i ? ", " : "", k->t[i].id);
        jt_str_puts(&o, "],\n \"mask\": [");
        for (size_t i = 0; i < k->n; i++) jt_str_printf(&o, "%s%d", i ? ", " : "", mask[i]);
    }
    jt_str_puts(&o, "]}\n");
    bool ok = !o.failed && jt_out_str(&o);
    jt_str_free(&o);
    return ok;
}

/* The text's tokens, and which of them are the assistant's own. */
static int print_mask(const jt_args *a, const jt_template *t, const jt_template_text *text) {
    const char *name = jt_arg_text(a, "tokenizer") ? jt_arg_text(a, "tokenizer") : jt_arg_pos(a, 0);
    jt_tokenizer_source source = {0};
    const jt_tokenizer *tokenizer = NULL;
    jt_tokens k = {0};
    uint8_t *mask = NULL;
    jt_error err;
    if (!jt_template_marks(t)) {
        jt_say("%s: the template has no {%% generation %%}, so it does not tell the assistant's own words", jt_arg_pos(a, 0));
        return JT_EXIT_FILE;
    }
    int code = jt_tokenizer_source_open(name, NULL, &source, &tokenizer);
    if (!code && jt_template_tokens(tokenizer, text, &k, &mask, &err)) code = jt_fail(&err);
    if (!code) print_json(text, &k, mask);
    jt_mask_free(mask);
    jt_tokens_free(&k);
    jt_tokenizer_source_close(&source);
    return code;
}

static int render(const jt_args *a, const jt_template *t, const jt_json *conversation, jt_template_options *o) {
    jt_template_text text;
    jt_error err;
    jt_status s = jt_template_render_json(t, conversation, o, &text, &err);
    if (s) {
        jt_error_in(&err, s, "%s", jt_arg_pos(a, 0));
        jt_fail(&err);
        return JT_EXIT_FILE;
    }
    int code = JT_EXIT_OK;
    if (jt_arg_flag(a, "mask"))
        code = print_mask(a, t, &text);
    else if (jt_arg_flag(a, "json"))
        print_json(&text, NULL, NULL);
    else
        jt_out_bytes(text.text, text.n);
    jt_template_text_free(&text);
    return code;
}

static int run(const jt_args *a) {
    jt_template_options o = {.hf = jt_arg_flag(a, "hf")};
    jt_template_file f = {0};
    jt_template *t = NULL;
    jt_json *conversation = NULL;
    jt_str text = {0};
    jt_error err;
    const char *path = jt_arg_pos(a, 0), *file = jt_arg_pos(a, 1), *now = jt_arg_text(a, "now");
    if (now && !read_time(now, &o.now, &o.now_micro)) return jt_fail_usage(a, "--now: \"%s\" is no time like 2026-07-26T12:00:00", now);
    o.now_given = now != NULL;
    if (!strcmp(path, "-") && !strcmp(file, "-"))
        return jt_fail_usage(a, "only one of the template and the conversation can be standard input");
    jt_status s = jt_file_read(file, &text, &err);
    if (!s && (s = jt_json_parse(jt_str_c(&text), text.n, &conversation, &err))) jt_error_in(&err, s, "%s", file);
    const jt_json *tools = conversation ? jt_json_member(conversation, "tools") : NULL;
    if (!s) s = jt_template_file_read(path, jt_arg_text(a, "name"), tools && jt_json_kind_of(tools) != JT_JSON_NULL, &f, &err);
    if (!s && (s = jt_template_new(jt_str_c(&f.text), f.text.n, &t, &err))) jt_error_in(&err, s, "%s", path);
    o.bos = jt_arg_text(a, "bos") ? jt_arg_text(a, "bos") : f.bos.s;
    o.eos = jt_arg_text(a, "eos") ? jt_arg_text(a, "eos") : f.eos.s;
    int code = s ? (jt_fail(&err), JT_EXIT_FILE) : render(a, t, conversation, &o);
    jt_template_free(t);
    jt_template_file_free(&f);
    jt_json_free(conversation);
    jt_str_free(&text);
    return code;
}

static const jt_pos pos[] = {
    {"FILE", JT_POS_FILE, false, false, "a chat template, a GGUF file, or a model folder"},
    {"CONVERSATION", JT_POS_FILE, false, false,
     "the conversation, a JSON object: messages, tools and other variables; - is standard input"},
    {0},
};
static const jt_opt opts[] = {
    {"bos", 0, JT_OPT_TEXT, "S", NULL, 0, 0, "the text of the token at the beginning (default: what the model's files say)"},
    {"eos", 0, JT_OPT_TEXT, "S", NULL, 0, 0, "the text of the token at the end (default: what the model's files say)"},
    {"now", 0, JT_OPT_TEXT, "ISO", NULL, 0, 0, "the time for templates that write a date, such as 2026-07-26T12:00 (default: the clock)"},
    {"name", 0, JT_OPT_TEXT, "NAME", NULL, 0, 0, "which of a model's templates (default: tool_use if there are tools, else default)"},
    {"hf", 0, JT_OPT_FLAG, NULL, NULL, 0, 0,
     "prepare the conversation as transformers does: absent tools are none, null members are left out"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0,
     "print one JSON object with the text, the spans of {% generation %} and what the conversation said"},
    {"mask", 0, JT_OPT_FLAG, NULL, NULL, 0, 0,
     "the same with the ids of the tokens, and for each a 1 where it holds text of {% generation %}, the assistant's own words"},
    {"tokenizer", 0, JT_OPT_FILE, "MODEL", NULL, 0, 0,
     "whose tokens --mask gives: a model, or a tokenizer's file (default: those of FILE)"},
    {0},
};
static const jt_example examples[] = {
    {"jeton template model.gguf talk.json", "the prompt that the model's own template makes of a conversation"},
    {"jeton template chat.jinja - --bos '<s>' <conversation.json", "a template by itself"},
    {0},
};
const jt_command jt_cmd_template = {
    .name = "template",
    .summary = "write a conversation as a chat template does",
    .about = "The conversation is a JSON object whose members are the template's variables: \"messages\" with \"role\" and \"content\", "
             "\"tools\", \"add_generation_prompt\", and whatever else the template asks for. What is not in it is undefined to the "
             "template. \"continue_final_message\": true leaves the last message open.",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
