/* The integer products in the encoding for AVX-VNNI, on processors without it: the program's own code runs as it is, and
 * what this processor lacks, vpdpbusd on 256 bits in VEX encoding, traps and is done here on the saved registers. With
 * JETON_TEST_LONG=1 for rows of any length. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/kernel_cases.h"

#if defined(__x86_64__) && JT_HAS_AVXVNNI
#include <ucontext.h>

static volatile sig_atomic_t vnni_traps;

enum { SAVED_XMM = 160, SAVED_YMM = 576 }; /* of the state that XSAVE writes; the upper halves have a place of their own */

static uint8_t *saved_half(uint8_t *state, unsigned reg, unsigned half) { return state + (half ? SAVED_YMM : SAVED_XMM) + 16 * reg; }

static const int16_t vnni_gpr[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* Address of a memory operand; *length gets the bytes of ModRM, SIB and displacement. */
static const uint8_t *vnni_address(const greg_t *g, const uint8_t *modrm, bool x, bool b, unsigned *length) {
    unsigned mod = *modrm >> 6, rm = *modrm & 7;
    uint64_t at = 0;
    const uint8_t *p = modrm + 1;
    int32_t offset = 0;
    int8_t small;
    bool no_base = false;
    if (rm == 4) {
        uint8_t sib = *p++;
        unsigned index = (sib >> 3 & 7) | (x ? 8u : 0), base = (sib & 7) | (b ? 8u : 0);
        no_base = mod == 0 && (sib & 7) == 5;
        if (index != 4) at += (uint64_t)g[vnni_gpr[index]] << (sib >> 6);
        if (!no_base) at += (uint64_t)g[vnni_gpr[base]];
    } else if (mod == 0 && rm == 5) {
        memcpy(&offset, p, 4);
        *length = 5;
        return (const uint8_t *)(uintptr_t)((uint64_t)(uintptr_t)p + 4 + (uint64_t)(int64_t)offset);
    } else {
        at += (uint64_t)g[vnni_gpr[rm | (b ? 8u : 0)]];
    }
    if (mod == 1)
        memcpy(&small, p++, 1), offset = small;
    else if (mod == 2 || no_base)
        memcpy(&offset, p, 4), p += 4;
    *length = (unsigned)(p - modrm);
    return (const uint8_t *)(uintptr_t)(at + (uint64_t)(int64_t)offset);
}

/* VEX.256.66.0F38.W0 50 /r: to each 32 bits of the first operand, four products of unsigned bytes of the second and signed
 * bytes of the third. */
static void on_illegal_instruction(int number, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *u = context;
    greg_t *g = u->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)(uintptr_t)g[REG_RIP];
    if (at[0] != 0xc4 || (at[1] & 31) != 2 || (at[2] & 0x87) != 5 || at[3] != 0x50) {
        signal(number, SIG_DFL); /* something else: let it kill the program */
        return;
    }
    uint8_t *state = (uint8_t *)u->uc_mcontext.fpregs, third[32];
    bool r = !(at[1] & 0x80), x = !(at[1] & 0x40), b = !(at[1] & 0x20);
    unsigned to = (at[4] >> 3 & 7) | (r ? 8u : 0), from = ~(unsigned)at[2] >> 3 & 15, length = 1;
    if (at[4] >> 6 == 3) {
        for (unsigned h = 0; h < 2; h++) memcpy(third + 16 * h, saved_half(state, (at[4] & 7) | (b ? 8u : 0), h), 16);
    } else {
        memcpy(third, vnni_address(g, at + 4, x, b, &length), 32);
    }
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *w = saved_half(state, from, i / 4) + 4 * (i % 4);
        uint8_t *sum = saved_half(state, to, i / 4) + 4 * (i % 4);
        uint32_t s;
        memcpy(&s, sum, 4);
        for (unsigned j = 0; j < 4; j++) s += (uint32_t)((int)w[j] * (third[4 * i + j] - (third[4 * i + j] & 128) * 2));
        memcpy(sum, &s, 4);
    }
    g[REG_RIP] += 4 + (greg_t)length;
    vnni_traps++;
}

static void report(const char *what) { print_error("differs: %s\n", what); }

static void test_the_program_s_own_code(void **state) {
    (void)state;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        print_message("this processor lacks AVX2\n");
        skip();
    }
    struct sigaction act = {.sa_flags = SA_SIGINFO}, old;
    act.sa_sigaction = on_illegal_instruction;
    assert_int_equal(sigaction(SIGILL, &act, &old), 0);
    const char *lengthy = getenv("JETON_TEST_LONG");
    cases c = {.k = &jt_kernels_avxvnni, .random = 7, .report = report, .widest = lengthy && !strcmp(lengthy, "1") ? 0 : 64};
    int n, vnni = jt_kernels_pick("avxvnni", NULL) == &jt_kernels_avxvnni;
    const jt_format *f = jt_formats(&n);
    unsigned kinds = 0;
    for (int i = 0; i < n; i++) /* the first format of each kind */
        if (f[i].quantised && f[i].panel != JT_PANEL_NONE && !(kinds >> f[i].panel & 1)) {
            cases_products_i8(&c, &f[i]);
            kinds |= 1u << f[i].panel;
        }
    assert_int_equal(sigaction(SIGILL, &old, NULL), 0);
    assert_int_equal(c.failed, 0);
    assert_true(c.compared > 100 && (vnni || vnni_traps > 10000));
    print_message("%d comparisons, %d instructions %s\n", c.compared, (int)vnni_traps,
                  vnni ? "trapped: this processor has them" : "trapped");
}
#else
static void test_the_program_s_own_code(void **state) {
    (void)state;
    print_message("not in this build\n");
    skip();
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_program_s_own_code)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
