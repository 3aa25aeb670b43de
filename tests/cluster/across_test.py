#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is new at several members is stored by one of them: fewer bytes, the same promises, whoever fails."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from alike import Alike  # noqa: E402
from cluster import USER, main, refused, test, wait_for  # noqa: E402

MIB = 24  # of each member's memory


def log_has(node, text):
    return text in open(node.log).read()


def put(c, job, nodes, **more):
    c.put(job, nodes, memory_mib=MIB, **more)


def stored(c, job, nodes):
    """Bytes of packs that the first snapshot of such a job takes."""
    put(c, job, nodes)
    s = c.snapshot(job, nodes[0])
    c.verify(s["snapshot"], nodes[-1])
    return c.bytes(job)


@test
def once():
    """four members, 80 % alike: stored once, also read again, on other nodes"""
    nodes = [1, 2, 3, 4]
    with Alike(4, 80, Compact="no", Across="no") as c:
        alone = stored(c, 20, nodes)
    with Alike(4, 80, Compact="no") as c:
        shared = stored(c, 21, nodes)
        # 4 of what is everybody's own, 1 or so of what is alike; a deadline missed costs bytes on a busy machine
        assert shared * 10 < alone * 7, (shared, alone)
        assert any(log_has(c.node(i), "different pages are in packs of other members") for i in nodes)
        before = c.pages(21)
        c.verify(c.snapshot(21, 1)["snapshot"])
        assert c.pages(21) == before
        c.delete(21, nodes)
        put(c, 22, nodes[::-1], restart_from="21")
        c.all_run(22, nodes[::-1])
        c.verify(c.snapshot(22, 4)["snapshot"])


@test
def encrypted():
    """the same where the job is encrypted: pages have other names, and these are asked for"""
    with Alike(2, 90, Compact="no") as c:
        key = os.path.join(c.dir, "site.key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(os.urandom(32).hex() + "\n")
        for i in (1, 2):
            c.node(i).kill()
            c.node(i).configure(dict(c.settings, KeyFile=key))
            c.node(i).start()
        put(c, 23, [1, 2])
        s = c.snapshot(23, 1)
        c.verify(s["snapshot"], 2)
        assert any(log_has(c.node(i), "different pages are in packs of other members") for i in (1, 2))
        c.delete(23, [1, 2])
        put(c, 24, [2, 1], restart_from="23")


@test
def owner_killed():
    """an owner's agent is killed -9 while it is asked: the snapshot is given up, every VM runs, the next one is whole"""
    with Alike(3, 80) as c:
        put(c, 25, [1, 2, 3])
        c.node(2).inject("claims.asked=kill")
        s = c.begin(25, 1)
        wait_for("n2's agent to die", lambda: c.node(2).process.poll() is not None)
        c.node(2).kill()
        c.node(2).inject("")
        c.node(2).start()
        assert c.ended(s, 1)["state"] == "failed"
        c.all_run(25, [1, 2, 3])
        wait_for("the job on n2", lambda: c.node(2).job(25)["state"] == "running")
        for _ in range(3):
            s = c.snapshot(25, 1)["snapshot"]
            c.verify(s, 3)
        c.compacted(25)
        c.verify(s)


@test
def owner_stands_still():
    """an owner that does not answer costs bytes: whoever asked stores by himself, and the snapshot is whole"""
    with Alike(2, 80, AcrossWait="1s") as c:
        put(c, 26, [1, 2])
        c.node(2).inject("claims.asked=hold")
        s = c.begin(26, 1)
        wait_for("n1 to do without", lambda: log_has(c.node(1), "stored here"))
        c.node(2).inject("")
        assert c.ended(s, 1)["state"] == "whole"
        c.verify(s)


@test
def owner_refuses():
    """an owner that answers with errors"""
    with Alike(2, 80) as c:
        put(c, 27, [1, 2])
        for i in (1, 2):
            c.node(i).inject("claims.asked=fail:no memory")
        c.verify(c.snapshot(27, 1)["snapshot"])
        assert log_has(c.node(1), "no memory")
        assert not log_has(c.node(1), "in packs of other members")


@test
def promise_not_kept():
    """who promised fails, or is killed -9, before its packs are there: no snapshot, nothing left, the next one is whole"""
    faults = ("save.end=fail:No space left on device", "save.end=kill", "save.suspended=kill")
    with Alike(3, 80) as c:
        for job, (fault, broken) in enumerate([(f, b) for f in faults for b in (1, 2)], 50):
            put(c, job, [1, 2, 3])
            c.node(broken).inject(fault)
            why = c.fails(job, 1)
            assert "member %d (n%d)" % (broken - 1, broken) in why, why
            c.node(broken).inject("")
            c.all_run(job, [1, 2, 3])
            assert not [n for n in c.files(job) if n.endswith(".map") or n.endswith(".json")], c.files(job)
            c.verify(c.snapshot(job, 1)["snapshot"])
            last = c.snapshot(job, 1)["snapshot"]
            c.verify(last, 2)
            c.delete(job, [1, 2, 3])
            put(c, job + 10, [3, 1, 2], restart_from=str(job))
            c.delete(job + 10, [1, 2, 3])


@test
def one_of_two_goes():
    """snapshots that share pages: one is removed, swept and compacted away, the other stays readable, from either side"""
    with Alike(3, 80) as c:
        for job, first in ((31, True), (32, False)):
            put(c, job, [1, 2, 3])
            a, b = c.snapshot(job, 1)["snapshot"], c.snapshot(job, 1)["snapshot"]
            gone, stays = (a, b) if first else (b, a)
            c.node(2).call("DELETE", "/v1/snapshots/" + gone)
            c.node(3).call("POST", "/v1/prune", {"job": job, "compact": True})
            c.compacted(job)
            c.verify(stays, 3)
            c.delete(job, [1, 2, 3])
            put(c, job + 10, [2, 3, 1], restart_from=stays)
            c.delete(job + 10, [1, 2, 3])


@test
def bad_questions():
    """whatever comes in a question: an error that says so, from root only; the agent goes on"""
    with Alike(2, 80) as c:
        put(c, 33, [1, 2])
        n = c.node(1)

        def ask(body, uid=0, path="/v1/snapshots/33.5/claims"):
            return n.call("POST", path, body, uid)
        h = "ab" * 16
        refused(4, ask, {"rank": 0, "hashes": h}, USER)
        refused(2, ask, None)
        refused(2, ask, {"rank": 2, "hashes": h})
        refused(2, ask, {"rank": -1, "hashes": h})
        refused(2, ask, {"rank": 0})
        refused(2, ask, {"rank": 0, "hashes": h[:-1]})
        refused(2, ask, {"rank": 0, "hashes": "x" * 32})
        refused(2, ask, {"rank": 0, "hashes": h * 4097})
        refused(3, ask, {"rank": 0, "hashes": h}, 0, "/v1/snapshots/34.1/claims")
        refused(3, ask, {"rank": 0, "hashes": h}, 0, "/v1/snapshots/33/claims")
        assert ask({"rank": 0, "hashes": h + h}) == {"others": "00"}
        assert ask({"rank": 1, "hashes": h + "cd" * 16}) == {"others": "01"}
        assert ask({"rank": 0, "hashes": h + "cd" * 16}) == {"others": "02"}
        assert ask({"rank": 0, "hashes": ""}) == {"others": ""}
        refused(3, ask, {"rank": 0, "hashes": h}, 0, "/v1/snapshots/33.4/claims")  # of an earlier snapshot
        assert ask({"rank": 1, "hashes": h}, 0, "/v1/snapshots/33.6/claims") == {"others": "00"}
        c.verify(c.snapshot(33, 1)["snapshot"])  # 33.1: the table is a later one's, so all is stored


if __name__ == "__main__":
    main()
