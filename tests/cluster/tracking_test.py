#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots of what has changed (Tracking=): each one is exact, and whatever went wrong before, the next is a whole one."""
import json
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, main, test, wait_for  # noqa: E402
from network import Network  # noqa: E402

NODES = [1, 2]
FULL, TRACKED = False, True


def touch(c, job, pages, version):
    """The guests write to these pages."""
    for rank, i in enumerate(NODES):
        path = os.path.join(c.node(i).run, "sim", "fm-%d-%d.pages" % (job, rank))
        with open(path + ".tmp", "w") as f:
            f.writelines("%d %d\n" % (p + rank, version) for p in pages)
        os.rename(path + ".tmp", path)


def pages(c, job, nodes):
    """Of each guest: what its pages are."""
    out = []
    for rank, i in enumerate(nodes):
        path = os.path.join(c.node(i).run, "sim", "fm-%d-%d.pages" % (job, rank))
        out.append(sorted(open(path)) if os.path.exists(path) else [])
    return out


def kind(c, snapshot):
    """Was it whole or of what had changed? All members alike."""
    job, n = snapshot.split(".")
    with open(os.path.join(c.store, job, n, "manifest.json")) as f:
        kinds = {m.get("tracked", False) for m in json.load(f)["members"]}
    assert len(kinds) == 1, "members of %s differ" % snapshot
    return kinds.pop()


def take(c, job, expected):
    s = c.snapshot(job, 1)["snapshot"]
    assert kind(c, s) == expected, "%s is %s" % (s, "whole" if expected else "tracked")
    return s


def workers(c, i):
    """The processes that the node's agent has besides the one that watches."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if int(rest.split()[1]) == c.node(i).process.pid and name.startswith("fermata-worker") and rest.split()[0] != "Z":
            found.append(int(pid))
    return found


def expect_exact(c, was):
    """{snapshot: its guests' pages}: the job ends, and each one is restored on the other nodes."""
    c.delete(90, NODES)
    for job, snapshot in enumerate(was, 91):
        c.put(job, [3, 4], restart_from=snapshot)  # the driver compares every page, too
        assert pages(c, job, [3, 4]) == was[snapshot], "%s: other pages than at the cut" % snapshot
        c.delete(job, [3, 4])


@test
def each_exact():
    """whole, of what has changed, …, and after TrackingFull whole again; each restores to what was at its cut"""
    with Cluster(4, Tracking="yes", TrackingFull="3") as c:
        c.put(90, NODES)
        was = {}
        for n, expected in enumerate((FULL, TRACKED, TRACKED, FULL, TRACKED)):
            s = take(c, 90, expected)
            was[s] = pages(c, 90, NODES)
            touch(c, 90, range(n * 7, n * 7 + 20), n + 1)
            m = c.node(1).call("GET", "/v1/snapshots/" + s)["members"][0]
            assert not expected or m["zero_pages"] + m["known_pages"] + m["stored_pages"] < 60, m
        assert len(workers(c, 1)) == 2
        expect_exact(c, was)
        wait_for("the end of the worker that tracked", lambda: len(workers(c, 1)) == 1)


@test
def off():
    """without Tracking= no worker stays"""
    with Cluster(2) as c:
        c.put(90, NODES)
        take(c, 90, FULL)
        take(c, 90, FULL)
        wait_for("the end of the worker", lambda: len(workers(c, 1)) == 1)


@test
def failed_before():
    """a snapshot fails at any step, for one member's sake: the next is whole, and exact; then they are tracked again"""
    with Cluster(4, Tracking="yes") as c:
        c.put(90, NODES)
        take(c, 90, FULL)
        version, was = 1, {}
        for slot in ("member.armed", "member.cut", "save.tracked", "save.suspended", "member.saving", "save.end"):
            touch(c, 90, range(version, version + 9), version)
            c.node(2).inject(slot + "=fail")
            c.fails(90, 1)
            c.node(2).inject("")
            c.all_run(90, NODES)
            touch(c, 90, range(version + 4, version + 15), version + 1)
            # who had saved before the other failed has a worker that waits, but nothing whole to go on from
            was[take(c, 90, FULL)] = pages(c, 90, NODES)
            touch(c, 90, range(40, 45), version + 2)
            was[take(c, 90, TRACKED)] = pages(c, 90, NODES)
            version += 3
        expect_exact(c, was)


@test
def doubt():
    """what has changed is not certain at one member: that one saves all, and the snapshot is whole"""
    with Cluster(4, Tracking="yes") as c:
        c.put(90, NODES)
        take(c, 90, FULL)
        touch(c, 90, range(5), 1)
        c.node(2).inject("save.track=fail:another program saved the domain")
        s = c.snapshot(90, 1)["snapshot"]
        c.node(2).inject("")
        with open(os.path.join(c.store, "90", "2", "manifest.json")) as f:
            assert [m.get("tracked", False) for m in json.load(f)["members"]] == [TRACKED, FULL]
        was = {s: pages(c, 90, NODES)}
        was[take(c, 90, TRACKED)] = pages(c, 90, NODES)
        expect_exact(c, was)


@test
def removed():
    """the last snapshot was removed: there is nothing to go on from"""
    with Cluster(4, Tracking="yes") as c:
        c.put(90, NODES)
        take(c, 90, FULL)
        s = take(c, 90, TRACKED)
        c.node(1).call("DELETE", "/v1/snapshots/" + s)
        touch(c, 90, range(5), 1)
        s = take(c, 90, FULL)
        c.node(1).call("DELETE", "/v1/snapshots/90.1")  # an older one does not matter
        was = {s: pages(c, 90, NODES)}
        was[take(c, 90, TRACKED)] = pages(c, 90, NODES)
        expect_exact(c, was)


@test
def died():
    """an agent is killed, a worker is: no tracking goes on from before"""
    with Cluster(4, Tracking="yes") as c:
        c.put(90, NODES)
        take(c, 90, FULL)
        for i in NODES:
            c.node(i).kill()
            c.node(i).start()
        wait_for("the member", lambda: c.node(1).job(90)["state"] == "running")
        touch(c, 90, range(9), 1)
        take(c, 90, FULL)
        for i in NODES:
            for pid in workers(c, i):
                os.kill(pid, signal.SIGKILL)  # the one that watches, too: it is started again
        wait_for("the agents' notice", lambda: all("tracking ended" in open(c.node(i).log).read() for i in NODES))
        touch(c, 90, range(4, 12), 2)
        expect_exact(c, {take(c, 90, FULL): pages(c, 90, NODES)})


@test
def under_load():
    """messages under load: for each pair sent = received + held, also where only what has changed is saved"""
    with Network(4, rate=300, Tracking="yes") as c:
        c.put(90, NODES)
        c.flows(90, NODES)
        for n in range(4):
            s = take(c, 90, TRACKED if n else FULL)
            c.conserved(s, 2)
            c.flows(90, NODES)
        c.delete(90, NODES)
        c.put(91, [3, 4], restart_from=s)
        c.flows(91, [3, 4])


main()
