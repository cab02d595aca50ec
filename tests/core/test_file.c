/* Files: maps, whole reads, writes that are there whole or not at all, folders. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/jeton-test-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

/* Fails when a test left a file behind. */
static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static const char *in_folder(const char *name) {
    static char path[4][256];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

static void save(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void expect(const char *path, const char *text) {
    jt_str s = {0};
    jt_error e;
    if (jt_file_read(path, &s, &e)) fail_msg("%s", e.message);
    assert_string_equal(jt_str_c(&s), text);
    jt_str_free(&s);
}

static int files_in_folder(void) {
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_map(void **state) {
    (void)state;
    const char *path = in_folder("a");
    jt_map m;
    jt_error e;
    assert_int_equal(jt_map_open(path, &m, &e), JT_NOTFOUND);
    assert_non_null(strstr(e.message, path));
    save(path, "hello");
    assert_int_equal(jt_map_open(path, &m, &e), JT_OK);
    assert_int_equal(m.n, 5);
    assert_memory_equal(m.p, "hello", 5);
    assert_int_equal(jt_map_lock(&m, &e), JT_OK);
    jt_map_close(&m);
    assert_null(m.p);
    jt_map_close(&m);
    save(path, "");
    assert_int_equal(jt_map_open(path, &m, &e), JT_OK);
    assert_int_equal(m.n, 0);
    assert_non_null(m.p);
    assert_int_equal(jt_map_lock(&m, &e), JT_OK);
    jt_map_close(&m);
    unlink(path);
    assert_int_equal(jt_map_open(folder, &m, &e), JT_INVALID);
    assert_non_null(strstr(e.message, "is a folder"));
    assert_int_equal(jt_map_open("/dev/null", &m, &e), JT_INVALID);
}

static void test_read(void **state) {
    (void)state;
    const char *path = in_folder("a");
    jt_str s = {0};
    jt_error e;
    assert_int_equal(jt_file_read(path, &s, &e), JT_NOTFOUND);
    assert_int_equal(jt_file_read(folder, &s, &e), JT_IO);
    assert_int_equal(jt_file_read("/dev/null", &s, &e), JT_OK);
    assert_int_equal(s.n, 0);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 200000; i++) fputc(i % 251, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(jt_file_read(path, &s, &e), JT_OK);
    assert_int_equal(s.n, 200000);
    for (int i = 0; i < 200000; i++)
        if ((unsigned char)s.s[i] != i % 251) fail_msg("byte %d", i);
    jt_str_free(&s);
    alloc_fail_at(1);
    assert_int_equal(jt_file_read(path, &s, &e), JT_NOMEM);
    alloc_fail_at(-1);
    jt_str_free(&s);
    unlink(path);
}

static void test_write_is_whole_or_nothing(void **state) {
    (void)state;
    const char *path = in_folder("a");
    jt_writer w;
    jt_error e;
    struct stat st;
    mode_t mask = umask(027);
    assert_int_equal(jt_file_create(path, &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, "one", 3, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, NULL, 0, &e), JT_OK);
    assert_false(jt_file_exists(path));
    assert_int_equal(jt_file_commit(&w, &e), JT_OK);
    umask(mask);
    expect(path, "one");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(files_in_folder(), 1);

    assert_int_equal(jt_file_create(path, &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, "two", 3, &e), JT_OK);
    expect(path, "one");
    jt_file_abandon(&w);
    expect(path, "one");
    assert_int_equal(files_in_folder(), 1);
    jt_file_abandon(&w);

    assert_int_equal(jt_file_create(path, &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, "three", 5, &e), JT_OK);
    assert_int_equal(jt_file_commit(&w, &e), JT_OK);
    expect(path, "three");
    assert_int_equal(files_in_folder(), 1);
    unlink(path);
}

static void test_save(void **state) {
    (void)state;
    jt_str s = {0}, back = {0};
    jt_error e;
    const char *path = in_folder("saved");
    jt_str_puts(&s, "one");
    assert_int_equal(jt_file_save(path, &s, &e), JT_OK);
    assert_int_equal(jt_file_read(path, &back, &e), JT_OK);
    assert_string_equal(jt_str_c(&back), "one");
    jt_str_free(&back);
    jt_str broken = {0};
    alloc_fail_at(0);
    jt_str_puts(&broken, "two");
    alloc_fail_at(-1);
    assert_int_equal(jt_file_save(path, &broken, &e), JT_NOMEM);
    assert_int_equal(jt_file_read(path, &back, &e), JT_OK);
    assert_string_equal(jt_str_c(&back), "one");
    jt_str_free(&s), jt_str_free(&back), jt_str_free(&broken);
    assert_int_equal(unlink(path), 0);
    assert_true(jt_file_save(in_folder("none/saved"), &s, &e) == JT_NOTFOUND || e.code == JT_IO);
}

static void test_write_through_links(void **state) {
    (void)state;
    const char *path = in_folder("a"), *link = in_folder("l");
    char open_file[64];
    jt_writer w;
    jt_error e;
    struct stat st;
    save(path, "old");
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(jt_file_create(link, &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, "new", 3, &e), JT_OK);
    assert_int_equal(jt_file_commit(&w, &e), JT_OK);
    expect(path, "new");
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(files_in_folder(), 2);
    /* As /dev/stderr when standard error is a file: added to, never renamed over. */
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    snprintf(open_file, sizeof open_file, "/proc/self/fd/%d", fd);
    assert_int_equal(jt_file_create(open_file, &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, "er", 2, &e), JT_OK);
    assert_int_equal(jt_file_commit(&w, &e), JT_OK);
    expect(path, "newer");
    close(fd);
    unlink(link);
    unlink(path);
}

static void test_write_errors(void **state) {
    (void)state;
    jt_writer w = {0};
    jt_error e;
    char block[100000] = {0};
    assert_int_equal(jt_file_create(folder, &w, &e), JT_INVALID);
    assert_int_equal(jt_file_create("/nonexistent/a", &w, &e), JT_NOTFOUND);
    assert_non_null(strstr(e.message, "/nonexistent/a"));
    /* A small text fails when it is flushed, a large one when it is written. */
    assert_int_equal(jt_file_create("/dev/full", &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, "x", 1, &e), JT_OK);
    assert_int_equal(jt_file_commit(&w, &e), JT_IO);
    assert_non_null(strstr(e.message, "is the disk full?"));
    assert_int_equal(jt_file_create("/dev/full", &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, block, sizeof block, &e), JT_IO);
    assert_int_equal(jt_file_commit(&w, &e), JT_IO);
    assert_non_null(strstr(e.message, "not kept"));
    assert_true(jt_file_exists("/dev/full"));
    assert_int_equal(jt_file_create("/dev/null", &w, &e), JT_OK);
    assert_int_equal(jt_file_write(&w, "x", 1, &e), JT_OK);
    assert_int_equal(jt_file_commit(&w, &e), JT_OK);
    /* The target became a folder with something in it: the new file is not left behind. */
    const char *path = in_folder("a"), *inner = in_folder("a/b");
    assert_int_equal(jt_file_create(path, &w, &e), JT_OK);
    assert_int_equal(mkdir(path, 0777), 0);
    save(inner, "");
    assert_int_equal(jt_file_commit(&w, &e), JT_IO);
    assert_non_null(strstr(e.message, "put in place"));
    assert_int_equal(files_in_folder(), 1);
    unlink(inner);
    rmdir(path);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    const char *path = in_folder("a");
    jt_writer w = {0};
    jt_error e;
    long i = 0;
    for (;; i++) {
        alloc_fail_at(i);
        jt_status s = jt_file_create(path, &w, &e);
        alloc_fail_at(-1);
        if (s == JT_OK) break;
        assert_int_equal(s, JT_NOMEM);
        assert_int_equal(files_in_folder(), 0);
    }
    assert_true(i >= 2);
    jt_file_abandon(&w);
    assert_int_equal(files_in_folder(), 0);
    const char *deep = in_folder("x/y");
    alloc_fail_at(0);
    assert_int_equal(jt_make_folder(deep, &e), JT_NOMEM);
    alloc_fail_at(-1);
}

static void test_folders(void **state) {
    (void)state;
    jt_error e;
    const char *deep = in_folder("x/y//z");
    assert_int_equal(jt_make_folder(deep, &e), JT_OK);
    assert_int_equal(jt_make_folder(deep, &e), JT_OK);
    assert_int_equal(jt_make_folder(in_folder("x/y/"), &e), JT_OK);
    assert_true(jt_is_folder(in_folder("x/y/z")));
    assert_false(jt_is_folder(in_folder("nothing")));
    const char *file = in_folder("x/f");
    save(file, "");
    assert_false(jt_is_folder(file));
    assert_true(jt_file_exists(file));
    assert_int_equal(jt_make_folder(file, &e), JT_IO);
    assert_int_equal(jt_make_folder(in_folder("x/f/g"), &e), JT_IO);
    unlink(in_folder("x/f"));
    rmdir(in_folder("x/y/z"));
    rmdir(in_folder("x/y"));
    rmdir(in_folder("x"));
}

static void test_user_folders(void **state) {
    (void)state;
    jt_str s = {0};
    jt_error e;
    setenv("XDG_CACHE_HOME", "/c", 1);
    setenv("XDG_CONFIG_HOME", "relative is ignored", 1);
    setenv("HOME", "/h", 1);
    assert_int_equal(jt_cache_folder(&s, &e), JT_OK);
    assert_string_equal(jt_str_c(&s), "/c/jeton");
    jt_str_clear(&s);
    assert_int_equal(jt_config_folder(&s, &e), JT_OK);
    assert_string_equal(jt_str_c(&s), "/h/.config/jeton");
    jt_str_clear(&s);
    unsetenv("XDG_CACHE_HOME");
    assert_int_equal(jt_cache_folder(&s, &e), JT_OK);
    assert_string_equal(jt_str_c(&s), "/h/.cache/jeton");
    unsetenv("HOME");
    assert_int_equal(jt_cache_folder(&s, &e), JT_INVALID);
    assert_non_null(strstr(e.message, "XDG_CACHE_HOME"));
    jt_str_free(&s);
}

static void test_machine(void **state) {
    (void)state;
    uint64_t total = jt_memory_total(), free_now = jt_memory_available();
    assert_true(total > 1 << 20);
    assert_true(free_now > 0 && free_now <= total);
    double t = jt_seconds();
    for (int i = 0; i < 1000; i++) {
        double u = jt_seconds();
        assert_true(u >= t);
        t = u;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_write_is_whole_or_nothing),
        cmocka_unit_test(test_save),
        cmocka_unit_test(test_write_through_links),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_user_folders),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
