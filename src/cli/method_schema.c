/* method_schema.c: a JSON schema of pipelines, from the rows alone. What it takes, jt_pipeline_parse takes, but for rules
 * about the order of strategies and texts that only a tokenizer can judge. */
#include <math.h>
#include <string.h>

#include "cli/method_text.h"

static void schema_text(const char *name, const char *s, jt_str *o) {
    jt_str_printf(o, "\"%s\": ", name);
    jt_str_json(o, s ? s : "", s ? strlen(s) : 0);
}

static void schema_bound(const char *name, double x, jt_str *o) {
    if (!isfinite(x)) return;
    jt_str_printf(o, ", \"%s\": ", name);
    jt_str_number(o, x);
}

static void schema_value(const jt_param *p, jt_str *o) {
    switch (p->type) {
    case JT_PARAM_REAL:
    case JT_PARAM_INT:
        jt_str_printf(o, "\"type\": \"%s\"", p->type == JT_PARAM_INT ? "integer" : "number");
        schema_bound("minimum", p->low, o);
        schema_bound("maximum", p->high, o);
        break;
    case JT_PARAM_CHOICE:
        jt_str_puts(o, "\"enum\": [");
        for (const char *s = p->choices; *s; s += strcspn(s, "|") + (s[strcspn(s, "|")] == '|')) {
            if (s != p->choices) jt_str_puts(o, ", ");
            jt_str_json(o, s, strcspn(s, "|"));
        }
        jt_str_putc(o, ']');
        break;
    case JT_PARAM_TEXT: jt_str_puts(o, "\"type\": \"string\""); break;
    case JT_PARAM_BIAS:
        jt_str_puts(
            o, "\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {\"id\": {\"type\": \"integer\", \"minimum\": 0}, "
               "\"text\": {\"type\": \"string\", \"minLength\": 1}, \"value\": {\"oneOf\": [{\"type\": \"number\"");
        schema_bound("minimum", p->low, o);
        schema_bound("maximum", p->high, o);
        jt_str_puts(o, "}, {\"const\": \"-inf\"}]}}, \"required\": [\"value\"], \"minProperties\": 2, \"maxProperties\": 2, "
                       "\"additionalProperties\": false}");
        break;
    case JT_PARAM_STAGES: jt_str_puts(o, "\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/stage\"}"); break;
    case JT_PARAM_METHOD: jt_str_printf(o, "\"$ref\": \"#/$defs/%s\"", jt_kind_name(p->kind)); break;
    }
}

static void schema_default(const jt_param *p, jt_str *o) {
    char text[256];
    if (isnan(p->def) || p->type == JT_PARAM_BIAS || p->type == JT_PARAM_STAGES || p->type == JT_PARAM_METHOD) return;
    jt_param_default(p, text, sizeof text);
    jt_str_puts(o, ", \"default\": ");
    if (p->type == JT_PARAM_TEXT)
        jt_str_puts(o, "\"\"");
    else if (p->type == JT_PARAM_CHOICE || !isfinite(p->def))
        jt_str_json(o, text, strlen(text));
    else
        jt_str_number(o, p->def);
}

/* The parameters of a method: an object, or the value of the first. */
static void schema_method(const jt_method *m, jt_str *o) {
    const char *join = "";
    jt_str_printf(o, "    \"%s:%s\": {", jt_kind_name(m->kind), m->name);
    schema_text("description", m->summary, o);
    jt_str_puts(o, ", \"anyOf\": [{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {");
    for (int i = 0; i < m->n_param; i++) {
        jt_str_puts(o, i ? ", \"" : "\"");
        jt_method_param_name(m->param + i, o);
        jt_str_puts(o, "\": {");
        schema_text("description", m->param[i].help, o);
        jt_str_puts(o, ", ");
        schema_value(m->param + i, o);
        schema_default(m->param + i, o);
        jt_str_putc(o, '}');
    }
    jt_str_puts(o, "}, \"required\": [");
    for (int i = 0; i < m->n_param; i++)
        if (isnan(m->param[i].def)) {
            jt_str_printf(o, "%s\"", join), join = ", ";
            jt_method_param_name(m->param + i, o);
            jt_str_putc(o, '"');
        }
    jt_str_puts(o, "]}");
    bool others = false; /* that must be given too */
    for (int i = 1; i < m->n_param; i++) others |= isnan(m->param[i].def) != 0;
    if (m->n_param && !others && m->param->type != JT_PARAM_METHOD) {
        jt_str_puts(o, ", {");
        schema_value(m->param, o);
        jt_str_putc(o, '}');
    }
    jt_str_puts(o, "]},\n");
}

static bool schema_bare(const jt_method *m) {
    for (int i = 0; i < m->n_param; i++)
        if (isnan(m->param[i].def)) return false;
    return true;
}

static void schema_kind(const jt_methods *extra, jt_kind kind, jt_str *o) {
    const jt_method *m;
    const char *join = "";
    jt_str_printf(o, "    \"%s\": {\"oneOf\": [{\"enum\": [", jt_kind_name(kind));
    for (int i = 0; (m = jt_method_at(extra, i)); i++)
        if (m->kind == kind && schema_bare(m)) jt_str_printf(o, "%s\"%s\"", join, m->name), join = ", ";
    jt_str_puts(o, "]}, {\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": 1, \"additionalProperties\": false, "
                   "\"properties\": {");
    join = "";
    for (int i = 0; (m = jt_method_at(extra, i)); i++)
        if (m->kind == kind)
            jt_str_printf(o, "%s\"%s\": {\"$ref\": \"#/$defs/%s:%s\"}", join, m->name, jt_kind_name(kind), m->name), join = ", ";
    jt_str_printf(o, "}}]}%s\n", kind == JT_SCORER ? "" : ",");
}

void jt_methods_schema(const jt_methods *extra, jt_str *o) {
    const jt_method *m;
    jt_str_puts(o, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": \"a pipeline of Jeton\",\n"
                   "  \"description\": \"strategies first, outermost first, then stages in the order in which they run\",\n"
                   "  \"type\": \"array\",\n  \"items\": {\"anyOf\": [{\"$ref\": \"#/$defs/strategy\"}, {\"$ref\": \"#/$defs/stage\"}]},\n"
                   "  \"$defs\": {\n");
    for (int i = 0; (m = jt_method_at(extra, i)); i++) schema_method(m, o);
    for (int k = JT_STAGE; k <= JT_SCORER; k++) schema_kind(extra, (jt_kind)k, o);
    jt_str_puts(o, "  }\n}\n");
}
