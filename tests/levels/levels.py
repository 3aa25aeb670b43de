# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of places share: level_try, scratch folders, a Swift of our own.

Environment: LEVEL_TRY (the program; `make check` runs in the top of the build tree),
SYSTEM_PYTHON (the python3 that has python3-swift, default /usr/bin/python3).
"""
import hashlib
import http.client
import os
import random
import re
import select
import shutil
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TRY = os.environ.get("LEVEL_TRY", os.path.abspath("tests/levels/level_try"))
SYSTEM_PYTHON = os.environ.get("SYSTEM_PYTHON", "/usr/bin/python3")
PATIENCE = 60  # seconds that anything may take on a loaded machine before the test is called stuck

FAILED, USAGE, NOT_FOUND, DENIED, CORRUPT, TIMEOUT = 1, 2, 3, 4, 5, 7
SECRETS = []  # must be in nothing that level_try says


class Failure(Exception):
    def __init__(self, code, text):
        super().__init__("%d: %s" % (code, text))
        self.code, self.text = code, text


def options(**kw):
    return ["%s=%s" % item for item in kw.items()]


def level_try(*args):
    """Its output; Failure with what the user would read."""
    r = subprocess.run([TRY, *args], capture_output=True, text=True, timeout=PATIENCE * 5)
    for secret in SECRETS:
        assert secret not in r.stdout + r.stderr, "a secret is shown: %s%s" % (r.stdout, r.stderr)
    m = re.match(r"error (\d+): (.*)\n$", r.stdout, re.S)
    if r.returncode == 1 and m:
        raise Failure(int(m.group(1)), m.group(2))
    assert r.returncode == 0, "%s: status %d: %s%s" % (args, r.returncode, r.stdout, r.stderr)
    return r.stdout


def data(size, seed=1):
    return random.Random(seed).randbytes(size)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def wait_until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "%s: not within %d s" % (what, PATIENCE)
        time.sleep(0.02)


class Scratch:
    """A folder that goes away, and files in it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="fermata-levels-test.")

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, content, mode=0o600):
        if isinstance(content, str):
            content = content.encode()
        with open(self.path(name), "wb") as f:
            f.write(content)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def remove(self):
        shutil.rmtree(self.dir)


class Swift:
    """swift_server.py for as long as it is open; bucket() makes one."""

    def __init__(self):
        self.scratch = Scratch()
        self.process = subprocess.Popen([SYSTEM_PYTHON, os.path.join(HERE, "swift_server.py"), self.scratch.dir],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.port = self.wait_ready()
        except BaseException:
            self.close()
            raise

    def wait_ready(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE * 3)
        line = self.process.stdout.readline() if ready else "nothing within %d s\n" % (PATIENCE * 3)
        assert line.startswith("ready "), "the tests need OpenStack Swift (contrib/dependencies: python3-swift): " + line
        return int(line.split()[1])

    def call(self, method, path, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            r = c.getresponse()
            r.read()
            assert r.status < 300, "%s %s: HTTP %d" % (method, path, r.status)
            return r
        finally:
            c.close()

    def token(self):
        return self.call("GET", "/auth/v1.0", X_Auth_User="test:tester", X_Auth_Key="testing") \
            .getheader("X-Auth-Token")

    def bucket(self, name):
        self.call("PUT", "/v1/AUTH_test/" + name, X_Auth_Token=self.token())

    def data_files(self):
        return [os.path.join(folder, f) for folder, _, files in
                os.walk(os.path.join(self.scratch.dir, "devices", "d1", "objects")) for f in files if f.endswith(".data")]

    def close(self):
        self.process.stdin.close()  # its sign to end
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.scratch.remove()
