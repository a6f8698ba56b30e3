/*
 * What passes between the server and its template process, over a SOCK_SEQPACKET pair: a request
 * carries a worker's end of its control socket (SCM_RIGHTS).
 *
 * The answer is sent by the worker itself, first of all, before it closes its copy of the
 * template's socket. So when the server sees the end of that socket, whoever was forked from that
 * template and lives has answered: a request without an answer has no worker and can safely be
 * made again.
 *
 * Of a worker that dies before it has answered, the template's own word remains: after each fork
 * it tells which process the request was forked into, so that the server knows whose death it was.
 */
#ifndef LUMA_SERVER_TEMPLATE_H
#define LUMA_SERVER_TEMPLATE_H

#include <stdint.h>

#include "server/worker.h"

#define TEMPLATE_FD 3

struct template_request {
    uint64_t id;
};

enum template_word {
    TEMPLATE_ANSWER, /* from the worker, or from the template if there is none */
    TEMPLATE_FORKED, /* from the template, before or after the worker's answer */
};

struct template_answer {
    uint64_t id;
    int64_t pid;   /* of the worker; -errno if it could not be forked */
    uint64_t word; /* enum template_word */
};

/* Starts `/proc/self/exe --template` with the given end of the pair as its TEMPLATE_FD and a fresh
 * environment. 0 and *pid, or -errno. The end stays the caller's. */
int template_spawn(pid_t *pid, int end, const struct worker_settings *settings);

#endif
