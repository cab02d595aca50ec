#include "text/jinja/chars.h"

/* The run that holds cp. */
static size_t char_run(uint32_t cp) {
    size_t lo = 0, hi = jt_char_sizes[0];
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (jt_char_begin[mid] <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

unsigned jt_char_kind(uint32_t cp) { return jt_char_bits[char_run(cp)]; }

/* Digits stand in groups of ten, from zero on. */
int jt_char_digit(uint32_t cp) {
    size_t r = char_run(cp);
    return jt_char_bits[r] & JT_CHAR_DECIMAL ? (int)((cp - jt_char_begin[r]) % 10) : -1;
}

static const jt_char_more *char_multi(uint32_t cp, unsigned kind) {
    size_t lo = 0, hi = jt_char_sizes[5];
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const jt_char_more *m = &jt_char_multi[mid];
        if (m->cp == cp && m->kind == kind) return m;
        if (m->cp < cp || (m->cp == cp && m->kind < kind))
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

int jt_char_map(uint32_t cp, jt_char_case to, uint32_t out[3]) {
    const jt_char_run *const table[] = {jt_char_lower, jt_char_upper, jt_char_title, jt_char_fold};
    const jt_char_more *m = cp < 0x80 ? NULL : char_multi(cp, to);
    if (m) {
        int n = 0;
        while (n < 3 && m->to[n]) out[n] = m->to[n], n++;
        return n;
    }
    const jt_char_run *t = table[to];
    size_t lo = 0, hi = jt_char_sizes[1 + to];
    out[0] = cp;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const jt_char_run *r = &t[mid];
        if (cp < r->first) {
            hi = mid;
        } else if (cp > r->last) {
            lo = mid + 1;
        } else {
            if ((cp - r->first) % (uint32_t)r->step == 0) out[0] = (uint32_t)((int64_t)cp + r->by);
            break;
        }
    }
    return 1;
}
