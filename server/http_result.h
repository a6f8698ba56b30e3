/*
 * Results over HTTP: GET and HEAD of /jobs/JOB/outputs/N, with or without a name behind it.
 *
 * Where tokens are configured, the link's own signature (link.h) or a bearer token of the job's
 * caller opens it. A client may ask for one range, and with If-None-Match or If-Range for what it
 * doesn't have yet; the tag is the SHA-256. Pages can't be made to run what a result contains: no
 * sniffing, and a sandbox around whatever isn't picture, sound or film.
 *
 * A transfer reads the next chunk when the connection has taken the last one, so a slow reader
 * costs one chunk; one that takes none for a minute is cut off, and so is everybody when the
 * result is removed.
 */
#ifndef LUMA_SERVER_HTTP_RESULT_H
#define LUMA_SERVER_HTTP_RESULT_H

#include "server/http.h"

struct http_call;

/* Results are under this path. */
int http_result_request(const struct http_call *call);
int http_result_writable(struct lws *wsi, struct http_exchange *exchange);
/* Ends the exchange's transfer, if there is one. */
void http_result_drop(struct http_exchange *exchange);
/* The job's results are removed: whoever reads them is cut off. */
void http_results_end(struct server *server, const char *job);

#endif
