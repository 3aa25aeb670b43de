#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A group's life: created, attached to, snapshotted, ended."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import USER, Cluster, main, refused, test, wait_for  # noqa: E402


@test
def create_attach_end():
    """a group is created, attached to and ended"""
    with Cluster(3) as c:
        c.put(7, [1, 2, 3])
        for rank in range(3):
            n = c.node(rank + 1)
            a = n.call("POST", "/v1/jobs/7/attach", {}, USER)
            assert a["rank"] == rank and len(a["token"]) == 64 and a["port"] == 7777, a
            assert a["address"].startswith("10.78."), a
            assert n.job(7)["state"] == "running"
            d = n.domain("fm-7-%d" % rank)
            assert d["state"] == "running", d
        c.put(7, [1, 2, 3])  # a prolog that runs twice
        c.delete(7, [1, 2, 3])
        for rank in range(3):
            assert c.node(rank + 1).domain("fm-7-%d" % rank) is None
            refused(3, c.node(rank + 1).job, 7)
        c.delete(7, [1, 2, 3])


@test
def whole():
    """a snapshot is made, shown and listed; a second one at once is busy"""
    with Cluster(3) as c:
        c.put(8, [1, 2, 3])
        c.node(2).inject("save.begin=hold")
        first = c.begin(8, 2, comment="by hand")
        assert first == "8.1"
        refused(8, c.begin, 8, 3)
        c.node(2).inject("")
        s = c.ended(first, 3)
        assert s["state"] == "whole" and len(s["members"]) == 3, s
        assert [m["node"] for m in s["members"]] == ["n1", "n2", "n3"]
        assert c.files(8) == ["8/1/manifest.json", "8/1/member-0.map", "8/1/member-1.map", "8/1/member-2.map"], c.files(8)
        assert c.snapshot(8, 1)["snapshot"] == "8.2"
        ids = [x["snapshot"] for x in c.node(1).call("GET", "/v1/snapshots?job=8", uid=USER)["snapshots"]]
        assert ids == ["8.1", "8.2"], ids
        assert c.node(3).call("GET", "/v1/snapshots/8", uid=USER)["snapshot"] == "8.2"
        assert c.node(1).call("POST", "/v1/snapshots/8.1/verify", {}, USER)["ok"] is True
        first, second = (c.node(1).call("GET", "/v1/snapshots/8.%d" % n, uid=USER) for n in (1, 2))
        assert all(m["stored_pages"] > 0 for m in first["members"]), first
        assert all(m["stored_pages"] == 0 and m["known_pages"] > 0 for m in second["members"]), second
        assert 10 * second["bytes"] < first["bytes"] and second["raw_bytes"] >= first["raw_bytes"] // 2, (first, second)
        assert "echo job 8" in c.node(2).call("GET", "/v1/snapshots/8/script", uid=USER)["script"]
        c.node(1).call("DELETE", "/v1/snapshots/8.1", uid=USER)
        refused(3, c.node(1).call, "GET", "/v1/snapshots/8.1")
        assert c.node(3).call("POST", "/v1/snapshots/8.2/verify", {}, USER)["ok"] is True  # its pages were written for 8.1
        c.all_run(8, [1, 2, 3])


@test
def next_at_once():
    """a node's agent may see the manifest before the lead has noted it: the next create waits for that, a third one is busy"""
    with Cluster(3) as c:
        c.put(9, [1, 2, 3])
        c.node(1).inject("lead.committed=hold")
        first = c.begin(9, 1)
        wait_for("9.1 to be whole for n2", lambda: c.node(2).call("GET", "/v1/snapshots/" + first)["state"] == "whole")
        asked = [c.pool.submit(c.begin, 9, node) for node in (2, 3)]
        wait_for("one of two to be busy", lambda: any(a.done() for a in asked))
        c.node(1).inject("")
        got = [str(a.exception() or a.result()) for a in asked]
        assert sorted(got) == ["409 job 9 is being snapshotted already (9.1)", "9.2"], got
        assert c.ended("9.2", 2)["state"] == "whole"


if __name__ == "__main__":
    main()
