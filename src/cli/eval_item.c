#include "cli/eval_item.h"

#include <string.h>

#include "core/hash.h"
#include "core/random.h"
#include "text/jinja/render.h"

/* ---- texts ---- */

static jt_status render(const jt_template *t, const jt_json *doc, jt_str *out, jt_error *err) {
    jt_template_text text = {0};
    jt_status s = jt_template_render_json(t, doc, &(jt_template_options){.strict = 1, .now_given = 1}, &text, err);
    if (s) return s;
    jt_str_add(out, text.text, text.n);
    jt_template_text_free(&text);
    return jt_str_check(out, err);
}

static jt_status make_choices(const jt_task *t, const jt_json *doc, jt_item *item, jt_error *err) {
    jt_str json = {0};
    jt_json *list = NULL;
    jt_status s = t->choices ? render(t->choices, doc, &json, err) : JT_OK;
    if (!s && t->choices) s = jt_json_parse(jt_str_c(&json), json.n, &list, err);
    size_t n = t->choices ? jt_json_count(list) : t->n_choice;
    if (!s && (!n || n > 256)) s = jt_error_set(err, JT_FORMAT, "\"doc_to_choice\" gives %zu choices; 1 to 256 are wanted", n);
    if (!s && !(item->choice = jt_alloc(n, sizeof *item->choice))) s = jt_nomem(err, "choices", n, sizeof *item->choice);
    for (size_t i = 0; !s && i < n; i++, item->n_choice++) {
        size_t len = 0;
        int64_t number;
        if (!t->choices) {
            s = render(t->choice[i], doc, &item->choice[i], err);
            continue;
        }
        const jt_json *v = jt_json_item(list, i);
        const char *text = jt_json_string(v, &len);
        if (text)
            jt_str_add(&item->choice[i], text, len);
        else if (jt_json_i64(v, &number))
            jt_str_printf(&item->choice[i], "%lld", (long long)number);
        else
            s = jt_error_set(err, JT_FORMAT, "\"doc_to_choice\" gives %s where a text is wanted", jt_json_kind_name(jt_json_kind_of(v)));
        if (!s) s = jt_str_check(&item->choice[i], err);
    }
    for (size_t i = 0; !s && i < n; i++)
        if (!item->choice[i].n) s = jt_error_set(err, JT_FORMAT, "choice %zu is empty", i);
    jt_json_free(list);
    jt_str_free(&json);
    return s;
}

/* The right choice: a number counts from 0, else it is the text of one. A field that holds a text is never a number. */
static jt_status find_gold(const jt_task *t, const jt_json *doc, jt_item *item, jt_error *err) {
    const jt_json *field = t->target_field ? jt_json_member(doc, t->target_field) : NULL;
    const char *s = jt_str_c(&item->target);
    int64_t i;
    if (!(field && jt_json_kind_of(field) == JT_JSON_STRING) && jt_read_i64(s, item->target.n, &i)) {
        if (i < 0 || (size_t)i >= item->n_choice)
            return jt_error_set(err, JT_FORMAT, "\"doc_to_target\" gives %lld; there are %zu choices", (long long)i, item->n_choice);
        item->gold = (size_t)i;
        return JT_OK;
    }
    for (size_t k = 0; k < item->n_choice; k++)
        if (item->choice[k].n == item->target.n && !memcmp(jt_str_c(&item->choice[k]), s, item->target.n)) return item->gold = k, JT_OK;
    return jt_error_set(err, JT_FORMAT, "\"doc_to_target\" gives \"%.60s\", which is no choice and no number of one", s);
}

/* What a document asks and what is right, without examples. */
static jt_status make_plain(const jt_task *t, const jt_json *doc, jt_item *item, jt_error *err) {
    jt_status s = render(t->text, doc, &item->context, err);
    if (!s && t->target) item->has_target = true, s = render(t->target, doc, &item->target, err);
    if (!s && t->kind == JT_TASK_CHOICE) s = make_choices(t, doc, item, err);
    if (!s && t->kind == JT_TASK_CHOICE) s = find_gold(t, doc, item, err);
    return s;
}

static jt_status add_example(const jt_task *t, const jt_json *doc, jt_str *out, jt_error *err) {
    jt_item one = {0};
    jt_status s = make_plain(t, doc, &one, err);
    if (!s) {
        const jt_str *right = t->kind == JT_TASK_CHOICE ? &one.choice[one.gold] : &one.target;
        jt_str_add(out, jt_str_c(&one.context), one.context.n);
        jt_str_puts(out, t->target_delimiter);
        jt_str_add(out, jt_str_c(right), right->n);
        jt_str_puts(out, t->fewshot_delimiter);
        s = jt_str_check(out, err);
    }
    jt_item_free(&one);
    return s;
}

/* The examples of item i: the first ones, or `n` of them drawn without repeats at the item's own random address. */
static jt_status add_examples(const jt_task *t, const jt_docs *docs, const jt_docs *few, size_t i, jt_str *out, jt_error *err) {
    const jt_docs *from = few ? few : docs;
    size_t own = few ? from->n : i, room = from->n - (few ? 0 : 1), n = (size_t)t->num_fewshot;
    jt_status s = JT_OK;
    if (n > room) return jt_error_set(err, JT_INVALID, "%zu examples are asked for, and there are %zu", n, room);
    size_t *at = jt_alloc(from->n + 1, sizeof *at);
    if (!at) return jt_nomem(err, "examples", from->n, sizeof *at);
    for (size_t k = 0, m = 0; k < from->n; k++)
        if (k != own) at[m++] = k;
    for (size_t k = 0; !s && k < n; k++) {
        if (t->fewshot_seed >= 0) {
            jt_address a = {.seed = (uint64_t)t->fewshot_seed, .stream = i, .position = (uint32_t)k, .site = 2};
            size_t other = k + (size_t)(jt_random_u(&a) * (double)(room - k)), was = at[k];
            at[k] = at[other], at[other] = was;
        }
        s = add_example(t, from->doc[at[k]], out, err);
    }
    jt_free(at);
    return s;
}

jt_status jt_item_make(const jt_task *t, const jt_docs *docs, const jt_docs *few, size_t i, jt_item *out, jt_error *err) {
    jt_str before = {0};
    *out = (jt_item){0};
    jt_status s = make_plain(t, docs->doc[i], out, err);
    jt_str_puts(&before, t->description);
    if (!s && t->num_fewshot) s = add_examples(t, docs, few, i, &before, err);
    jt_str_add(&before, jt_str_c(&out->context), out->context.n);
    if (!s) s = jt_str_check(&before, err);
    jt_str_free(&out->context);
    out->context = before;
    if (!s && t->id) {
        jt_str text = {0};
        s = render(t->id, docs->doc[i], &text, err);
        jt_str_json(&out->id, jt_str_c(&text), text.n);
        if (!s) s = jt_str_check(&out->id, err);
        jt_str_free(&text);
    }
    out->key = jt_hash_bytes(jt_hash_u64(3, out->gold), jt_str_c(&out->context), out->context.n);
    out->key = jt_hash_bytes(out->key, jt_str_c(&out->target), out->target.n);
    for (size_t k = 0; k < out->n_choice; k++) out->key = jt_hash_bytes(out->key, jt_str_c(&out->choice[k]), out->choice[k].n);
    if (s) {
        jt_error_in(err, s, "%s: item %zu", t->data, i);
        jt_item_free(out);
    }
    return s;
}

void jt_item_free(jt_item *item) {
    jt_str_free(&item->id);
    jt_str_free(&item->context);
    jt_str_free(&item->target);
    for (size_t i = 0; i < item->n_choice; i++) jt_str_free(&item->choice[i]);
    jt_free(item->choice);
    *item = (jt_item){0};
}

/* ---- tokens ---- */

static jt_status set_prompt(jt_item_request *r, const jt_tokens *t, jt_error *err) {
    if (!(r->prompt = jt_alloc(t->n + 1, sizeof *r->prompt))) return jt_nomem(err, "a prompt", t->n, sizeof *r->prompt);
    for (size_t i = 0; i < t->n; i++) r->prompt[i] = t->t[i].id;
    r->request.prompt = r->prompt, r->request.n_prompt = t->n;
    return JT_OK;
}

/* What stands before a text that has nothing before it. */
static jt_status first_token(const jt_tokenizer *t, int32_t *id, jt_error *err) {
    *id = jt_tokenizer_bos(t) >= 0 ? jt_tokenizer_bos(t) : jt_tokenizer_eos(t);
    return *id >= 0
               ? JT_OK
               : jt_error_set(err, JT_UNSUPPORTED, "the model has no token for the beginning of a text; give a prompt that is not empty");
}

/* Tokens as the reference parts them: blanks at the prompt's end belong to what follows, both are tokenised as one, and what
 * comes behind as many tokens as the prompt has is the continuation. */
static jt_status add_continuation(const jt_tokenizer *t, const jt_str *context, size_t n_prompt, bool bare, const char *delimiter,
                                  const jt_str *text, jt_str *ids, int *length, jt_error *err) {
    jt_str whole = {0};
    jt_tokens tokens = {0};
    jt_str_add(&whole, jt_str_c(context), context->n);
    jt_str_puts(&whole, delimiter);
    jt_str_add(&whole, jt_str_c(text), text->n);
    jt_status s = jt_str_check(&whole, err);
    if (!s) s = jt_encode(t, jt_str_c(&whole), whole.n, bare ? 0 : JT_ADD_SPECIAL, &tokens, err);
    if (!s && tokens.n <= (bare ? 0 : n_prompt))
        s = jt_error_set(err, JT_FORMAT, "\"%.60s\" has no tokens of its own behind its prompt", jt_str_c(text));
    for (size_t i = bare ? 0 : n_prompt; !s && i < tokens.n; i++) jt_str_printf(ids, "%d ", (int)tokens.t[i].id);
    *length = (int)(tokens.n - (s ? tokens.n : bare ? 0 : n_prompt));
    jt_tokens_free(&tokens);
    jt_str_free(&whole);
    return s;
}

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f); }

static jt_status encode_likelihood(const jt_task *t, const jt_item *item, const jt_tokenizer *tokens, const char *stages,
                                   const jt_methods *extra, jt_item_request *r, jt_error *err) {
    const jt_str nothing = {0};
    const jt_str *before = t->kind == JT_TASK_ROLLING ? &nothing : &item->context;
    size_t kept = before->n, n = t->kind == JT_TASK_ROLLING ? 1 : item->n_choice;
    jt_tokens prompt = {0};
    jt_str ids = {0};
    while (kept && blank(before->s[kept - 1])) kept--;
    jt_status s = jt_encode(tokens, jt_str_c(before), kept, JT_ADD_SPECIAL, &prompt, err);
    bool bare = !s && !prompt.n; /* no prompt, and no token that stands before every text */
    if (bare) {
        int32_t id = 0;
        s = first_token(tokens, &id, err);
        if (!s) s = jt_grow((void **)&prompt.t, &prompt.cap, 1, sizeof *prompt.t, err);
        if (!s) prompt.t[prompt.n++] = (jt_token){.id = id};
    }
    if (!s) s = set_prompt(r, &prompt, err);
    if (!s && !(r->length = jt_alloc(n, sizeof *r->length))) s = jt_nomem(err, "choices", n, sizeof *r->length);
    jt_str_puts(&ids, "likelihood:ids=\"");
    for (size_t i = 0; !s && i < n; i++) {
        if (i) jt_str_putc(&ids, ';');
        s = t->kind == JT_TASK_ROLLING
                ? add_continuation(tokens, before, prompt.n, bare, "", &item->context, &ids, &r->length[i], err)
                : add_continuation(tokens, before, prompt.n, bare, t->target_delimiter, &item->choice[i], &ids, &r->length[i], err);
    }
    jt_str_puts(&ids, "\"");
    if (*stages) jt_str_printf(&ids, " | %s", stages);
    r->answers = n;
    if (!s) s = jt_str_check(&ids, err);
    if (!s) s = jt_pipeline_parse(jt_str_c(&ids), extra, &r->pipeline, err);
    r->request.pipeline = r->pipeline, r->request.ignore_end = 1;
    jt_str_free(&ids);
    jt_tokens_free(&prompt);
    return s;
}

static jt_status encode_generate(const jt_task *t, const jt_item *item, const jt_tokenizer *tokens, const jt_pipeline *pipeline,
                                 jt_item_request *r, jt_error *err) {
    jt_tokens prompt = {0};
    int n = 0;
    if (t->system) r->message[n++] = (jt_message){"system", t->system};
    r->message[n++] = (jt_message){"user", jt_str_c(&item->context)};
    jt_status s = t->chat ? jt_chat_encode(tokens, r->message, n, 1, &prompt, err)
                          : jt_encode(tokens, jt_str_c(&item->context), item->context.n, JT_ADD_SPECIAL, &prompt, err);
    if (!s && !prompt.n) {
        int32_t id = 0;
        s = first_token(tokens, &id, err);
        if (!s) s = jt_grow((void **)&prompt.t, &prompt.cap, 1, sizeof *prompt.t, err);
        if (!s) prompt.t[prompt.n++] = (jt_token){.id = id};
    }
    if (!s) s = set_prompt(r, &prompt, err);
    r->request.pipeline = pipeline;
    r->request.stop = t->until, r->request.n_stop = t->n_until, r->request.max_tokens = (int)t->max_tokens;
    if (t->chat) r->request.messages = r->message, r->request.n_messages = (size_t)n;
    jt_tokens_free(&prompt);
    return s;
}

jt_status jt_item_encode(const jt_task *t, const jt_item *item, const jt_tokenizer *tokens, const char *stages, const jt_methods *extra,
                         const jt_pipeline *generate, jt_item_request *out, jt_error *err) {
    if (!tokens) return jt_error_set(err, JT_UNSUPPORTED, "the model's files carry no tokenizer");
    return t->kind == JT_TASK_GENERATE ? encode_generate(t, item, tokens, generate, out, err)
                                       : encode_likelihood(t, item, tokens, stages, extra, out, err);
}

void jt_item_request_free(jt_item_request *r) {
    jt_pipeline_free(r->pipeline);
    jt_free(r->prompt);
    jt_free(r->length);
    *r = (jt_item_request){0};
}
