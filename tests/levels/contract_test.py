#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of level.h, the same cases over every kind of place: a directory, and S3 by OpenStack Swift."""
import os
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from levels import (CORRUPT, DENIED, FAILED, NOT_FOUND, PATIENCE, SECRETS, TRY, USAGE, Failure, Scratch, Swift,  # noqa: E402
                    data, level_try, options, sha256)

SECRET = "testing"
SLOW = 200000  # bytes/s


class Contract:
    """Cases; a subclass has place() (options and kind) and damage(content)."""

    def setUp(self):
        self.scratch = Scratch()
        self.addCleanup(self.scratch.remove)
        self.prepare()

    def call(self, *args, **opts):
        return level_try(*options(**opts), *self.place(), *args)

    def put(self, name, content, **opts):
        return self.call("put", name, self.scratch.file("source", content), **opts).strip()

    def fails(self, code, *args, **opts):
        with self.assertRaises(Failure) as caught:
            self.call(*args, **opts)
        self.assertEqual(caught.exception.code, code, caught.exception.text)
        return caught.exception.text

    def list(self, prefix=""):
        return dict(line.rsplit(" ", 1) for line in self.call("list", prefix).splitlines())

    def get(self, name, *expected):
        self.call("get", name, self.scratch.path("got"), *expected)
        content = self.scratch.read("got")
        os.unlink(self.scratch.path("got"))
        return content

    def left_over(self):
        return [f for f in os.listdir(self.scratch.dir) if ".part" in f]

    def test_round_trip(self):
        for size in (0, 1, 65536, 300001):
            content = data(size, size)
            name = "1234/pages/%064x.pack" % size
            self.assertEqual(self.put(name, content), "stored")
            self.assertEqual(self.get(name), content)
            self.assertEqual(self.get(name, str(size), sha256(content)), content)
            head = self.call("head", name).split()
            self.assertEqual(int(head[0]), size)
            self.assertIn(head[1], ("-", sha256(content)))
        self.assertEqual(len(self.list("1234/pages/")), 4)

    def test_large(self):
        """what S3 takes in parts"""
        content = data(1000003)
        self.assertEqual(self.put("1/big.pack", content, multipart=100000, part=300000), "stored")
        self.assertEqual(self.get("1/big.pack", str(len(content)), sha256(content)), content)
        self.assertEqual(self.put("1/big.pack", content, multipart=100000, part=300000), "there")
        self.assertEqual(self.list(), {"1/big.pack": "1000003"})

    def test_there(self):
        """the same again moves nothing; other bytes of the same size replace it"""
        self.assertEqual(self.put("1/a", data(5000, 1)), "stored")
        self.assertEqual(self.put("1/a", data(5000, 1)), "there")
        self.assertEqual(self.put("1/a", data(5000, 2)), "stored")
        self.assertEqual(self.get("1/a"), data(5000, 2))
        self.assertEqual(self.put("1/a", data(10, 3)), "stored")
        self.assertEqual(self.list(), {"1/a": "10"})

    def test_list(self):
        """prefixes are of names, not of folders; more than one page of a server's answer"""
        names = ["1/7/member-%d.map" % i for i in range(13)] + ["1/7/manifest.json", "1/70/x", "12/x", "top"]
        for name in names:
            self.put(name, name)
        for prefix in ("", "1", "1/", "1/7", "1/7/", "1/7/member-1", "1/7/manifest.json", "2", "1/8/", "top/"):
            self.assertEqual(self.list(prefix), {n: str(len(n)) for n in names if n.startswith(prefix)}, prefix)
        self.assertEqual(self.call("usage", "1/7/").split()[:2],
                         ["14", str(sum(len(n) for n in names if n.startswith("1/7/")))])

    def test_names(self):
        source = self.scratch.file("source", b"x")
        for name in ("", "/", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "a b", "a%2Fb", "ä", "a" * 901):
            for args in (("put", name, source), ("get", name, source), ("head", name), ("remove", name)):
                self.assertIn("not the name of an object", self.fails(USAGE, *args))
        name = "/".join(["d" * 99] * 8) + "/" + "f" * 100  # 900
        self.assertEqual(self.put(name, b"deep"), "stored")
        self.assertEqual(self.list("d"), {name: "4"})
        self.assertEqual(self.get(name), b"deep")

    def test_remove(self):
        self.put("1/a", b"a")
        self.put("1/b", b"b")
        self.call("remove", "1/a")
        self.call("remove", "1/a")
        self.assertEqual(self.list(), {"1/b": "1"})
        for args in (("head", "1/a"), ("get", "1/a", self.scratch.path("got")), ("head", "2/a")):
            self.assertIn(args[1] + ": ", self.fails(NOT_FOUND, *args))
        self.assertFalse(os.path.exists(self.scratch.path("got")) or self.left_over())
        self.call("remove", "1/b")
        self.assertEqual(self.list(), {})
        self.assertEqual(self.put("1/a", b"a"), "stored")

    def test_damaged_source(self):
        """a file that is not what its owner says does not become a copy"""
        for opts in ({}, {"multipart": 1000, "part": 30000}):
            source = self.scratch.file("source", data(100000))
            text = self.fails(CORRUPT, "put", "1/a", source, sha256="0" * 64, **opts)
            self.assertIn("%s is damaged: its SHA-256 is %s" % (source, sha256(data(100000))[:12]), text)
            self.assertEqual(self.list(), {})
            self.assertEqual(self.call("sweep", "0"), "0\n")

    def test_expected(self):
        """an object that is not the expected one does not replace a local file"""
        content = data(50000)
        self.put("1/a", content)
        kept = self.scratch.file("got", b"kept")
        text = self.fails(CORRUPT, "get", "1/a", kept, "50001", sha256(content))
        self.assertIn("1/a: has 50000 bytes, not the 50001 it must have", text)
        text = self.fails(CORRUPT, "get", "1/a", kept, "50000", "1" * 64)
        self.assertIn("111111111111", text)
        self.assertIn(sha256(content)[:12], text)
        self.assertEqual(self.scratch.read("got"), b"kept")
        self.assertFalse(self.left_over())

    def test_damaged_copy(self):
        """a flipped bit in the place is found, named, and repaired by a new copy"""
        content = data(50000, 77)
        self.put("1/a", content)
        self.damage(content)
        text = self.fails(CORRUPT, "get", "1/a", self.scratch.path("got"), "50000", sha256(content))
        self.assertIn("1/a: is damaged: its SHA-256 is", text)
        self.assertFalse(os.path.exists(self.scratch.path("got")) or self.left_over())
        self.call("remove", "1/a")
        self.assertEqual(self.put("1/a", content), "stored")
        self.assertEqual(self.get("1/a", "50000", sha256(content)), content)

    def test_stopped(self):
        """progress may say stop: nothing is listed, nothing is left"""
        source = self.scratch.file("source", data(1000000))
        for opts in ({}, {"multipart": 1000, "part": 300000}):
            text = self.fails(FAILED, "put", "1/a", source, stop_after=500000, **opts)
            self.assertIn("stopped after ", text)
            self.assertEqual(self.list(), {})
            self.assertEqual(self.call("sweep", "0"), "0\n")
        self.put("1/a", data(1000000))
        self.fails(FAILED, "get", "1/a", self.scratch.path("got"), stop_after=500000)
        self.assertFalse(os.path.exists(self.scratch.path("got")) or self.left_over())

    def killed(self, *args, **opts):
        """SIGKILL, after bytes have moved and long before all have."""
        p = subprocess.Popen([TRY, *options(progress=1, bandwidth=SLOW, **opts), *self.place(), *args],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            moved = 0
            while moved < 300000:
                moved = int(p.stderr.readline())
        finally:
            p.kill()
            p.wait(PATIENCE)
            p.stderr.close()
        self.assertEqual(p.returncode, -signal.SIGKILL)

    def test_killed(self):
        """of a put that is killed nothing is listed; a sweep takes what it left once it is old"""
        source = self.scratch.file("source", data(5000000))
        self.killed("put", "1/a", source, multipart=100000, part=200000)
        self.assertEqual(self.list(), {})
        self.fails(NOT_FOUND, "head", "1/a")
        self.assertEqual(self.call("sweep", "3600"), "0\n")
        self.assertEqual(self.call("sweep", "0"), "1\n")
        self.assertEqual(self.call("sweep", "0"), "0\n")
        self.assertEqual(self.call("put", "1/a", source).strip(), "stored")
        kept = self.scratch.file("got", b"kept")
        self.killed("get", "1/a", kept)
        self.assertEqual(self.scratch.read("got"), b"kept")

    def test_many_writers(self):
        """of several that put one name one wins, whole"""
        contents = [data(200000 + i, i) for i in range(4)]
        writers = [subprocess.Popen([TRY, *self.place(), "put", "1/sub/a", self.scratch.file("source%d" % i, c)],
                                    stdout=subprocess.PIPE) for i, c in enumerate(contents)]
        for w in writers:
            self.assertEqual(w.communicate(timeout=PATIENCE * 3)[0], b"stored\n")
            self.assertEqual(w.returncode, 0)
        self.assertIn(self.get("1/sub/a"), contents)

    def test_throttle(self):
        """500000 bytes at 100000 bytes/s, a quarter of a second's at once: 4.7 s, no less whatever the machine does"""
        source = self.scratch.file("source", data(500000))
        begin = time.monotonic()
        self.call("put", "1/a", source, bandwidth=100000)
        self.assertGreater(time.monotonic() - begin, 4.7)

    def test_check(self):
        self.call("check")
        self.assertEqual(self.list(), {})


class Directory(Contract, unittest.TestCase):
    def prepare(self):
        self.root = self.scratch.path("place")
        os.mkdir(self.root)

    def place(self):
        return ["path=" + self.root, "directory"]

    def damage(self, content):
        with open(os.path.join(self.root, "1", "a"), "r+b") as f:
            f.seek(30000)
            f.write(bytes([content[30000] ^ 4]))

    def test_repair(self):
        """a copy of the right size that does not verify is replaced, without being removed first"""
        self.put("1/a", data(50000))
        self.damage(data(50000))
        self.assertEqual(self.put("1/a", data(50000)), "stored")
        self.assertEqual(self.get("1/a"), data(50000))

    def test_folders_go(self):
        self.put("1/7/a", b"a")
        self.put("1/7/b", b"b")
        self.call("remove", "1/7/a")
        self.assertTrue(os.path.isdir(os.path.join(self.root, "1", "7")))
        self.call("remove", "1/7/b")
        self.assertEqual(os.listdir(self.root), [".incoming"])

    def test_strangers(self):
        """what is no object is passed over, and a symlink leads nowhere"""
        self.put("1/a", b"a")
        self.scratch.file("secret", b"secret")
        os.symlink(self.scratch.path("secret"), os.path.join(self.root, "1", "link"))
        os.symlink(self.scratch.dir, os.path.join(self.root, "folder"))
        os.mkfifo(os.path.join(self.root, "1", "pipe"))
        for name in (".hidden", "a b"):
            with open(os.path.join(self.root, name), "w"):
                pass
        self.assertEqual(self.list(), {"1/a": "1"})
        for name in ("1/link", "1/pipe", "1"):
            self.fails(NOT_FOUND, "get", name, self.scratch.path("got"))

    def test_no_place(self):
        """a mount point that is not mounted is not filled"""
        missing = self.scratch.path("missing")
        with self.assertRaises(Failure) as caught:
            level_try("path=" + missing, "directory", "check")
        self.assertEqual(caught.exception.code, NOT_FOUND)
        self.assertIn("directory %s: cannot open it: No such file" % missing, caught.exception.text)
        text = self.fails(FAILED, "check", apart=self.scratch.dir)
        self.assertIn("is on the same file system as %s: is it mounted?" % self.scratch.dir, text)

    def test_denied(self):
        os.chmod(self.scratch.dir, 0o755)
        os.chmod(self.root, 0o755)
        source = self.scratch.file("source", b"x", 0o644)
        r = subprocess.run([TRY, *self.place(), "put", "1/a", source], capture_output=True, text=True, user=65534,
                           timeout=PATIENCE)
        self.assertIn("error %d: directory %s: 1/a: cannot create .incoming: Permission denied" % (DENIED, self.root),
                      r.stdout + r.stderr)

    def test_full(self):
        """no room: said, and nothing is left; what was there stays"""
        source = self.scratch.file("source", data(400000))
        small = self.scratch.file("small", data(1000))
        steps = 'mount -t tmpfs -o size=256k none "$1"; shift; "$@" put 1/kept %s; "$@" put 2/a %s; "$@" list ""; ' \
                'find "${1#path=}" -type f | wc -l; ls "${1#path=}"' % (small, source)
        r = subprocess.run(["unshare", "-m", "--propagation", "private", "bash", "-c",
                            steps.replace('"$@"', '%s "$@"' % TRY), "full", self.root, *self.place()],
                           capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(r.stderr, "")
        lines = r.stdout.splitlines()
        self.assertEqual(lines[0], "stored")
        self.assertIn("error %d: directory %s: 2/a: cannot write .incoming/" % (FAILED, self.root), lines[1])
        self.assertIn("No space left on device", lines[1])
        self.assertEqual(lines[2:], ["1/kept 1000", "1", "1"])


class S3(Contract, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.swift = Swift()
        cls.buckets = 0
        SECRETS.append("secret_key=" + SECRET)

    @classmethod
    def tearDownClass(cls):
        cls.swift.close()

    def prepare(self):
        type(self).buckets += 1
        self.bucket = "bucket%d" % self.buckets
        self.swift.bucket(self.bucket)
        self.scratch.file("credentials", "# of the test\naccess_key = test:tester\nsecret_key=%s\n" % SECRET)

    def place(self, **opts):
        given = dict(endpoint="http://127.0.0.1:%d" % self.swift.port, bucket=self.bucket, prefix="site/fermata",
                     credentials=self.scratch.path("credentials"), tries=3, base_ms=10)
        given.update(opts)
        return [*options(**given), "s3"]

    def damage(self, content):
        for path in self.swift.data_files():
            with open(path, "r+b") as f:
                if f.read() == content:
                    f.seek(30000)
                    f.write(bytes([content[30000] ^ 4]))
                    return
        self.fail("the object's file is not there")

    def refused(self, place, *args):
        with self.assertRaises(Failure) as caught:
            level_try(*place, *args)
        return caught.exception.code, caught.exception.text

    def test_credentials(self):
        """a wrong secret or key is refused at once by every call, and said"""
        self.put("1/a", b"a")
        source = self.scratch.file("source", b"x")
        wrong = self.scratch.file("wrong", "access_key=test:tester\nsecret_key=WrongSecret77\n")
        SECRETS.append("WrongSecret77")
        for args in (("put", "1/b", source), ("get", "1/a", self.scratch.path("got")), ("head", "1/a"), ("list", ""),
                     ("remove", "1/a"), ("usage", ""), ("sweep", "0"), ("check",)):
            code, text = self.refused(self.place(credentials=wrong), *args)
            self.assertEqual(code, DENIED, text)
            self.assertIn("HTTP 403 SignatureDoesNotMatch: ", text)
            self.assertIn("(is secret_key in %s right?)" % wrong, text)
            self.assertNotIn("tried", text)
        nobody = self.scratch.file("nobody", "access_key=test:nobody\nsecret_key=%s\n" % SECRET)
        code, text = self.refused(self.place(credentials=nobody), "head", "1/a")
        self.assertEqual(code, DENIED, text)
        self.assertEqual(self.list(), {"1/a": "1"})

    def test_credentials_file(self):
        good = "access_key=a\nsecret_key=KeepMe77\n"
        SECRETS.append("KeepMe77")
        for name, content, mode, code, text in (
                ("open", good, 0o640, DENIED, "must be a file of mode 0600"),
                ("none", "", 0o600, USAGE, "none: access_key is missing"),
                ("half", "access_key=a\n", 0o600, USAGE, "half: secret_key is missing"),
                ("twice", good + "secret_key=KeepMe77\n", 0o600, USAGE, "twice:3: secret_key is given twice"),
                ("bare", "KeepMe77\n", 0o600, USAGE, "bare:1: not key=value"),
                ("colour", "KeepMe77=x\n", 0o600, USAGE, "colour:1: not one of access_key, secret_key"),
                ("space", "access_key=KeepMe77 x\n", 0o600, USAGE, "space:1: access_key has a space"),
                ("long", "access_key=" + "a" * 300, 0o600, USAGE, "longer than 255")):
            got = self.refused(self.place(credentials=self.scratch.file(name, content, mode)), "check")
            self.assertEqual(got[0], code, got[1])
            self.assertIn(text, got[1])
        code, text = self.refused(self.place(credentials=self.scratch.path("missing")), "check")
        self.assertEqual(code, NOT_FOUND, text)

    def test_place(self):
        """a bucket that is not there is no empty place; a wrong region is named"""
        for args in (("list", ""), ("put", "1/a", self.scratch.file("source", b"x")), ("get", "1/a", "/dev/null/x")):
            code, text = self.refused(self.place(bucket="nothere"), *args)
            self.assertEqual(code, FAILED, text)
        code, text = self.refused(self.place(bucket="nothere"), "check")
        self.assertIn("a probe could not be written: s3 http://127.0.0.1:%d/nothere/site/fermata: probe/" %
                      self.swift.port, text)
        self.assertIn("NoSuchBucket", text)
        code, text = self.refused(self.place(region="eu-west-1"), "list", "")
        self.assertEqual(code, DENIED)
        self.assertIn('(is "eu-west-1" the bucket\'s region?)', text)
        for bad in ({"endpoint": "ftp://x"}, {"endpoint": "http://a@b"}, {"bucket": "a/b"}, {"region": ""},
                    {"prefix": "../x"}, {"prefix": "x/"}):
            self.assertEqual(self.refused(self.place(**bad), "list", "")[0], USAGE)

    def test_prefix(self):
        """two sites in one bucket do not see each other; nor what is not ours"""
        self.put("1/a", b"a")
        other = self.place(prefix="site/fermata2")
        bare = self.place(prefix="")
        level_try(*other, "put", "1/b", self.scratch.file("source", b"bb"))
        self.swift.call("PUT", "/v1/AUTH_test/%s/site/fermata/with%%20space" % self.bucket,
                        X_Auth_Token=self.swift.token(), Content_Length="0")
        self.assertEqual(self.list(), {"1/a": "1"})
        self.assertEqual(level_try(*other, "list", ""), "1/b 2\n")
        self.assertEqual(level_try(*bare, "list", "site/"), "site/fermata/1/a 1\nsite/fermata2/1/b 2\n")
        self.call("remove", "1/a")
        self.assertEqual(level_try(*other, "list", ""), "1/b 2\n")

    def test_sweep_is_ours(self):
        """a sweep leaves the uploads of others in the bucket alone"""
        source = self.scratch.file("source", data(3000000))
        theirs = self.place(prefix="theirs")
        self.killed("put", "1/a", source, multipart=100000, part=200000)
        self.assertEqual(level_try(*theirs, "sweep", "0"), "0\n")
        self.assertEqual(self.call("sweep", "0"), "1\n")

    def test_server_gone(self):
        """stopped: what the user reads when nobody listens"""
        code, text = self.refused(self.place(endpoint="http://127.0.0.1:1"), "head", "1/a")
        self.assertEqual(code, FAILED)
        self.assertRegex(text, r"s3 http://127.0.0.1:1/.*: 1/a: Failed to connect to 127.0.0.1 port 1 .*"
                               r"\(tried 3 times in ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
