"""A web server of the worst kind, for the tests of url inputs: on loopback, in threads, each path
a behaviour of its own. What it was asked is kept in `requests`, what it is doing in `busy`."""

import collections
import socket
import threading
import time


class Origin:
    """Behaviours are methods on_NAME(connection, rest of the path); /NAME/rest leads to them."""

    def __init__(self, files, host="127.0.0.1"):
        self.files, self.requests, self.busy = files, [], collections.Counter()
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.socket = socket.create_server((host, 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.base = f"http://{host}:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, path):
        return f"{self.base}/{path}"

    def close(self):
        self.ended.set()
        self.socket.close()

    def accept(self):
        while not self.ended.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                while self.answer(connection):
                    pass
        except OSError:
            pass

    def answer(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data or data[0] == 0x16:  # the end, or TLS
                return False
            head += data
        lines = head.decode("latin-1").split("\r\n")
        path = lines[0].split()[1]
        headers = {name.strip().lower(): value.strip()
                   for name, _, value in (line.partition(":") for line in lines[1:])}
        self.requests.append((lines[0], headers))
        name, _, rest = path.lstrip("/").partition("?")[0].partition("/")
        with self.lock:
            self.busy[name] += 1
        try:
            return getattr(self, f"on_{name}")(connection, rest)
        finally:
            with self.lock:
                self.busy[name] -= 1

    @staticmethod
    def head(connection, status="200 OK", **headers):
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    # whole files

    def on_file(self, connection, name):
        data = self.files[name]
        self.head(connection, Content_Length=len(data), Set_Cookie="a=b")
        connection.sendall(data)
        return True

    def on_unsized(self, connection, name):
        self.head(connection, Connection="close")
        connection.sendall(self.files[name])
        return False

    def on_chunked(self, connection, name):
        data = self.files[name]
        self.head(connection, Transfer_Encoding="chunked")
        for start in range(0, len(data), 5000):
            piece = data[start : start + 5000]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        return True

    def on_paced(self, connection, name):
        """A file in 20 pieces over 2 seconds."""
        data = self.files[name]
        self.head(connection, Content_Length=len(data))
        step = len(data) // 20 + 1
        for start in range(0, len(data), step):
            connection.sendall(data[start : start + step])
            time.sleep(0.1)
        return True

    def on_empty(self, connection, _):
        self.head(connection, Content_Length=0)
        return True

    # redirects: /to/STATUS/URL

    def on_to(self, connection, rest):
        status, _, target = rest.partition("/")
        body = b"a body that says secret things"
        self.head(connection, f"{status} Elsewhere", Location=target, Content_Length=len(body))
        connection.sendall(body)
        return True

    def on_hops(self, connection, rest):
        """/hops/N/NAME: N redirects, then the file."""
        count, _, name = rest.partition("/")
        target = f"/hops/{int(count) - 1}/{name}" if int(count) > 1 else f"/file/{name}"
        self.head(connection, "302 Found", Location=target, Content_Length=0)
        return True

    def on_nowhere(self, connection, _):
        self.head(connection, "302 Found", Content_Length=0)
        return True

    # everything that is no good

    def on_status(self, connection, status):
        body = b"secret words of the origin"
        self.head(connection, f"{status} Secret Reason", Content_Length=len(body), X_Secret="secret")
        connection.sendall(body)
        return True

    def on_hang(self, _, __):
        self.ended.wait(60)
        return False

    def on_hang_in_body(self, connection, name):
        data = self.files[name]
        self.head(connection, Content_Length=len(data))
        connection.sendall(data[: len(data) // 2])
        self.ended.wait(60)
        return False

    def on_drip(self, connection, name):
        data = self.files[name]
        self.head(connection, Content_Length=len(data))
        for byte in data:
            connection.sendall(bytes([byte]))
            if self.ended.wait(0.05):
                break
        return False

    def on_drip_headers(self, connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not self.ended.wait(0.05):
            connection.sendall(b"A: b\r\n")
        return False

    def on_cut(self, connection, name):
        data = self.files[name]
        self.head(connection, Content_Length=len(data))
        connection.sendall(data[: len(data) // 2])
        return False

    def on_silent_end(self, _, __):
        return False

    def on_gibberish(self, connection, _):
        connection.sendall(b"220 secret ESMTP ready\r\n" * 10)
        return False

    def on_announced(self, connection, size):
        """Says that it has so many bytes, and sends some."""
        self.head(connection, Content_Length=size)
        connection.sendall(bytes(1000))
        self.ended.wait(60)
        return False

    def on_endless(self, connection, _):
        self.head(connection, Connection="close")
        while not self.ended.is_set():
            connection.sendall(bytes(65536))
        return False

    def on_endless_headers(self, connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100000):
            connection.sendall(b"X-%d: %s\r\n" % (number, b"secret" * 50))
        return False

    def on_interim(self, connection, _):
        while not self.ended.is_set():
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: secret\r\n\r\n" * 100)
        return False

    def on_packed(self, connection, _):
        self.head(connection, Transfer_Encoding="gzip, chunked")
        connection.sendall(b"4\r\n\x1f\x8b\x08\x00\r\n0\r\n\r\n")
        return False
