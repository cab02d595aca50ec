/* hash.h: 64-bit hashes for keys inside the process and in random addresses,
 * and SHA-256 and SHA-1 (FIPS 180-4) for files. The 64-bit values are the same on every
 * machine and are part of the random address: never change them. */
#ifndef JT_CORE_HASH_H
#define JT_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t jt_hash_bytes(uint64_t seed, const void *p, size_t n);
uint64_t jt_hash_u64(uint64_t seed, uint64_t x);
uint64_t jt_hash_str(uint64_t seed, const char *s);

typedef struct jt_sha {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64];
} jt_sha;
typedef jt_sha jt_sha256, jt_sha1;
void jt_sha256_init(jt_sha256 *s);
void jt_sha256_add(jt_sha256 *s, const void *p, size_t n);
void jt_sha256_end(jt_sha256 *s, uint8_t out[32]);
void jt_sha256_hex(const uint8_t digest[32], char out[65]);

/* For names that git gives its objects, never where someone might want a collision. */
void jt_sha1_init(jt_sha1 *s);
void jt_sha1_add(jt_sha1 *s, const void *p, size_t n);
void jt_sha1_end(jt_sha1 *s, uint8_t out[20]);
/* n bytes as 2 n lower-case digits and a NUL. */
void jt_hex(const uint8_t *p, size_t n, char *out);

#endif
