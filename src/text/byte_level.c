/* byte_level.c: GPT-2's alphabet of 256 printable characters for bytes.
 * Bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF are the code points of the same
 * number; the other 68, in increasing order, are U+0100 to U+0143. */
#include "text/vocab.h"

static bool printable(uint32_t b) { return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff); }

/* The byte that U+0100 + k stands for: the k-th that is not plain. */
static int hidden(uint32_t k) {
    if (k <= 0x20) return (int)k;
    if (k <= 0x42) return (int)(k - 0x21 + 0x7f);
    return k == 0x43 ? 0xad : -1;
}

size_t jt_byte_level_read(const char *s, size_t n, char *out) {
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int w = jt_utf8_next(s + i, n - i, &cp), b;
        if (!w) return SIZE_MAX;
        b = cp >= 0x100 ? hidden(cp - 0x100) : printable(cp) ? (int)cp : -1;
        if (b < 0) return SIZE_MAX;
        out[k++] = (char)b;
        i += (size_t)w;
    }
    return k;
}

size_t jt_byte_level_write(const char *s, size_t n, char *out) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += (size_t)jt_utf8_put(jt_byte_level_char((unsigned char)s[i]), out + k);
    return k;
}

uint32_t jt_byte_level_char(unsigned char b) {
    if (printable(b)) return b;
    return 0x100u + (b <= 0x20 ? b : b <= 0xa0 ? b - 0x7fu + 0x21u : 0x43u);
}
