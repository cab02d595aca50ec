/* random.h: randomness that is addressed, not consumed.
 *
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A number is a pure function of its address, so that the same
 * request gives the same text whatever else the process does:
 *   key     = hash(seed, stream), 64 bits
 *   counter = (position, site, attempt, index), 32 bits each
 * `site` is hash(method, its occurrence in the pipeline, purpose). `stream`
 * hashes the choice index and the fork path. The model is not in the address. */
#ifndef JT_CORE_RANDOM_H
#define JT_CORE_RANDOM_H

#include <stdint.h>

typedef struct jt_address {
    uint64_t seed, stream;
    uint32_t position; /* of the token being decided */
    uint32_t site;     /* jt_random_site */
    uint32_t attempt;  /* 0, then one more for each rejected or retried draw */
    uint32_t index;    /* which of several draws of one attempt: a candidate's id, say */
} jt_address;

void jt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
uint32_t jt_random_site(const char *method, uint32_t occurrence, const char *purpose);
/* Stream of choice number `choice` of a request, and of a branch forked from it. */
uint64_t jt_stream_choice(uint32_t choice);
uint64_t jt_stream_fork(uint64_t stream, uint32_t tag);
/* A double in (0, 1): 52 random bits plus a half unit, so neither 0 nor 1 occurs. */
double jt_random_u(const jt_address *a);
/* The four raw words at the address. */
void jt_random_words(const jt_address *a, uint32_t out[4]);

#endif
