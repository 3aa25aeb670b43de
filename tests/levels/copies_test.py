#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real agents with S3 as a level behind StoreDir: OpenStack Swift on loopback, and a server that does harm."""
import os
import shutil
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "cluster")]
from cluster import Cluster, Refused, main, test, wait_for  # noqa: E402
from fault_server import FaultServer, close, part_then, reset, status  # noqa: E402
from levels import Scratch, Swift  # noqa: E402

NODES = [1, 2]
SECRET = "testing"


class WithS3(Cluster):
    """A cluster whose level "far" is a bucket; the credentials are in c.credentials."""

    def __init__(self, url, key="test:tester", secret=SECRET, **settings):
        super().__init__(2, LevelRetry="300ms", **settings)
        self.credentials = os.path.join(self.dir, "credentials")
        self.write_secret(secret, key)
        self.settings["Level"] = "far s3:%s credentials=%s" % (url, self.credentials)

    def write_secret(self, secret, key="test:tester"):
        with open(os.open(self.credentials, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write("access_key=%s\nsecret_key=%s\n" % (key, secret))

    def far(self, snapshot):
        return self.node(1).call("GET", "/v1/snapshots/" + snapshot)["levels"][0]

    def becomes(self, snapshot, state):
        return wait_for("%s %s on the level" % (snapshot, state),
                        lambda: [self.far(snapshot)] if self.far(snapshot)["state"] == state else None, 120)[0]

    def lose(self, job):
        shutil.rmtree(os.path.join(self.store, str(job)))

    def back(self, job, snapshot):
        self.put(job, NODES, restart_from=snapshot)
        # one of them has fetched what both need, perhaps
        levels = [self.node(i).job(job)["restored_level"] for i in NODES]
        assert "far" in levels, levels
        self.delete(job, NODES)

    def said(self, word):
        return any(word in open(self.node(i).log).read() for i in NODES)


def with_swift(f):
    swift = Swift()
    try:
        swift.bucket("jobs")
        f(swift)
    finally:
        swift.close()


@test
def swift_life():
    """Swift: copied, StoreDir lost, shown, restored, verified, damage found and put right, removed"""
    def life(swift):
        with WithS3("http://127.0.0.1:%d/jobs/site/a" % swift.port) as c:
            c.put(80, NODES)
            c.snapshot(80, 1)
            c.snapshot(80, 1)
            e = c.becomes("80.1", "whole")
            c.becomes("80.2", "whole")
            assert e["where"] == "s3 http://127.0.0.1:%d/jobs/site/a" % swift.port, e
            c.delete(80, NODES)
            c.lose(80)
            found = c.node(2).call("GET", "/v1/snapshots?job=80&levels=1")["snapshots"]
            assert [(s["snapshot"], s["only_on"]) for s in found] == [("80.1", "far"), ("80.2", "far")], found
            c.back(800, "80.2")
            v = c.node(1).call("POST", "/v1/snapshots/80.2/verify")
            assert v["ok"] and v["levels"][1]["bytes"] > 0 and v["levels"][1]["seconds"] > 0, v
            largest = max(swift.data_files(), key=os.path.getsize)  # a pack
            with open(largest, "r+b") as f:
                f.seek(os.path.getsize(largest) // 2)
                byte = f.read(1)[0]
                f.seek(-1, os.SEEK_CUR)
                f.write(bytes([byte ^ 1]))
            v = c.node(1).call("POST", "/v1/snapshots/80.2/verify")
            bad = v["levels"][1]["damaged"]
            assert not v["ok"] and v["levels"][0]["ok"] and len(bad) == 1 and "/pages/" in bad[0]["file"], v
            v = c.node(1).call("POST", "/v1/snapshots/80.2/verify", {"repair": True})
            assert v["ok"] and v["levels"][1]["damaged"][0]["repaired"] == "store", v
            c.lose(80)
            c.back(801, "80.2")
            r = c.node(1).call("POST", "/v1/prune", {"job": 80, "keep": 1, "ended": True})["jobs"][0]
            c.node(1).call("DELETE", "/v1/snapshots/80.2")
            c.node(1).call("DELETE", "/v1/snapshots/80.1")
            wait_for("nothing there", lambda: not c.node(1).call("GET", "/v1/snapshots?job=80&levels=1")["snapshots"] and
                     not os.path.exists(os.path.join(c.store, "80", "removed.1")) and
                     not os.path.exists(os.path.join(c.store, "80", "removed.2")), 120)
            assert "levels_error" not in r, r
            assert not c.said(SECRET)
    with_swift(life)


@test
def swift_wrong_secret():
    """Swift: a wrong secret harms nothing, is shown, is in no log, and once it is right the copy is made"""
    def wrong(swift):
        with WithS3("http://127.0.0.1:%d/jobs" % swift.port, secret="WrongSecret1") as c:
            c.put(81, NODES)
            c.snapshot(81, 1)
            e = c.becomes("81.1", "failed")
            assert "SignatureDoesNotMatch" in e["error"] and c.credentials in e["error"], e
            c.all_run(81, NODES)
            v = c.node(2).call("POST", "/v1/snapshots/81.1/verify")
            assert not v["ok"] and v["levels"][0]["ok"] and v["levels"][1]["state"] == "unreachable", v
            c.write_secret(SECRET)
            c.becomes("81.1", "whole")
            c.delete(81, NODES)
            c.lose(81)
            c.write_secret("WrongSecret2")
            for r in c.put_each(81, [2, 1], restart_count=1):  # it must not begin afresh
                assert isinstance(r, Refused) and "SignatureDoesNotMatch" in r.text, r
            c.delete(81, NODES)
            c.write_secret(SECRET)
            c.put(81, [2, 1], restart_count=2)
            assert c.node(1).job(81)["restored_from"] == "81.1"
            assert not c.said("WrongSecret")
    with_swift(wrong)


@test
def server_errors():
    """a server that fails now and then, and answers that are cut off: copied and restored all the same"""
    with FaultServer() as s:
        for pattern in ("^PUT .*manifest", "^PUT .*pack$", "^PUT .*member", "^GET .*list-type"):
            s.fault(pattern, status(500, "InternalError"), 1)
            s.fault(pattern, reset, 1)
        with WithS3(s.url() + "/bucket") as c:
            c.put(82, NODES)
            c.snapshot(82, 1)
            c.becomes("82.1", "whole")
            c.delete(82, NODES)
            c.lose(82)
            s.fault("^GET .*manifest", part_then(50, close), 1)
            s.fault("^GET .*pack$", part_then(1000, reset), 1)
            s.fault("^GET .*member", status(503, "SlowDown"), 1)
            c.back(820, "82.1")


@test
def server_refuses():
    """credentials that expire while it is being copied: failed, with the reason; then completed, what is there not sent again"""
    with FaultServer() as s:
        s.fault("^PUT .*/1/manifest", status(400, "ExpiredToken"), 1)
        with WithS3(s.url() + "/bucket") as c:
            c.put(83, NODES)
            c.snapshot(83, 1)
            wait_for("the reason in the log", lambda: c.said("ExpiredToken"))
            c.becomes("83.1", "whole")
            packs = [r for r in s.requests if r.startswith("PUT") and r.endswith(".pack")]
            assert packs and len(packs) == len(set(packs)), packs


@test
def truncated_there():
    """an object that is shorter than it was: found by name, and not restored from"""
    with FaultServer() as s:
        with WithS3(s.url() + "/bucket") as c:
            c.put(84, NODES)
            c.snapshot(84, 1)
            c.becomes("84.1", "whole")
            c.delete(84, NODES)
            name = next(k for k in s.objects if k.endswith(".pack"))
            whole = s.objects[name]
            s.objects[name] = (whole[0][:-100], whole[1])
            v = c.node(1).call("POST", "/v1/snapshots/84.1/verify")
            assert [d["file"] for d in v["levels"][1]["damaged"]] == [name[len("/bucket/"):]], v
            c.lose(84)
            replies = c.put_each(840, NODES, restart_from="84.1")
            assert all(isinstance(r, Refused) and name.rsplit("/", 1)[1] in r.text for r in replies), replies
            c.delete(840, NODES)
            s.objects[name] = whole
            c.back(841, "84.1")


if __name__ == "__main__":
    main()
