/* peak_vnni256.h: the measuring loop of vpdpbusd on 256 bits, in the encoding of products_i8_vnni256.h. */

static double VNNI256(peak_loop)(long rounds) {
    enum { CHAINS = 10 };
    __m256i acc[CHAINS], w = _mm256_set1_epi8(3), q = _mm256_set1_epi8(-5);
    JT_UNROLL
    for (int j = 0; j < CHAINS; j++) acc[j] = _mm256_setzero_si256();
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS; j++) {
            acc[j] = VNNI256_DPBUSD(acc[j], w, q);
            JT_KEEP("x", acc[j]);
        }
    }
    return 64.0 * CHAINS * (double)rounds;
}
