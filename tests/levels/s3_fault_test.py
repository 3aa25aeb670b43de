#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An S3 server that fails in every way: what passes is tried again, what does not is said, nothing half is kept."""
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fault_server import FaultServer, close, part_then, reset, served_then, stall, status  # noqa: E402
from levels import (CORRUPT, DENIED, FAILED, NOT_FOUND, PATIENCE, SECRETS, TIMEOUT, Failure, Scratch, data,  # noqa: E402
                    level_try, options, sha256)

CONTENT = data(100000)
SECRET, TOKEN = "VerySecret/KeyOfTheTest", "TokenOfTheTest=="
SECRETS += [SECRET, TOKEN]


class Case(unittest.TestCase):
    def setUp(self):
        self.scratch = Scratch()
        self.addCleanup(self.scratch.remove)
        self.credentials = self.scratch.file("credentials", "access_key=AKIATEST\nsecret_key=%s\nsession_token=%s\n"
                                             % (SECRET, TOKEN))
        self.source = self.scratch.file("source", CONTENT)
        self.got = self.scratch.path("got")

    def serve(self, **kw):
        server = FaultServer(**kw)
        self.enterContext(server)
        server.objects["/bucket/1/a"] = (CONTENT, [("x-amz-meta-fermata-sha256", sha256(CONTENT))])
        return server

    if not hasattr(unittest.TestCase, "enterContext"):  # python 3.10
        def enterContext(self, context):
            context.__enter__()
            self.addCleanup(context.__exit__)

    def call(self, server, *args, **opts):
        given = dict(endpoint=server.url(), credentials=self.credentials, tries=4, base_ms=1)
        given.update(opts)
        return level_try(*options(**given), "s3", *args)

    def fails(self, code, text, server, *args, **opts):
        with self.assertRaises(Failure) as caught:
            self.call(server, *args, **opts)
        self.assertEqual(caught.exception.code, code, caught.exception.text)
        self.assertRegex(caught.exception.text, text)
        self.assertIn("s3 %s/bucket: " % server.url(), caught.exception.text)
        self.assertFalse(os.path.exists(self.got))
        self.assertFalse([f for f in os.listdir(self.scratch.dir) if ".part" in f])

    def get_works(self, server, **opts):
        self.call(server, "get", "1/a", self.got, str(len(CONTENT)), sha256(CONTENT), **opts)
        self.assertEqual(self.scratch.read("got"), CONTENT)


class Passing(Case):
    """What may pass is tried again, so often and no more."""

    def test_pass(self):
        for fault in (status(500, "InternalError"), status(503, "SlowDown"), status(502), status(504), status(429),
                      status(503, "ServiceUnavailable", [("Retry-After", "1")]), status(500, body=b"<html>busy"),
                      status(400, "RequestTimeout"), reset, part_then(5000, close), part_then(50000, reset)):
            s = self.serve()
            s.fault("^GET", fault, 2)
            self.get_works(s)
            self.assertEqual(s.count("^GET"), 3)

    def test_put_passes(self):
        """the body is sent again from its beginning"""
        for fault in (status(500, "InternalError"), status(503, "SlowDown"), reset):
            s = self.serve()
            s.fault("^PUT", fault, 3)
            self.assertEqual(self.call(s, "put", "1/b", self.source), "stored\n")
            self.assertEqual(s.objects["/bucket/1/b"][0], CONTENT)
            self.assertEqual(s.count("^PUT"), 4)
            self.assertEqual(self.call(s, "put", "1/b", self.source), "there\n")

    def test_every_call(self):
        for args in (("head", "1/a"), ("list", ""), ("remove", "1/a"), ("sweep", "0"), ("check",)):
            s = self.serve()
            s.fault("", status(503, "SlowDown"), 3)
            self.call(s, *args)

    def test_for_ever(self):
        said = r"1/a: %s \(tried 4 times in \d+\.\d s\)$"
        for fault, code, text in (
                (status(500, "InternalError"), FAILED, "the server says HTTP 500 InternalError: We encountered an "
                                                       "internal error. Please try again."),
                (status(503, "SlowDown"), FAILED, "the server says HTTP 503 SlowDown: Please reduce your request rate."),
                (status(502), FAILED, "the server says HTTP 502"),
                (status(504), TIMEOUT, "the server says HTTP 504"),
                (part_then(5000, close), FAILED, "the answer was cut off: .*95000 bytes remaining.*"),
                (reset, FAILED, ".*([Cc]onnection|Recv).*")):
            s = self.serve()
            s.fault("^GET", fault)
            self.fails(code, said % text, s, "get", "1/a", self.got)
            self.assertEqual(s.count("^GET"), 4)

    def test_bounded_in_time(self):
        s = self.serve()
        s.fault("^GET", status(500, "InternalError"))
        self.fails(FAILED, r"\(tried 1 times", s, "get", "1/a", self.got, base_ms=60000, total_ms=10000, tries=100)

    def test_stall(self):
        """a transfer that stands still is ended, and tried again"""
        for fault in (stall, part_then(5000, stall)):
            s = self.serve()
            s.fault("^GET", fault)
            self.fails(TIMEOUT, "1/a: Operation too slow.* last 1 seconds .tried 2 times", s, "get", "1/a", self.got,
                       stall_s=1, tries=2)
            s.faults.clear()
            self.get_works(s)
            os.unlink(self.got)


class Final(Case):
    """What will not pass is said at once."""

    def test_refused(self):
        name = self.credentials
        for fault, text in (
                (status(400, "ExpiredToken"), "HTTP 400 ExpiredToken: The provided token has expired. .session_token in "
                                              "%s has expired" % name),
                (status(403, "InvalidAccessKeyId"), "HTTP 403 InvalidAccessKeyId: .* .is access_key in %s right" % name),
                (status(403, "SignatureDoesNotMatch"), "SignatureDoesNotMatch: .* .is secret_key in %s right" % name),
                (status(403, "AccessDenied"), "HTTP 403 AccessDenied: Access Denied$"),
                (status(403), "HTTP 403$")):
            for args in (("get", "1/a", self.got), ("head", "1/a"), ("put", "1/b", self.source), ("list", ""),
                         ("remove", "1/a"), ("sweep", "0"), ("check",)):
                s = self.serve()
                s.fault("", fault)
                self.fails(DENIED, text, s, *args)
                # HEAD's answer has no reason: it is asked for once more
                self.assertLessEqual(len(s.requests), 2, s.requests)
                self.assertEqual(list(s.objects), ["/bucket/1/a"])

    def test_clock(self):
        s = self.serve()
        s.date = "Sat, 01 Jan 2000 00:00:00 GMT"
        s.fault("", status(403, "RequestTimeTooSkewed"))
        self.fails(DENIED, r"RequestTimeTooSkewed: .*this host's clock and the server's are \d{9} s apart", s, "list", "")
        self.assertEqual(len(s.requests), 1)

    def test_expires_on_the_way(self):
        """credentials that expire between two parts: nothing is listed, and what could not be undone is swept"""
        s = self.serve()
        s.fault("^(PUT .*partNumber=3|DELETE)", status(400, "ExpiredToken"), 2)
        self.fails(DENIED, "1/b: part 3: .*ExpiredToken", s, "put", "1/b", self.source, multipart=1000, part=30000)
        self.assertEqual((len(s.uploads), list(s.objects)), (1, ["/bucket/1/a"]))
        self.assertEqual(self.call(s, "sweep", "3600"), "1\n")
        self.assertEqual(s.uploads, {})

    def test_wrong_content(self):
        """whole, but not the bytes that were put: once is enough to know"""
        other = bytes(CONTENT[:-1]) + bytes([CONTENT[-1] ^ 1])
        meta = [("x-amz-meta-fermata-sha256", sha256(CONTENT))]
        for content, expected, text in (
                (other, True, "1/a: is damaged: its SHA-256 is %s…, it must be %s…" %
                 (sha256(other)[:12], sha256(CONTENT)[:12])),
                (other, False, "1/a: is damaged: its SHA-256 is"),
                (CONTENT[:-1], True, "1/a: has 99999 bytes, not the 100000 it must have"),
                (b"", True, "1/a: has 0 bytes, not the 100000 it must have"),
                (CONTENT + b"x", True, "1/a: has 100001 bytes, not the 100000"),
                (CONTENT[:-1], False, "1/a: is damaged")):
            s = self.serve()
            s.objects["/bucket/1/a"] = (content, meta)
            self.fails(CORRUPT, text, s, "get", "1/a", self.got,
                       *([str(len(CONTENT)), sha256(CONTENT)] if expected else []))
            self.assertEqual(s.count("^GET"), 1)

    def test_changed_on_the_way(self):
        s = self.serve()
        s.fault("^PUT", status(400, "XAmzContentSHA256Mismatch"))
        self.fails(CORRUPT, "HTTP 400 XAmzContentSHA256Mismatch", s, "put", "1/b", self.source)
        self.assertEqual(s.count("^PUT"), 1)

    def test_not_found(self):
        s = self.serve()
        self.fails(NOT_FOUND, "2/a: the server says HTTP 404 NoSuchKey", s, "get", "2/a", self.got)
        self.fails(NOT_FOUND, r"2/a: no such object \(HTTP 404\)", s, "head", "2/a")

    def test_strange_listings(self):
        """what is no listing does not pass for an empty one"""
        bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><ListBucketResult>&a;</ListBucketResult>"
        for body, text in ((b"", "is no ListBucketResult"), (b"<html>welcome</html>", "is no ListBucketResult"),
                           (b"<ListBucketResult><Contents>", "the answer is not XML: line 1"), (bomb, "document type"),
                           (b"<ListBucketResult>" + b"<a>" * 20, "deeper"),
                           (b"<ListBucketResult><Contents><Key>" + b"k" * 5000, "longer texts"),
                           (b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
                            "does not say how to get it")):
            s = self.serve()
            s.fault("^GET", status(200, body=body))
            self.fails(FAILED, r"listing \*: .*" + text, s, "list", "")

    def test_control_characters(self):
        """of a server's words nothing reaches a terminal but words"""
        s = self.serve()
        s.fault("", status(403, body=b"<Error><Code>Odd</Code><Message>a&#10;b\x7f&#9;c</Message></Error>"))
        self.fails(DENIED, "HTTP 403 Odd: a b  c$", s, "list", "")

    def test_redirect(self):
        """the signed request is not shown to another host"""
        other = self.serve()
        s = self.serve()
        s.fault("", status(307, headers=[("Location", other.url() + "/bucket/1/a")]))
        self.fails(FAILED, "HTTP 307", s, "get", "1/a", self.got)
        self.assertEqual(other.requests, [])


class Parts(Case):
    """Uploads in parts: an object at the last step, nothing before, nothing left."""

    def put(self, server):
        return self.call(server, "put", "1/b", self.source, multipart=1000, part=30000)

    def stored(self, server):
        self.assertEqual(self.put(server), "stored\n")
        self.assertEqual(server.objects["/bucket/1/b"][0], CONTENT)
        self.assertEqual(server.uploads, {})

    def test_pass(self):
        for pattern in ("^POST .*uploads=", "partNumber=2", "partNumber=4", "^POST .*uploadId="):
            for fault in (status(500, "InternalError"), status(503, "SlowDown"), reset):
                s = self.serve()
                s.fault(pattern, fault, 2)
                self.stored(s)

    def test_for_ever(self):
        for pattern, step in (("^POST .*uploads=", "beginning an upload in parts"), ("partNumber=2", "part 2"),
                              ("^POST .*uploadId=", "putting the parts together")):
            s = self.serve()
            s.fault(pattern, status(500, "InternalError"))
            self.fails(FAILED, r"1/b: %s: the server says HTTP 500 .*tried 4 times" % step, s, "put", "1/b", self.source,
                       multipart=1000, part=30000)
            self.assertEqual((s.uploads, list(s.objects)), ({}, ["/bucket/1/a"]))

    def test_error_in_a_good_answer(self):
        """the last step says 200 before it knows"""
        s = self.serve()
        s.fault("^POST .*uploadId=", status(200, "InternalError"), 2)
        self.stored(s)
        s = self.serve()
        s.fault("^POST .*uploadId=", status(200, "AccessDenied"))
        self.fails(DENIED, "HTTP 200 AccessDenied", s, "put", "1/b", self.source, multipart=1000, part=30000)
        self.assertEqual(s.uploads, {})

    def test_answer_lost(self):
        """the last step was done, its answer lost, and the next try told that there is no such upload"""
        s = self.serve()
        s.fault("^POST .*uploadId=", served_then(reset), 1)
        self.stored(s)
        self.assertEqual(s.count("^POST .*uploadId="), 2)


class Tls(Case):
    def certificate(self):
        path = self.scratch.path("tls.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", path + ".key", "-out", path + ".crt"],
                       check=True, capture_output=True, timeout=PATIENCE)
        with open(path, "wb") as f:
            for end in (".key", ".crt"):
                with open(path + end, "rb") as one:
                    f.write(one.read())
        return path

    def test_verified(self):
        """a server that nobody vouches for is not talked to"""
        certificate = self.certificate()
        s = self.serve(certificate=certificate)
        self.fails(DENIED, "1/a: the server cannot be trusted: SSL certificate problem: self.signed", s, "get", "1/a",
                   self.got)
        self.assertEqual(s.requests, [])
        self.get_works(s, ca=certificate + ".crt")
        self.get_works(s, tls_any=1)
        os.unlink(self.got)
        with self.assertRaises(Failure) as caught:
            level_try(*options(endpoint=s.url().replace("localhost", "127.0.0.1"), credentials=self.credentials,
                               ca=certificate + ".crt"), "s3", "head", "1/a")
        self.assertIn("the server cannot be trusted", caught.exception.text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
