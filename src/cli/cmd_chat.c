/* jeton chat: a conversation at the terminal, or through a pipe. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/branches.h"
#include "cli/command.h"
#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/line.h"
#include "cli/out.h"
#include "cli/tracing.h"
#include "core/file.h"

typedef struct chat {
    const jt_args *args;
    jt_session session;
    const char *model; /* its name in saved files */
    jt_line *line;
    jt_driver *driver;
    jt_pipelines known;
    jt_pipeline *pipeline;
    jt_branches branches;
    jt_answer answer;
    jt_parts parts;
    jt_str results; /* of tools, JSON texts separated by commas, until each call of the last answer has one */
    size_t n_results;
    const char *reasoning; /* auto, show or hide */
    jt_request request;
    jt_tracing trace;
    bool person, colour;
    int code; /* what the program will end with */
} chat;

/* The conversation that goes on. */
static jt_conversation *talk(const chat *c) { return &c->branches.talk[c->branches.at]; }

/* What a command says goes to standard error when answers go to a file or pipe. */
static void tell(const chat *c, const char *fmt, ...) JT_PRINTF(2, 3);
static void tell(const chat *c, const char *fmt, ...) {
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, c->colour ? "\x1b[2m%s\x1b[0m\n" : "%s\n", line);
}

static void tell_error(const chat *c, const jt_error *err) { tell(c, "%s", err->message); }

/* ---- answering ---- */

static const char *why_ended(jt_end_reason r) {
    switch (r) {
    case JT_END_LENGTH: return "the answer was ended at the number of tokens; /set tokens 0 lifts it";
    case JT_END_TIME: return "the answer was ended by the time limit";
    case JT_END_CONTEXT: return "the context is full, so the answer ends here; /undo makes room, /clear begins anew, --ctx sets its size";
    case JT_END_DEAD: return "the pipeline left no candidate token, so the answer ends here";
    case JT_END_CANCELLED: return "stopped";
    default: return NULL;
    }
}

/* Answers the question that the conversation ends in. False when the program must end. */
static bool give_answer(chat *c) {
    jt_turn *t = &talk(c)->turn[talk(c)->n_turn - 1];
    jt_error err;
    if (talk(c)->n >= (size_t)c->session.context) {
        tell(c, "the conversation has %zu tokens and the context holds %d; /undo, /clear, or start again with a larger --ctx", talk(c)->n,
             c->session.context);
        jt_conversation_undo(talk(c));
        return true;
    }
    c->request.prompt = talk(c)->id, c->request.n_prompt = talk(c)->n;
    c->request.pipeline = c->pipeline;
    c->request.choice = t->choice;
    jt_message *messages = NULL;
    jt_interrupt_clear();
    int code = jt_conversation_messages(talk(c), &messages, &c->request.n_messages, &err) ? jt_fail(&err) : JT_EXIT_OK;
    c->request.messages = messages;
    jt_parts_show show = jt_parts_show_new(c->reasoning, &c->parts);
    c->parts.fn = jt_parts_print, c->parts.self = &show;
    c->parts.number = 100 * talk(c)->n_turn;
    c->n_results = 0, jt_str_clear(&c->results);
    const jt_answer_sink sink = {.trace = c->trace.w, .parts = &c->parts, .show = &show};
    if (!code) code = jt_answer_run(c->driver, talk(c)->tokenizer, &c->request, &sink, &c->answer);
    jt_free(messages);
    jt_interrupt_clear();
    const jt_answer *w = &c->answer;
    jt_parts_show_end(&show);
    if (c->person) jt_out("\n");
    if (!jt_out_flush()) {
        c->code = JT_EXIT_OUTPUT;
        return false;
    }
    if (code) { /* said already; the question is taken back */
        jt_conversation_undo(talk(c));
        if (!c->person) c->code = code;
        return true;
    }
    if (why_ended(w->reason)) tell(c, "(%s)", why_ended(w->reason));
    if (jt_arg_flag(c->args, "timings")) jt_answer_say_timings(w, "");
    if (c->parts.reasoning.n && !c->parts.content.n && !c->parts.n_calls && show.hide)
        tell(c, "(the answer is reasoning only; /reasoning show lets it be seen)");
    if (c->parts.n_calls && c->person)
        tell(c, c->parts.n_calls > 1 ? "(%zu calls; /result TEXT answers each in turn)" : "(a call; /result TEXT answers it)",
             c->parts.n_calls);
    if (jt_conversation_answer_parts(talk(c), w->id, w->n, &c->parts.content, &c->parts.reasoning, &c->parts.calls, &err))
        tell_error(c, &err);
    return !jt_interrupt_to_end();
}

static bool ask(chat *c, const char *text) {
    jt_error err;
    if (jt_conversation_ask(talk(c), text, &err)) {
        tell_error(c, &err);
        if (!c->person) c->code = JT_EXIT_FAILURE;
        return true;
    }
    return give_answer(c);
}

/* ---- commands ---- */

typedef enum act { ACT_FAILED, ACT_DONE, ACT_LEAVE } act;
typedef struct chat_command {
    const char *name, *argument, *help;
    act (*run)(chat *c, const char *argument);
} chat_command;
static const chat_command commands[];

static act do_help(chat *c, const char *argument) {
    (void)argument;
    for (const chat_command *k = commands; k->name; k++) {
        char head[64];
        snprintf(head, sizeof head, "/%s %s", k->name, k->argument);
        tell(c, "  %-22s %s", head, k->help);
    }
    tell(c, "A line that ends in \\ goes on in the next. Ctrl-C stops an answer; Ctrl-D leaves.");
    return ACT_DONE;
}

static act do_quit(chat *c, const char *argument) {
    (void)c, (void)argument;
    return ACT_LEAVE;
}

static act do_undo(chat *c, const char *argument) {
    (void)argument;
    if (!talk(c)->n_turn) {
        tell(c, "nothing to undo");
        return ACT_FAILED;
    }
    jt_conversation_undo(talk(c));
    tell(c, talk(c)->n_turn == 1 ? "undone; %zu exchange is left" : "undone; %zu exchanges are left", talk(c)->n_turn);
    return ACT_DONE;
}

static act do_retry(chat *c, const char *argument) {
    (void)argument;
    if (!talk(c)->n_turn) {
        tell(c, "nothing to answer again");
        return ACT_FAILED;
    }
    jt_conversation_reopen(talk(c));
    return give_answer(c) ? ACT_DONE : ACT_LEAVE;
}

static act do_clear(chat *c, const char *argument) {
    (void)argument;
    jt_conversation_clear(talk(c));
    tell(c, "a new conversation");
    return ACT_DONE;
}

static act do_system(chat *c, const char *argument) {
    jt_str s = {0};
    jt_str_puts(&s, argument);
    if (s.failed) {
        jt_str_free(&s);
        tell(c, "no memory for the system message");
        return ACT_FAILED;
    }
    jt_str_free(&talk(c)->system);
    talk(c)->system = s;
    jt_conversation_clear(talk(c));
    tell(c, s.n ? "a new conversation with this system message" : "a new conversation with the model's own system message");
    return ACT_DONE;
}

static act do_reasoning(chat *c, const char *argument) {
    static const char *const ways[] = {"auto", "show", "hide"};
    for (size_t i = 0; i < 3; i++)
        if (strcmp(argument, ways[i]) == 0) c->reasoning = ways[i];
    if (*argument && strcmp(argument, c->reasoning) != 0) {
        tell(c, "/reasoning takes show, hide, or auto, which shows it at a terminal");
        return ACT_FAILED;
    }
    tell(c, "reasoning %s", c->reasoning);
    return ACT_DONE;
}

static act do_result(chat *c, const char *argument) {
    jt_error err;
    size_t calls = jt_conversation_calls(talk(c));
    if (!calls) {
        tell(c, "the last answer calls no tool");
        return ACT_FAILED;
    }
    if (c->n_results) jt_str_puts(&c->results, ", ");
    jt_str_json(&c->results, argument, strlen(argument));
    if (++c->n_results < calls && !c->results.failed) {
        tell(c, "%zu of %zu results", c->n_results, calls);
        return ACT_DONE;
    }
    jt_str list = {0};
    jt_str_printf(&list, "[%s]", jt_str_c(&c->results));
    list.failed = list.failed || c->results.failed;
    jt_status s = jt_str_check(&list, &err);
    if (!s) s = jt_conversation_results(talk(c), jt_str_c(&list), &err);
    jt_str_free(&list), jt_str_free(&c->results);
    c->n_results = 0;
    if (s) {
        tell_error(c, &err);
        return ACT_FAILED;
    }
    return give_answer(c) ? ACT_DONE : ACT_LEAVE;
}

static act do_save(chat *c, const char *argument) {
    jt_error err;
    if (!*argument) {
        tell(c, "/save needs the name of a file");
        return ACT_FAILED;
    }
    if (jt_branches_save(&c->branches, argument, c->model, &err)) {
        tell_error(c, &err);
        return ACT_FAILED;
    }
    tell(c, "saved to %s", argument);
    return ACT_DONE;
}

static act do_load(chat *c, const char *argument) {
    jt_error err;
    int again = 0;
    if (!*argument) {
        tell(c, "/load needs the name of a file");
        return ACT_FAILED;
    }
    if (jt_branches_load(&c->branches, argument, c->model, &again, &err)) {
        tell_error(c, &err);
        return ACT_FAILED;
    }
    if (c->branches.n > 1) tell(c, "%zu branches; this is %zu", c->branches.n, c->branches.at + 1);
    tell(c, "%zu exchanges, %zu tokens%s", talk(c)->n_turn, talk(c)->n,
         again ? " (saved with another model: tokens made again from the text)" : "");
    return ACT_DONE;
}

static act do_fork(chat *c, const char *argument) {
    jt_error err;
    (void)argument;
    if (jt_branches_fork(&c->branches, &err)) {
        tell_error(c, &err);
        return ACT_FAILED;
    }
    tell(c, "branch %zu of %zu, with the same %zu exchanges; /switch N goes to another", c->branches.at + 1, c->branches.n,
         talk(c)->n_turn);
    return ACT_DONE;
}

/* The end of a branch, as much as a line holds. */
static act do_branches(chat *c, const char *argument) {
    (void)argument;
    for (size_t i = 0; i < c->branches.n; i++) {
        const jt_conversation *t = &c->branches.talk[i];
        const char *last = t->n_turn ? jt_str_c(&t->turn[t->n_turn - 1].user) : "";
        size_t n = strcspn(last, "\n");
        if (n > 60) n = jt_utf8_whole(last, 60);
        tell(c, "%c %zu: %zu exchanges, %zu tokens%s%.*s", i == c->branches.at ? '*' : ' ', i + 1, t->n_turn, t->n, n ? ": " : "", (int)n,
             last);
    }
    return ACT_DONE;
}

static act do_switch(chat *c, const char *argument) {
    uint64_t to;
    if (!jt_read_u64(argument, strlen(argument), &to) || !to || to > c->branches.n) {
        tell(c, "/switch takes the number of a branch, 1 to %zu; /branches lists them", c->branches.n);
        return ACT_FAILED;
    }
    c->branches.at = (size_t)to - 1;
    tell(c, "branch %zu: %zu exchanges, %zu tokens", c->branches.at + 1, talk(c)->n_turn, talk(c)->n);
    return ACT_DONE;
}

static act set_decode(chat *c, const char *value) {
    jt_pipeline *p;
    jt_error err;
    if (jt_pipelines_parse(&c->known, value, &p, &err)) {
        tell_error(c, &err);
        return ACT_FAILED;
    }
    jt_pipeline_free(c->pipeline);
    c->pipeline = p;
    return ACT_DONE;
}

static act do_set(chat *c, const char *argument) {
    size_t n = strcspn(argument, " \t");
    const char *value = argument + n + strspn(argument + n, " \t");
    uint64_t u = 0;
    double x = 0;
    act r = ACT_DONE;
    if (n && !*value) r = ACT_FAILED;
    if (n == 6 && memcmp(argument, "decode", n) == 0) {
        r = set_decode(c, value);
        if (r == ACT_FAILED) return r;
    } else if (n == 4 && memcmp(argument, "seed", n) == 0 && jt_read_u64(value, strlen(value), &u)) {
        c->request.seed = u;
    } else if (n == 6 && memcmp(argument, "tokens", n) == 0 && jt_read_u64(value, strlen(value), &u) && u <= 1 << 24) {
        c->request.max_tokens = (int)u;
    } else if (n == 11 && memcmp(argument, "max-seconds", n) == 0 && jt_read_double(value, strlen(value), &x) && x >= 0 && x <= 1e9) {
        c->request.max_seconds = x;
    } else if (n) {
        r = ACT_FAILED;
    }
    if (r == ACT_FAILED)
        tell(c, "/set takes: decode PIPELINE, seed N, tokens N, max-seconds S");
    else
        tell(c, "decode %s\nseed %llu\ntokens %d\nmax-seconds %.15g", jt_pipeline_text(c->pipeline), (unsigned long long)c->request.seed,
             c->request.max_tokens, c->request.max_seconds);
    return r;
}

static const chat_command commands[] = {
    {"help", "", "this list", do_help},
    {"undo", "", "take back the last question and its answer", do_undo},
    {"retry", "", "answer the last question again, with other random numbers", do_retry},
    {"set", "[NAME VALUE]", "set decode, seed, tokens or max-seconds; alone: show them", do_set},
    {"reasoning", "[show|hide]", "whether the model's reasoning is shown; alone: how it is", do_reasoning},
    {"result", "TEXT", "what the tool says that the answer calls", do_result},
    {"system", "[TEXT]", "begin anew with a system message; without text: the model's own", do_system},
    {"clear", "", "begin anew", do_clear},
    {"fork", "", "go on in a copy of the conversation, a new branch", do_fork},
    {"branches", "", "list the branches; * is this one", do_branches},
    {"switch", "N", "go on in branch N", do_switch},
    {"save", "FILE", "write the conversation, all branches, to a file", do_save},
    {"load", "FILE", "go on with a conversation from a file", do_load},
    {"quit", "", "leave (also Ctrl-D)", do_quit},
    {0},
};

/* False when the program is to end. */
static bool do_command(chat *c, const char *text) {
    char name[16];
    size_t n = strcspn(text, " \t");
    const char *argument = text + n + strspn(text + n, " \t");
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), text);
    jt_nearest near = {.to = name};
    for (const chat_command *k = commands; k->name; k++) {
        jt_nearest_add(&near, k->name);
        if (strcmp(k->name, name) != 0) continue;
        act r = k->run(c, argument);
        if (r == ACT_FAILED && !c->person) c->code = JT_EXIT_FAILURE;
        return r != ACT_LEAVE;
    }
    const char *best = jt_nearest_get(&near);
    if (best)
        tell(c, "no command /%s; did you mean /%s?", name, best);
    else
        tell(c, "no command /%s; /help lists them", name);
    if (!c->person) c->code = JT_EXIT_USAGE;
    return true;
}

/* ---- the loop ---- */

/* A question: lines joined where they end in a backslash. */
static jt_line_result read_question(chat *c, jt_str *q, jt_error *err) {
    for (;;) {
        jt_line_result r = jt_line_read(c->line, q->n ? ". " : "> ", q, err);
        if (r != JT_LINE_OK) return r;
        if (!q->n || q->s[q->n - 1] != '\\') return r;
        q->s[q->n - 1] = '\n';
    }
}

static bool blank(const char *s) { return s[strspn(s, " \t\n")] == 0; }

static void loop(chat *c) {
    jt_str q = {0};
    jt_error err;
    int cleared = 0;
    for (bool go = true; go;) {
        jt_str_clear(&q);
        jt_line_result r = read_question(c, &q, &err);
        if (r == JT_LINE_FAILED) {
            c->code = jt_fail(&err);
            break;
        }
        if (r == JT_LINE_CLEARED) {
            jt_interrupt_clear();
            if (!c->person) c->code = JT_EXIT_INTERRUPTED;
            if (!c->person || ++cleared > 1) break;
            tell(c, "(Ctrl-C once more, or Ctrl-D, leaves)");
            continue;
        }
        cleared = 0;
        if (r == JT_LINE_END) {
            if (c->person) fputc('\n', stderr);
            if (jt_interrupt_to_end()) c->code = JT_EXIT_INTERRUPTED;
            break;
        }
        const char *s = jt_str_c(&q);
        if (blank(s)) continue;
        if (strlen(s) != q.n) {
            tell(c, "that line holds a NUL byte and is left out");
            if (!c->person) c->code = JT_EXIT_FAILURE;
            continue;
        }
        jt_line_remember(c->line, s);
        go = s[0] == '/' && s[1] != '/' ? do_command(c, s + 1) : ask(c, s[0] == '/' ? s + 1 : s);
    }
    if (jt_interrupt_to_end()) c->code = JT_EXIT_INTERRUPTED;
    jt_str_free(&q);
}

/* The tools of --tools. */
static int take_tools(chat *c) {
    const char *file = jt_arg_text(c->args, "tools");
    jt_error err;
    jt_str text = {0};
    if (!file) return JT_EXIT_OK;
    jt_status s = jt_file_read(file, &text, &err);
    if (!s && (s = jt_conversation_tools(talk(c), jt_str_c(&text), text.n, &err))) jt_error_in(&err, s, "%s", file);
    jt_str_free(&text);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static int prepare(chat *c) {
    jt_error err;
    const jt_args *a = c->args;
    if (jt_pipelines_open(a, &c->known, &err) || jt_pipelines_parse(&c->known, jt_arg_text(a, "decode"), &c->pipeline, &err))
        return jt_fail(&err);
    int code = jt_session_open(a, jt_arg_pos(a, 0), &c->session);
    if (code) return code;
    jt_model_info info;
    jt_model_get_info(c->session.model, &info);
    c->model = info.name;
    const jt_tokenizer *t = jt_model_tokenizer(c->session.model);
    if (!t || !jt_chat_format(t)) {
        jt_say("the model has no chat format that this build writes; 'jeton run --raw' continues plain text");
        return JT_EXIT_FILE;
    }
    if (jt_branches_begin(&c->branches, t, &err)) return jt_fail(&err);
    if (jt_arg_text(a, "system")) jt_str_puts(&talk(c)->system, jt_arg_text(a, "system"));
    code = take_tools(c);
    if (code) return code;
    if (jt_str_check(&talk(c)->system, &err) || jt_driver_new(c->session.model, &c->driver, &err) || jt_line_new(&c->line, &err))
        return jt_fail(&err);
    /* A conversation that was evaluated is worth more than the memory it takes: a page is shared by all that begin with it. */
    jt_driver_set_prefix(c->driver, jt_memory_available() / 2);
    code = jt_session_furnish(a, &c->session, c->driver);
    if (code) return code;
    jt_answer_request(a, c->session.context, &c->request);
    code = jt_tracing_open(a, &c->session, jt_arg_pos(a, 0), &c->trace);
    if (code) return code;
    jt_tracing_request(&c->trace, &c->request);
    if (jt_arg_text(a, "load")) {
        int again;
        if (jt_branches_load(&c->branches, jt_arg_text(a, "load"), c->model, &again, &err)) return jt_fail(&err);
    }
    return JT_EXIT_OK;
}

static int run(const jt_args *a) {
    jt_interrupt_install();
    chat c = {.args = a, .colour = jt_colour(STDERR_FILENO), .reasoning = jt_arg_text(a, "reasoning")};
    c.code = prepare(&c);
    if (!c.code) {
        jt_model_info info;
        jt_model_get_info(c.session.model, &info);
        c.person = jt_line_person(c.line);
        if (c.person) tell(&c, "%s, a context of %d tokens\n/help lists commands; Ctrl-D leaves", info.name, c.session.context);
        loop(&c);
        if (c.code != JT_EXIT_OUTPUT && jt_tracing_end(&c.trace)) c.code = JT_EXIT_OUTPUT;
    }
    jt_tracing_close(&c.trace);
    jt_line_free(c.line);
    jt_answer_free(&c.answer);
    jt_parts_free(&c.parts);
    jt_str_free(&c.results);
    jt_branches_free(&c.branches);
    jt_driver_free(c.driver);
    jt_pipeline_free(c.pipeline);
    jt_pipelines_close(&c.known);
    jt_session_close(&c.session);
    return c.code;
}

static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, true, false, "a GGUF file, a Hugging Face folder, or a known name (default smollm2)"},
    {0},
};
static const jt_opt opts[] = {
    JT_ANSWER_OPTS("temp:0.2 | top-p:0.9", "0"),
    JT_REASONING_OPT,
    {"tools", 0, JT_OPT_FILE, "FILE", NULL, 0, 0, "what the model may call: JSON, a list of tools as in the OpenAI interface"},
    JT_TRACING_OPTS,
    {"load", 0, JT_OPT_FILE, "FILE", NULL, 0, 0, "go on with a conversation that /save wrote"},
    {"timings", 0, JT_OPT_FLAG, NULL, NULL, 0, 0,
     "say on standard error after each answer how long it took, and how much of the conversation had to be evaluated"},
    {0},
};
static const jt_example examples[] = {
    {"jeton chat", "a chat with the default model"},
    {"jeton chat model.gguf --system \"Answer in one word.\" --decode greedy", "another model, another manner"},
    {"printf 'Hello\\n/save talk.json\\n' | jeton chat", "a chat through a pipe"},
    {0},
};
const jt_command jt_cmd_chat = {
    .name = "chat",
    .summary = "talk with a model",
    .about = "At the prompt, /help lists commands: /undo, /retry, /set decode ..., /set seed ..., /system, /fork, /branches, /switch N, "
             "/save FILE, /load FILE and more. A line that "
             "ends in a backslash goes on in the next; one that begins with // is a question that begins with /. Ctrl-C stops the answer "
             "and not the "
             "program; at the prompt it drops the line, and twice in a row it leaves, as Ctrl-D does. Lines are kept in "
             "~/.local/state/jeton/history (XDG_STATE_HOME is respected).\n\n"
             "Where the model reasons first, that is shown dim at a terminal (--reasoning, /reasoning). A tool call is shown as "
             "\"-> name(arguments)\"; /result gives what the tool says. Reasoning, calls and content go back into the model's template as "
             "such.\n\n"
             "Without a terminal on standard input, its lines are questions and commands, and only answers are printed to standard output.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
