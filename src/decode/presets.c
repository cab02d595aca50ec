/* presets.c: the chains that other programs run by default, as pipeline text. "{name=value}"
 * is a parameter of the preset and its default, "{name}" the same once more. Stages whose
 * setting turns out neutral are left out when a preset is expanded (pipeline.c).
 *
 * The order and defaults are those of transformers' generate() with sampling, and of
 * llama.cpp's common sampling parameters; what a preset's parameters are called is what
 * these programs call them. Where a rule of theirs differs at the border from the stage's,
 * docs/pipelines.md says so. */
#include "decode/presets.h"

#include <string.h>

#include "jeton/decode.h"
#include "step/param.h"

static const struct {
    const char *name, *text;
} preset_table[] = {
    {"hf", "repeat-penalty:{repetition-penalty=1},window=-1 | no-repeat-ngram:{no-repeat-ngram-size=0} | min-length:{min-new-tokens=0} | "
           "temp:{temperature=1} | "
           "top-h:{top-h=1},rule=hf | top-k:{top-k=50},ties=keep | top-p:{top-p=1} | min-p:{min-p=0} | typical:{typical-p=1} | "
           "epsilon:{epsilon-cutoff=0} | eta:{eta-cutoff=0}"},
    {"llamacpp", "repeat-penalty:{repeat-penalty=1},window={repeat-last-n=64} | "
                 "frequency-penalty:{frequency-penalty=0},window={repeat-last-n},scope=all | "
                 "presence-penalty:{presence-penalty=0},window={repeat-last-n},scope=all | "
                 "dry:{dry-multiplier=0},base={dry-base=1.75},allowed={dry-allowed-length=2},window={dry-penalty-last-n=-1} | "
                 "top-n-sigma:{top-n-sigma=0} | top-k:{top-k=40} | typical:{typical=1} | top-p:{top-p=0.95} | min-p:{min-p=0.05} | "
                 "xtc:{xtc-probability=0},threshold={xtc-threshold=0.1} | "
                 "dyn-temp:{temp=0.8},range={dynatemp-range=0},exponent={dynatemp-exp=1}"},
    {"llamacpp-mirostat-1", "temp:{temp=0.8} | mirostat-1:{mirostat-ent=5},eta={mirostat-lr=0.1},m={mirostat-m=100},lc=yes"},
    {"llamacpp-mirostat-2", "temp:{temp=0.8} | mirostat-2:{mirostat-ent=5},eta={mirostat-lr=0.1},lc=yes"},
};
enum { PRESETS = sizeof preset_table / sizeof *preset_table };

const char *jt_preset_at(int i, const char **text) {
    if (i < 0 || i >= PRESETS) return NULL;
    if (text) *text = preset_table[i].text;
    return preset_table[i].name;
}

/* A hole of a preset's text. */
typedef struct preset_hole {
    const char *name, *value; /* value NULL: none */
    size_t n_name, n_value;
} preset_hole;

/* The hole that opens at or after p, and what follows it; false if there is none. */
static bool preset_next(const char *p, const char **open, const char **after, preset_hole *h) {
    const char *end, *is;
    if (!(*open = strchr(p, '{')) || !(end = strchr(*open, '}'))) return false;
    is = memchr(*open, '=', (size_t)(end - *open));
    *h = (preset_hole){.name = *open + 1, .n_name = (size_t)((is ? is : end) - *open - 1)};
    if (is) h->value = is + 1, h->n_value = (size_t)(end - is - 1);
    *after = end + 1;
    return true;
}

static bool preset_same(const char *a, size_t n, const char *b, size_t m) {
    bool same = n == m;
    for (size_t i = 0; same && i < n; i++) same = a[i] == b[i] || (a[i] == '_' && b[i] == '-');
    return same;
}

/* The hole of that name; with a value. */
static bool preset_find(const char *text, const char *name, size_t n, preset_hole *h) {
    const char *open;
    while (preset_next(text, &open, &text, h))
        if (h->value && preset_same(name, n, h->name, h->n_name)) return true;
    return false;
}

/* An item of the list t[at..end): its name and value, without spaces around; name of no length: there is none. Returns its end. */
static size_t preset_item(const char *t, size_t at, size_t end, preset_hole *item) {
    size_t stop = at, is, from;
    while (stop < end && t[stop] != ',') stop++;
    for (is = at; is < stop && t[is] != '=';) is++;
    for (from = at; from < stop && t[from] == ' ';) from++;
    *item = (preset_hole){.name = t + from, .n_name = (is < from ? from : is) - from};
    while (item->n_name && item->name[item->n_name - 1] == ' ') item->n_name--;
    if (is < stop) {
        for (from = is + 1; from < stop && t[from] == ' ';) from++;
        *item = (preset_hole){.name = item->name, .n_name = item->n_name, .value = t + from, .n_value = stop - from};
        while (item->n_value && item->value[item->n_value - 1] == ' ') item->n_value--;
    }
    return stop;
}

/* A name cut to what messages show. */
static void preset_shown(const char *s, size_t n, char out[64]) {
    if (n > 63) n = 63;
    memcpy(out, s, n);
    out[n] = 0;
}

static jt_status preset_unknown(const char *name, size_t at, jt_error *err) {
    int best = 0;
    for (int i = 1; i < PRESETS; i++)
        if (jt_edit_distance(name, preset_table[i].name) < jt_edit_distance(name, preset_table[best].name)) best = i;
    return jt_pipeline_error(err, JT_UNKNOWN, at, "unknown preset \"%s\"; the nearest is \"%s\"", name, preset_table[best].name);
}

static jt_status preset_no_parameter(int preset, const char *name, size_t at, jt_error *err) {
    const char *p = preset_table[preset].text, *open;
    char near[64] = "", one[64];
    preset_hole h;
    while (preset_next(p, &open, &p, &h)) {
        preset_shown(h.name, h.n_name, one);
        if (h.value && (!*near || jt_edit_distance(name, one) < jt_edit_distance(name, near))) memcpy(near, one, sizeof near);
    }
    return jt_pipeline_error(err, JT_UNKNOWN, at, "preset:%s has no parameter \"%s\"; the nearest is \"%s\"", preset_table[preset].name,
                             name, near);
}

/* The items of t[at..end), if there are any (a comma stood before), are parameters of the preset, each with a value and given once. */
static jt_status preset_check(int preset, const char *t, size_t at, size_t end, bool any, jt_error *err) {
    for (size_t k = at; any;) {
        preset_hole item, other, hole;
        char name[64];
        size_t from = k, stop = preset_item(t, k, end, &item);
        preset_shown(item.name, item.n_name, name);
        if (!preset_find(preset_table[preset].text, item.name, item.n_name, &hole)) return preset_no_parameter(preset, name, from, err);
        if (!item.value || !item.n_value || item.n_value > 60 || memchr(item.value, '|', item.n_value))
            return jt_pipeline_error(err, JT_INVALID, from, "preset:%s: %s needs a number, as in %s=%.*s", preset_table[preset].name, name,
                                     name, (int)hole.n_value, hole.value);
        for (size_t i = at; i < from;) {
            i = preset_item(t, i, end, &other) + 1;
            if (preset_same(item.name, item.n_name, other.name, other.n_name) ||
                preset_same(other.name, other.n_name, item.name, item.n_name))
                return jt_pipeline_error(err, JT_INVALID, from, "preset:%s: %s is given twice", preset_table[preset].name, name);
        }
        k = stop + 1, any = stop < end;
    }
    return JT_OK;
}

/* The value of a hole: that of the list, or its default. */
static void preset_put(int preset, const char *t, size_t at, size_t end, const preset_hole *hole, jt_str *out) {
    preset_hole item, own;
    while (at < end) {
        at = preset_item(t, at, end, &item) + 1;
        if (preset_same(item.name, item.n_name, hole->name, hole->n_name)) {
            jt_str_add(out, item.value, item.n_value);
            return;
        }
    }
    if (preset_find(preset_table[preset].text, hole->name, hole->n_name, &own)) jt_str_add(out, own.value, own.n_value);
}

jt_status jt_preset_expand(const char *t, size_t from, size_t end, jt_str *out, jt_error *err) {
    preset_hole item, hole;
    char name[64];
    int i = 0;
    size_t at = preset_item(t, from, end, &item);
    bool any = at < end;
    at += any;
    preset_shown(item.name, item.n_name, name);
    while (i < PRESETS && (item.value || !preset_same(item.name, item.n_name, preset_table[i].name, strlen(preset_table[i].name)))) i++;
    if (i == PRESETS) return preset_unknown(name, from, err);
    jt_status e = preset_check(i, t, at, end, any, err);
    const char *p = preset_table[i].text, *open, *after;
    for (; e == JT_OK && preset_next(p, &open, &after, &hole); p = after) {
        jt_str_add(out, p, (size_t)(open - p));
        preset_put(i, t, at, end, &hole, out);
    }
    if (e == JT_OK) jt_str_puts(out, p);
    return e == JT_OK ? jt_str_check(out, err) : e;
}
