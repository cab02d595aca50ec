/* Help, man pages and completions hold everything that the tables hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/help.h"

static void fits_80_columns(const char *name, const char *text) {
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        size_t n = strcspn(p, "\n"), columns = 0;
        for (size_t i = 0; i < n; i++) columns += ((unsigned char)p[i] & 0xC0) != 0x80;
        if (columns > 80) fail_msg("%s: %zu columns: %.*s", name, columns, (int)n, p);
    }
}

static void help_shows_every_row(void **state) {
    (void)state;
    for (int i = 0; jt_commands[i]; i++) {
        const jt_command *c = jt_commands[i];
        jt_str o = {0}, head = {0};
        jt_help_command(c, &o);
        assert_false(o.failed);
        fits_80_columns(c->name, o.s);
        const jt_opt *p;
        for (int j = 0; (p = jt_command_opt(c, j)); j++) {
            jt_str_clear(&head);
            jt_str_puts(&head, "\n  ");
            jt_help_option_head(p, &head);
            if (!strstr(o.s, head.s)) fail_msg("%s: help lacks \"%s\"", c->name, head.s);
        }
        for (const jt_pos *q = c->pos; q && q->metavar; q++) assert_non_null(strstr(o.s, q->metavar));
        for (const jt_example *e = c->example; e && e->line; e++) assert_non_null(strstr(o.s, e->line));
        for (const jt_exit_row *r = jt_exit_rows; r->meaning; r++) {
            char code[16];
            snprintf(code, sizeof code, "\n  %3d  ", r->code);
            assert_non_null(strstr(o.s, code));
        }
        jt_str_free(&o);
        jt_str_free(&head);
    }
}

static void list_shows_every_command(void **state) {
    (void)state;
    jt_str o = {0};
    jt_help_list(NULL, &o);
    fits_80_columns("help", jt_str_c(&o));
    for (int i = 0; jt_commands[i]; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n  %s ", jt_commands[i]->name);
        if (!strstr(o.s, line)) fail_msg("the list lacks %s", jt_commands[i]->name);
    }
    jt_str_free(&o);
}

static void man_pages_escape_what_roff_takes(void **state) {
    (void)state;
    for (int i = 0; jt_commands[i]; i++) {
        jt_str o = {0};
        jt_help_man(jt_commands[i], &o);
        assert_false(o.failed);
        assert_int_equal(strncmp(o.s, ".TH \"JETON-", 11), 0);
        /* A line that begins with a dot is a macro of ours; options are written with \-. */
        for (const char *p = o.s; *p; p += strcspn(p, "\n"), p += *p == '\n') {
            static const char *const macros[] = {".TH ", ".SH ", ".TP\n", ".PP\n", ".B ", ".I ", ".nf\n", ".fi\n", ".RS\n", ".RE\n"};
            bool known = p[0] != '.' && p[0] != '\'';
            for (size_t k = 0; k < sizeof macros / sizeof *macros; k++) known |= strncmp(p, macros[k], strlen(macros[k])) == 0;
            if (!known) fail_msg("%s: %.40s", jt_commands[i]->name, p);
        }
        assert_null(strstr(o.s, "\\fB--"));
        assert_non_null(strstr(o.s, "\\fB\\-\\-help\\fR"));
        jt_str_free(&o);
    }
    jt_str o = {0};
    jt_help_man(NULL, &o);
    for (int i = 0; jt_commands[i]; i++) assert_non_null(strstr(o.s, jt_commands[i]->summary));
    jt_str_free(&o);
}

static void completions_name_every_option(void **state) {
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t k = 0; k < 3; k++) {
        jt_str o = {0};
        jt_error err;
        assert_int_equal(jt_help_completion(shells[k], &o, &err), JT_OK);
        for (int i = 0; jt_commands[i]; i++) {
            const jt_opt *p;
            char word[64];
            for (int j = 0; (p = jt_command_opt(jt_commands[i], j)); j++) {
                if (k == 2)
                    snprintf(word, sizeof word, "-l %s", p->name);
                else
                    snprintf(word, sizeof word, "--%s", p->name);
                if (!strstr(o.s, word)) fail_msg("%s lacks %s of %s", shells[k], word, jt_commands[i]->name);
            }
        }
        jt_str_free(&o);
    }
    jt_str o = {0};
    jt_error err;
    assert_int_equal(jt_help_completion("tcsh", &o, &err), JT_UNKNOWN);
    jt_str_free(&o);
}

static void wrapping(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int at, indent, width;
        const char *out;
    } cases[] = {
        {"one two three", 0, 2, 7, "one two\n  three\n"},
        {"one two three", 4, 2, 7, "one\n  two\n  three\n"},
        {"a\n\nb c", 0, 0, 80, "a\n\nb c\n"},
        {"extraordinary word", 0, 1, 5, "extraordinary\n word\n"},
        {"\xc3\xa4\xc3\xb6\xc3\xbc x", 0, 0, 5, "\xc3\xa4\xc3\xb6\xc3\xbc x\n"},
        {"", 0, 0, 5, "\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jt_str o = {0};
        jt_help_wrap(cases[i].text, cases[i].at, cases[i].indent, cases[i].width, &o);
        assert_string_equal(o.s, cases[i].out);
        jt_str_free(&o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_shows_every_row),
        cmocka_unit_test(list_shows_every_command),
        cmocka_unit_test(man_pages_escape_what_roff_takes),
        cmocka_unit_test(completions_name_every_option),
        cmocka_unit_test(wrapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
