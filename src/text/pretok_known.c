/* pretok_known.c: pre-tokenisers by their steps and by name. Names are the values of tokenizer.ggml.pre that llama.cpp knows, and cl100k;
 * steps are those of the models' own tokenizer.json, and with JT_PRETOK_LLAMACPP those of llama.cpp where they cut otherwise. */
#include "text/pretok_known.h"

#include <string.h>

#include "core/mem.h"
#include "text/pretok_scan.h"

#define CONTRACT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define CONTRACT_ASCII "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define WHITE "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define WORDS(c, numbers) c "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" WHITE
#define LLAMA3 WORDS(CONTRACT, "\\p{N}{1,3}")
#define CL100K                                                                                                                             \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "                                                                 \
    "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
#define QWEN2 WORDS(CONTRACT, "\\p{N}")
#define QWEN35(c) c "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" WHITE
#define BAILING "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define SEED CONTRACT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" WHITE
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix, numbers)                                                                                                             \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" suffix "|" numbers "| ?[^\\s\\p{L}"  \
    "\\p{N}]+[\\r\\n/]*" WHITE
#define O200K CASED(CONTRACT "?", "\\p{N}{1,3}")
#define TEKKEN CASED("", "\\p{N}")
/* What llama.cpp has in place of UPPER and LOWER, with more letters in `marks`. */
#define CASED_LLAMACPP(l, suffix, numbers)                                                                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?((?=" l ")([^a-z]))*((?=" l ")([^A-Z]))+" suffix "|[^\\r\\n\\p{L}\\p{N}]?((?=" l ")([^a-z]))+((?=" l ")([^A-"   \
    "Z]))*" suffix "|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" WHITE
#define KIMI_WORD                                                                                                                          \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+" CONTRACT         \
    "?|[^\\r\\n"                                                                                                                           \
    "\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*" CONTRACT "?"
#define KIMI "[\\p{Han}]+|" KIMI_WORD "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" WHITE
#define CJK "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+"
#define DEEPSEEK_SIGN "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
#define DEEPSEEK3 DEEPSEEK_SIGN "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
#define SPARK DEEPSEEK_SIGN "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\r\n]|\\s+(?!\\S)|\\s+"
#define BLOOM " ?[^(\\s|.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c)]+"
#define CHINESE "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+"
#define WHITE_JAIS2                                                                                                                        \
    "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}("    \
    "?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"
#define JAIS2 CONTRACT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" WHITE_JAIS2
#define EXAONE_MOE                                                                                                                         \
    CONTRACT                                                                                                                               \
    "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|"        \
    "\\s+"
/* [U+AC00-D7A3 3131-318E]+ | the signs of East Asia | [U+3105-312F]+ | CJK */
#define YOUTU                                                                                                                              \
    "[\xea\xb0\x80-\xed\x9e\xa3\xe3\x84\xb1-\xe3\x86\x8e]+|[\xef\xbc\x81\xe2\x80\xa6\xe2\x80\x9c\xe2\x80\x9d\xe2\x80\x98\xe2\x80\x99"      \
    "\xe2\x80\x94\xef\xbc\x9a\xef\xbc\x9b\xef\xbc\x8c\xe3\x80\x81-\xe3\x80\xbf\xef\xb8\xb0-\xef\xb9\x8f]+|[\xe3\x84\x85-\xe3\x84\xaf]"     \
    "+|" CJK
#define AFMOE_DIGITS "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?:\\P{N}|$))"
#define AFMOE_ASIA                                                                                                                         \
    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{"    \
    "2fdf}"                                                                                                                                \
    "\\x{e00}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}"    \
    "\\x{1100}-\\x{11ff}]+"

enum { PRETOK_MOST_STEPS = 7 };
#define RE(text)                                                                                                                           \
    {                                                                                                                                      \
        .kind = JT_CUT_REGEX, .pattern = { text, sizeof text - 1 }                                                                         \
    }
#define DIGITS                                                                                                                             \
    { .kind = JT_CUT_DIGITS, .individual = true }
#define BYTES                                                                                                                              \
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
    [CUT_GPT2] = {jt_pretok_gpt2, {BYTES}},
    [CUT_SMOLLM] = {jt_pretok_smollm, {DIGITS, BYTES}},
    [CUT_LLAMA3] = {jt_pretok_llama3, {RE(LLAMA3)}},
    [CUT_LLAMA3_ASCII] = {jt_pretok_llama3_ascii, {RE(WORDS(CONTRACT_ASCII, "\\p{N}{1,3}"))}},
    [CUT_CL100K] = {jt_pretok_cl100k, {RE(CL100K)}},
    [CUT_QWEN2] = {jt_pretok_qwen2, {RE(QWEN2)}},
    [CUT_QWEN2_ASCII] = {jt_pretok_qwen2_ascii, {RE(WORDS(CONTRACT_ASCII, "\\p{N}"))}},
    [CUT_QWEN35] = {jt_pretok_qwen35, {RE(QWEN35(CONTRACT))}},
    [CUT_QWEN35_ASCII] = {jt_pretok_qwen35_ascii, {RE(QWEN35(CONTRACT_ASCII))}},
    [CUT_BAILING] = {jt_pretok_qwen2, {RE(BAILING)}},
    [CUT_SEED] = {jt_pretok_seed, {RE(SEED)}},
    [CUT_UFAKZEKA] = {jt_pretok_ufakzeka, {RE("[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" WHITE)}},
    [CUT_MINICPM5] = {jt_pretok_minicpm5, {RE("\\p{N}{1,3}"), RE(WORDS(CONTRACT, "\\p{N}+"))}},
    [CUT_O200K] = {jt_pretok_o200k, {RE(O200K)}},
    [CUT_O200K_LLAMACPP] = {NULL, {RE(CASED_LLAMACPP("[\\p{L}]", CONTRACT_ASCII "?", "\\p{N}{1,3}"))}},
    [CUT_GRANITE_LLAMACPP] = {NULL, {RE(CASED_LLAMACPP("[\\p{L}\\p{M}]", CONTRACT_ASCII "?", "\\p{N}{1,3}"))}},
    [CUT_TEKKEN] = {jt_pretok_tekken, {RE(TEKKEN)}},
    [CUT_TEKKEN_LLAMACPP] = {NULL, {RE(CASED_LLAMACPP("[\\p{L}]", "", "\\p{N}"))}},
    [CUT_KIMI] = {jt_pretok_kimi, {RE(KIMI)}},
    [CUT_DEEPSEEK3] = {jt_pretok_deepseek3, {RE("\\p{N}{1,3}"), RE(CJK), RE(DEEPSEEK3)}},
    [CUT_FALCON] = {NULL, {{.kind = JT_CUT_PUNCT, .behaviour = JT_CUT_CONTIGUOUS}, BYTES, {.kind = JT_CUT_DIGITS}, RE("[0-9][0-9][0-9]")}},
    [CUT_FALCON_LLAMACPP] = {NULL, {RE("[\\p{P}\\$\\+<=>\\^~\\|`]+"), RE(GPT2), RE("[0-9][0-9][0-9]")}},
    [CUT_BLOOM] = {jt_pretok_bloom, {RE(BLOOM)}},
    [CUT_VIKING] = {jt_pretok_viking, {RE(BLOOM), RE("\\p{N}")}},
    [CUT_DEFAULT] = {NULL, {RE("[\\p{P}\\$\\+<=>\\^~\\|]+"), RE(GPT2), RE("\\p{N}+"), RE("[0-9][0-9][0-9]")}},
    [CUT_DEEPSEEK_LLM] =
        {NULL,
         {RE("[\r\n]"), RE("\\s?[" PRETOK_LATIN "]+"),
          RE("\\s?[!-/:-~\xef\xbc\x81-\xef\xbc\x8f\xef\xbc\x9a-\xef\xbd\x9e\xe2\x80\x98-\xe2\x80\x9f\xe3\x80\x80-\xe3\x80\x82]+"),
          RE("\\s+$"), RE(CHINESE), RE("\\p{N}+")}},
    [CUT_DEEPSEEK_CODER] = {NULL, {RE("[\r\n]"), RE("\\s?\\p{L}+"), RE("\\s?\\p{P}+"), RE(CHINESE), RE("\\p{N}")}},
    [CUT_SPARK] = {NULL, {RE("\\p{N}{1,3}"), RE(CJK), RE(SPARK), RE("\\p{N}")}},
    [CUT_YOUTU] = {NULL, {RE(YOUTU), RE(CASED(CONTRACT "?", "\\p{N}"))}},
    [CUT_JAIS2] = {NULL, {RE(JAIS2)}},
    [CUT_CHAMELEON] = {NULL,
                       {RE("<sentinel:[0-9]+>"), RE("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"), RE("([\\t\\n]|    |  )"), RE("\\p{N}"),
                        RE("[\\p{P}!-/:-@\\[-`{-~]"), RE(GPT2)}},
    [CUT_TINY_AYA] = {NULL, {RE("\\d{1,3}(?=(?:\\d{3})*\\b)"), RE(O200K)}},
    [CUT_SUPERBPE] = {NULL, {RE("\\p{N}+"), RE("(?=(\\d{3})+(?!\\d))")}},
    [CUT_AFMOE] = {NULL, {RE(AFMOE_DIGITS), RE(AFMOE_ASIA), RE(DEEPSEEK3)}},
    [CUT_LAGUNA] = {NULL, {RE("[^\\n]+|[\\n]+"), RE(QWEN2)}},
    [CUT_EXAONE_MOE] = {NULL, {RE(EXAONE_MOE)}},
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

#define SAME(name, cut)                                                                                                                    \
    { {name}, cut, cut }
#define WHOLE(name, cut, llamacpp)                                                                                                         \
    { {name, .ignore_merges = true}, cut, llamacpp }
#define BEGUN(name, cut, llamacpp)                                                                                                         \
    { {name, .ignore_merges = true, .add_bos = true}, cut, llamacpp }
static const known_name names[] = {
    SAME("default", CUT_DEFAULT),
    SAME("gpt-2", CUT_GPT2),
    SAME("phi-2", CUT_GPT2),
    SAME("jina-es", CUT_GPT2),
    SAME("jina-de", CUT_GPT2),
    SAME("gigachat", CUT_GPT2),
    SAME("jina-v2-es", CUT_GPT2),
    SAME("jina-v2-de", CUT_GPT2),
    SAME("a.x-4.0", CUT_GPT2),
    SAME("mellum", CUT_GPT2),
    {{"modern-bert", .nfc = true}, CUT_GPT2, CUT_GPT2},
    SAME("jina-v1-en", CUT_GPT2),
    SAME("jina-v2-code", CUT_GPT2),
    SAME("roberta-bpe", CUT_GPT2),
    SAME("exaone4", CUT_GPT2),
    {{"mpt", .nfc = true}, CUT_GPT2, CUT_GPT2},
    {{"olmo", .nfc = true}, CUT_GPT2, CUT_GPT2},
    SAME("jais", CUT_GPT2),
    SAME("trillion", CUT_GPT2),
    SAME("granite-docling", CUT_GPT2),
    SAME("smollm", CUT_SMOLLM),
    SAME("starcoder", CUT_SMOLLM),
    SAME("refact", CUT_SMOLLM),
    {{"command-r", .nfc = true}, CUT_SMOLLM, CUT_SMOLLM},
    SAME("codeshell", CUT_SMOLLM),
    SAME("exaone", CUT_SMOLLM),
    SAME("minerva-7b", CUT_SMOLLM),
    SAME("mellum2", CUT_SMOLLM),
    BEGUN("llama-bpe", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("llama3", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("llama-v3", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("falcon3", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("falcon-h1", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("pixtral", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("midm-2.0", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("lfm2", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    BEGUN("jina-v5-nano", CUT_LLAMA3, CUT_LLAMA3_ASCII),
    SAME("cl100k", CUT_CL100K),
    {{"dbrx"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    {{"smaug-bpe"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    {{"chatglm-bpe"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    {{"glm4"}, CUT_LLAMA3, CUT_LLAMA3_ASCII},
    WHOLE("glm5", CUT_LLAMA3, CUT_LLAMA3_ASCII),
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
    SAME("seed-coder", CUT_SEED),
    SAME("ufakzeka", CUT_UFAKZEKA),
    SAME("laguna", CUT_LAGUNA),
    WHOLE("minicpm5", CUT_MINICPM5, CUT_MINICPM5),
    {{"gpt-4o"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"llama4"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"kanana2"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"talkie"}, CUT_O200K, CUT_O200K_LLAMACPP},
    {{"minimax-m2"}, CUT_O200K, CUT_O200K_LLAMACPP},
    WHOLE("granite-embed-multi-97m", CUT_O200K, CUT_GRANITE_LLAMACPP),
    BEGUN("tekken", CUT_TEKKEN, CUT_TEKKEN_LLAMACPP),
    SAME("kimi-k2", CUT_KIMI),
    SAME("deepseek-v3", CUT_DEEPSEEK3),
    SAME("hunyuan-dense", CUT_DEEPSEEK3),
    SAME("joyai-llm", CUT_DEEPSEEK3),
    SAME("hy_v4", CUT_DEEPSEEK3),
    SAME("deepseek-llm", CUT_DEEPSEEK_LLM),
    SAME("deepseek-coder", CUT_DEEPSEEK_CODER),
    SAME("spark2_5", CUT_SPARK),
    {{"falcon"}, CUT_FALCON, CUT_FALCON_LLAMACPP},
    SAME("bloom", CUT_BLOOM),
    SAME("poro-chat", CUT_BLOOM),
    SAME("gpt3-finnish", CUT_BLOOM),
    SAME("viking", CUT_VIKING),
    WHOLE("youtu", CUT_YOUTU, CUT_YOUTU),
    SAME("jais-2", CUT_JAIS2),
    {{"chameleon", .add_bos = true}, CUT_CHAMELEON, CUT_CHAMELEON},
    SAME("tiny_aya", CUT_TINY_AYA),
    SAME("cohere2moe", CUT_TINY_AYA),
    SAME("superbpe", CUT_SUPERBPE),
    SAME("afmoe", CUT_AFMOE),
    SAME("exaone-moe", CUT_EXAONE_MOE),
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
