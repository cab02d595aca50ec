/* Hashes: SHA-256 against FIPS 180-4 and Python, the 64-bit hash against a second implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/hash.h"

static void expect(const void *p, size_t n, size_t piece, const char *want) {
    jt_sha256 s;
    uint8_t digest[32];
    char hex[65];
    jt_sha256_init(&s);
    for (size_t at = 0; at < n; at += piece) jt_sha256_add(&s, (const uint8_t *)p + at, n - at < piece ? n - at : piece);
    jt_sha256_end(&s, digest);
    jt_sha256_hex(digest, hex);
    assert_string_equal(hex, want);
}

static void test_sha256(void **state) {
    (void)state;
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    expect("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(two, 56, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    expect(million, 1000000, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    expect(million, 1000000, 977, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

/* Bytes i mod 251, at the lengths where the padding changes; hashlib of Python. */
static void test_sha256_borders(void **state) {
    (void)state;
    static const struct {
        size_t n;
        const char *want;
    } row[] = {
        {55, "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59"},
        {56, "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562"},
        {57, "2fe741af801cc238602ac0ec6a7b0c3a8a87c7fc7d7f02a3fe03d1c12eac4d8f"},
        {63, "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488"},
        {64, "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108"},
        {65, "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781"},
        {119, "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6"},
        {120, "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c"},
        {1000, "4e4c294b331f7a2099a379bec34b9f9fc03dc46ab465d998f4d683da53487e6d"},
    };
    uint8_t b[1000];
    for (int i = 0; i < 1000; i++) b[i] = (uint8_t)(i % 251);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        expect(b, row[i].n, row[i].n, row[i].want);
        expect(b, row[i].n, 1, row[i].want);
        expect(b, row[i].n, 64, row[i].want);
    }
}

static void test_hash(void **state) {
    (void)state;
    uint8_t b[17];
    for (int i = 0; i < 17; i++) b[i] = (uint8_t)i;
    assert_true(jt_hash_u64(0, 0) == 0xc103103c50f66782);
    assert_true(jt_hash_u64(1, 2) == 0xfcc396932c35e174);
    assert_true(jt_hash_u64(2, 1) == 0x097607b3e187da7c);
    assert_true(jt_hash_str(0, "") == 0xc103103c50f66782);
    assert_true(jt_hash_str(7, "token") == 0x5845cdb0f2151205);
    assert_true(jt_hash_bytes(7, "token", 6) == 0xc08ea36cff18986d);
    assert_true(jt_hash_bytes(0, b, 17) == 0xb1101ceb796bd6e4);
}

/* Each input bit changes half of the output bits. */
static void test_avalanche(void **state) {
    (void)state;
    enum { TRIALS = 200 };
    for (int bit = 0; bit < 64; bit++) {
        int changed = 0;
        for (uint64_t x = 0; x < TRIALS; x++)
            changed += __builtin_popcountll(jt_hash_u64(3, x * 0x9e3779b9) ^ jt_hash_u64(3, x * 0x9e3779b9 ^ UINT64_C(1) << bit));
        assert_in_range(changed, TRIALS * 32 - 700, TRIALS * 32 + 700);
    }
}

/* The same bytes; hashlib of Python, and the example of FIPS 180-4. */
static void test_sha1(void **state) {
    (void)state;
    static const struct {
        size_t n;
        const char *want;
    } row[] = {
        {0, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},    {55, "8ae2d46729cfe68ff927af5eec9c7d1b66d65ac2"},
        {56, "636e2ec698dac903498e648bd2f3af641d3c88cb"},   {63, "6d942da0c4392b123528f2905c713a3ce28364bd"},
        {64, "c6138d514ffa2135bfce0ed0b8fac65669917ec7"},   {65, "69bd728ad6e13cd76ff19751fde427b00e395746"},
        {119, "41c89d06001bab4ab78736b44efe7ce18ce6ae08"},  {120, "d3dbd653bd8597b7475321b60a36891278e6a04a"},
        {1000, "c9c960a0b925474fab83942cc27d504fc24ac37b"},
    };
    uint8_t b[1000], digest[20];
    char hex[41];
    jt_sha1 s;
    for (int i = 0; i < 1000; i++) b[i] = (uint8_t)(i % 251);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (size_t piece = 1; piece < 200; piece += 66) {
            jt_sha1_init(&s);
            for (size_t at = 0; at < row[i].n; at += piece) jt_sha1_add(&s, b + at, row[i].n - at < piece ? row[i].n - at : piece);
            jt_sha1_end(&s, digest);
            jt_hex(digest, 20, hex);
            assert_string_equal(hex, row[i].want);
        }
    jt_sha1_init(&s);
    jt_sha1_add(&s, "abc", 3);
    jt_sha1_end(&s, digest);
    jt_hex(digest, 20, hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sha256), cmocka_unit_test(test_sha256_borders), cmocka_unit_test(test_hash),
                                       cmocka_unit_test(test_sha1), cmocka_unit_test(test_avalanche)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
