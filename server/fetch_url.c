/*
 * libcurl's URL interface does the reading, so that what is judged here is what is connected to:
 * it turns every way to write an IPv4 address (octal, hexadecimal, one number) into the usual one.
 */
#include "server/fetch_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blanks and the like are encoded rather than refused, as every client does. */
#define ENCODED (CURLU_URLENCODE | CURLU_ALLOW_SPACE)

static int refuse_parse(CURLUcode code, struct problem *problem)
{
    switch (code) {
    case CURLUE_OUT_OF_MEMORY:
        return problem_set(problem, "internal", "out of memory");
    case CURLUE_BAD_SCHEME:
    case CURLUE_UNSUPPORTED_SCHEME:
    case CURLUE_BAD_FILE_URL:
    case CURLUE_BAD_SLASHES: /* javascript:…, data:… */
        return problem_set(problem, "url_forbidden", "only http and https URLs are fetched");
    case CURLUE_USER_NOT_ALLOWED:
        return problem_set(problem, "url_forbidden",
                           "a URL with a user name or a password in it is not fetched");
    default:
        return problem_set(problem, "invalid_input", "the text is no URL");
    }
}

static int check_scheme(const struct fetch_url *url, struct problem *problem)
{
    char *scheme = NULL;
    CURLUcode code = curl_url_get(url->parts, CURLUPART_SCHEME, &scheme, 0);
    bool web = code == CURLUE_OK && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    return web ? 0 : refuse_parse(CURLUE_UNSUPPORTED_SCHEME, problem);
}

static int read_place(struct fetch_url *url, struct problem *problem)
{
    char *host = NULL, *port = NULL;
    CURLUcode code = curl_url_get(url->parts, CURLUPART_HOST, &host, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(url->parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    int status = code == CURLUE_OK ? 0 : refuse_parse(code, problem);
    if (status == 0 && host && port) {
        size_t length = strlen(host);
        bool brackets = length > 2 && host[0] == '[' && host[length - 1] == ']';
        int written = snprintf(url->host, sizeof(url->host), "%.*s",
                               (int)(brackets ? length - 2 : length), host + brackets);
        unsigned long number = strtoul(port, NULL, 10);
        if (written <= 0 || (size_t)written >= sizeof(url->host) || number == 0 ||
            number > UINT16_MAX)
            status = refuse_parse(CURLUE_MALFORMED_INPUT, problem);
        url->port = (uint16_t)number;
    }
    curl_free(host);
    curl_free(port);
    return status;
}

int fetch_url_set(struct fetch_url *url, const char *text, const struct address_rules *rules,
                  struct problem *problem)
{
    if (!*text) /* libcurl's versions differ in what they call this */
        return refuse_parse(CURLUE_BAD_SCHEME, problem);
    if (strlen(text) > FETCH_URL_MAX)
        return refuse_parse(CURLUE_MALFORMED_INPUT, problem);
    if (!url->parts && !(url->parts = curl_url()))
        return refuse_parse(CURLUE_OUT_OF_MEMORY, problem);
    CURLUcode code = curl_url_set(url->parts, CURLUPART_URL, text,
                                  CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME | ENCODED);
    if (code != CURLUE_OK)
        return refuse_parse(code, problem);
    if (check_scheme(url, problem) < 0 || read_place(url, problem) < 0)
        return -1;
    bool port_refused;
    if (address_host_possible(rules, url->host, url->port, &port_refused))
        return 0;
    if (!port_refused) {
        return problem_set(problem, "url_forbidden",
                           "this server does not fetch from the host that the URL names");
    }
    return problem_set(problem, "url_forbidden", "this server does not fetch from port %d",
                       url->port);
}

bool fetch_url_name(const char *text, char *name, size_t size)
{
    CURLU *parts = curl_url();
    char *path = NULL;
    name[0] = '\0';
    if (parts && curl_url_set(parts, CURLUPART_URL, text, ENCODED) == CURLUE_OK)
        (void)curl_url_get(parts, CURLUPART_PATH, &path, CURLU_URLDECODE);
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (slash && strlen(slash + 1) < size)
        (void)snprintf(name, size, "%s", slash + 1);
    curl_free(path);
    curl_url_cleanup(parts);
    return name[0] != '\0';
}

void fetch_url_finish(struct fetch_url *url)
{
    curl_url_cleanup(url->parts);
    url->parts = NULL;
}
