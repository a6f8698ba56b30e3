"""HTTP requests of the tests, each on a connection of its own unless one is given."""

import http.client
from urllib.parse import urlsplit


class Answer:
    def __init__(self, raw):
        self.status, self.headers, self.body = raw.status, raw.headers, raw.read()

    def __getitem__(self, name):
        return self.headers.get(name)


def connection(port, context=None):
    if context:
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


def ask(where, path, method="GET", **headers):
    """An Answer. where: a port, or a connection; a header's name may have _ for -."""
    used = where if hasattr(where, "request") else connection(where)
    try:
        used.request(method, path, headers={name.replace("_", "-"): value
                                            for name, value in headers.items()})
        return Answer(used.getresponse())
    finally:
        if used is not where:
            used.close()


def bare(url):
    """A result's URL without its signature."""
    return urlsplit(url).path
