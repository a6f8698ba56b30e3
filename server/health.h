/*
 * GET /health on the health port, for liveness probes and a first look. What is graphed and alerted
 * on is in metrics.h and gauges.h.
 */
#ifndef LUMA_SERVER_HEALTH_H
#define LUMA_SERVER_HEALTH_H

#include <jansson.h>

struct server;

/* The document: status, version, uptime_s, jobs, workers, connections. NULL: out of memory. */
json_t *health_document(const struct server *server);

#endif
