#include "core/random.h"

#include "core/hash.h"

void jt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
        uint32_t n0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[0] = n0, c[1] = (uint32_t)b, c[2] = n2, c[3] = (uint32_t)a;
        k0 += 0x9e3779b9u, k1 += 0xbb67ae85u;
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

uint32_t jt_random_site(const char *method, uint32_t occurrence, const char *purpose) {
    uint64_t h = jt_hash_str(jt_hash_u64(jt_hash_str(0x6a65746f6e, method), occurrence), purpose);
    return (uint32_t)(h ^ h >> 32);
}

uint64_t jt_stream_choice(uint32_t choice) { return jt_hash_u64(0x63686f696365, choice); }
uint64_t jt_stream_fork(uint64_t stream, uint32_t tag) { return jt_hash_u64(stream ^ 0x666f726b, tag); }

void jt_random_words(const jt_address *a, uint32_t out[4]) {
    uint64_t k = jt_hash_u64(a->seed, a->stream);
    jt_philox((uint32_t[4]){a->position, a->site, a->attempt, a->index}, (uint32_t[2]){(uint32_t)k, (uint32_t)(k >> 32)}, out);
}

double jt_random_u(const jt_address *a) {
    uint32_t w[4];
    jt_random_words(a, w);
    uint64_t bits = ((uint64_t)w[1] << 32 | w[0]) >> 12;
    return ((double)bits + 0.5) * 0x1p-52;
}
