#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The pass in the background: after a snapshot each page once and by zstd; in nobody's way, and harmless whatever ends it."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from alike import Alike  # noqa: E402
from cluster import main, test, wait_for  # noqa: E402

FERMATA = os.environ.get("FERMATA", os.path.abspath("fermata"))


@test
def by_itself():
    """after a snapshot: fewer bytes, said so, every pack still there, and all that was saved is read"""
    with Alike(2) as c:
        c.put(11, [1, 2], memory_mib=16)
        s = c.snapshot(11, 1)
        r = c.compacted(11)
        assert r["state"] == "done" and r["after"] < r["before"], r
        assert c.bytes(11) == r["after"], (c.pages(11), r)
        assert "pages compacted" in open(c.node(1).log).read()
        out = subprocess.run([FERMATA, "show", "11"], env={"FERMATA_CONF": c.node(2).conf}, text=True, check=True,
                             stdout=subprocess.PIPE).stdout
        assert "Compacted" in out and " of " in out, out
        c.verify(s["snapshot"])
        before = c.pages(11)
        again = c.snapshot(11, 1)
        assert again["members"][0]["stored_pages"] == 0, again
        wait_for("the second pass", lambda: c.compacted(11)["when"] >= r["when"])
        assert c.pages(11) == before  # nothing was new: nothing is written again
        c.verify(again["snapshot"])
        c.delete(11, [1, 2])
        c.put(12, [2, 1], memory_mib=16, restart_from="11")
        c.all_run(12, [2, 1])


@test
def not_wanted():
    """Compact=no: the packs stay as they were written"""
    with Alike(2, Compact="no") as c:
        c.put(13, [1, 2])
        c.snapshot(13, 1)
        before = c.pages(13)
        c.snapshot(13, 1)  # the first's pass would have been told by now
        assert c.pages(13) == before
        assert "compacted" not in c.node(1).job(13)


@test
def beside_everything():
    """snapshots, removals and verifications at once, with passes between: all of it works, and what is whole is readable"""
    with Alike(2) as c:
        c.put(14, [1, 2], memory_mib=16)
        whole = []
        for i in range(8):
            whole.append(c.snapshot(14, 1)["snapshot"])
            if i % 3 == 2:
                c.node(2).call("DELETE", "/v1/snapshots/" + whole.pop(0))
            if i % 2:
                c.verify(whole[-1], 2)
        for s in whole:
            c.verify(s)
        c.compacted(14)
        for s in whole:
            c.verify(s, 2)
        for s in whole:
            c.node(1).call("DELETE", "/v1/snapshots/" + s)
        wait_for("the pages to go", lambda: not c.pages(14))
        c.verify(c.snapshot(14, 1)["snapshot"])
        c.all_run(14, [1, 2])


@test
def agent_killed():
    """the agent is killed with -9 while the pass is at it: what there was is readable, and the next pass ends it"""
    with Alike(2) as c:
        c.put(15, [1, 2], memory_mib=64)
        for i in range(3):
            s = c.snapshot(15, 1)["snapshot"]
            wait_for("the pass to begin", lambda: c.node(1).job(15).get("compacted"))
            c.node(1).kill()
            c.node(1).start()
            wait_for("the job on n1", lambda: c.node(1).job(15)["state"] == "running")
            c.verify(s, 2)
        s = c.snapshot(15, 1)["snapshot"]
        r = c.compacted(15)
        assert r["state"] == "done", r
        c.verify(s)
        assert not [n for n in os.listdir(os.path.join(c.store, "15", "pages")) if n.endswith(".part")]
        c.delete(15, [1, 2])
        c.put(16, [1, 2], memory_mib=64, restart_from="15")
        c.all_run(16, [1, 2])


if __name__ == "__main__":
    main()
