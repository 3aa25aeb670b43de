# SPDX-License-Identifier: GPL-2.0-or-later
"""A small S3 server on loopback that does harm on request.  It checks no signature: Swift does.

    with FaultServer() as s:
        s.fault("GET /bucket/a", status(500, "InternalError"), times=2)

A fault is for requests whose "METHOD path?query" its pattern matches, in the order given, `times` times (None: for
ever); then the request is served.  s.requests has all lines so far, s.objects and s.uploads what is kept.
"""
import http.server
import re
import socket
import ssl
import struct
import threading
import urllib.parse
from xml.sax.saxutils import escape

MESSAGES = {
    "InternalError": "We encountered an internal error. Please try again.",
    "SlowDown": "Please reduce your request rate.",
    "ExpiredToken": "The provided token has expired.",
    "InvalidAccessKeyId": "The AWS Access Key Id you provided does not exist in our records.",
    "RequestTimeTooSkewed": "The difference between the request time and the current time is too large.",
    "SignatureDoesNotMatch": "The request signature we calculated does not match the signature you provided.",
    "AccessDenied": "Access Denied",
    "XAmzContentSHA256Mismatch": "The provided 'x-amz-content-sha256' header does not match what was computed.",
    "NoSuchKey": "The specified key does not exist.",
    "NoSuchUpload": "The specified multipart upload does not exist.",
}


def error_xml(code):
    return ("<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>%s</Code><Message>%s</Message>"
            "<RequestId>1</RequestId></Error>" % (code, escape(MESSAGES.get(code, code)))).encode()


def status(number, code=None, headers=(), body=None):
    """An error's answer, with S3's XML if it has a code."""
    def act(h):
        h.answer(number, body if body is not None else error_xml(code) if code else b"", headers)
    return act


def reset(h):
    """The connection is torn down (RST), no answer."""
    h.tear()


def part_then(size, then, length=None):
    """An object's answer up to `size` bytes of its body, then `then`."""
    def act(h):
        content, meta = h.server.objects[h.path]
        h.begin(200, length or len(content), meta)
        h.wfile.write(content[:size])
        h.wfile.flush()
        then(h)
    return act


def close(h):
    h.close_connection = True


def stall(h):
    """Not a byte more until the client has gone, or the server ends."""
    h.connection.settimeout(0.1)
    while not h.server.ending.is_set():
        try:
            if not h.connection.recv(1):
                break
        except (socket.timeout, ssl.SSLWantReadError):
            continue
        except OSError:
            break
    h.close_connection = True


def served_then(then):
    """The request is done, but its answer is not this server's own."""
    def act(h):
        h.muted = True
        h.serve()
        h.muted = False
        then(h)
    return act


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    muted = False

    def log_message(self, *args):
        pass

    def begin(self, number, length, headers=()):
        if self.muted:
            return
        self.send_response(number)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, number, body=b"", headers=()):
        self.begin(number, len(body), headers)
        if self.command != "HEAD" and not self.muted:
            self.wfile.write(body)

    def send_response(self, code, message=None):
        self.send_response_only(code, message)
        self.send_header("Date", self.server.date or self.date_time_string())

    def tear(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def handle_any(self):
        line = "%s %s" % (self.command, self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        act = self.server.next_fault(line)
        (act or Handler.serve)(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def serve(self):
        s = self.server
        path, _, query = self.path.partition("?")
        q = urllib.parse.parse_qs(query, keep_blank_values=True)
        meta = [(k, v) for k, v in self.headers.items() if k.lower().startswith("x-amz-meta-")]
        if "uploadId" in q and q["uploadId"][0] not in s.uploads:
            self.answer(404, error_xml("NoSuchUpload"))
        elif self.command == "POST" and "uploads" in q:
            upload = "id/%d+" % len(s.requests)
            s.uploads[upload] = (path, meta, {})
            self.answer(200, ("<InitiateMultipartUploadResult><UploadId>%s</UploadId>"
                              "</InitiateMultipartUploadResult>" % upload).encode())
        elif self.command == "POST":
            key, meta, parts = s.uploads.pop(q["uploadId"][0])
            s.objects[key] = (b"".join(parts[n] for n in sorted(parts)), meta)
            self.answer(200, b"<CompleteMultipartUploadResult/>")
        elif "partNumber" in q:
            s.uploads[q["uploadId"][0]][2][int(q["partNumber"][0])] = self.body
            self.answer(200, headers=[("ETag", '"%032x"' % len(self.body))])
        elif self.command == "DELETE" and "uploadId" in q:
            del s.uploads[q["uploadId"][0]]
            self.answer(204)
        elif self.command == "PUT":
            s.objects[path] = (self.body, meta)
            self.answer(200)
        elif self.command == "DELETE":
            s.objects.pop(path, None)
            self.answer(204)
        elif path == "/bucket" and "uploads" in q:
            self.answer(200, ("<ListMultipartUploadsResult>%s</ListMultipartUploadsResult>" % "".join(
                "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
                % (key[len("/bucket/"):], upload) for upload, (key, _, _) in s.uploads.items())).encode())
        elif path == "/bucket":
            self.answer(200, ("<ListBucketResult><IsTruncated>false</IsTruncated>%s</ListBucketResult>" % "".join(
                "<Contents><Key>%s</Key><Size>%d</Size></Contents>" % (key[len("/bucket/"):], len(o[0]))
                for key, o in sorted(s.objects.items()))).encode())
        elif path in s.objects:
            content, meta = s.objects[path]
            self.answer(200, content, meta)
        else:
            self.answer(404, error_xml("NoSuchKey"))


class FaultServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https" if certificate else "http"
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.faults, self.requests, self.objects, self.uploads, self.date = [], [], {}, {}, None

    def handle_error(self, request, client_address):
        pass  # a client that does not trust us, or that was reset

    def url(self):
        return "%s://localhost:%d" % (self.scheme, self.server_address[1])

    def fault(self, pattern, act, times=None):
        self.faults.append([pattern, act, times])

    def next_fault(self, line):
        with self.lock:
            self.requests.append(line)
            for f in self.faults:
                if re.search(f[0], line) and f[2] != 0:
                    f[2] = f[2] and f[2] - 1
                    return f[1]
        return None

    def count(self, pattern):
        return sum(1 for line in self.requests if re.search(pattern, line))

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.shutdown()
        self.thread.join()
        self.server_close()
