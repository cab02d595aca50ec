/* recipe.h: a published claim as something to run: a small YAML file with the claim, what to measure, between which pipelines,
 * how much it must be, and a neutral control that must show nothing (docs/eval.md). */
#ifndef JT_CLI_RECIPE_H
#define JT_CLI_RECIPE_H

#include "cli/eval_results.h"
#include "cli/yaml.h"

enum { JT_RECIPE_SEEDS = 64, JT_RECIPE_EFFECTS = 8, JT_RECIPE_ARMS = 2 * (JT_RECIPE_EFFECTS + 1) };

/* What the method changes: the measure with it, less the measure without. */
typedef struct jt_effect {
    const char *what;    /* in words */
    const char *measure; /* as jt_measures names it */
    int with, without;   /* arms */
    bool lower;          /* the claim is that the measure falls */
    double at_least;     /* by so much; above 0 */
} jt_effect;

typedef struct jt_recipe {
    jt_yaml yaml;                                                     /* holds all texts below */
    const char *name, *method, *claim, *source, *note, *model, *task; /* note: what to know of the result, or NULL */
    const char **model2;                                              /* ROLE=MODEL */
    size_t n_model2;
    int64_t limit, seed[JT_RECIPE_SEEDS];
    int n_seed;
    const char *arm[JT_RECIPE_ARMS]; /* pipelines, each once */
    int n_arm;
    jt_effect effect[JT_RECIPE_EFFECTS], neutral; /* neutral.measure: NULL, all that the effects name */
    int n_effect;
} jt_recipe;

/* Errors name file and line; pipelines are checked, too. */
jt_status jt_recipe_parse(const char *path, const char *s, size_t n, jt_recipe *out, jt_error *err);
jt_status jt_recipe_read(const char *path, jt_recipe *out, jt_error *err);
void jt_recipe_free(jt_recipe *r);

typedef enum jt_verdict { JT_AGREES, JT_DISAGREES, JT_CANNOT_TELL, JT_VOID } jt_verdict;
const char *jt_verdict_text(jt_verdict v); /* "agrees" ... */

/* An effect over the seeds: in the direction of the claim, so that more is more of what is claimed. */
typedef struct jt_effect_found {
    double with, without; /* the measure, all seeds together */
    jt_bootstrap b;       /* of the effect, seeds and items drawn anew */
    size_t cells, equal;  /* items of all seeds, and how many have the same number in both arms */
} jt_effect_found;
/* results[arm][seed], each of the same items. JT_INVALID when a measure is not there, or items differ. */
jt_status jt_effect_find(const jt_recipe *r, const jt_effect *e, const char *measure, const jt_eval_results *results, jt_effect_found *out,
                         jt_error *err);
/* agrees: the interval lies at the threshold or above; does not agree: below it; else it cannot be told. */
jt_verdict jt_effect_judge(const jt_effect *e, const jt_effect_found *f);
/* Whether a control shows nothing: its interval has 0 in it. */
bool jt_control_holds(const jt_effect_found *f);

#endif
