#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups whose owner says only later what they restart from, as under LSF; and numbers that two schedulers share."""
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import OTHER, USER, Cluster, Refused, main, refused, test, wait_for  # noqa: E402


def defer(c, job, nodes, **more):
    for rank, r in enumerate(c.put_each(job, nodes, deferred=True, **more)):
        assert r == {"rank": rank, "state": "creating"}, r


def choose(c, job, node, snapshot, uid=USER):
    return c.node(node).call("POST", "/v1/jobs/%d/restart" % job, {"from": snapshot}, uid)


def becomes(c, job, nodes, state):
    for i in nodes:
        wait_for("job %d %s on n%d" % (job, state, i), lambda: c.node(i).job(job)["state"] == state)
    return c.node(nodes[0]).job(job)


@test
def restored():
    """nothing is made before the owner has spoken; then it is restored, elsewhere, or made afresh"""
    with Cluster(3) as c:
        c.put(50, [1, 2])
        c.snapshot(50, 1)
        c.snapshot(50, 1)
        c.delete(50, [1, 2])
        defer(c, 51, [3, 2])
        assert c.node(3).domain("fm-51-0") is None and c.node(2).domain("fm-51-1") is None
        choose(c, 51, 3, "50.1")
        assert becomes(c, 51, [3, 2], "running")["restored_from"] == "50.1"
        defer(c, 52, [1])
        choose(c, 52, 1, "")
        assert "restored_from" not in becomes(c, 52, [1], "running")


@test
def same_number():
    """what the owner says goes before the job's own newest"""
    with Cluster(2) as c:
        c.put(53, [1, 2])
        c.snapshot(53, 1)
        c.snapshot(53, 1)
        c.delete(53, [1, 2])
        defer(c, 53, [2, 1], restart_count=1)
        choose(c, 53, 2, "53.1")
        job = becomes(c, 53, [2, 1], "running")
        assert job["restored_from"] == "53.1" and job["incarnation"] == 1, job


@test
def who_and_when():
    """only the owner, only on the lead, only once, only such a group; another's snapshot is refused"""
    with Cluster(2) as c:
        c.put(54, [1], uid=OTHER, gid=OTHER, user="u%d" % OTHER)
        c.ended(c.begin(54, 1, OTHER), 1)
        refused(2, choose, c, 54, 1, "54", OTHER)  # not such a group
        defer(c, 55, [1, 2])
        refused(4, choose, c, 55, 1, "54", OTHER)
        assert "n1" in refused(2, choose, c, 55, 2, "54")
        refused(2, choose, c, 55, 1, "fifty-four")
        refused(3, choose, c, 56, 1, "54")
        choose(c, 55, 1, "54")
        job = becomes(c, 55, [1, 2], "failed")
        assert "another user's" in job["error"], job
        assert "another user's" in refused(4, choose, c, 55, 1, "")
        c.delete(55, [1, 2])
        defer(c, 57, [1, 2])
        choose(c, 57, 1, "")
        refused(8, choose, c, 57, 1, "54")
        becomes(c, 57, [1, 2], "running")


@test
def nobody_says():
    """a group of which nobody says anything is given up, everywhere; and one can be dropped while it waits"""
    with Cluster(2, CreateTimeout="3s") as c:
        defer(c, 58, [1, 2])
        assert "nobody has said" in becomes(c, 58, [1, 2], "failed")["error"]
        c.delete(58, [1, 2])
        defer(c, 58, [1, 2])
        c.delete(58, [1, 2])
        for i in (1, 2):
            refused(3, c.node(i).job, 58)


def watcher(node):
    """The process that reports the ends of a node's domains: the only worker of an agent that does nothing."""
    def only():
        pids = open("/proc/%d/task/%d/children" % (node.process.pid, node.process.pid)).read().split()
        return int(pids[0]) if len(pids) == 1 else None
    return wait_for("the watch alone", only)


@test
def again_at_once():
    """a number that is dropped and put again: the end of the domain before, reported late, is not taken for that of the new one"""
    with Cluster(1) as c:
        c.put(60, [1])
        c.put(61, [1])
        pid = watcher(c.node(1))
        for state in ("running", "creating"):
            os.kill(pid, signal.SIGSTOP)
            c.delete(60, [1])
            if state == "running":
                c.put(60, [1])
            else:
                defer(c, 60, [1])
            os.kill(pid, signal.SIGCONT)
            c.node(1).die("fm-61-0", "crash")  # comes behind it
            wait_for("the report", lambda: c.node(1).job(61)["state"] == "crashed")
            assert c.node(1).job(60)["state"] == state, c.node(1).job(60)
            c.delete(61, [1])
            c.put(61, [1])
        choose(c, 60, 1, "")
        becomes(c, 60, [1], "running")
        c.node(1).die("fm-60-0", "crash")
        becomes(c, 60, [1], "crashed")


@test
def members_again():
    """a member of a complete group is dropped and put again before the lead is: it waits for the lead's, and is not given the old group's plan"""
    with Cluster(2) as c:
        c.put(62, [1, 2])
        c.delete(62, [2])
        second = c.pool.submit(c.node(2).call, "PUT", "/v1/jobs/62/member", c.spec(62, [1, 2]))

        def asked():
            with open(c.node(1).log) as f:
                return "job=62 a member asks" in f.read().split("the group of 2 runs")[1]
        wait_for("the member to ask", asked)
        assert c.node(2).domain("fm-62-1") is None
        c.delete(62, [1])
        c.node(1).call("PUT", "/v1/jobs/62/member", c.spec(62, [1, 2]))
        assert second.result()["state"] == "running"
        c.snapshot(62, 1)


@test
def two_schedulers():
    """a number whose snapshots are another scheduler's is refused, and nothing is lost"""
    with Cluster(1) as c:
        c.put(59, [1])
        c.snapshot(59, 1)
        c.delete(59, [1])
        r = c.put_each(59, [1], scheduler="lsf")[0]
        assert isinstance(r, Refused) and r.code == 4 and "slurm" in r.text, r
        c.delete(59, [1])
        c.put(59, [1], restart_count=1)
        assert c.node(1).job(59)["restored_from"] == "59.1"


main()
