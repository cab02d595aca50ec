#include "core/hash.h"

#include <string.h>

/* A finaliser with full avalanche: xor-shifts and odd multipliers. */
static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t jt_hash_u64(uint64_t seed, uint64_t x) {
    return mix((seed ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu + mix(x + 0x632be59bd9b4e019u));
}

uint64_t jt_hash_bytes(uint64_t seed, const void *p, size_t n) {
    const uint8_t *b = p;
    uint64_t h = jt_hash_u64(seed, n);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = 0;
        for (size_t k = 0; k < 8 && i + k < n; k++) w |= (uint64_t)b[i + k] << (8 * k);
        h = jt_hash_u64(h, w);
    }
    return h;
}

uint64_t jt_hash_str(uint64_t seed, const char *s) { return jt_hash_bytes(seed, s, strlen(s)); }

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress(uint32_t *h, const uint8_t p[64]) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) + w[i - 7] + (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
        uint32_t t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

void jt_sha256_init(jt_sha256 *s) {
    *s = (jt_sha256){{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}, 0, {0}};
}

/* Both hashes take blocks of 64 bytes, and end with a bit, zeros and the length in bits. */
static void sha_add(jt_sha *s, const void *p, size_t n, void (*block)(uint32_t *h, const uint8_t *p)) {
    const uint8_t *b = p;
    while (n) {
        size_t at = (size_t)(s->bytes & 63), take = 64 - at < n ? 64 - at : n;
        if (at == 0 && n >= 64) {
            block(s->h, b);
            take = 64;
        } else {
            memcpy(s->block + at, b, take);
            if (at + take == 64) block(s->h, s->block);
        }
        b += take, n -= take, s->bytes += take;
    }
}

static void sha_end(jt_sha *s, void (*block)(uint32_t *h, const uint8_t *p), uint8_t *out, int bytes) {
    uint64_t bits = s->bytes * 8;
    uint8_t one = 0x80, zero = 0, len[8];
    sha_add(s, &one, 1, block);
    while ((s->bytes & 63) != 56) sha_add(s, &zero, 1, block);
    for (int i = 0; i < 8; i++) len[i] = (uint8_t)(bits >> (56 - 8 * i));
    sha_add(s, len, 8, block);
    for (int i = 0; i < bytes; i++) out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void jt_sha256_add(jt_sha256 *s, const void *p, size_t n) { sha_add(s, p, n, compress); }
void jt_sha256_end(jt_sha256 *s, uint8_t out[32]) { sha_end(s, compress, out, 32); }

void jt_hex(const uint8_t *p, size_t n, char *out) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) out[2 * i] = hex[p[i] >> 4], out[2 * i + 1] = hex[p[i] & 15];
    out[2 * n] = 0;
}

void jt_sha256_hex(const uint8_t digest[32], char out[65]) { jt_hex(digest, 32, out); }

static uint32_t rol(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void compress_sha1(uint32_t *h, const uint8_t p[64]) {
    static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        int part = i / 20;
        uint32_t f = part == 0 ? (b & c) | (~b & d) : part == 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        uint32_t t = rol(a, 5) + f + e + k[part] + w[i];
        e = d, d = c, c = rol(b, 30), b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

void jt_sha1_init(jt_sha1 *s) { *s = (jt_sha1){{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, 0, {0}}; }

void jt_sha1_add(jt_sha1 *s, const void *p, size_t n) { sha_add(s, p, n, compress_sha1); }
void jt_sha1_end(jt_sha1 *s, uint8_t out[20]) { sha_end(s, compress_sha1, out, 20); }
