/* pretok_known.c: pre-tokenisers by their steps and by name. Names are the values of tokenizer.ggml.pre that llama.cpp knows, and cl100k;
 * steps are those of the models' own tokenizer.json, and with JT_PRETOK_LLAMACPP those of llama.cpp where they cut otherwise. */
#include "text/pretok_known.h"

#include <string.h>

#include "core/mem.h"
#include "text/pretok_scan.h"

#define KNOWN_CONTRACT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define KNOWN_CONTRACT_ASCII "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define KNOWN_WHITE "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define KNOWN_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define KNOWN_WORDS(c, numbers) c "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" KNOWN_WHITE
#define KNOWN_LLAMA3 KNOWN_WORDS(KNOWN_CONTRACT, "\\p{N}{1,3}")
#define KNOWN_CL100K                                                                                                                       \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "                                                                 \
    "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
#define KNOWN_QWEN2 KNOWN_WORDS(KNOWN_CONTRACT, "\\p{N}")
#define KNOWN_QWEN35(c) c "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" KNOWN_WHITE
#define KNOWN_BAILING                                                                                                                      \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define KNOWN_SEED KNOWN_CONTRACT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" KNOWN_WHITE
#define KNOWN_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define KNOWN_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define KNOWN_CASED(suffix, numbers)                                                                                                       \
    "[^\\r\\n\\p{L}\\p{N}]?" KNOWN_UPPER "*" KNOWN_LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" KNOWN_UPPER "+" KNOWN_LOWER "*" suffix       \
    "|" numbers "| ?[^\\s\\p{L}"                                                                                                           \
    "\\p{N}]+[\\r\\n/]*" KNOWN_WHITE
#define KNOWN_O200K KNOWN_CASED(KNOWN_CONTRACT "?", "\\p{N}{1,3}")
#define KNOWN_TEKKEN KNOWN_CASED("", "\\p{N}")
/* What llama.cpp has in place of UPPER and LOWER, with more letters in `marks`. */
#define KNOWN_CASED_LLAMACPP(l, suffix, numbers)                                                                                           \
    "[^\\r\\n\\p{L}\\p{N}]?((?=" l ")([^a-z]))*((?=" l ")([^A-Z]))+" suffix "|[^\\r\\n\\p{L}\\p{N}]?((?=" l ")([^a-z]))+((?=" l ")([^A-"   \
    "Z]))*" suffix "|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" KNOWN_WHITE
#define KNOWN_KIMI_WORD                                                                                                                    \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+" KNOWN_CONTRACT   \
    "?|[^\\r\\n"                                                                                                                           \
    "\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*" KNOWN_CONTRACT "?"
#define KNOWN_KIMI "[\\p{Han}]+|" KNOWN_KIMI_WORD "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" KNOWN_WHITE
#define KNOWN_CJK "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+"
#define KNOWN_DEEPSEEK_SIGN "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
#define KNOWN_DEEPSEEK3                                                                                                                    \
    KNOWN_DEEPSEEK_SIGN "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
#define KNOWN_SPARK KNOWN_DEEPSEEK_SIGN "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\r\n]|\\s+(?!\\S)|\\s+"
#define KNOWN_BLOOM " ?[^(\\s|.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c)]+"
#define KNOWN_CHINESE "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+"
#define KNOWN_WHITE_JAIS2                                                                                                                  \
    "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}("    \
    "?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"
#define KNOWN_JAIS2 KNOWN_CONTRACT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" KNOWN_WHITE_JAIS2
#define KNOWN_EXAONE_MOE                                                                                                                   \
    KNOWN_CONTRACT                                                                                                                         \
    "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|"        \
    "\\s+"
/* [U+AC00-D7A3 3131-318E]+ | the signs of East Asia | [U+3105-312F]+ | CJK */
#define KNOWN_YOUTU                                                                                                                        \
    "[\xea\xb0\x80-\xed\x9e\xa3\xe3\x84\xb1-\xe3\x86\x8e]+|[\xef\xbc\x81\xe2\x80\xa6\xe2\x80\x9c\xe2\x80\x9d\xe2\x80\x98\xe2\x80\x99"      \
    "\xe2\x80\x94\xef\xbc\x9a\xef\xbc\x9b\xef\xbc\x8c\xe3\x80\x81-\xe3\x80\xbf\xef\xb8\xb0-\xef\xb9\x8f]+|[\xe3\x84\x85-\xe3\x84\xaf]"     \
    "+|" KNOWN_CJK
#define KNOWN_AFMOE_DIGITS "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?:\\P{N}|$))"
#define KNOWN_AFMOE_ASIA                                                                                                                   \
    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{"    \
    "2fdf}"                                                                                                                                \
    "\\x{e00}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}"    \
    "\\x{1100}-\\x{11ff}]+"

enum { PRETOK_MOST_STEPS = 7 };
#define KNOWN_RE(text)                                                                                                                     \
    {                                                                                                                                      \
        .kind = JT_CUT_REGEX, .pattern = { text, sizeof text - 1 }                                                                         \
    }
#define KNOWN_DIGITS                                                                                                                       \
    { .kind = JT_CUT_DIGITS, .individual = true }
#define KNOWN_BYTES                                                                                                                        \
    { .kind = JT_CUT_BYTE_LEVEL }

typedef struct known_cut {
    jt_pretok_fn *fn; /* does all of it; NULL: the steps go one after the other */
    jt_cut step[PRETOK_MOST_STEPS];
} known_cut;

enum {
    CUT_GPT2,
    CUT_SMOLLM,
    CUT_LLAMA3,
    CUT_LLAMA3_ASCII,
    CUT_CL100K,
    CUT_QWEN2,
    CUT_QWEN2_ASCII,
    CUT_QWEN35,
    CUT_QWEN35_ASCII,
    CUT_BAILING,
    CUT_SEED,
    CUT_UFAKZEKA,
    CUT_MINICPM5,
    CUT_O200K,
    CUT_O200K_LLAMACPP,
    CUT_GRANITE_LLAMACPP,
    CUT_TEKKEN,
    CUT_TEKKEN_LLAMACPP,
    CUT_KIMI,
    CUT_DEEPSEEK3,
    CUT_FALCON,
    CUT_FALCON_LLAMACPP,
    CUT_BLOOM,
    CUT_VIKING,
    CUT_DEFAULT,
    CUT_DEEPSEEK_LLM,
    CUT_DEEPSEEK_CODER,
    CUT_SPARK,
    CUT_YOUTU,
    CUT_JAIS2,
    CUT_CHAMELEON,
    CUT_TINY_AYA,
    CUT_SUPERBPE,
    CUT_AFMOE,
    CUT_LAGUNA,
    CUT_EXAONE_MOE,
    CUT_COUNT
};

/* The letters of European alphabets that DeepSeek LLM's words are made of. */
#include "text/pretok_latin.h"

static const known_cut known[CUT_COUNT] = {
    [CUT_GPT2] = {jt_pretok_gpt2, {KNOWN_BYTES}},
    [CUT_SMOLLM] = {jt_pretok_smollm, {KNOWN_DIGITS, KNOWN_BYTES}},
    [CUT_LLAMA3] = {jt_pretok_llama3, {KNOWN_RE(KNOWN_LLAMA3)}},
    [CUT_LLAMA3_ASCII] = {jt_pretok_llama3_ascii, {KNOWN_RE(KNOWN_WORDS(KNOWN_CONTRACT_ASCII, "\\p{N}{1,3}"))}},
    [CUT_CL100K] = {jt_pretok_cl100k, {KNOWN_RE(KNOWN_CL100K)}},
    [CUT_QWEN2] = {jt_pretok_qwen2, {KNOWN_RE(KNOWN_QWEN2)}},
    [CUT_QWEN2_ASCII] = {jt_pretok_qwen2_ascii, {KNOWN_RE(KNOWN_WORDS(KNOWN_CONTRACT_ASCII, "\\p{N}"))}},
    [CUT_QWEN35] = {jt_pretok_qwen35, {KNOWN_RE(KNOWN_QWEN35(KNOWN_CONTRACT))}},
    [CUT_QWEN35_ASCII] = {jt_pretok_qwen35_ascii, {KNOWN_RE(KNOWN_QWEN35(KNOWN_CONTRACT_ASCII))}},
    [CUT_BAILING] = {jt_pretok_qwen2, {KNOWN_RE(KNOWN_BAILING)}},
    [CUT_SEED] = {jt_pretok_seed, {KNOWN_RE(KNOWN_SEED)}},
    [CUT_UFAKZEKA] = {jt_pretok_ufakzeka, {KNOWN_RE("[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" KNOWN_WHITE)}},
    [CUT_MINICPM5] = {jt_pretok_minicpm5, {KNOWN_RE("\\p{N}{1,3}"), KNOWN_RE(KNOWN_WORDS(KNOWN_CONTRACT, "\\p{N}+"))}},
    [CUT_O200K] = {jt_pretok_o200k, {KNOWN_RE(KNOWN_O200K)}},
    [CUT_O200K_LLAMACPP] = {NULL, {KNOWN_RE(KNOWN_CASED_LLAMACPP("[\\p{L}]", KNOWN_CONTRACT_ASCII "?", "\\p{N}{1,3}"))}},
    [CUT_GRANITE_LLAMACPP] = {NULL, {KNOWN_RE(KNOWN_CASED_LLAMACPP("[\\p{L}\\p{M}]", KNOWN_CONTRACT_ASCII "?", "\\p{N}{1,3}"))}},
    [CUT_TEKKEN] = {jt_pretok_tekken, {KNOWN_RE(KNOWN_TEKKEN)}},
    [CUT_TEKKEN_LLAMACPP] = {NULL, {KNOWN_RE(KNOWN_CASED_LLAMACPP("[\\p{L}]", "", "\\p{N}"))}},
    [CUT_KIMI] = {jt_pretok_kimi, {KNOWN_RE(KNOWN_KIMI)}},
    [CUT_DEEPSEEK3] = {jt_pretok_deepseek3, {KNOWN_RE("\\p{N}{1,3}"), KNOWN_RE(KNOWN_CJK), KNOWN_RE(KNOWN_DEEPSEEK3)}},
    [CUT_FALCON] =
        {NULL, {{.kind = JT_CUT_PUNCT, .behaviour = JT_CUT_CONTIGUOUS}, KNOWN_BYTES, {.kind = JT_CUT_DIGITS}, KNOWN_RE("[0-9][0-9][0-9]")}},
    [CUT_FALCON_LLAMACPP] = {NULL, {KNOWN_RE("[\\p{P}\\$\\+<=>\\^~\\|`]+"), KNOWN_RE(KNOWN_GPT2), KNOWN_RE("[0-9][0-9][0-9]")}},
    [CUT_BLOOM] = {jt_pretok_bloom, {KNOWN_RE(KNOWN_BLOOM)}},
    [CUT_VIKING] = {jt_pretok_viking, {KNOWN_RE(KNOWN_BLOOM), KNOWN_RE("\\p{N}")}},
    [CUT_DEFAULT] = {NULL, {KNOWN_RE("[\\p{P}\\$\\+<=>\\^~\\|]+"), KNOWN_RE(KNOWN_GPT2), KNOWN_RE("\\p{N}+"), KNOWN_RE("[0-9][0-9][0-9]")}},
    [CUT_DEEPSEEK_LLM] =
        {NULL,
         {KNOWN_RE("[\r\n]"), KNOWN_RE("\\s?[" PRETOK_LATIN "]+"),
          KNOWN_RE("\\s?[!-/:-~\xef\xbc\x81-\xef\xbc\x8f\xef\xbc\x9a-\xef\xbd\x9e\xe2\x80\x98-\xe2\x80\x9f\xe3\x80\x80-\xe3\x80\x82]+"),
          KNOWN_RE("\\s+$"), KNOWN_RE(KNOWN_CHINESE), KNOWN_RE("\\p{N}+")}},
    [CUT_DEEPSEEK_CODER] = {NULL,
                            {KNOWN_RE("[\r\n]"), KNOWN_RE("\\s?\\p{L}+"), KNOWN_RE("\\s?\\p{P}+"), KNOWN_RE(KNOWN_CHINESE),
                             KNOWN_RE("\\p{N}")}},
    [CUT_SPARK] = {NULL, {KNOWN_RE("\\p{N}{1,3}"), KNOWN_RE(KNOWN_CJK), KNOWN_RE(KNOWN_SPARK), KNOWN_RE("\\p{N}")}},
    [CUT_YOUTU] = {NULL, {KNOWN_RE(KNOWN_YOUTU), KNOWN_RE(KNOWN_CASED(KNOWN_CONTRACT "?", "\\p{N}"))}},
    [CUT_JAIS2] = {NULL, {KNOWN_RE(KNOWN_JAIS2)}},
    [CUT_CHAMELEON] = {NULL,
                       {KNOWN_RE("<sentinel:[0-9]+>"), KNOWN_RE("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"), KNOWN_RE("([\\t\\n]|    |  )"),
                        KNOWN_RE("\\p{N}"), KNOWN_RE("[\\p{P}!-/:-@\\[-`{-~]"), KNOWN_RE(KNOWN_GPT2)}},
    [CUT_TINY_AYA] = {NULL, {KNOWN_RE("\\d{1,3}(?=(?:\\d{3})*\\b)"), KNOWN_RE(KNOWN_O200K)}},
    [CUT_SUPERBPE] = {NULL, {KNOWN_RE("\\p{N}+"), KNOWN_RE("(?=(\\d{3})+(?!\\d))")}},
    [CUT_AFMOE] = {NULL, {KNOWN_RE(KNOWN_AFMOE_DIGITS), KNOWN_RE(KNOWN_AFMOE_ASIA), KNOWN_RE(KNOWN_DEEPSEEK3)}},
    [CUT_LAGUNA] = {NULL, {KNOWN_RE("[^\\n]+|[\\n]+"), KNOWN_RE(KNOWN_QWEN2)}},
    [CUT_EXAONE_MOE] = {NULL, {KNOWN_RE(KNOWN_EXAONE_MOE)}},
};

static size_t known_steps(const known_cut *k) {
    size_t n = 0;
    while (n < PRETOK_MOST_STEPS && (k->step[n].pattern.s || k->step[n].kind != JT_CUT_REGEX)) n++;
    return n;
}

/* Do two steps give the same pieces? A pattern that leaves nothing over gives the same when only its matches are kept. */
static bool known_same(const jt_cut *a, const jt_cut *known_step, bool whole) {
    if (a->kind != known_step->kind || a->individual != known_step->individual) return false;
    if (a->kind == JT_CUT_PUNCT) return a->behaviour == known_step->behaviour;
    if (a->kind != JT_CUT_REGEX) return true;
    bool kept = a->behaviour == JT_CUT_ISOLATED || (whole && a->behaviour == JT_CUT_REMOVED && a->invert);
    return kept && a->pattern.n == known_step->pattern.n && !memcmp(a->pattern.s, known_step->pattern.s, a->pattern.n);
}

jt_pretok_fn *jt_pretok_known(const jt_cut *split, size_t n) {
    for (size_t i = 0; i < CUT_COUNT; i++) {
        const known_cut *k = &known[i];
        bool same = k->fn && known_steps(k) == n;
        for (size_t s = 0; same && s < n; s++) same = known_same(&split[s], &k->step[s], n == 1 && i != CUT_BLOOM);
        if (same) return k->fn;
    }
    return NULL;
}

jt_pretok_fn *jt_pretok_known_step(const jt_cut *s) { return jt_pretok_known(s, 1); }

/* ---- by name ---- */

typedef struct known_name {
    jt_preset preset;
    uint8_t cut, llamacpp; /* CUT_* */
} known_name;

#define KNOWN_SAME(name, cut)                                                                                                              \
    { {name}, cut, cut }
#define KNOWN_WHOLE(name, cut, llamacpp)                                                                                                   \
    { {name, .ignore_merges = true}, cut, llamacpp }
#define KNOWN_BEGUN(name, cut, llamacpp)                                                                                                   \
    { {name, .ignore_merges = true, .add_bos = true}, cut, llamacpp }
static const known_name names[] = {
    KNOWN_SAME("default", CUT_DEFAULT),
    KNOWN_SAME("gpt-2", CUT_GPT2),
    KNOWN_SAME("phi-2", CUT_GPT2),
    KNOWN_SAME("jina-es", CUT_GPT2),
    KNOWN_SAME("jina-de", CUT_GPT2),
    KNOWN_SAME("gigachat", CUT_GPT2),
    KNOWN_SAME("jina-v2-es", CUT_GPT2),
    KNOWN_SAME("jina-v2-de", CUT_GPT2),
    KNOWN_SAME("a.x-4.0", CUT_GPT2),
    KNOWN_SAME("mellum", CUT_GPT2),
    {{"modern-bert", .nfc = true}, CUT_GPT2, CUT_GPT2},
    KNOWN_SAME("jina-v1-en", CUT_GPT2),
    KNOWN_SAME("jina-v2-code", CUT_GPT2),
    KNOWN_SAME("roberta-bpe", CUT_GPT2),
    KNOWN_SAME("exaone4", CUT_GPT2),
    {{"mpt", .nfc = true}, CUT_GPT2, CUT_GPT2},
    {{"olmo", .nfc = true}, CUT_GPT2, CUT_GPT2},
    KNOWN_SAME("jais", CUT_GPT2),
    KNOWN_SAME("trillion", CUT_GPT2),
    KNOWN_SAME("granite-docling", CUT_GPT2),
    KNOWN_SAME("smollm", CUT_SMOLLM),
    KNOWN_SAME("starcoder", CUT_SMOLLM),
    KNOWN_SAME("refact", CUT_SMOLLM),
    {{"command-r", .nfc = true}, CUT_SMOLLM, CUT_SMOLLM},
    KNOWN_SAME("codeshell", CUT_SMOLLM),
    KNOWN_SAME("exaone", CUT_SMOLLM),
    KNOWN_SAME("minerva-7b", CUT_SMOLLM),
    KNOWN_SAME("mellum2", CUT_SMOLLM),
    KNOWN_BEGUN("llama-bpe", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("llama3", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("llama-v3", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("falcon3", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("falcon-h1", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("pixtral", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("midm-2.0", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("lfm2", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_BEGUN("jina-v5-nano", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    KNOWN_SAME("cl100k", CUT_CL100K),
    {{"dbrx"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    {{"smaug-bpe"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    {{"chatglm-bpe"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    {{"glm4"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    KNOWN_WHOLE("glm5", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    {{"qwen2", .nfc = true}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"deepseek-r1-qwen", .nfc = true}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"kormo"}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"f2llmv2", .nfc = true}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"megrez", .nfc = true}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"stablelm2", .nfc = true}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"hunyuan"}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"solar-open"}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"grok-2"}, CUT_QWEN2, CUT_QWEN2_ASCII},
    {{"bailingmoe"}, CUT_BAILING, CUT_QWEN2_ASCII},
    {{"bailingmoe2"}, CUT_BAILING, CUT_QWEN2_ASCII},
    {{"llada-moe"}, CUT_BAILING, CUT_QWEN2_ASCII},
    {{"qwen35", .nfc = true}, CUT_QWEN35, CUT_QWEN35_ASCII},
    KNOWN_SAME("seed-coder", CUT_SEED),
    KNOWN_SAME("ufakzeka", CUT_UFAKZEKA),
    KNOWN_SAME("laguna", CUT_LAGUNA),
    KNOWN_WHOLE("minicpm5", CUT_MINICPM5, CUT_MINICPM5),
    {{"gpt-4o"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"llama4"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"kanana2"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"talkie"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"minimax-m2"}, CUT_O200K, CUT_O200K_LLAMACPP},
    KNOWN_WHOLE("granite-embed-multi-97m", CUT_O200K, CUT_GRANITE_LLAMACPP),
    KNOWN_BEGUN("tekken", CUT_TEKKEN, CUT_TEKKEN_LLAMACPP),
    KNOWN_SAME("kimi-k2", CUT_KIMI),
    KNOWN_SAME("deepseek-v3", CUT_DEEPSEEK3),
    KNOWN_SAME("hunyuan-dense", CUT_DEEPSEEK3),
    KNOWN_SAME("joyai-llm", CUT_DEEPSEEK3),
    KNOWN_SAME("hy_v4", CUT_DEEPSEEK3),
    KNOWN_SAME("deepseek-llm", CUT_DEEPSEEK_LLM),
    KNOWN_SAME("deepseek-coder", CUT_DEEPSEEK_CODER),
    KNOWN_SAME("spark2_5", CUT_SPARK),
    {{"falcon"}, CUT_FALCON, CUT_FALCON_LLAMACPP},
    KNOWN_SAME("bloom", CUT_BLOOM),
    KNOWN_SAME("poro-chat", CUT_BLOOM),
    KNOWN_SAME("gpt3-finnish", CUT_BLOOM),
    KNOWN_SAME("viking", CUT_VIKING),
    KNOWN_WHOLE("youtu", CUT_YOUTU, CUT_YOUTU),
    KNOWN_SAME("jais-2", CUT_JAIS2),
    {{"chameleon", .add_bos = true}, CUT_CHAMELEON, CUT_CHAMELEON},
    KNOWN_SAME("tiny_aya", CUT_TINY_AYA),
    KNOWN_SAME("cohere2moe", CUT_TINY_AYA),
    KNOWN_SAME("superbpe", CUT_SUPERBPE),
    KNOWN_SAME("afmoe", CUT_AFMOE),
    KNOWN_SAME("exaone-moe", CUT_EXAONE_MOE),
};

static const known_name *name_find(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].preset.name) == n && !memcmp(names[i].preset.name, name, n)) return &names[i];
    return NULL;
}

const jt_preset *jt_pretok_find(const char *name, size_t n) {
    const known_name *k = name_find(name, n);
    return k ? &k->preset : NULL;
}

void jt_pretok_names(jt_str *out) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (i) jt_str_puts(out, ", ");
        jt_str_puts(out, names[i].preset.name);
    }
}

/* How many letters to change, add or leave out to make one name of the other. */
static unsigned name_distance(const char *a, size_t n, const char *b) {
    unsigned row[33] = {0}, best;
    size_t m = strlen(b);
    for (size_t j = 0; j <= m; j++) row[j] = (unsigned)j;
    for (size_t i = 0; i < n; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < m; j++) {
            best = corner + (a[i] != b[j]);
            corner = row[j + 1];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (corner + 1 < best) best = corner + 1;
            row[j + 1] = best;
        }
    }
    return row[m];
}

static jt_status name_unknown(const char *name, size_t n, jt_error *err) {
    static const char *const others[] = {"gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace"};
    const char *near[3] = {0};
    unsigned far[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    char shown[41] = "";
    for (size_t i = 0; i < n && i < sizeof shown - 1; i++) shown[i] = name[i] >= 0x20 && name[i] < 0x7f ? name[i] : '?';
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == n && !memcmp(others[i], name, n))
            return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.ggml.pre: \"%s\" does not go with byte-level merges", shown);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsigned d = name_distance(name, n < 40 ? n : 40, names[i].preset.name);
        for (size_t k = 0; k < 3; k++) {
            if (d >= far[k]) continue;
            memmove(far + k + 1, far + k, (2 - k) * sizeof *far);
            memmove(near + k + 1, near + k, (2 - k) * sizeof *near);
            far[k] = d, near[k] = names[i].preset.name;
            break;
        }
    }
    return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.ggml.pre: \"%s\" is not a pre-tokeniser this build has; nearest: %s, %s, %s", shown,
                        near[0], near[1], near[2]);
}

jt_status jt_pretok_named(const char *name, size_t n, int policy, jt_pretok **out, jt_error *err) {
    const known_name *k = name_find(name, n);
    if (!k) return name_unknown(name, n, err);
    const known_cut *c = &known[policy == JT_PRETOK_LLAMACPP ? k->llamacpp : k->cut];
    return jt_pretok_new(c->step, known_steps(c), out, err);
}

const jt_cut *jt_pretok_steps(const char *name, size_t n, size_t *count) {
    const known_name *k = name_find(name, n);
    if (!k) return NULL;
    *count = known_steps(&known[k->cut]);
    return known[k->cut].step;
}
