/* convert_types.c: which format each tensor is stored in: mixtures, as llama.cpp's llama-quantize makes them (more bits
 * where an error costs more), and what happens to rows that a format does not divide. */
#include <regex.h>
#include <string.h>

#include "model/convert.h"
#include "tensor/quant.h"

/* Kinds of matrices that mixtures tell apart. */
enum { KIND_EMBED = 1, KIND_HEAD = 2, KIND_V = 4, KIND_K = 8, KIND_Q = 16, KIND_O = 32, KIND_DOWN = 64, KIND_OTHER = 128 };

/* A mixture: its name, the number in general.file_type, and the format of what no rule names. */
struct mixture {
    const char *name;
    int file_type;
    const char *format;
};
static const struct mixture mixtures[] = {
    {"f32", 0, "f32"},          {"f16", 1, "f16"},          {"bf16", 32, "bf16"},     {"q4_0", 2, "q4_0"},      {"q4_1", 3, "q4_1"},
    {"q5_0", 8, "q5_0"},        {"q5_1", 9, "q5_1"},        {"q8_0", 7, "q8_0"},      {"q2_k", 10, "q2_k"},     {"q2_k_s", 21, "q2_k"},
    {"q3_k_s", 11, "q3_k"},     {"q3_k_m", 12, "q3_k"},     {"q3_k_l", 13, "q3_k"},   {"q4_k_s", 14, "q4_k"},   {"q4_k_m", 15, "q4_k"},
    {"q5_k_s", 16, "q5_k"},     {"q5_k_m", 17, "q5_k"},     {"q6_k", 18, "q6_k"},     {"iq4_nl", 25, "iq4_nl"}, {"iq4_xs", 30, "iq4_xs"},
    {"mxfp4_moe", 38, "q8_0"},  {"q3_k", 12, "q3_k"},       {"q4_k", 15, "q4_k"},     {"q5_k", 17, "q5_k"},     {"tq1_0", 36, "tq1_0"},
    {"tq2_0", 37, "tq2_0"},     {"iq2_xxs", 19, "iq2_xxs"}, {"iq2_xs", 20, "iq2_xs"}, {"iq2_s", 28, "iq2_xs"},  {"iq2_m", 29, "iq2_s"},
    {"iq3_xxs", 23, "iq3_xxs"}, {"iq3_s", 26, "iq3_s"},     {"iq1_s", 24, "iq1_s"},   {"iq1_m", 31, "iq1_m"},
};

/* When a rule holds. Of `EARLY`: the first eighth of the layers. MORE_BITS: those, the last eighth, and every third between. */
enum when { ALWAYS, FIRST_2, FIRST_4, EARLY, FIRST_16TH, MORE_BITS, SHARED_4 /* 4 heads or more share keys */, EARLY_PLAIN, EARLY_MATRIX };

/* The first rule that holds is used. Mixtures by their file_type. */
struct rule {
    int file_type, kinds;
    enum when when;
    const char *format;
};
static const struct rule rules[] = {
    {10, KIND_V, SHARED_4, "q4_k"},
    {10, KIND_V | KIND_DOWN | KIND_O, ALWAYS, "q3_k"},
    {21, KIND_V, SHARED_4, "q4_k"},
    {21, KIND_DOWN, EARLY, "q4_k"},
    {12, KIND_V, FIRST_2, "q5_k"},
    {12, KIND_DOWN, FIRST_16TH, "q5_k"},
    {12, KIND_V | KIND_DOWN | KIND_O, ALWAYS, "q4_k"},
    {13, KIND_V | KIND_DOWN | KIND_O, ALWAYS, "q5_k"},
    {14, KIND_V, FIRST_4, "q5_k"},
    {14, KIND_DOWN, EARLY, "q5_k"},
    {15, KIND_V | KIND_DOWN, MORE_BITS, "q6_k"},
    {17, KIND_V | KIND_DOWN, MORE_BITS, "q6_k"},
    {25, KIND_V, SHARED_4, "q5_k"},
    {25, KIND_DOWN, EARLY_PLAIN, "q5_k"},
    {30, KIND_V, SHARED_4, "q5_k"},
    {30, KIND_DOWN, EARLY_PLAIN, "q5_k"},
    {2, KIND_DOWN, EARLY_MATRIX, "q4_1"},
    {8, KIND_DOWN, EARLY_MATRIX, "q5_1"},
    {36, KIND_EMBED, ALWAYS, "q4_k"},
    {37, KIND_EMBED, ALWAYS, "q4_k"},
};

/* What is counted while tensors are gone through in order. */
struct choice {
    const struct mixture *mix;
    bool tied, imatrix;
    int shared, experts;          /* heads of a key head; experts */
    int n_v, n_down, i_v, i_down; /* of all, and of the layers before */
};

static bool types_in(const char *name, const char *part) { return strstr(name, part) != NULL; }

static int types_kind(const char *name) {
    if (!strcmp(name, "output.weight")) return KIND_HEAD;
    if (!strcmp(name, "token_embd.weight")) return KIND_EMBED;
    if (types_in(name, "attn_qkv.weight") || types_in(name, "attn_kv_b.weight") || types_in(name, "attn_v.weight")) return KIND_V;
    if (types_in(name, "attn_k.weight")) return KIND_K;
    if (types_in(name, "attn_q.weight")) return KIND_Q;
    if (types_in(name, "attn_output.weight")) return KIND_O;
    return types_in(name, "ffn_down") ? KIND_DOWN : KIND_OTHER;
}

/* Matrices that llama.cpp leaves as they are: small, or felt at once. */
static bool types_may(const jt_convert_tensor *t) {
    static const char *const kept[] = {"_norm.weight",          "ffn_gate_inp.weight", "position_embd",        "token_types", "ssm_conv1d",
                                       "shortconv.conv.weight", "attn_rel_b.weight",   "per_layer_model_proj", "altup",       "laurel"};
    size_t n = strlen(t->name);
    if (!t->matrix || n < 6 || strcmp(t->name + n - 6, "weight") != 0) return false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (types_in(t->name, kept[i])) return false;
    return true;
}

static bool types_holds(enum when w, const struct choice *c, int kind, int layer_down) {
    int i = kind == KIND_DOWN ? layer_down : c->i_v, n = kind == KIND_DOWN ? c->n_down : c->n_v;
    switch (w) {
    case ALWAYS: return true;
    case FIRST_2: return i < 2;
    case FIRST_4: return i < 4;
    case EARLY: return i < n / 8;
    case FIRST_16TH: return i < n / 16;
    case MORE_BITS: return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case SHARED_4: return c->shared >= 4;
    case EARLY_PLAIN: return i < n / 8 && !c->imatrix;
    case EARLY_MATRIX: return i < n / 8 && c->imatrix;
    }
    return false;
}

/* The number after "blk."; -1: none. */
static int types_layer(const char *name) {
    int v = 0;
    if (strncmp(name, "blk.", 4) != 0) return -1;
    for (const char *p = name + 4; *p >= '0' && *p <= '9' && v < 100000; p++) v = v * 10 + (*p - '0');
    return v;
}

static const jt_format *types_mixed(const jt_convert_tensor *t, const struct choice *c, const jt_format *base) {
    int kind = types_kind(t->name), file_type = c->mix->file_type;
    const char *name = NULL;
    if (base->block == 1) return base;
    if (kind == KIND_HEAD || (kind == KIND_EMBED && c->tied)) {
        bool small = !strncmp(base->name, "iq1", 3) || !strncmp(base->name, "iq2", 3) || file_type == 23;
        name = file_type == 38 || t->cols % base->block ? "q8_0" : small ? "q5_k" : base->type == JT_Q8_0 ? "q8_0" : "q6_k";
        return jt_format_named(name);
    }
    if (file_type == 38) return jt_format_named(t->n_dims == 3 && t->dim[0] > 1 ? "mxfp4" : "q8_0");
    int layer = c->experts > 1 ? types_layer(t->name) : c->i_down;
    for (size_t i = 0; !name && i < sizeof rules / sizeof *rules; i++)
        if (rules[i].file_type == file_type && rules[i].kinds & kind && types_holds(rules[i].when, c, kind, layer)) name = rules[i].format;
    if (c->experts == 8 && (kind == KIND_V || kind == KIND_K)) name = "q8_0";
    if (c->experts == 8 && kind == KIND_O && file_type != 13 && file_type != 16 && file_type != 17 && base->block == 256) name = "q5_k";
    return name ? jt_format_named(name) : base;
}

static jt_status types_named(const char *name, bool mixtures_too, const jt_format **f, const struct mixture **mix, jt_error *err) {
    char low[32] = "";
    for (size_t i = 0; name[i] && i < sizeof low - 1; i++) low[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    *f = NULL;
    for (size_t i = 0; mixtures_too && !*f && i < sizeof mixtures / sizeof *mixtures; i++)
        if (!strcmp(mixtures[i].name, low)) *f = jt_format_named(mixtures[i].format), *mix = &mixtures[i];
    if (!*f && !mixtures_too) *f = jt_format_named(low);
    if (*f && jt_format_is_written(*f)) return JT_OK;
    jt_str known = {0};
    int n;
    const jt_format *all = jt_formats(&n);
    for (size_t i = 0; mixtures_too && i < sizeof mixtures / sizeof *mixtures; i++)
        if (jt_format_is_written(jt_format_named(mixtures[i].format))) jt_str_printf(&known, "%s%s", known.n ? ", " : "", mixtures[i].name);
    for (int i = 0; !mixtures_too && i < n; i++)
        if (jt_format_is_written(&all[i])) jt_str_printf(&known, "%s%s", known.n ? ", " : "", all[i].name);
    jt_status s = jt_error_set(err, JT_UNKNOWN, "type \"%.32s\" %s; this build writes %s", name,
                               *f ? "is read, but not written" : "is not known", jt_str_c(&known));
    jt_str_free(&known);
    return s;
}

/* The formats that --tensor-type gives. */
struct override {
    regex_t regex;
    const jt_format *format;
    bool used;
};

static jt_status types_overrides(const jt_convert_options *o, struct override *v, int *n, jt_error *err) {
    jt_status s = JT_OK;
    for (*n = 0; !s && *n < o->n_tensor_type;) {
        const char *text = o->tensor_type[*n], *eq = strrchr(text, '=');
        jt_str pattern = {0};
        if (!eq || eq == text || !eq[1])
            return jt_error_set(err, JT_INVALID, "\"%.100s\" is not REGEX=FORMAT, such as ffn_down=q8_0", text);
        jt_str_add(&pattern, text, (size_t)(eq - text));
        s = jt_str_check(&pattern, err);
        if (!s) s = types_named(eq + 1, false, &v[*n].format, NULL, err);
        if (!s && regcomp(&v[*n].regex, pattern.s, REG_EXTENDED | REG_NOSUB))
            s = jt_error_set(err, JT_INVALID, "\"%.100s\" is no regular expression", jt_str_c(&pattern));
        else if (!s)
            ++*n;
        jt_str_free(&pattern);
    }
    return s;
}

static void types_count(jt_conversion *c, struct choice *o) {
    o->tied = true;
    for (size_t i = 0; i < c->n; i++) {
        int kind = types_kind(c->made[i].name);
        o->n_v += kind == KIND_V, o->n_down += kind == KIND_DOWN;
        if (kind == KIND_HEAD) o->tied = false;
        if (types_in(c->made[i].name, "ffn_down_exps") && c->made[i].n_dims == 3) o->experts = (int)c->made[i].dim[0];
    }
    if (o->experts > 1 || !o->n_down) o->n_down = c->config.layers ? c->config.layers : o->n_down;
    o->shared = c->config.kv_heads ? c->config.heads / c->config.kv_heads : 1;
}

/* How many tensors of the kinds that are counted lie in layers before that of the tensor. */
static void types_before(const jt_conversion *c, const char *name, struct choice *o) {
    int layer = types_layer(name), kind = types_kind(name);
    o->i_v = o->i_down = 0;
    if (kind != KIND_V && kind != KIND_DOWN) return;
    for (size_t i = 0; i < c->n; i++) {
        if (types_kind(c->made[i].name) != kind || types_layer(c->made[i].name) >= layer) continue;
        o->i_v += kind == KIND_V, o->i_down += kind == KIND_DOWN;
    }
}

/* What a file of the output's kind can hold of a tensor that stays as it is. */
static const jt_format *types_kept(const jt_conversion *c, const jt_convert_tensor *t) {
    if (c->to_gguf) return c->tensors && !t->matrix && t->format->expand ? jt_format_of(JT_F32) : t->format;
    return t->format->block > 1 ? jt_format_of(JT_F32) : t->format;
}

/* The first override that matches, or NULL. */
static const struct override *types_overriding(struct override *v, int n, const char *name) {
    const struct override *first = NULL;
    for (int k = 0; k < n; k++) {
        if (regexec(&v[k].regex, name, 0, NULL, 0) != 0) continue;
        v[k].used = true;
        if (!first) first = &v[k];
    }
    return first;
}

/* One note for all tensors that fell back in the same way. */
static void types_note_fallbacks(const jt_conversion *c) {
    for (size_t i = 0; i < c->n; i++) {
        const jt_convert_tensor *t = &c->made[i];
        size_t before = 0, after = 0;
        for (size_t k = 0; t->wanted && k < c->n; k++) {
            bool same = c->made[k].wanted == t->wanted && c->made[k].cols == t->cols;
            before += same && k < i, after += same && k > i;
        }
        if (!t->wanted || before) continue;
        char more[40] = "";
        if (after) snprintf(more, sizeof more, " and %zu more", after);
        jt_convert_note(c, "%s%s: rows of %llu are no whole blocks of %s; stored as %s", t->name, more, (unsigned long long)t->cols,
                        t->wanted->name, t->format->name);
    }
}

jt_status jt_convert_choose(jt_conversion *c, jt_error *err) {
    const jt_convert_options *o = c->options;
    struct choice choice = {.imatrix = c->imatrix != NULL};
    const jt_format *base = NULL;
    struct override *v = jt_alloc((size_t)(o->n_tensor_type > 0 ? o->n_tensor_type : 1), sizeof *v);
    int n = 0;
    if (!v) return jt_nomem(err, "list of types", (size_t)o->n_tensor_type, sizeof *v);
    jt_status s = o->type ? types_named(o->type, true, &base, &choice.mix, err) : JT_OK;
    if (!s && base && base->block > 1 && !c->to_gguf)
        s = jt_error_set(err, JT_UNSUPPORTED, "a folder of safetensors holds f32, f16 and bf16; \"%s\" needs a name that ends in .gguf",
                         o->type);
    if (!s) s = types_overrides(o, v, &n, err);
    if (!s) types_count(c, &choice);
    c->file_type = choice.mix ? choice.mix->file_type : -1;
    for (size_t i = 0; !s && i < c->n; i++) {
        jt_convert_tensor *t = &c->made[i];
        const jt_format *want = types_kept(c, t), *was = t->format;
        types_before(c, t->name, &choice);
        bool may = c->to_gguf ? types_may(t) : t->matrix;
        const struct override *by = types_overriding(v, n, t->name);
        if (by && (t->matrix || by->format->block == 1))
            want = by->format;
        else if (base && may)
            want = o->pure ? base : types_mixed(t, &choice, base);
        else if (c->to_gguf && c->tensors && !may && was->expand)
            want = jt_format_of(JT_F32);
        if (t->cols % want->block) {
            t->wanted = want;
            want = jt_format_fallback(want, t->cols), c->info.fallbacks++;
        }
        if (want != was && (!was->expand || !jt_format_is_written(want)))
            s = jt_error_set(err, JT_UNSUPPORTED, "tensor %.200s is of type %s, which this build cannot %s %s", t->name, was->name,
                             was->expand ? "write as" : "read to make it", want->name);
        t->format = want;
    }
    for (int k = 0; !s && k < n; k++)
        if (!v[k].used) s = jt_error_set(err, JT_UNKNOWN, "\"%.100s\" matches the name of no tensor", o->tensor_type[k]);
    if (!s) types_note_fallbacks(c);
    while (n > 0) regfree(&v[--n].regex);
    jt_free(v);
    return s;
}
