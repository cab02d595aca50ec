/* chat_vocab.h: a tokenizer with the chat format ChatML, and a file to write, for one test program. */
#ifndef TESTS_CLI_CHAT_VOCAB_H
#define TESTS_CLI_CHAT_VOCAB_H

#include <stdlib.h>
#include <unistd.h>

#include "text/vocab_json.h"

static vocab_json vocab;
static jt_tokenizer *tokenizer;
static char path[] = "/tmp/jeton-chat-XXXXXX";

static int open_all(void **state) {
    static const char chat_template[] =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
        "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    (void)state;
    jt_error e;
    if (!vocab_json_open(&vocab)) return 1;
    vocab.spec.chat_template = view_of(chat_template);
    int fd = mkstemp(path);
    return fd < 0 || close(fd) || jt_tokenizer_new(&vocab.spec, &tokenizer, &e);
}

static int close_all(void **state) {
    (void)state;
    jt_tokenizer_free(tokenizer);
    vocab_json_close(&vocab);
    return unlink(path);
}

#endif
