#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Members' writable disks: of their memory's instant, made anew for every restore, and gone with their members."""
import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, Refused, main, test, wait_for  # noqa: E402

FERMATA = os.environ.get("FERMATA", os.path.abspath("fermata"))
SIZE = 1 << 20


class Disks(Cluster):
    """Image tiny has a writable disk; nodes without: as on a site where Disks= was forgotten there."""

    def __init__(self, count, without=(), **settings):
        super().__init__(count, **settings)
        self.without = without
        folder = os.path.join(self.images, "tiny")
        with open(os.path.join(folder, "base"), "wb") as f:
            f.write(b"template")
            f.truncate(SIZE)
        with open(os.path.join(folder, "image.conf"), "a") as f:
            f.write("Disk=base,xvdb,w\n")

    def __enter__(self):
        for i, n in self.nodes.items():
            n.disks = os.path.join(n.run, "disks")
            n.configure({**self.settings, "Disks": "" if i in self.without else "sim:" + n.disks})
            n.start()
        return self

    def disk(self, i, name):
        return os.path.join(self.node(i).disks, name + ".xvdb")

    def write(self, i, name, text):
        """What the guest does."""
        with open(self.disk(i, name), "r+b") as f:
            f.seek(SIZE - 8192)
            f.write(text.encode().ljust(4096))

    def read(self, i, name):
        with open(self.disk(i, name), "rb") as f:
            data = f.read()
        assert len(data) == SIZE and data.startswith(b"template")
        return data[SIZE - 8192:SIZE - 4096].strip().decode().strip("\0")

    def present(self, i):
        d = self.node(i).disks
        return sorted(os.listdir(d)) if os.path.isdir(d) else []


def manifest(c, job, n):
    with open(os.path.join(c.store, str(job), str(n), "manifest.json")) as f:
        return json.load(f)


@test
def refused_without_a_place():
    """a node that could not copy a writable disk refuses the job, and says why; one without disks runs there"""
    with Disks(2, without=(2,)) as c:
        for r in c.put_each(70, [1, 2]):
            assert isinstance(r, Refused) and r.code == 6, r
            assert "member 1 (n2)" in r.text and "disk xvdb is writable" in r.text and "Disks=" in r.text, r.text
        for rank in range(2):
            wait_for("fm-70-%d gone" % rank, lambda: c.node(rank + 1).domain("fm-70-%d" % rank) is None)
        wait_for("no disk left", lambda: c.present(1) == [] and c.present(2) == [])
        c.delete(70, [1, 2])
        with open(os.path.join(c.images, "tiny", "image.conf"), "w") as f:
            f.write("Kernel=kernel\nInitramfs=initramfs\nMinMemory=1\nDisk=base,xvda,r\n")
        c.put(71, [1, 2])
        assert c.snapshot(71, 1)["members"][0].get("disks") is None and manifest(c, 71, 1)["version"] == 2


@test
def elsewhere():
    """what a disk had at the cut comes back, on other nodes; what was written later does not"""
    with Disks(4) as c:
        c.put(72, [1, 2])
        for rank in range(2):
            c.write(rank + 1, "fm-72-%d" % rank, "before %d" % rank)
        for i in (1, 2):
            c.node(i).inject("save.end=hold")
        snapshot = c.begin(72, 1)
        wait_for("the round save", lambda: c.node(1).job(72)["snapshot"]["round"] == "save")
        for rank in range(2):  # the guests run on, and their disks are not stored yet
            c.write(rank + 1, "fm-72-%d" % rank, "after")
        for i in (1, 2):
            c.node(i).inject("")
        s = c.ended(snapshot, 1)
        assert s["state"] == "whole", s
        assert manifest(c, 72, 1)["version"] == 3
        for rank, m in enumerate(s["members"]):
            (d,) = m["disks"]
            assert (d["vdev"], d["size"], d["name"]) == ("xvdb", SIZE, "member-%d.disk-xvdb.map" % rank), d
            assert m["disk_ms"] >= 0 and m["bytes"] > d["stored_bytes"]
        assert all(c.read(i, "fm-72-%d" % (i - 1)) == "after" for i in (1, 2))
        assert c.present(1) == ["fm-72-0.xvdb"]
        c.delete(72, [1, 2])
        assert c.present(1) == [] and c.present(2) == []
        c.put(73, [4, 3], restart_from="72")
        assert c.read(4, "fm-73-0") == "before 0" and c.read(3, "fm-73-1") == "before 1"
        assert c.snapshot(73, 3)["members"][1]["disks"][0]["pages"] == 2


@test
def over_its_own_newer_disk():
    """restored on its own nodes while its earlier incarnation's disks, which have gone on, are there"""
    with Disks(2) as c:
        c.put(74, [1, 2])
        for i in (1, 2):
            c.write(i, "fm-74-%d" % (i - 1), "snapshot")
        c.snapshot(74, 1)
        for i in (1, 2):
            c.write(i, "fm-74-%d" % (i - 1), "newer")
        c.put(74, [1, 2], restart_count=1)
        assert [c.read(i, "fm-74-%d" % (i - 1)) for i in (1, 2)] == ["snapshot"] * 2
        for i in (1, 2):
            c.write(i, "fm-74-%d" % (i - 1), "newer still")
        c.put(74, [2, 1], restart_count=2)
        assert [c.read(3 - i, "fm-74-%d" % (i - 1)) for i in (1, 2)] == ["snapshot"] * 2
        assert c.present(1) == ["fm-74-1.xvdb"] and c.present(2) == ["fm-74-0.xvdb"]


@test
def from_a_level():
    """a disk's content goes to a level with its member, is put right from there, and comes back when StoreDir is lost"""
    with Disks(2) as c:
        level = os.path.join(c.dir, "level")
        os.mkdir(level)
        for i in (1, 2):
            c.node(i).kill()
            c.node(i).configure({**c.settings, "Disks": "sim:" + c.node(i).disks, "LevelRetry": "200ms",
                                 "Level": "second directory:%s same-filesystem=yes" % level})
            c.node(i).start()
        c.put(86, [1, 2])
        for i in (1, 2):
            c.write(i, "fm-86-%d" % (i - 1), "kept %d" % i)
        c.snapshot(86, 1)
        wait_for("86.1 on the level", lambda: c.node(1).call("GET", "/v1/snapshots/86.1")["levels"][0]["state"] == "whole")
        c.delete(86, [1, 2])
        name = "member-1.disk-xvdb.map"
        with open(os.path.join(c.store, "86", "1", name), "r+b") as f:
            f.truncate(100)
        v = c.node(1).call("POST", "/v1/snapshots/86.1/verify")
        assert not v["ok"] and [d["file"] for d in v["levels"][0]["damaged"]] == ["86/1/" + name], v
        assert v["levels"][1]["ok"], v
        v = c.node(1).call("POST", "/v1/snapshots/86.1/verify", {"repair": True})
        assert v["ok"], v
        shutil.rmtree(os.path.join(c.store, "86"))
        c.put(87, [2, 1], restart_from="86.1")
        assert [c.read(3 - i, "fm-87-%d" % (i - 1)) for i in (1, 2)] == ["kept 1", "kept 2"]
        with open(os.path.join(level, "86", "1", name), "r+b") as f:
            f.truncate(100)
        v = c.node(1).call("POST", "/v1/snapshots/86.1/verify", {"repair": True})
        assert [d["file"] for d in v["levels"][1]["damaged"]] == ["86/1/" + name] and v["ok"], v


@test
def failed_snapshots():
    """a disk that cannot be copied, or stored, or a worker killed at it: abort, all run, nothing is left"""
    with Disks(3) as c:
        nodes = [1, 2, 3]
        c.put(75, nodes)
        done = []
        for victim in (1, 3):
            for slot in ("disk.ready", "disk.freeze", "disk.frozen", "disk.open_cut", "disk.drop_cut"):
                for what in ("fail:injected", "kill"):
                    if slot == "disk.drop_cut" and what == "kill":
                        continue  # who comes next would be killed at it, too
                    c.node(victim).inject("%s=%s" % (slot, what))
                    why = c.fails(75, 2)
                    c.node(victim).inject("")
                    assert "member %d (n%d)" % (victim - 1, victim) in why, (slot, what, why)
                    c.all_run(75, nodes)
                    wait_for("nothing left in the store", lambda: c.files(75) == done)
                    if slot != "disk.drop_cut":
                        wait_for("no copy left", lambda: all(len(c.present(i)) == 1 for i in nodes))
        assert c.snapshot(75, 1)["state"] == "whole"
        assert all(len(c.present(i)) == 1 for i in nodes)


@test
def agent_killed():
    """an agent killed between the copy and the commit: its leftovers go when it comes back"""
    with Disks(2) as c:
        c.put(76, [1, 2])
        c.write(2, "fm-76-1", "it")
        c.node(2).inject("disk.open_cut=hold")
        snapshot = c.begin(76, 1)
        wait_for("the copy", lambda: "fm-76-1.xvdb@cut" in c.present(2))
        wait_for("the round save", lambda: c.node(1).job(76)["snapshot"]["round"] == "save")
        c.node(2).kill()
        c.node(2).inject("disk.open_cut=kill")  # its worker is let go, and does not get to undo anything
        assert c.ended(snapshot, 1)["state"] == "failed"
        c.all_run(76, [1, 2])
        wait_for("the worker's end", lambda: "fm-76-1.xvdb@cut" in c.present(2))
        with open(c.disk(2, "fm-99-0"), "w") as f:  # of a member that was being made when the power failed
            f.write("gone")
        c.node(2).inject("")
        c.node(2).start()
        assert c.present(2) == ["fm-76-1.xvdb"], c.present(2)
        assert c.read(2, "fm-76-1") == "it"
        assert c.snapshot(76, 1)["state"] == "whole"


@test
def damaged():
    """a disk's content that does not verify restores nothing; one that is missing is no whole snapshot"""
    with Disks(2) as c:
        c.put(77, [1, 2])
        c.write(1, "fm-77-0", "first")
        c.snapshot(77, 1)
        c.write(1, "fm-77-0", "second")
        c.snapshot(77, 1)
        c.delete(77, [1, 2])
        path = os.path.join(c.store, "77", "2", "member-0.disk-xvdb.map")
        with open(path, "r+b") as f:
            good = f.read()
            f.seek(len(good) // 2)
            f.write(bytes([good[len(good) // 2] ^ 1]))
        r = subprocess.run([FERMATA, "verify", "77.2"], capture_output=True, text=True,
                           env={**os.environ, "FERMATA_CONF": c.node(1).conf})
        assert r.returncode == 5 and "member-0.disk-xvdb.map" in r.stdout + r.stderr, r
        for r in c.put_each(78, [1, 2], restart_from="77.2"):
            assert isinstance(r, Refused) and r.code == 5 and "disk xvdb" in r.text, r
        wait_for("no disk left", lambda: c.present(1) == [] and c.present(2) == [])
        os.unlink(path)  # the newest whole one is the one before
        c.put(79, [1, 2], restart_from="77")
        assert c.node(1).job(79)["restored_from"] == "77.1" and c.read(1, "fm-79-0") == "first"


@test
def exported():
    """fermata export --disk: the disk's image, as it was at the cut"""
    with Disks(1) as c:
        c.put(80, [1])
        c.write(1, "fm-80-0", "it")
        c.snapshot(80, 1)
        out = os.path.join(c.dir, "disk.img")
        run = lambda *a: subprocess.run([FERMATA, "export", *a], capture_output=True, text=True,
                                        env={**os.environ, "FERMATA_CONF": c.node(1).conf})
        r = run("80.1", "0", "--disk=xvdc", out)
        assert r.returncode == 3 and not os.path.exists(out), r
        r = run("80.1", "0", "--disk=xvdb", out)
        assert r.returncode == 0, r
        with open(out, "rb") as a, open(c.disk(1, "fm-80-0"), "rb") as b:
            assert a.read() == b.read()


if __name__ == "__main__":
    main()
