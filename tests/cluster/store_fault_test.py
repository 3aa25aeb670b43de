#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A store whose disk breaks, gets full or is tampered with, under real agents and workers; and processes that die while they write to it.

What must hold after each: the job's VMs run; what was committed before is listed and verifies; nothing else is listed; with the disk
in order again the next create is whole, and so is a removal that was broken off.

The disk is a FUSE file system whose calls fail (faultfs), and a small tmpfs for a full one. Where this process may not mount, or libfuse3 was
not there to build faultfs, these tests are skipped and say so; the libraries' own (tests/unit/*_crash_test) break each call everywhere."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import USER, Cluster, Refused, main, refused, test, wait_for  # noqa: E402

FAULTFS = os.environ.get("FAULTFS", os.path.abspath("tests/cluster/faultfs"))
NODES = [1, 2]
CALLS_MOST = 400


def may_mount():
    """None, or why not. In a mount namespace of its own, so that nothing is left of it."""
    r = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return None if r.returncode == 0 else "this process may not mount: " + r.stdout.strip()


def no_faults():
    if may_mount():
        return may_mount()
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    return None if os.access(FAULTFS, os.X_OK) else "faultfs was not built (libfuse3-dev)"


def needs(reason):
    """A test that cannot be run here says why."""
    def decorate(f):
        def run():
            return reason() or f()
        run.__name__, run.__doc__ = f.__name__, f.__doc__
        return test(run)
    return decorate


class Mounted(Cluster):
    """Its store is a file system of its own: mount_store() makes it."""

    def __init__(self, *args, **settings):
        settings.setdefault("Compact", "no")  # what goes on behind a snapshot's back would be hit as well, and take room
        super().__init__(*args, **settings)
        self.below = self.store + ".below"
        os.rename(self.store, self.below)
        os.mkdir(self.store, 0o700)
        self.mount_store()

    def close(self):
        for n in self.nodes.values():
            n.end()
        subprocess.run(["umount", "-l", self.store], stderr=subprocess.DEVNULL)
        self.unmounted()
        super().close()

    def unmounted(self):
        pass

    def write_memory(self, job):
        """Each member's memory is another from now on, so that there are pages to be packed."""
        for rank, i in enumerate(NODES):
            path = os.path.join(self.node(i).run, "sim", "fm-%d-%d.json" % (job, rank))
            with open(path) as f:
                domain = json.load(f)
            domain["seed"] += 1000003
            with open(path + ".new", "w") as f:
                json.dump(domain, f)
            os.rename(path + ".new", path)

    def next_whole(self, job):
        self.write_memory(job)
        self.whole.append(self.snapshot(job, 1)["snapshot"])

    # ---- what must hold
    def begin_job(self, job):
        """A job with two whole snapshots."""
        self.put(job, NODES)
        self.whole = []
        self.next_whole(job)
        self.next_whole(job)

    def listed(self, job):
        reply = self.node(2).call("GET", "/v1/snapshots?job=%d" % job)
        return [s["snapshot"] for s in reply["snapshots"]]

    def verifies(self, snapshot):
        v = self.node(2).call("POST", "/v1/snapshots/%s/verify" % snapshot, {}, USER)
        assert v["ok"], v

    def intact(self, job):
        """All that was committed, and nothing but that."""
        assert self.listed(job) == self.whole, (self.listed(job), self.whole)
        for s in self.whole:
            self.verifies(s)

    def goes_on(self, job):
        """The disk is in order again."""
        self.all_run(job, NODES)
        self.intact(job)
        self.next_whole(job)
        self.verifies(self.whole[-1])

    def alive(self):
        """Whoever died is started again; who restarts finds its guests."""
        for n in self.nodes.values():
            if n.process.poll() is not None:
                n.process = None
                n.start()

    def outcome(self, job, snapshot):
        """whole, failed, or None: nobody knows it any more (the lead died). What the answering agent says last."""
        def over():
            try:
                s = self.node(1).call("GET", "/v1/snapshots/" + snapshot)
            except Refused as e:
                assert e.code == 3, e
                return (None,)
            return (s["state"],) if s["state"] != "running" else None
        return wait_for("the end of " + snapshot, over)[0]


class Faulty(Mounted):
    def mount_store(self):
        self.rules = os.path.join(self.dir, "rules")
        self.fs = subprocess.Popen([FAULTFS, self.below, self.store, self.rules], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("faultfs", lambda: os.path.ismount(self.store) or self.fs.poll() is not None)
        assert self.fs.poll() is None, "faultfs has ended"

    def unmounted(self):
        try:
            self.fs.wait(10)
        except subprocess.TimeoutExpired:
            self.fs.kill()
            self.fs.wait()

    def breaks(self, call, part, action, after=0):
        self.works()
        with open(self.rules + ".new", "w") as f:
            f.write("%s %s %s %d\n" % (call, part, action, after))
        os.rename(self.rules + ".new", self.rules)

    def works(self):
        for name in (self.rules, self.rules + ".struck"):
            if os.path.exists(name):
                os.unlink(name)

    def struck(self):
        """The first call that was."""
        try:
            with open(self.rules + ".struck") as f:
                return f.readline().split()
        except FileNotFoundError:
            return None

    def attempt(self, job):
        """A create on a disk that breaks: its state, and what was said."""
        self.write_memory(job)
        try:
            snapshot = self.begin(job, 1)
        except Refused as e:
            return "refused", e.text
        except OSError as e:  # the agent died of it
            return "died", str(e)
        try:
            s = self.ended(snapshot, 1)
            return s["state"], s.get("error", "")
        except (OSError, Refused) as e:
            return "died", str(e)


def each_call():
    """0, 1, 2, … with gaps that grow: the first calls matter each, of hundreds not every one."""
    k = 0
    while k < CALLS_MOST:
        yield k
        k += 1 + k // 12


# What a create does to the store: each of these calls, the first times it does so.
CREATE = [(call, part) for call in ("create", "write", "fsync", "rename") for part in ("/pages", "member-", "manifest")] + [("mkdir", "-"), ("fsync", "-")]
TIMES = (0, 1, 2, 3, 5, 8)


def creating(c, job, action, judge):
    """Each is struck in turn. judge(call, part, k, state, text): after c.whole was brought up to date."""
    c.begin_job(job)
    struck_at = set()
    for call, part in CREATE:
        for k in TIMES:
            c.breaks(call, part, action, k)
            state, text = c.attempt(job)
            struck = c.struck()
            c.works()
            c.alive()
            c.all_run(job, NODES)
            wait_for("the agents to agree", lambda: quiet(c, job))
            now = c.listed(job)
            assert now[:len(c.whole)] == c.whole and len(now) <= len(c.whole) + 1, (call, part, k, struck, now, c.whole)
            judge((call, part, k, struck), state, text, len(now) > len(c.whole))
            c.whole = now
            c.intact(job)
            if not struck:
                break
            struck_at.add((call, part))
    assert not set(CREATE) - struck_at, "never struck: %s" % (set(CREATE) - struck_at)
    c.goes_on(job)


@needs(no_faults)
def eio_while_creating():
    """the disk breaks at any kind of call of a create: it fails and says where; what was there is intact, the next is whole"""
    def judge(what, state, text, listed):
        struck = what[3]
        if state == "whole":  # not struck, or only what it cleans up afterwards
            assert listed, what
            return
        assert struck and "nput/output error" in text, (what, state, text)
        # Failed, and listed? Only when the manifest has its name and nobody could say for how long, nor take it away.
        assert not listed or (struck[0] == "fsync" and re.search("/81/[0-9]+$", struck[1])), (what, state, text)
    with Faulty(2) as c:
        creating(c, 81, "EIO", judge)


@needs(no_faults)
def killed_while_creating():
    """kill -9 of whoever packs or commits, at any kind of call: nothing half-written is listed, nothing lost"""
    def judge(what, state, text, listed):
        assert listed or state != "whole", (what, state, text)
    with Faulty(2) as c:
        creating(c, 82, "KILL", judge)


def quiet(c, job):
    """No snapshot is under way with any member."""
    for i in NODES:
        try:
            if c.node(i).job(job).get("snapshot", {}).get("state") == "running":
                return False
        except (OSError, Refused):
            return False
    return True


def pages_of(c, job):
    """The packs that there are."""
    folder = os.path.join(c.below, str(job), "pages")
    return sorted(n for n in os.listdir(folder) if n.endswith(".pack"))


def remove_and_break(c, job, action, k):
    """rm of the oldest at a disk that breaks at the k-th call. True: it was struck."""
    c.breaks("change", "/%d" % job, action, k)
    try:
        c.node(1).call("DELETE", "/v1/snapshots/" + c.whole[0])
        wait_for("the sweep", lambda: c.struck() or not c.node(1).call("POST", "/v1/prune", {"job": job, "dry_run": False})["jobs"][0].get("sweep_error"))
    except (Refused, OSError):
        pass
    struck = c.struck()
    c.works()
    c.alive()
    return struck


def collecting(job, action):
    with Faulty(2) as c:
        c.put(job, NODES)
        c.whole, counted = [], 0
        for k in each_call():
            while len(c.whole) < 3:
                c.next_whole(job)
            struck = remove_and_break(c, job, action, k)
            now = c.listed(job)
            assert now in (c.whole, c.whole[1:]), (k, struck, now, c.whole)
            c.whole = now
            c.intact(job)
            c.all_run(job, NODES)
            if not struck:
                break
            counted += 1
        assert counted > 5, counted
        # What it could not take away goes with the next one, down to what the last snapshot needs.
        for s in c.whole[:-1]:
            c.node(1).call("DELETE", "/v1/snapshots/" + s)
        c.whole = c.whole[-1:]
        c.goes_on(job)
        c.node(2).call("DELETE", "/v1/snapshots/" + c.whole.pop(0))
        swept = wait_for("nobody to be busy", lambda: done(c.node(1).call("POST", "/v1/prune", {"job": job, "dry_run": False})["jobs"][0]))
        assert not swept.get("sweep_error"), swept
        c.intact(job)
        left = os.listdir(os.path.join(c.below, str(job), "pages"))
        assert not [n for n in left if n.endswith(".part")], left


def done(report):
    return report if report.get("sweep_code") != 8 else None


@needs(no_faults)
def eio_while_collecting():
    """the disk breaks at any call of a removal and its sweep: what is listed is whole, the next sweep makes an end of it"""
    collecting(83, "EIO")


@needs(no_faults)
def killed_while_collecting():
    """kill -9 of the agent at any call of a removal and its sweep: likewise, once it is started again"""
    collecting(84, "KILL")


@needs(no_faults)
def eio_while_reading():
    """what cannot be read is named by verify and keeps a restore from running; when it can be again, both are well"""
    with Faulty(2) as c:
        c.begin_job(85)
        c.delete(85, NODES)
        for part in (".pack", "member-1.map"):
            c.breaks("read", part, "EIO")
            v = c.node(2).call("POST", "/v1/snapshots/%s/verify" % c.whole[0], {}, USER)
            assert not v["ok"] and all("error" in m for m in v["members"] if not m["ok"]), v
            assert not v["members"][1]["ok"], v
            replies = c.put_each(86, NODES, restart_from=c.whole[0])
            assert all(isinstance(r, Refused) for r in replies), replies
            assert any("member" in r.text for r in replies), [r.text for r in replies]
            c.delete(86, NODES)
            c.works()
            assert c.node(1).domain("fm-86-0") is None and c.node(2).domain("fm-86-1") is None
            for s in c.whole:
                c.verifies(s)
        c.put(86, NODES, restart_from=c.whole[0])
        c.all_run(86, NODES)


@needs(may_mount)
def no_space():
    """a full disk, at many sizes: the create fails and says so; what was there is intact, with room again the next is whole"""
    class Small(Mounted):
        def mount_store(self):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "none", self.store], check=True)

        def fill(self, leave):
            """All but so many bytes."""
            s = os.statvfs(self.store)
            with open(os.path.join(self.store, "ballast"), "wb") as f:
                left = s.f_bavail * s.f_bsize - leave
                while left > 0:
                    left -= f.write(bytes(min(left, 1 << 20)))

    with Small(2) as c:
        c.begin_job(87)
        failed = whole = 0
        for leave in list(range(0, 1280 << 10, 64 << 10)) + [2 << 20, 4 << 20, 32 << 20]:
            ballast = os.path.join(c.store, "ballast")
            c.fill(leave)
            c.write_memory(87)
            try:
                snapshot = c.begin(87, 1)
                s = c.ended(snapshot, 1)
                state, text = s["state"], s.get("error", "")
            except Refused as e:
                state, text = "failed", e.text
            c.all_run(87, NODES)
            if state == "whole":
                whole += 1
                c.whole.append(snapshot)
                c.intact(87)
                if len(c.whole) > 3:  # the room is for what is tried
                    c.node(1).call("DELETE", "/v1/snapshots/" + c.whole.pop(0))
                    wait_for("nobody to be busy", lambda: done(c.node(1).call("POST", "/v1/prune", {"job": 87, "dry_run": False})["jobs"][0]))
            else:
                failed += 1
                assert "No space left" in text or "space" in text, (leave, text)
                c.intact(87)
            os.unlink(ballast)
            c.intact(87)
        assert failed > 2 and whole > 0, (failed, whole)
        c.goes_on(87)


@test
def tampered_packs():
    """a pack cut short, empty, gone, or another job's under its name: named; nothing relies on it; the next create is whole without it"""
    with Cluster(2) as c:
        for job in (88, 89):
            c.put(job, NODES)
            c.snapshot(job, 1)
        folder = lambda job: os.path.join(c.store, str(job), "pages")  # noqa: E731
        packs = lambda job: sorted(os.path.join(folder(job), n) for n in os.listdir(folder(job)) if n.endswith(".pack"))  # noqa: E731
        victim, other = packs(88)[0], packs(89)[0]
        shutil.copy(victim, victim + ".kept")

        def cut(part):
            os.truncate(victim, os.path.getsize(victim + ".kept") * part // 8)
        for how in (lambda: cut(7), lambda: cut(1), lambda: cut(0), lambda: shutil.copy(other, victim), lambda: os.unlink(victim)):
            how()
            v = c.node(2).call("POST", "/v1/snapshots/88.1/verify", {}, USER)
            assert not v["ok"] and all(os.path.basename(victim)[:12] in m["error"] for m in v["members"] if not m["ok"]), v
            s = c.snapshot(88, 1)  # it writes anew what it cannot find
            v = c.node(2).call("POST", "/v1/snapshots/%s/verify" % s["snapshot"], {}, USER)
            assert v["ok"], v
            c.node(1).call("DELETE", "/v1/snapshots/" + s["snapshot"])
            shutil.copy(victim + ".kept", victim)
        os.unlink(victim + ".kept")
        v = c.node(2).call("POST", "/v1/snapshots/88.1/verify", {}, USER)
        assert v["ok"], v
        c.delete(88, NODES)
        shutil.copy(other, victim)
        replies = c.put_each(90, NODES, restart_from="88.1")
        assert all(isinstance(r, Refused) for r in replies) and any("member" in r.text for r in replies), replies
        v = c.node(2).call("POST", "/v1/snapshots/89.1/verify", {}, USER)
        assert v["ok"], v


if __name__ == "__main__":
    main()
