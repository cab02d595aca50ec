/* Bringing a model while memory fails, at each allocation in turn, from a server in this process. The faults of networks are
 * tried in pull.sh. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "cli/hub.h"
#include "cli/store.h"
#include "core/file.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* "hello\n", whose sum Python's hashlib gives, and a list that knows the sum of one file and not of the other. */
static const char body[] = "hello\n";
static const char list[] =
    "{\"sha\": \"" COMMIT "\", \"siblings\": [{\"rfilename\": \"config.json\"}, {\"rfilename\": \"model.safetensors\", \"size\": 6, "
    "\"lfs\": {\"sha256\": \"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\", \"size\": 6}}]}";
static const char blob[] = "ce013625030ba8dba906f756967f9e9ca394464a"; /* git hash-object */

static char folder[] = "/tmp/jeton-pull-XXXXXX";
static int listener;

/* Allocates nothing, so that the counts are those of the program alone. */
static void answer(int fd) {
    char in[4096], out[2048];
    size_t n = 0;
    while (n < sizeof in - 1) {
        ssize_t got = read(fd, in + n, sizeof in - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
        in[n] = 0;
        if (strstr(in, "\r\n\r\n")) break;
    }
    in[n] = 0;
    bool head = strncmp(in, "HEAD", 4) == 0;
    const char *what = strstr(in, " /api/") ? list : body;
    int len = snprintf(out, sizeof out,
                       "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"%s\"\r\nX-Repo-Commit: " COMMIT "\r\nContent-Length: %zu\r\n\r\n%s",
                       blob, strlen(what), head ? "" : what);
    for (int at = 0; at < len;) {
        ssize_t put = write(fd, out + at, (size_t)(len - at));
        if (put <= 0) break;
        at += (int)put;
    }
    shutdown(fd, SHUT_WR);
    while (read(fd, in, sizeof in) > 0) {
    }
    close(fd);
}

static void *serve(void *unused) {
    (void)unused;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) answer(fd);
    return NULL;
}

static pthread_t thread;

static int begin(void **state) {
    (void)state;
    static const char *const unset[] = {"HF_HOME",    "HF_TOKEN",  "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN",
                                        "http_proxy", "all_proxy", "ALL_PROXY",     "XDG_CACHE_HOME"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) unsetenv(unset[i]);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char url[64], cache[64];
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16) ||
        getsockname(listener, (struct sockaddr *)&at, &size) || !mkdtemp(folder))
        return -1;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(at.sin_port));
    snprintf(cache, sizeof cache, "%s/hub", folder);
    if (setenv("HF_ENDPOINT", url, 1) || setenv("HF_HUB_CACHE", cache, 1) || setenv("HOME", folder, 1)) return -1;
    return pthread_create(&thread, NULL, serve, NULL);
}

static int end(void **state) {
    (void)state;
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    jt_remove_tree(folder);
    return 0;
}

static void whole(const char *path, const char *name) {
    jt_str p = {0}, text = {0};
    jt_str_printf(&p, "%s/%s", path, name);
    assert_int_equal(jt_file_read(p.s, &text, NULL), JT_OK);
    assert_string_equal(text.s, body);
    jt_str_free(&p), jt_str_free(&text);
}

static void pull_without_memory(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_str path = {0};
        jt_error err = {0};
        assert_true(i < 1000);
        jt_remove_tree(folder);
        alloc_fail_at(i);
        jt_status s = jt_hub_pull("o/r", false, &path, &err);
        bool last = alloc_count() <= i;
        alloc_fail_at(-1);
        if (s && s != JT_NOMEM) fail_msg("allocation %ld: %s", i, err.message);
        if (!s) whole(path.s, "model.safetensors");
        jt_str_free(&path);
        path = (jt_str){0};
        if (jt_hub_pull("o/r", true, &path, &err)) fail_msg("after allocation %ld: %s", i, err.message);
        whole(path.s, "config.json");
        whole(path.s, "model.safetensors");
        jt_str_free(&path);
        if (last) {
            assert_int_equal(s, JT_OK);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pull_without_memory)};
    return cmocka_run_group_tests(tests, begin, end);
}
