/* hash.h: 64-bit hashes for keys inside the process and in random addresses,
 * and SHA-256 (FIPS 180-4) for files. The 64-bit values are the same on every
 * machine and are part of the random address: never change them. */
#ifndef JT_CORE_HASH_H
#define JT_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t jt_hash_bytes(uint64_t seed, const void *p, size_t n);
uint64_t jt_hash_u64(uint64_t seed, uint64_t x);
uint64_t jt_hash_str(uint64_t seed, const char *s);

typedef struct jt_sha256 {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64];
} jt_sha256;
void jt_sha256_init(jt_sha256 *s);
void jt_sha256_add(jt_sha256 *s, const void *p, size_t n);
void jt_sha256_end(jt_sha256 *s, uint8_t out[32]);
void jt_sha256_hex(const uint8_t digest[32], char out[65]);

#endif
