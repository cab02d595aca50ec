/* bench_machine.h: what the machine can do at most with a model's threads and kernels, and what a model asks of it. */
#ifndef JT_CLI_BENCH_MACHINE_H
#define JT_CLI_BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "jeton/model.h"
#include "tensor/kernels.h"

/* Of all threads together, a second. */
typedef struct jt_limits {
    double read;                  /* bytes read from memory, the median of the rounds */
    double int8, flt, bf16;       /* operations measured; a multiplication and an addition are two */
    double int8_ports, flt_ports; /* operations that two vector ports at the measured clock allow */
    double clock;                 /* cycles of one core */
} jt_limits;

/* A peak below this part of what ports and clock allow is suspect: the machine is busy, slowed down, or narrower than its instructions. */
#define JT_LIMIT_SUSPECT 0.85

/* Raises the peaks and the clock in `out` to what this round reached, and gives the bytes read from memory: neighbours take
 * more or less of those from one moment to the next. About two seconds, and 256 MiB while it runs (less where less is free). */
jt_status jt_limits_measure(jt_engine *e, jt_limits *out, double *read, jt_error *err);

/* What one token costs, attention and vectors left out. */
typedef struct jt_demand {
    double bytes; /* of weights that generating a token reads: every matrix as held, the embedding only if it is also the head,
                   * of experts those that it goes to */
    double expert_bytes, expert_part; /* of all experts; and the part of them that a token goes to */
    double prompt_ops;                /* operations in products for a prompt's token: every matrix but embedding and head, as above */
    double head_ops;                  /* and of the head */
    jt_by by;                         /* how most of them are made */
    const char *format;               /* of most of the weights */
} jt_demand;
jt_demand jt_demand_of(const jt_model *m);
/* The peak of products made as a model's are, and its name. */
double jt_limits_peak(const jt_limits *l, jt_by by);
const char *jt_by_name(jt_by by);
/* Of weights that a pass over so many rows reads, where each goes to experts of its own at random. */
double jt_demand_bytes(const jt_demand *d, double rows);

#endif
