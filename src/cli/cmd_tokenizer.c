/* jeton tokenizer train: a vocabulary learned from text. */
#include <string.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "core/file.h"
#include "jeton/text.h"

struct train_bar {
    jt_progress bar;
    const char *what;
};

static int train_progress(void *self, const char *what, double fraction) {
    struct train_bar *b = self;
    if (!b->what || strcmp(what, b->what) != 0) {
        if (b->what) jt_progress_end(&b->bar);
        jt_progress_begin(&b->bar, what);
        b->what = what;
    }
    jt_progress_set(&b->bar, fraction, NULL);
    return jt_interrupted();
}

static void train_print(const jt_args *a, const char *out, const jt_train_info *i) {
    if (jt_arg_flag(a, "json")) {
        jt_out("{\"bytes\": %llu, \"pieces\": %llu, \"words\": %llu, \"vocab\": %zu, \"merges\": %zu, \"seconds_count\": %.3f, "
               "\"seconds_train\": %.3f}\n",
               (unsigned long long)i->bytes, (unsigned long long)i->pieces, (unsigned long long)i->words, i->vocab, i->merges,
               i->seconds_count, i->seconds_train);
        return;
    }
    char size[32];
    jt_out("%s: %zu tokens from %s of text in %.1f s (%llu pieces, %llu of them different)\n", out, i->vocab,
           jt_size_text(i->bytes, size, sizeof size), i->seconds_count + i->seconds_train, (unsigned long long)i->pieces,
           (unsigned long long)i->words);
}

static int run(const jt_args *a) {
    struct train_bar bar = {0};
    const char *const *special, *out = jt_arg_text(a, "output");
    int n_special;
    special = jt_arg_list(a, "special", &n_special);
    jt_train_options o = {.model = strcmp(jt_arg_text(a, "model"), "unigram") == 0 ? JT_TRAIN_UNIGRAM : JT_TRAIN_BPE,
                          .vocab = (size_t)jt_arg_int(a, "vocab"),
                          .pre = jt_arg_text(a, "pre"),
                          .regex = jt_arg_text(a, "regex"),
                          .normalizer = jt_arg_text(a, "normalizer"),
                          .chars = jt_arg_flag(a, "chars"),
                          .byte_fallback = jt_arg_flag(a, "byte-fallback"),
                          .special = special,
                          .n_special = (size_t)n_special,
                          .min_frequency = jt_arg_u64(a, "min-frequency"),
                          .max_token_length = (size_t)jt_arg_int(a, "max-token-length"),
                          .limit_alphabet = (size_t)jt_arg_int(a, "limit-alphabet"),
                          .alphabet = jt_arg_text(a, "alphabet"),
                          .seen_bytes = jt_arg_flag(a, "seen-bytes"),
                          .unk = jt_arg_text(a, "unk"),
                          .max_piece = (size_t)jt_arg_int(a, "max-piece"),
                          .seeds = (size_t)jt_arg_int(a, "seeds"),
                          .shrink = jt_arg_given(a, "shrink") ? jt_arg_real(a, "shrink") : 0,
                          .sub_iterations = (int)jt_arg_int(a, "sub-iterations"),
                          .field = jt_arg_text(a, "json-field"),
                          .threads = (int)jt_arg_int(a, "threads"),
                          .progress = train_progress,
                          .self = &bar};
    jt_train_info info;
    jt_error err;
    if (jt_file_exists(out) && !jt_arg_flag(a, "force") && strncmp(out, "/dev/", 5) != 0) {
        jt_say("%s: exists already; name another, or use --force to replace it", out);
        return JT_EXIT_USAGE;
    }
    jt_interrupt_install();
    jt_status s = jt_tokenizer_train(a->pos, (size_t)a->n_pos, out, &o, &info, &err);
    if (bar.what) jt_progress_end(&bar.bar);
    if (s) return jt_fail(&err);
    train_print(a, out, &info);
    return JT_EXIT_OK;
}

static const jt_pos pos[] = {
    {"FILE", JT_POS_FILE, false, true, "text to learn from; \"-\" is standard input"},
    {0},
};
static const jt_opt opts[] = {
    {"output", 'o', JT_OPT_FILE, "FILE", "tokenizer.json", 0, 0, "what to write"},
    {"model", 0, JT_OPT_CHOICE, "bpe|unigram", "bpe", 0, 0, "byte-pair encoding, or the unigram language model of SentencePiece"},
    {"vocab", 0, JT_OPT_INT, "N", "0", 0, 1 << 24, "tokens, special ones included; 0 is 30000, and 8000 for unigram"},
    {"special", 0, JT_OPT_LIST, "TOKEN", NULL, 0, 0, "a special token, such as <|endoftext|>; they get the first ids in the order given"},
    {"pre", 0, JT_OPT_TEXT, "NAME", NULL, 0, 0,
     "how text is cut: gpt-2, llama-bpe, qwen2, gpt-4o, superbpe ..., or the JSON of a tokenizer.json's pre_tokenizer (default gpt-2)"},
    {"regex", 0, JT_OPT_TEXT, "PATTERN", NULL, 0, 0, "how text is cut: its matches, and what lies between them"},
    {"normalizer", 0, JT_OPT_TEXT, "NAME,...", NULL, 0, 0,
     "what is done to text first: nfc, nfd, nfkc, nfkd, lowercase, strip-accents, strip, nmt, bert, or JSON"},
    {"chars", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "BPE of characters and words with U+2581 at their front, not of bytes"},
    {"byte-fallback", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "characters: 256 tokens <0x00> to <0xFF> for those that are not in the vocabulary"},
    {"min-frequency", 0, JT_OPT_U64, "N", "0", 0, 0, "merge no pair that occurs less often"},
    {"max-token-length", 0, JT_OPT_INT, "N", "0", 0, 4096, "merged tokens have fewer symbols than this; 0 is no limit"},
    {"limit-alphabet", 0, JT_OPT_INT, "N", "0", 0, 1 << 20, "most single symbols in the vocabulary, the most frequent ones; 0 is no limit"},
    {"alphabet", 0, JT_OPT_TEXT, "CHARS", NULL, 0, 0, "characters that are tokens whether they occur or not"},
    {"seen-bytes", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "make tokens only of bytes that occur, not of all 256"},
    {"unk", 0, JT_OPT_TEXT, "TOKEN", NULL, 0, 0, "the unknown token of vocabularies of characters (default <unk>)"},
    {"max-piece", 0, JT_OPT_INT, "N", "0", 0, 256, "unigram: most characters of a piece; 0 is 16"},
    {"seeds", 0, JT_OPT_INT, "N", "0", 0, 1 << 24, "unigram: pieces to begin with; 0 is 1000000"},
    {"shrink", 0, JT_OPT_REAL, "X", "0.75", 0.01, 0.99, "unigram: part of the pieces that a round of pruning keeps"},
    {"sub-iterations", 0, JT_OPT_INT, "N", "0", 0, 1000, "unigram: EM steps in a round; 0 is 2"},
    {"json-field", 0, JT_OPT_TEXT, "NAME", NULL, 0, 0, "files are JSON lines, and this member of each is a text"},
    {"threads", 0, JT_OPT_INT, "N", "0", 0, 1024, "threads; 0 is one per processor; the result is the same on any number"},
    {"force", 'f', JT_OPT_FLAG, NULL, NULL, 0, 0, "replace a file that exists"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    {0},
};
static const jt_example examples[] = {
    {"jeton tokenizer train books/*.txt --vocab 32000 --special \"<|endoftext|>\"", "a byte-level BPE, written to tokenizer.json"},
    {"jeton tokenizer train web.jsonl --json-field text --pre llama-bpe -o t.json", "from records, cut as Llama 3 cuts"},
    {"jeton tokenizer train web.txt --model unigram --vocab 16000 --normalizer nfkc", "the unigram language model of text in NFKC"},
    {"jeton tokenizer train web.txt --chars --byte-fallback --special \"<s>\"", "BPE of characters, like Llama 2's"},
    {0},
};
const jt_command jt_cmd_tokenizer_train = {
    .name = "tokenizer train",
    .summary = "learn a vocabulary from text",
    .about = "Learns byte-pair encoding by the rules of Hugging Face's BpeTrainer (the same text gives the same merges), or a unigram "
             "language model, and writes a tokenizer.json that Jeton and Hugging Face's libraries open.\n\n"
             "A text is a line with its line break, or a record of JSON lines. The result depends on the text and the options alone, "
             "not on the number of threads; files need not fit in memory.",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
