#include "cli/bench_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/json.h"
#include "core/str.h"

extern char **environ;

static jt_status read_all(int fd, jt_str *out, jt_error *err) {
    char part[4096];
    for (;;) {
        ssize_t n = read(fd, part, sizeof part);
        if (n == 0) return jt_str_check(out, err);
        if (n > 0)
            jt_str_add(out, part, (size_t)n);
        else if (errno != EINTR)
            return jt_error_set(err, JT_IO, "cannot read what llama-bench prints: error %d", errno);
    }
}

static jt_status spawn(const char *program, char *const argv[], int out_fd, pid_t *pid, jt_error *err) {
    posix_spawn_file_actions_t act;
    int e = posix_spawn_file_actions_init(&act);
    if (e) return jt_error_set(err, JT_NOMEM, "cannot prepare to run %s", program);
    if (!(e = posix_spawn_file_actions_adddup2(&act, out_fd, STDOUT_FILENO)) &&
        !(e = posix_spawn_file_actions_addopen(&act, STDERR_FILENO, "/dev/null", O_WRONLY, 0)))
        e = posix_spawnp(pid, program, &act, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&act);
    char text[128];
    if (e) return jt_error_set(err, e == ENOENT ? JT_NOTFOUND : JT_IO, "cannot run %s: %s", program, strerror_r(e, text, sizeof text));
    return JT_OK;
}

static jt_status run(const char *program, char *const argv[], jt_str *out, jt_error *err) {
    int fd[2], status = 0;
    pid_t pid;
    if (pipe2(fd, O_CLOEXEC)) return jt_error_set(err, JT_IO, "cannot make a pipe: error %d", errno);
    jt_status st = spawn(program, argv, fd[1], &pid, err);
    close(fd[1]);
    if (!st) {
        st = read_all(fd[0], out, err);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        if (!st && status)
            st = jt_error_set(err, JT_IO, "%s ended with %s %d; run it by hand on the same file to see why", program,
                              WIFEXITED(status) ? "exit code" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    close(fd[0]);
    return st;
}

/* llama-bench -o json prints a list with an object for each test. */
static jt_status speed(const jt_json *list, jt_peer_test *t, jt_error *err) {
    for (size_t i = 0; i < jt_json_count(list); i++) {
        const jt_json *o = jt_json_item(list, i);
        int64_t prompt, gen;
        if (jt_json_i64(jt_json_member(o, "n_prompt"), &prompt) && jt_json_i64(jt_json_member(o, "n_gen"), &gen) && prompt == t->prompt &&
            gen == t->gen && jt_json_double(jt_json_member(o, "avg_ts"), &t->tokens_per_second))
            return JT_OK;
    }
    return jt_error_set(err, JT_FORMAT, "llama-bench printed no avg_ts for a prompt of %d and %d generated tokens", t->prompt, t->gen);
}

/* The program reaches to the first flag, so that its path may hold spaces. */
static int peer_split(char *command, const char **argv, int most) {
    int n = 0;
    char *flag = strstr(command, " -");
    argv[n++] = command;
    while (flag && n < most) {
        *flag++ = 0;
        flag += strspn(flag, " ");
        if (!*flag) break;
        argv[n++] = flag;
        flag = strchr(flag, ' ');
    }
    return n;
}

jt_status jt_peer_run(const char *command, const char *model, int threads, jt_peer_test *t, jt_error *err) {
    enum { FLAGS = 32, OWN = 16 };
    char prompt[16], gen[16], count[16], depth[16];
    const char *argv[FLAGS + OWN];
    jt_str out = {0}, line = {0};
    jt_json *list = NULL;
    jt_str_puts(&line, command);
    jt_status st = jt_str_check(&line, err);
    if (st) return st;
    snprintf(prompt, sizeof prompt, "%d", t->prompt);
    snprintf(gen, sizeof gen, "%d", t->gen);
    snprintf(count, sizeof count, "%d", threads);
    snprintf(depth, sizeof depth, "%d", t->depth);
    int n = peer_split(line.s, argv, FLAGS);
    const char *own[] = {"-m", model, "-p", prompt, "-n", gen, "-t", count, "-r", "1", "-o", "json", t->depth ? "-d" : NULL, depth, NULL};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) argv[n++] = own[i];
    st = run(argv[0], (char *const *)argv, &out, err);
    if (!st) st = jt_json_parse(jt_str_c(&out), out.n, &list, err);
    if (!st) st = speed(list, t, err);
    if (st == JT_FORMAT) jt_error_in(err, st, "%s is no llama-bench", argv[0]);
    jt_json_free(list);
    jt_str_free(&out);
    jt_str_free(&line);
    return st;
}
