/*
 * What is true at the moment at which somebody asks: the gauges of /metrics, and whether the
 * server is ready for work.
 */
#ifndef LUMA_SERVER_GAUGES_H
#define LUMA_SERVER_GAUGES_H

#include <stdio.h>

struct server;

/* The lines of all gauges, and of the process's own counters. */
void gauges_print(struct server *server, FILE *stream);

/* NULL if new jobs are welcome; else why not, as a sentence. */
const char *gauges_unready(const struct server *server);

#endif
