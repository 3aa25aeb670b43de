# SPDX-License-Identifier: GPL-2.0-or-later
"""Real agents on 127.0.0.x with simulated domains, their own munged and one store.

    with Cluster(3) as c:
        c.put(1, [1, 2])                 # job 1 on nodes n1, n2
        c.node(1).call("GET", "/v1/jobs/1")

Environment: FERMATAD, FERMATA_WORKER (programs), CLUSTER_KEEP=1 (leave the folder).
Needs root: agents check who calls.  Nothing but loopback is used.
"""
import atexit
import concurrent.futures
import ctypes
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

USER, OTHER = 12001, 12002
STORE_ROOM = 1 << 30
_SETRESUID = {"x86_64": 117, "aarch64": 147}[platform.machine()]

# `make check` runs in the top of the build tree.
os.environ.setdefault("FERMATAD", os.path.abspath("fermatad"))
os.environ.setdefault("FERMATA_WORKER", os.path.abspath("fermata-worker"))


class Refused(Exception):
    def __init__(self, status, error):
        super().__init__("%d %s" % (status, error.get("text")))
        self.status, self.code, self.name, self.text = status, error["code"], error["name"], error["text"]


def refused(code, f, *args, **kw):
    """f fails with this code; its text."""
    try:
        f(*args, **kw)
    except Refused as e:
        assert e.code == code, e
        return e.text
    raise AssertionError("it was allowed")


def _thread_euid(uid):
    """This thread's alone: os.seteuid() would change all threads'."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(_SETRESUID), ctypes.c_long(-1), ctypes.c_long(uid), ctypes.c_long(-1)):
        raise OSError(ctypes.get_errno(), "setresuid")


class _Unix(http.client.HTTPConnection):
    def __init__(self, path, uid, timeout):
        super().__init__("agent", timeout=timeout)
        self.path, self.uid = path, uid

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        _thread_euid(self.uid)  # what SO_PEERCRED will say
        try:
            self.sock.connect(self.path)
        finally:
            _thread_euid(0)


def wait_for(what, condition, timeout=60):
    """The condition's first true value; polls, since what it waits for is another process."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("timed out waiting for " + what)
        time.sleep(0.02)


class Node:
    def __init__(self, cluster, number):
        self.cluster, self.number, self.name = cluster, number, "n%d" % number
        self.dir = os.path.join(cluster.dir, self.name)
        self.run = os.path.join(cluster.run, self.name)  # as /run is, in memory
        self.sock = os.path.join(self.dir, "sock")
        self.log = os.path.join(self.dir, "log")
        self.process = None
        self.env = {}  # of the agent, besides our own
        os.makedirs(self.dir)
        os.makedirs(os.path.join(self.run, "sim"))

    def configure(self, settings):
        keys = {
            "NodeName": self.name, "BindAddress": self.cluster.address(self.number), "Port": self.cluster.port,
            "NodeAddr": ",".join("n%d=%s" % (i, self.cluster.address(i)) for i in self.cluster.numbers),
            "Socket": self.sock, "RunDir": self.run, "StoreDir": self.cluster.store, "Hypervisor": "sim",
            "Gate": "sim", "ImageDir": self.cluster.images, "DefaultImage": "tiny", "GuestBridge": "",
            "MungeSocket": self.cluster.munge, "WorkerPath": os.environ["FERMATA_WORKER"], "LogLevel": "debug",
            "AdminUsers": "root",
            # no test is about them unless it sets them: a busy machine must not run into any
            "CreateTimeout": "60s", "RoundTimeout": "20s", "GateMax": "20s", "AcrossWait": "30s",
        }
        keys.update(settings)
        self.conf = os.path.join(self.dir, "conf")
        with open(self.conf, "w") as f:
            f.writelines("%s=%s\n" % kv for kv in keys.items() if kv[1] != "")

    def start(self):
        log = open(self.log, "a")
        self.process = subprocess.Popen([os.environ["FERMATAD"], "-f", self.conf], stdout=log, stderr=log,
                                        env={**os.environ, **self.env})
        log.close()
        self.wait_up()

    def wait_up(self):
        def up():
            if self.process.poll() is not None:
                raise AssertionError("%s ended: %s" % (self.name, self.tail()))
            try:
                return self.call("GET", "/v1/status")
            except (OSError, http.client.HTTPException):
                return None
        wait_for(self.name, up)

    def kill(self, sig=signal.SIGKILL):
        if self.process:
            self.process.send_signal(sig)
            self.process.wait()
            self.process = None

    def end(self):
        """Whatever it does, hang or be stopped or held: it ends."""
        if self.process:
            self.inject("")
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            self.kill()

    def call(self, method, path, body=None, uid=0, timeout=120):
        c = _Unix(self.sock, uid, timeout)
        try:
            c.request(method, path, None if body is None else json.dumps(body))
            r = c.getresponse()
            reply = json.loads(r.read())
        finally:
            c.close()
        if r.status // 100 != 2:
            raise Refused(r.status, reply["error"])
        return reply

    def job(self, job):
        return self.call("GET", "/v1/jobs/%d" % job)

    def tail(self, lines=15):
        with open(self.log) as f:
            return "".join(f.readlines()[-lines:])

    # ---- the simulated domains
    def inject(self, text):
        """Faults at the driver's slots; see agent/hypervisor/sim.h."""
        path = os.path.join(self.run, "sim", "inject")
        with open(path + ".tmp", "w") as f:
            f.write(text + "\n")
        os.rename(path + ".tmp", path)

    def domain(self, name):
        try:
            with open(os.path.join(self.run, "sim", name + ".json")) as f:
                return json.load(f)
        except FileNotFoundError:
            return None

    def state(self, name):
        d = self.domain(name)
        return d["state"] if d else None

    def die(self, name, reason):
        path = os.path.join(self.run, "sim", name + ".death")
        with open(path + ".tmp", "w") as f:
            f.write(reason)
        os.rename(path + ".tmp", path)


class Cluster:
    _next = [os.getpid() % 200 * 256]

    def __init__(self, count, **settings):
        self.dir = tempfile.mkdtemp(prefix="fermata-cluster-")
        os.chmod(self.dir, 0o755)
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.run = tempfile.mkdtemp(prefix="fermata-run-", dir=shm)
        self.numbers = range(1, count + 1)
        Cluster._next[0] += 16
        self.base = Cluster._next[0]
        self.port = _free_port(self.address(1))
        # also in memory where there is room: a disk's fsync() takes as long as others' writes want
        big = shm and os.statvfs(shm).f_bavail * os.statvfs(shm).f_bsize > STORE_ROOM
        self.store = os.path.join(self.run if big else self.dir, "store")
        self.images = os.path.join(self.dir, "images")
        os.makedirs(self.store, 0o700)
        os.makedirs(os.path.join(self.images, "tiny"))
        for name in ("kernel", "initramfs"):
            open(os.path.join(self.images, "tiny", name), "w").close()
        with open(os.path.join(self.images, "tiny", "image.conf"), "w") as f:
            f.write("Kernel=kernel\nInitramfs=initramfs\nMinMemory=1\n")
        self._start_munged()
        self.nodes = {i: Node(self, i) for i in self.numbers}
        self.settings = settings
        self.pool = concurrent.futures.ThreadPoolExecutor(32)
        atexit.register(self.close)

    def address(self, i):
        n = self.base + i if hasattr(self, "base") else 1
        return "127.77.%d.%d" % (n // 256 % 256, n % 256)

    def _start_munged(self):
        d = os.path.join(self.dir, "munge")
        os.mkdir(d, 0o755)
        key = os.path.join(d, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(os.urandom(64))
        self.munge = os.path.join(d, "sock")
        self.munged = subprocess.Popen(
            ["munged", "--foreground", "--force", "--key-file=" + key, "--socket=" + self.munge,
             "--pid-file=" + d + "/pid", "--seed-file=" + d + "/seed", "--log-file=" + d + "/log"],
            stdout=subprocess.DEVNULL, stderr=open(d + "/err", "w"))

        def answers():
            if self.munged.poll() is not None:
                raise AssertionError("munged ended: " + open(d + "/err").read())
            with socket.socket(socket.AF_UNIX) as s:  # the socket's file is there before anybody listens
                return s.connect_ex(self.munge) == 0
        wait_for("munged", answers)

    def __enter__(self):
        for n in self.nodes.values():
            n.configure(self.settings)
            n.start()
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            for n in self.nodes.values():
                print("# ---- %s\n# %s" % (n.name, n.tail(40).replace("\n", "\n# ")), file=sys.stderr)
        self.close()

    def close(self):
        for n in self.nodes.values():
            n.end()
        if self.munged:
            self.munged.terminate()
            self.munged.wait()
            self.munged = None
        self.pool.shutdown()
        if not os.environ.get("CLUSTER_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
            shutil.rmtree(self.run, ignore_errors=True)

    def node(self, i):
        return self.nodes[i]

    # ---- what the plug-in does
    def spec(self, job, nodes, **more):
        s = {"scheduler": "slurm", "job": job, "name": "test", "uid": USER, "gid": USER, "user": "u%d" % USER,
             "gids": [USER], "nodes": ["n%d" % i for i in nodes], "image": "tiny", "memory_mib": 2, "vcpus": 1,
             "restart_count": 0, "restart_from": "", "interval_s": 0, "keep": 0}
        s.update(more)
        return s

    def put_each(self, job, nodes, **more):
        """All prologs at once: the reply or the Refused of each node, by rank."""
        def one(rank):
            s = self.spec(job, nodes, **more)
            if rank == 0 and "script" not in s:
                s["script"] = "#!/bin/sh\necho job %d\n" % job
            try:
                return self.node(nodes[rank]).call("PUT", "/v1/jobs/%d/member" % job, s)
            except Refused as e:
                return e
        return list(self.pool.map(one, range(len(nodes))))

    def put(self, job, nodes, **more):
        for rank, r in enumerate(self.put_each(job, nodes, **more)):
            if isinstance(r, Refused):
                raise AssertionError("member %d: %s" % (rank, r))
            assert r == {"rank": rank, "state": "running"}, r

    def delete(self, job, nodes):
        list(self.pool.map(lambda i: self.node(i).call("DELETE", "/v1/jobs/%d/member" % job), nodes))

    # ---- snapshots
    def begin(self, job, node, uid=USER, **body):
        return self.node(node).call("POST", "/v1/jobs/%d/snapshots" % job, body, uid)["snapshot"]

    def ended(self, snapshot, node, timeout=60):
        def over():
            s = self.node(node).call("GET", "/v1/snapshots/" + snapshot)
            return s if s["state"] != "running" else None
        return wait_for("the end of " + snapshot, over, timeout)

    def snapshot(self, job, node, **body):
        s = self.ended(self.begin(job, node, **body), node)
        assert s["state"] == "whole", s
        return s

    def fails(self, job, node, **body):
        """A snapshot that must not succeed: why it did not."""
        s = self.ended(self.begin(job, node, **body), node)
        assert s["state"] == "failed", s
        return s["error"]

    def all_run(self, job, nodes):
        """Every VM runs and no gate is shut: what any failure must end with."""
        for rank, i in enumerate(nodes):
            name = "fm-%d-%d" % (job, rank)
            wait_for("%s on n%d running" % (name, i), lambda: self.node(i).state(name) == "running")

    def files(self, job):
        """What the store holds of a job's snapshots, without the numbers' empty folders and the pages they share."""
        out = []
        for root, _, names in os.walk(os.path.join(self.store, str(job))):
            out += [os.path.relpath(os.path.join(root, n), self.store) for n in names]
        return sorted(n for n in out if not n.endswith("/script") and "/pages/" not in n)


def _free_port(address):
    s = socket.socket()
    s.bind((address, 0))
    port = s.getsockname()[1]
    s.close()
    return port


# ---- TAP ------------------------------------------------------------------------------

_tests = []


def test(f):
    _tests.append(f)
    return f


def where(e):
    """An exception in a line: what, and in which line of the test."""
    lines = ["%s:%d" % (os.path.basename(f.filename), f.lineno) for f in traceback.extract_tb(e.__traceback__)]
    return "%s: %s (%s)" % (type(e).__name__, str(e)[:1000].replace("\n", " | "), ", ".join(lines[1:] or lines))


def tell_failed(failed):
    """Again, at the end of the log: only that may be all one sees."""
    for name, why in failed:
        print("# FAILED %s: %s" % (name, why), flush=True)


def main():
    if os.geteuid() != 0 or not shutil.which("munged"):
        print("1..0 # SKIP needs root and munged")
        sys.exit(77)
    chosen = [t for t in _tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    print("1..%d" % len(chosen), flush=True)
    failed = []
    for i, t in enumerate(chosen, 1):
        began, skipped = time.monotonic(), None
        try:
            skipped = t()  # why, when it cannot be run here
            result = "ok"
        except Exception as e:  # a test that fails must not end the others
            failed.append((t.__name__, where(e)))
            result = "not ok"
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
        print("%s %d - %s (%.1f s)%s" % (result, i, t.__doc__ or t.__name__, time.monotonic() - began, " # SKIP " + skipped if skipped else ""), flush=True)
    tell_failed(failed)
    sys.exit(1 if failed else 0)
