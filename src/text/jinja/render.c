/* render.c: the calls of jeton/template.h. */
#include "text/jinja/render.h"

#include <string.h>
#include <time.h>

#include "text/jinja/node.h"
#include "text/jinja/strings.h"

struct jt_template {
    jt_arena arena;
    jt_jtree tree;
    const char *source;
    size_t n;
};

enum { MOST_SOURCE = 4 << 20 };

jt_status jt_template_new(const char *source, size_t n, jt_template **out, jt_error *err) {
    if (n > MOST_SOURCE) return jt_error_set(err, JT_LIMIT, "a template of %zu bytes; %d are possible", n, MOST_SOURCE);
    jt_template *t = jt_alloc(1, sizeof *t);
    if (!t) return jt_nomem(err, "a template", 1, sizeof *t);
    jt_jrun r = {.err = err, .steps = UINT64_MAX, .memory = SIZE_MAX / 2};
    const char *copy = jt_arena_copy(&r.arena, source, n);
    if (!copy) r.status = jt_nomem(err, "a template", n, 1);
    if (copy) jt_jparse(&r, source, n, &t->tree);
    t->arena = r.arena, t->source = copy, t->n = n;
    if (r.status)
        jt_template_free(t);
    else
        *out = t;
    return r.status;
}

void jt_template_free(jt_template *t) {
    if (!t) return;
    jt_arena_free(&t->arena);
    jt_free(t);
}

const char *jt_template_source(const jt_template *t, size_t *n) {
    *n = t->n;
    return t->source;
}

int jt_template_marks(const jt_template *t) { return t->tree.generation; }

void jt_template_text_free(jt_template_text *t) {
    jt_free(t->text);
    jt_free(t->from);
    jt_free(t->generation);
    *t = (jt_template_text){0};
}

/* ---- the conversation ---- */

static size_t longest_text(const jt_json *v, int depth) {
    size_t most = 0, n = 0;
    void *iter = NULL;
    const char *name;
    const jt_json *member;
    if (depth > JT_J_DEEPEST) return 0;
    if (jt_json_string(v, &n)) return n;
    if (jt_json_kind_of(v) == JT_JSON_OBJECT) {
        while (jt_json_each(v, &iter, &name, &member)) {
            n = longest_text(member, depth + 1);
            if (n < strlen(name)) n = strlen(name);
            if (n > most) most = n;
        }
    } else {
        for (size_t i = 0; i < jt_json_count(v); i++)
            if ((n = longest_text(jt_json_item(v, i), depth + 1)) > most) most = n;
    }
    return most;
}

static jt_jval text_of(jt_jrun *r, const char *s) {
    jt_jval v;
    return jt_jval_text(r, s, &v) ? v : JT_JNONE;
}

static bool put(jt_jrun *r, jt_jdict *d, const char *name, jt_jval v) {
    return !r->status && jt_jdict_set(r, d, text_of(r, name), v) && !r->status;
}

/* Names that a program gives and no person writes. A template that makes a marker out of one ("<|" ~ role ~ "|>") means it. */
static bool known_role(const jt_jstr *s) {
    static const char *const role[] = {"system", "user",  "assistant", "tool", "developer",   "function",        "ipython",   "environment",
                                       "model",  "human", "bot",       "gpt",  "observation", "latest_reminder", "documents", "tools"};
    for (size_t i = 0; i < sizeof role / sizeof *role; i++)
        if (jt_jstr_is(s, role[i])) return true;
    return false;
}

static jt_jlist *messages_of(jt_jrun *r, jt_jdict *given) {
    const jt_jval *v = jt_jdict_text(given, "messages", 8);
    (void)r;
    return v && v->kind == JT_J_LIST ? v->list : NULL;
}

static bool trust_roles(jt_jrun *r, const jt_jlist *messages) {
    for (size_t i = 0; messages && i < messages->n; i++) {
        if (messages->v[i].kind != JT_J_DICT) continue;
        const jt_jval *role = jt_jdict_text(messages->v[i].dict, "role", 4);
        if (!role || role->kind != JT_J_STR || !known_role(role->s)) continue;
        jt_jstr *clean = jt_jalloc(r, 1, sizeof *clean);
        if (!clean) return false;
        *clean = *role->s;
        clean->m = NULL;
        if (!put(r, messages->v[i].dict, "role", jt_jstring(clean))) return false;
    }
    return true;
}

static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};

/* A message as transformers gives it to a template: without what is null, reasoning under all its names. */
static bool plain_message(jt_jrun *r, jt_jval *message) {
    if (message->kind != JT_J_DICT)
        return jt_jfail(r, JT_FORMAT, "a message of a conversation is '%s' and no object", jt_jkind_name(*message));
    jt_jdict *from = message->dict, *d = jt_jdict_new(r);
    const jt_jval *reasoning = NULL;
    for (int i = 0; i < 3 && !(reasoning && reasoning->kind != JT_J_NONE); i++)
        reasoning = jt_jdict_text(from, reasoning_names[i], strlen(reasoning_names[i]));
    bool has = reasoning && reasoning->kind != JT_J_NONE;
    if (!d || (has && !put(r, d, "thinking", *reasoning))) return false;
    for (size_t i = 0; i < from->n; i++)
        if (from->p[i].value.kind != JT_J_NONE && !jt_jdict_set(r, d, from->p[i].key, from->p[i].value)) return false;
    if (has && !put(r, d, "reasoning_content", *reasoning)) return false;
    message->dict = d;
    return true;
}

static bool as_transformers(jt_jrun *r, jt_jdict *given) {
    static const char *const absent[] = {"tools", "documents"};
    jt_jlist *messages = messages_of(r, given);
    if (!messages) return jt_jfail(r, JT_FORMAT, "a conversation has no list \"messages\"");
    for (size_t i = 0; i < messages->n; i++)
        if (!plain_message(r, &messages->v[i])) return false;
    for (int i = 0; i < 2; i++)
        if (!jt_jdict_text(given, absent[i], strlen(absent[i])) && !put(r, given, absent[i], JT_JNONE)) return false;
    if (!jt_jdict_text(given, "add_generation_prompt", 21)) return put(r, given, "add_generation_prompt", jt_jbool(false));
    return true;
}

/* ---- a last message that goes on ---- */

#define CONTINUE_MARK "CONTINUE_FINAL_MESSAGE_TAG "

/* A text of the last message with the mark behind it, by which the end is found again. */
static bool mark_text(jt_jrun *r, jt_jdict *d, const char *name, const jt_jstr **text) {
    const jt_jval *v = jt_jdict_text(d, name, strlen(name));
    jt_jbuf b = {.r = r};
    *text = v->s;
    if (!jt_jbuf_str(&b, v->s) || !jt_jbuf_puts(&b, CONTINUE_MARK)) return false;
    const jt_jstr *s = jt_jbuf_end(&b);
    return s && put(r, d, name, jt_jstring(s));
}

/* Takes "continue_final_message" out of the variables; *text is what the last message says, NULL where nothing is to go on. */
static bool mark_final(jt_jrun *r, jt_jdict *given, const jt_jstr **text) {
    const jt_jval *on = jt_jdict_text(given, "continue_final_message", 22);
    char name[64] = "content";
    bool yes = false;
    *text = NULL;
    if (!on || !jt_jtruth(r, *on, &yes) || !yes) return !r->status;
    const jt_jval *prompt = jt_jdict_text(given, "add_generation_prompt", 21);
    if (prompt && jt_jtruth(r, *prompt, &yes) && yes)
        return jt_jfail(r, JT_INVALID, "continue_final_message and add_generation_prompt do not go together");
    jt_jlist *messages = messages_of(r, given);
    if (!messages || !messages->n || messages->v[messages->n - 1].kind != JT_J_DICT)
        return jt_jfail(r, JT_INVALID, "continue_final_message: there is no last message");
    if (on->kind == JT_J_STR) {
        if (on->s->n >= sizeof name) return jt_jfail(r, JT_INVALID, "continue_final_message: a name of %zu bytes", on->s->n);
        memcpy(name, on->s->s, on->s->n), name[on->s->n] = 0;
    }
    jt_jdict *last = messages->v[messages->n - 1].dict;
    const jt_jval *v = jt_jdict_text(last, name, strlen(name));
    if (v && v->kind == JT_J_LIST) {
        for (size_t i = v->list->n; i-- > 0;) {
            const jt_jval *part = &v->list->v[i];
            const jt_jval *t = part->kind == JT_J_DICT ? jt_jdict_text(part->dict, "text", 4) : NULL;
            if (t && t->kind == JT_J_STR) return mark_text(r, part->dict, "text", text);
        }
        return jt_jfail(r, JT_INVALID, "continue_final_message: the last message has no text to go on with");
    }
    if (!v || v->kind != JT_J_STR) return jt_jfail(r, JT_INVALID, "continue_final_message: the last message has no text \"%s\"", name);
    const jt_jstr *was = v->s, *same;
    bool reasoning = false;
    for (int i = 0; i < 3; i++) reasoning = reasoning || !strcmp(name, reasoning_names[i]);
    for (int i = 0; reasoning && i < 3; i++) {
        const jt_jval *other = jt_jdict_text(last, reasoning_names[i], strlen(reasoning_names[i]));
        if (!other || other->kind != JT_J_STR || !jt_jstr_equal(other->s, was)) continue;
        if (!mark_text(r, last, reasoning_names[i], &same)) return false;
    }
    if (!reasoning && !mark_text(r, last, name, &same)) return false;
    *text = was;
    return true;
}

/* The output ends where the mark stands. */
static bool cut_final(jt_jrun *r, const jt_jstr *text, jt_jbuf *out) {
    const jt_jstr whole = {.s = out->n ? out->s : "", .n = out->n};
    const jt_jstr mark = {.s = CONTINUE_MARK, .n = sizeof CONTINUE_MARK - 2}; /* without its space */
    const jt_jstr *said = jt_jstr_strip(r, text, NULL, true, true);
    if (!said) return false;
    size_t at = whole.n >= mark.n ? jt_jstr_find_last(&whole, &mark, whole.n) : SIZE_MAX;
    r->at = NULL;
    if (at == SIZE_MAX || jt_jstr_find(&whole, said, 0) == SIZE_MAX)
        return jt_jfail(r, JT_INVALID, "continue_final_message: the template leaves out or changes the last message");
    bool kept = at + mark.n < whole.n && whole.s[at + mark.n] == ' ';
    const jt_jstr before = {.s = whole.s, .n = at};
    out->n = kept ? at : jt_jspace_before(&before, at);
    for (size_t i = 0; i < r->n_span; i++) {
        if (r->span[i].begin > out->n) r->span[i].begin = out->n;
        if (r->span[i].end > out->n) r->span[i].end = out->n;
    }
    return true;
}

/* ---- rendering ---- */

static void set_clock(jt_jrun *r, const jt_template_options *o) {
    struct timespec now;
    struct tm t;
    r->now = o->now, r->now_micro = o->now_micro;
    if (o->now_given || clock_gettime(CLOCK_REALTIME, &now)) return;
    r->now = now.tv_sec, r->now_micro = (int32_t)(now.tv_nsec / 1000);
    if (localtime_r(&now.tv_sec, &t)) r->now += t.tm_gmtoff;
}

static bool give_out(jt_jrun *r, const jt_jbuf *b, jt_template_text *out) {
    jt_template_text o = {.n = b->n, .n_generation = r->n_span};
    o.text = jt_alloc(b->n + 1, 1), o.from = jt_alloc(b->n + 1, 1);
    o.generation = jt_alloc(r->n_span, sizeof *o.generation);
    if (!o.text || !o.from || !o.generation) {
        jt_template_text_free(&o);
        r->status = jt_nomem(r->err, "a conversation's text", b->n, 2);
        return false;
    }
    if (b->n) memcpy(o.text, b->s, b->n), memcpy(o.from, b->m, b->n);
    for (size_t i = 0; i < r->n_span; i++) o.generation[i] = (jt_template_span){r->span[i].begin, r->span[i].end};
    *out = o;
    return true;
}

static bool render(jt_jrun *r, const jt_template *t, const jt_json *conversation, const jt_template_options *o, jt_template_text *out) {
    jt_jval given = JT_JNONE;
    const jt_jstr *final = NULL;
    size_t longest = longest_text(conversation, 0);
    uint8_t *ones = jt_jalloc(r, longest + 1, 1);
    if (!ones) return false;
    memset(ones, 1, longest + 1);
    if (!jt_jval_read(r, conversation, ones, &given)) return false;
    if (given.kind != JT_J_DICT) return jt_jfail(r, JT_FORMAT, "a conversation is a JSON object with the list \"messages\"");
    const char *const name[] = {"bos_token", "eos_token"}, *const token[] = {o->bos, o->eos};
    for (int i = 0; i < 2; i++)
        if (token[i] && !jt_jdict_text(given.dict, name[i], 9) && !put(r, given.dict, name[i], text_of(r, token[i]))) return false;
    if ((o->hf && !as_transformers(r, given.dict)) || !trust_roles(r, messages_of(r, given.dict)) || !mark_final(r, given.dict, &final))
        return false;
    r->given = given.dict;
    jt_jbuf b = {.r = r, .bounded = true};
    r->out = &b;
    if (!(r->root = jt_jscope_new(r, NULL)) || jt_jexec(r, t->tree.kid, t->tree.n_kid, r->root, &b) == JT_JF_FAILED) return false;
    if (final && !cut_final(r, final, &b)) return false;
    return give_out(r, &b, out);
}

jt_status jt_template_render_json(const jt_template *t, const jt_json *conversation, const jt_template_options *o, jt_template_text *out,
                                  jt_error *err) {
    static const jt_template_options ordinary;
    if (!o) o = &ordinary;
    jt_jrun r = {.err = err, .steps = o->steps ? o->steps : 20000000, .output = o->output ? o->output : (size_t)64 << 20};
    r.strict = o->strict;
    r.memory = o->memory ? o->memory : ((size_t)256 << 20) + 64 * longest_text(conversation, 0);
    set_clock(&r, o);
    render(&r, t, conversation, o, out);
    jt_arena_free(&r.arena);
    return r.status;
}

jt_status jt_template_render(const jt_template *t, const char *conversation, size_t n, const jt_template_options *o, jt_template_text *out,
                             jt_error *err) {
    jt_json *v = NULL;
    jt_status s = jt_json_parse(conversation, n, &v, err);
    if (s) return jt_error_in(err, s, "the conversation");
    s = jt_template_render_json(t, v, o, out, err);
    jt_json_free(v);
    return s;
}
