#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A failed snapshot never harms the job: whatever fails, wherever, all VMs run and nothing is visible."""
import os
import signal
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import USER, Cluster, Refused, main, refused, test, wait_for  # noqa: E402

NODES = [1, 2, 3]


def unharmed(c, job, names):
    """All run, nothing is left in the store, and the next snapshot succeeds."""
    c.all_run(job, NODES)
    assert c.files(job) == names, c.files(job)
    for i in NODES:
        c.node(i).inject("")
    assert c.snapshot(job, 1)["state"] == "whole"
    c.all_run(job, NODES)


@test
def every_slot():
    """a worker that fails or is killed at any step, on the lead or on another: abort, job runs, nothing visible"""
    with Cluster(3) as c:
        c.put(20, NODES)
        done = []
        for victim in (1, 3):
            for slot in ("save.begin", "save.armed", "save.suspend", "save.suspended", "save.resume", "save.end"):
                for what in ("fail:injected", "kill"):
                    if slot == "save.resume" and what.startswith("fail"):
                        continue  # the driver's own promise: that guest cannot be resumed by it
                    c.node(victim).inject("%s=%s" % (slot, what))
                    why = c.fails(20, 2)
                    assert "member %d (n%d)" % (victim - 1, victim) in why, (slot, what, why)
                    if what.startswith("fail"):
                        assert "injected" in why, why
                    unharmed(c, 20, done)
                    done = c.files(20)
        assert len([f for f in done if f.endswith("manifest.json")]) == 22


@test
def lease():
    """a member that does not come back from its suspension in time: the gate's lease ends the snapshot"""
    with Cluster(3, GateMax="1500ms") as c:
        c.put(21, NODES)
        for victim, slot in ((2, "save.suspend"), (1, "save.suspended")):
            c.node(victim).inject("%s=delay:3500" % slot)
            why = c.fails(21, 1)
            assert "GateMax" in why or "no answer" in why, why
            before = c.files(21)
            assert all(not f.endswith(".map") or f.replace("member-", "").count("/") == 2 for f in before)
            c.all_run(21, NODES)
            unharmed(c, 21, before)


@test
def slow_disk_is_not_stop():
    """a slow end of the save keeps no guest suspended and no gate shut"""
    with Cluster(3) as c:
        c.put(22, NODES)
        c.node(2).inject("save.end=hold")
        snapshot = c.begin(22, 1)
        wait_for("the round save", lambda: c.node(1).job(22)["snapshot"]["round"] == "save")
        c.all_run(22, NODES)
        assert c.node(1).call("GET", "/v1/snapshots/" + snapshot)["state"] == "running"
        c.node(2).inject("")
        s = c.ended(snapshot, 1)
        assert s["state"] == "whole", s


@test
def agent_killed():
    """an agent killed in the middle: the lead names it, the others run on; restarted, it finds its guest running"""
    for slot, state in (("save.armed", "running"), ("save.suspended", "suspended"), ("save.end", "running")):
        with Cluster(3) as c:
            c.put(23, NODES)
            c.node(2).inject(slot + "=hold")
            snapshot = c.begin(23, 1)
            want = {"save.armed": "arm", "save.suspended": "cut", "save.end": "save"}[slot]
            wait_for("round " + want, lambda: c.node(1).job(23)["snapshot"]["round"] == want)
            if state == "suspended":
                wait_for("suspension", lambda: c.node(2).state("fm-23-1") == "suspended")
            c.node(2).kill()
            why = c.ended(snapshot, 1)["error"]
            assert "member 1 (n2)" in why, why
            c.node(2).inject("")
            c.node(2).start()
            assert c.node(2).job(23)["state"] == "running"
            c.all_run(23, NODES)
            assert c.files(23) == [], c.files(23)
            assert c.snapshot(23, 3)["state"] == "whole"


@test
def lead_killed():
    """the lead's agent killed in the middle: the members open by themselves; restarted, it snapshots again"""
    for slot, want in (("save.armed", "arm"), ("save.suspended", "cut")):
        with Cluster(3) as c:
            c.put(24, NODES)
            c.node(3).inject(slot + "=hold")
            c.begin(24, 2)
            wait_for("round " + want, lambda: c.node(1).job(24)["snapshot"]["round"] == want)
            c.node(1).kill()
            c.node(3).inject("")
            c.node(1).start()
            c.all_run(24, NODES)
            assert "restarted" in c.ended("24.1", 2)["error"]
            wait_for("another snapshot", lambda: whole(c, 24))
            c.all_run(24, NODES)


def whole(c, job):
    try:
        return c.ended(c.begin(job, 1), 1)["state"] == "whole"
    except Refused:
        return False


@test
def states_fail():
    """a failure injected at states of the lead and of a member: given up, all run, the next is whole"""
    with Cluster(3) as c:
        c.put(27, NODES)
        done = []
        for victim, slot in ((1, "lead.gate"), (1, "lead.store"), (2, "member.gated"), (1, "member.saving")):
            c.node(victim).inject("%s=fail:injected" % slot)
            why = c.fails(27, 3)
            assert "injected" in why, why
            unharmed(c, 27, done)
            done = c.files(27)
        c.node(2).inject("fm-27-1/member.arming=delay:200;fm-27-0/member.armed=fail")
        unharmed(c, 27, done)


@test
def guest_dies():
    """a guest that dies while it is snapshotted: the snapshot ends, the group with it, attach says why everywhere"""
    with Cluster(3) as c:
        c.put(25, NODES)
        c.node(2).inject("save.armed=hold")
        snapshot = c.begin(25, 1)
        wait_for("round arm", lambda: c.node(1).job(25)["snapshot"]["round"] == "arm")
        c.node(2).die("fm-25-1", "crash")
        wait_for("crashed", lambda: c.node(2).job(25)["state"] == "crashed")
        c.node(2).inject("")
        s = c.ended(snapshot, 1)
        assert s["state"] == "failed" and "member 1" in s["error"], s
        text = refused(1, c.node(2).call, "POST", "/v1/jobs/25/attach", {}, USER)
        assert "crashed" in text and "n2" in text, text
        wait_for("the domain's end", lambda: c.node(2).domain("fm-25-1") is None)
        wait_for("the others to hear", lambda: "crashed" in c.node(3).job(25).get("error", ""))
        for node, domain in ((1, "fm-25-0"), (3, "fm-25-2")):
            wait_for(f"the end of {domain}", lambda: c.node(node).domain(domain) is None)
            text = refused(1, c.node(node).call, "POST", "/v1/jobs/25/attach", {}, USER)
            assert "member 1" in text and "crashed" in text, text
        assert "member 1" in refused(1, c.begin, 25, 3)


@test
def no_space():
    """a store that cannot be written: the job runs on and the message says so"""
    with Cluster(3) as c:
        c.put(26, NODES)
        os.rename(c.store, c.store + ".away")
        open(c.store, "w").close()
        refused(1, c.begin, 26, 1)
        os.unlink(c.store)
        os.rename(c.store + ".away", c.store)
        unharmed(c, 26, [])


if __name__ == "__main__":
    main()
