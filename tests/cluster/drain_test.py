#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draining by markers: what proves that nothing is under way, and what becomes of a snapshot where it was not so."""
import os
import struct
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import main, test  # noqa: E402
from network import MARKER, Network  # noqa: E402

NODES = [1, 2, 3]


def drained(s):
    return [m.get("drain") for m in s["members"]]


@test
def by_markers():
    """all markers are in: nobody waits for FlushBound, and it is told how long they took"""
    with Network(3, rate=300, FlushBound="10s", GateMax="60s") as c:
        c.put(80, NODES)
        c.flows(80, NODES)
        for _ in range(3):
            s = c.snapshot(80, 2)
            assert s["drain"] == "markers" and drained(s) == ["markers"] * 3, s
            assert 0 < s["marker_ms_max"] <= s["rounds_ms"]["drain"] < 10000, s
            assert s["marker_ms_max"] == max(m["marker_ms"] for m in s["members"]), s
            assert not s["notes"], s
            c.conserved(s["snapshot"], 3)
            c.flows(80, NODES)
        c.put(81, [2])
        s = c.snapshot(81, 2)
        assert s["drain"] == "markers" and s["rounds_ms"]["drain"] < 10000, "nobody to wait for: %s" % s


@test
def slower_than_the_bound():
    """markers that take longer than FlushBound, but come before the held frames are taken: whole, with a note"""
    with Network(3, rate=300) as c:
        c.put(82, NODES)
        c.wires(1, delay={2: 150})
        c.flows(82, NODES)
        c.node(2).inject("save.suspended=delay:2500")
        s = c.snapshot(82, 1)
        assert s["drain"] == "markers" and s["marker_ms_max"] >= 100, s
        assert any("member 1" in n and "raise it" in n for n in s["notes"]), s
        assert c.conserved(s["snapshot"], 3) > 0
        c.flows(82, NODES)


@test
def lost():
    """a marker that is lost: by FlushBound, which is noted"""
    with Network(3, rate=300) as c:
        c.put(83, NODES)
        c.wires(3, drop={2: "markers"})
        c.flows(83, NODES)
        s = c.snapshot(83, 1)
        assert s["drain"] == "bound" and drained(s) == ["markers", "bound", "markers"], s
        assert any("member 1" in n and "member 2" in n and "FlushBound" in n for n in s["notes"]), s
        c.conserved(s["snapshot"], 3)
        c.wires(3)
        assert c.snapshot(83, 1)["drain"] == "markers"


def too_late(c, job, slot, delay=900):
    c.put(job, NODES)
    c.flows(job, NODES)
    c.wires(1, delay={2: delay})
    slot(c)
    why = c.fails(job, 1)
    assert "member 1 (n2)" in why and "FlushBound (200 ms)" in why and "raise it" in why and "member 0" in why, why
    c.all_run(job, NODES)
    assert c.files(job) == [], c.files(job)
    c.node(2).inject("")
    c.node(3).inject("")
    c.flows(job, NODES)  # not one of the late ones is lost to the job
    c.wires(1)
    c.flows(job, NODES, 600)  # the slow ones have come
    c.conserved(c.snapshot(job, 1)["snapshot"], 3)
    c.flows(job, NODES)


@test
def after_the_export():
    """a marker that comes when the held frames have been taken: FlushBound was wrong, the snapshot is refused, the job unharmed"""
    with Network(3, rate=300, FlushBound="200ms") as c:  # so that votes wait for 4 s
        too_late(c, 84, lambda c: c.node(2).inject("save.end=delay:3000"))  # it is still writing
        too_late(c, 85, lambda c: c.node(3).inject("save.suspended=delay:3000"))  # it waits for another's cut
        too_late(c, 90, lambda c: None, 700)  # all else is done: its vote has waited for it


def marker(c, frm, to, payload):
    def mac(rank):
        return bytes.fromhex(c.node(rank + 1).domain("fm-86-%d" % rank)["vifs"][0]["mac"].replace(":", ""))
    return (mac(to) + mac(frm) + struct.pack(">H", MARKER) + b"fm-mark\n" + bytes([len(payload)]) + payload).ljust(60, b"\0")


@test
def forged():
    """markers that nobody with the key has made are no markers, however they look"""
    with Network(3, rate=300, FlushBound="100ms") as c:
        c.put(86, NODES)
        c.wires(1, drop={2: "markers"})
        c.flows(86, NODES)
        said = struct.pack(">IIII", 86, 1, 0, 1)
        frames = [marker(c, 0, 1, p) for p in (said + os.urandom(16), said + bytes(16), said, b"", os.urandom(64))]
        frames.append(marker(c, 0, 1, said + bytes(16))[:22])
        stop = threading.Event()

        def flood():
            while not stop.wait(0.005):
                for f in frames:
                    c.inject_frame(2, f)
        t = threading.Thread(target=flood)
        t.start()
        try:
            s = c.snapshot(86, 1)
        finally:
            stop.set()
            t.join()
        assert s["drain"] == "bound" and drained(s) == ["markers", "bound", "markers"], s
        c.conserved(s["snapshot"], 3)  # nor are they held, or given to the guest
        c.flows(86, NODES)


@test
def configured():
    """Drain=bound, or a group larger than MarkerMembers: by FlushBound; the second is noted"""
    with Network(3, rate=300, Drain="bound") as c:
        c.put(87, NODES)
        s = c.snapshot(87, 1)
        assert s["drain"] == "bound" and "marker_ms_max" not in s, s
        assert not any("arker" in n or "FlushBound" in n for n in s["notes"]), s
        assert s["rounds_ms"]["drain"] > 15, s  # timers look at a clock that is a little late
    with Network(3, rate=300, MarkerMembers=2) as c:
        c.put(88, NODES)
        s = c.snapshot(88, 1)
        assert s["drain"] == "bound" and any("MarkerMembers" in n for n in s["notes"]), s
        c.put(89, [1, 2])
        assert c.snapshot(89, 1)["drain"] == "markers"


if __name__ == "__main__":
    main()
