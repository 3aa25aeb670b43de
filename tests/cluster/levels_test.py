#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The levels behind StoreDir: snapshots are copied there, come back from there, and go from there."""
import glob
import os
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import OTHER, USER, Cluster, Refused, main, refused, test, wait_for  # noqa: E402

NODES = [1, 2]
AGAIN = [2, 1]  # a job under the same number: no domain has the name of one that has just gone from its node


class Levels(Cluster):
    """A cluster with directories as levels, "second" and, where wanted, "third"."""

    def __init__(self, nodes, count=1, **settings):
        settings.setdefault("Compact", "no")  # its writes would be in the way of those who take StoreDir apart
        super().__init__(nodes, LevelRetry="200ms", **settings)
        self.names = ["second", "third"][:count]
        self.place = {n: os.path.join(self.dir, n) for n in self.names}
        for d in self.place.values():
            os.mkdir(d)
        lines = ["%s directory:%s same-filesystem=yes" % item for item in self.place.items()]
        self.settings["Level"] = "\nLevel=".join(lines)

    def level(self, snapshot, name="second", node=1):
        s = self.node(node).call("GET", "/v1/snapshots/" + snapshot)
        return {e["name"]: e for e in s["levels"]}[name]

    def copied(self, snapshot, *names):
        for n in names or self.names:
            wait_for("%s on %s" % (snapshot, n), lambda: self.level(snapshot, n)["state"] == "whole")

    def objects(self, name="second"):
        found = glob.glob(self.place[name] + "/**", recursive=True)
        return sorted(os.path.relpath(f, self.place[name]) for f in found if os.path.isfile(f))

    def packs(self, job, root=None):
        return sorted(glob.glob(os.path.join(root or self.store, str(job), "pages", "*.pack")))

    def forget(self, job):
        shutil.rmtree(os.path.join(self.store, str(job)))


FERMATA = os.environ.get("FERMATA", os.path.abspath("fermata"))


class Run:
    """One run of the command, as an admin: code, out, err."""

    def __init__(self, conf, *args):
        r = subprocess.run([FERMATA, *args], env={"FERMATA_CONF": conf, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd="/")
        self.args, self.code, self.out, self.err = args, r.returncode, r.stdout, r.stderr

    def exits(self, code):
        assert self.code == code, "%s: exit %d, not %d\n%s\n%s" % (self.args, self.code, code, self.out, self.err)
        return self


def flip(path, at=-1000):
    """One bit of it."""
    with open(path, "r+b") as f:
        f.seek(0, os.SEEK_END)
        size = f.tell()
        f.seek(at if at >= 0 else max(0, size + at))
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))


def came_from(c, job, nodes=NODES):
    """The levels that its members came from; what one has fetched the other finds in StoreDir."""
    return {c.node(i).job(job)["restored_level"] for i in nodes}


def seeds(c, job, nodes):
    return [c.node(i).domain("fm-%d-%d" % (job, rank))["seed"] for rank, i in enumerate(nodes)]


@test
def copied():
    """what is whole is copied, all of it, and shown"""
    with Levels(2, 2) as c:
        c.put(60, NODES)
        s = c.snapshot(60, 1)
        assert {e["name"] for e in s["levels"]} == {"second", "third"}, s["levels"]
        c.copied("60.1")
        e = c.level("60.1")
        assert e["where"] == "directory " + c.place["second"] and e["bytes"] > 0 and "since" in e, e
        have = c.objects()
        for name in ("60/1/manifest.json", "60/1/member-0.map", "60/1/member-1.map", "60/1/packs", "60/script"):
            assert name in have, (name, have)
        assert [os.path.basename(p) for p in c.packs(60)] == [os.path.basename(p) for p in c.packs(60, c.place["third"])]
        assert not glob.glob(os.path.join(c.store, "60", ".stage.*"))
        # only what is new
        before = {f: os.stat(f).st_mtime_ns for f in c.packs(60, c.place["second"])}
        c.snapshot(60, 1)
        c.copied("60.2")
        assert before.items() <= {f: os.stat(f).st_mtime_ns for f in c.packs(60, c.place["second"])}.items()


@test
def folder_gone():
    """StoreDir has lost the job: shown, listed, and restored from the level"""
    with Levels(2, 2) as c:
        c.put(61, NODES)
        was = seeds(c, 61, NODES)
        c.snapshot(61, 1)
        c.snapshot(61, 1)
        c.copied("61.1")
        c.copied("61.2")
        c.delete(61, NODES)
        c.forget(61)
        assert c.node(1).call("GET", "/v1/snapshots?job=61", uid=USER)["snapshots"] == []
        found = c.node(2).call("GET", "/v1/snapshots?job=61&levels=1", uid=USER)
        assert [(s["snapshot"], s["only_on"]) for s in found["snapshots"]] == [("61.1", "second"), ("61.2", "second")], found
        assert c.node(2).call("GET", "/v1/snapshots?job=61&levels=1", uid=OTHER)["snapshots"] == []
        assert c.node(1).call("GET", "/v1/snapshots/61.2", uid=USER)["only_on"] == "second"
        refused(4, c.node(1).call, "GET", "/v1/snapshots/61.2", uid=OTHER)
        c.put(61, AGAIN, restart_count=1)
        jobs = [c.node(i).job(61) for i in AGAIN]
        assert [j["restored_from"] for j in jobs] == ["61.2", "61.2"], jobs
        assert "second" in came_from(c, 61) and sum(j["fetched_files"] for j in jobs) >= 1, jobs
        assert seeds(c, 61, AGAIN) == was
        assert c.snapshot(61, 2)["snapshot"] == "61.3"
        c.delete(61, AGAIN)
        c.put(62, NODES, restart_from="61.1")
        assert c.node(1).job(62)["restored_from"] == "61.1"


def verifies(c, snapshot):
    v = c.node(1).call("POST", "/v1/snapshots/%s/verify" % snapshot)
    assert v["ok"] and all(e["state"] == "whole" for e in v["levels"]), v


def good(c, snapshot, job):
    """It verifies everywhere; and can be restored, its own job being gone."""
    verifies(c, snapshot)
    c.put(job, NODES, restart_from=snapshot)
    c.delete(job, NODES)


@test
def flipped():
    """a flipped bit in StoreDir: found, named, repaired by a restore's read, or by verify"""
    with Levels(2) as c:
        c.put(63, NODES)
        c.snapshot(63, 1)
        c.copied("63.1")
        c.delete(63, NODES)
        folder = os.path.join(c.store, "63")
        victims = c.packs(63) + [os.path.join(folder, "1", "member-%d.map" % i) for i in range(2)]
        for job, victim in enumerate(victims, 640):
            with open(victim, "rb") as f:
                was = f.read()
            flip(victim, len(was) // 3)
            v = c.node(2).call("POST", "/v1/snapshots/63.1/verify")
            store = v["levels"][0]
            assert not v["ok"] and store["state"] == "damaged" and v["levels"][1]["ok"], v
            name = os.path.relpath(victim, c.store)
            assert [d["file"] for d in store["damaged"]] == [name], store
            c.put(job, NODES, restart_from="63.1")
            assert "second" in came_from(c, job)
            with open(victim, "rb") as f:
                assert f.read() == was
            c.delete(job, NODES)
            flip(victim, len(was) // 2)
            v = c.node(2).call("POST", "/v1/snapshots/63.1/verify", {"repair": True})
            assert v["ok"], v
            assert [(d["file"], d["repaired"]) for d in v["levels"][0]["damaged"]] == [(name, "second")], v
        os.unlink(os.path.join(folder, "1", "manifest.json"))
        c.node(1).call("POST", "/v1/snapshots/63.1/verify", {"repair": True})
        good(c, "63.1", 660)


@test
def flipped_there():
    """a flipped bit on a level: found, named, not taken for whole, put right from StoreDir"""
    with Levels(2, 2) as c:
        c.put(64, NODES)
        c.snapshot(64, 1)
        c.copied("64.1")
        for name in c.objects():
            if name == "64/script":
                continue  # nobody has its hash
            path = os.path.join(c.place["second"], name)
            with open(path, "rb") as f:
                was = f.read()
            flip(path, len(was) // 2)
            v = c.node(2).call("POST", "/v1/snapshots/64.1/verify")
            assert not v["ok"] and v["levels"][0]["ok"] and v["levels"][2]["ok"], v
            assert [d["file"] for d in v["levels"][1]["damaged"]] == [name], (name, v)
            assert c.level("64.1")["state"] == "damaged", name
            v = c.node(2).call("POST", "/v1/snapshots/64.1/verify", {"repair": True})
            assert v["ok"] and v["levels"][1]["damaged"][0]["repaired"] == "store", (name, v)
            with open(path, "rb") as f:
                assert f.read() == was, name
            c.copied("64.1")
        c.delete(64, NODES)
        good(c, "64.1", 670)


@test
def nowhere():
    """damaged everywhere: refused, with the file and every level's name"""
    with Levels(2, 2) as c:
        c.put(65, NODES)
        c.snapshot(65, 1)
        c.copied("65.1")
        c.delete(65, NODES)
        name = os.path.relpath(c.packs(65)[0], c.store)
        flip(os.path.join(c.store, name))
        flip(os.path.join(c.place["second"], name))
        os.unlink(os.path.join(c.place["third"], name))
        replies = c.put_each(680, NODES, restart_from="65.1")
        assert all(isinstance(r, Refused) for r in replies), replies
        text = replies[0].text + replies[1].text
        for word in (name, "second:", "third:", "no such object"):
            assert word in text, (word, text)
        c.delete(680, NODES)
        # the second level's other files are good: the nearest that has it is asked first
        shutil.copy(os.path.join(c.store, name), os.path.join(c.place["third"], name))
        flip(os.path.join(c.place["third"], name))
        c.put(681, NODES, restart_from="65.1")
        assert "third" in came_from(c, 681)


@test
def unreachable():
    """a level that is not there: the snapshot is whole, the reason is shown, and it is copied when the level is back"""
    with Levels(2, 2) as c:
        away = c.place["second"] + ".away"
        os.rename(c.place["second"], away)
        c.put(66, NODES)
        c.snapshot(66, 1)
        c.copied("66.1", "third")  # which comes after it
        e = wait_for("a failure", lambda: [c.level("66.1")] if c.level("66.1")["state"] == "failed" else None)[0]
        assert c.place["second"] in e["error"], e
        c.all_run(66, NODES)
        c.snapshot(66, 1)
        os.rename(away, c.place["second"])
        c.copied("66.1")
        c.copied("66.2")
        with open(c.node(1).log) as f:
            assert "level=second not copied" in f.read()


def copier(c, node=1):
    """The pid of the node's copying worker, from the log; None: none is alive."""
    with open(c.node(node).log) as f:
        pids = [int(line.rsplit("pid ", 1)[1]) for line in f if "worker copy: started" in line]
    return pids[-1] if pids and os.path.exists("/proc/%d" % pids[-1]) else None


@test
def killed():
    """the copying worker, or the whole agent, is killed: nothing half is taken for whole, and it goes on where it was"""
    with Levels(2, 1, Bandwidth="50K") as c:  # many times longer than it takes to see it
        c.put(67, NODES)
        c.snapshot(67, 1)
        pid = wait_for("a copier with something there", lambda: c.objects() and copier(c))
        os.kill(pid, signal.SIGKILL)
        assert "67/1/manifest.json" not in c.objects()
        wait_for("another", lambda: copier(c) not in (None, pid))
        wait_for("67.1 being copied again", lambda: c.level("67.1")["state"] == "copying")
        c.node(1).kill()
        assert "67/1/manifest.json" not in c.objects()
        assert c.level("67.1", node=2)["state"] in ("waiting", "copying")
        c.node(1).configure(dict(c.settings, Bandwidth="0"))
        c.node(1).start()
        c.copied("67.1")
        c.delete(67, NODES)
        c.forget(67)
        c.put(690, NODES, restart_from="67.1")
        assert "second" in came_from(c, 690)


@test
def removed():
    """what is removed goes from the levels, too; also later, and never comes back"""
    with Levels(2, 2) as c:
        c.put(68, NODES)
        for n in (1, 2, 3):
            c.snapshot(68, 1)
        for n in (1, 2, 3):
            c.copied("68.%d" % n)
        c.node(2).call("DELETE", "/v1/snapshots/68.1", uid=USER)
        for name in c.names:
            wait_for("68.1 gone from " + name, lambda: not [o for o in c.objects(name) if o.startswith("68/1/")])
        wait_for("its note gone", lambda: not os.path.exists(os.path.join(c.store, "68", "removed.1")))
        verifies(c, "68.2")
        away = c.place["second"] + ".away"
        os.rename(c.place["second"], away)
        c.node(1).call("DELETE", "/v1/snapshots/68.3", uid=USER)
        wait_for("68.3 gone from third", lambda: not [o for o in c.objects("third") if o.startswith("68/3/")])
        c.delete(68, NODES)
        os.rename(away, c.place["second"])
        # the level still has it, but it was removed: not the newest one
        found = c.node(2).call("GET", "/v1/snapshots?job=68&levels=1", uid=USER)["snapshots"]
        assert [s["snapshot"] for s in found] == ["68.2"], found
        refused(3, c.node(1).call, "GET", "/v1/snapshots/68.3")
        c.put(68, AGAIN, restart_count=1)
        assert c.node(1).job(68)["restored_from"] == "68.2"
        wait_for("68.3 gone from second", lambda: not [o for o in c.objects() if o.startswith("68/3/")])
        assert c.snapshot(68, 2)["snapshot"] == "68.4"
        c.copied("68.4")
        assert c.node(1).call("POST", "/v1/snapshots/68.4/verify")["ok"]


@test
def pruned():
    """keep-N removes from levels; --dry-run tells; a job that has ended leaves nothing"""
    with Levels(2, 1) as c:
        c.put(69, NODES)
        for n in (1, 2, 3):
            c.snapshot(69, 1)
            c.copied("69.%d" % n)
        before = c.objects()
        r = c.node(1).call("POST", "/v1/prune", {"job": 69, "keep": 1, "dry_run": True})["jobs"][0]
        assert r["levels"][0]["name"] == "second" and r["levels"][0]["removed"] == 2 and r["levels"][0]["freed"] > 0, r
        assert c.objects() == before
        freed = r["levels"][0]["freed"]
        r = c.node(1).call("POST", "/v1/prune", {"job": 69, "keep": 1})["jobs"][0]
        assert r["removed"] == 2 and r["levels"][0]["freed"] == freed, r
        assert not [o for o in c.objects() if o.startswith(("69/1/", "69/2/"))]
        c.delete(69, NODES)
        good(c, "69.3", 710)
        rules = {"job": 69, "max_age_s": 1, "ended": True}

        def nothing_left():  # once it is old enough
            c.node(1).call("POST", "/v1/prune", rules)
            return not os.path.exists(os.path.join(c.store, "69"))
        wait_for("the job's folder gone", nothing_left)
        assert c.objects() == [], c.objects()


@test
def rewritten():
    """packs that are written anew, and lose pages to others, are whole on the level all the same"""
    with Levels(2, 1) as c:
        c.put(71, NODES)
        for n in (1, 2, 3):
            c.snapshot(71, 1)
        for n in (1, 2, 3):
            c.copied("71.%d" % n)
        r = c.node(1).call("POST", "/v1/prune", {"job": 71, "keep": 2, "compact": True})["jobs"][0]
        assert r["sweep"]["rewritten"] > 0, r
        c.snapshot(71, 1)
        c.copied("71.4")
        c.delete(71, NODES)
        c.forget(71)
        for job, n in ((720, 2), (721, 3), (722, 4)):
            c.put(job, NODES, restart_from="71.%d" % n)
            c.delete(job, NODES)
        # first copied when it is rewritten already
        shutil.rmtree(os.path.join(c.place["second"], "71"))
        for record in glob.glob(os.path.join(c.store, "71", "*", "levels.json")):
            os.unlink(record)
        c.node(1).call("POST", "/v1/prune", {"job": 71, "compact": True})
        for n in (2, 3, 4):
            v = c.node(1).call("POST", "/v1/snapshots/71.%d/verify" % n, {"repair": True})
            assert v["ok"] and v["levels"][1]["state"] == "whole", v
        c.forget(71)
        for job, n in ((723, 4), (724, 2), (725, 3)):
            c.put(job, NODES, restart_from="71.%d" % n)
            c.delete(job, NODES)


@test
def encrypted():
    """an encrypted job comes back from a level with its key; another job of the same number overwrites nothing"""
    with Levels(2, 1) as c:
        key = os.path.join(c.dir, "site.key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(os.urandom(32).hex() + "\n")
        for n in NODES:
            c.node(n).kill()
            c.node(n).configure(dict(c.settings, KeyFile=key))
            c.node(n).start()
        c.put(72, NODES)
        c.snapshot(72, 1)
        c.copied("72.1")
        assert "72/key" in c.objects()
        c.delete(72, NODES)
        c.forget(72)
        c.put(72, AGAIN)  # a first start: nothing is asked
        assert "restored_from" not in c.node(1).job(72)
        c.snapshot(72, 2)
        e = wait_for("a refusal", lambda: [c.level("72.1")] if c.level("72.1")["state"] == "failed" else None)[0]
        assert "nothing is overwritten" in e["error"], e
        c.delete(72, NODES)
        c.forget(72)
        c.put(730, NODES, restart_from="72.1")
        assert "second" in came_from(c, 730)
        c.delete(730, NODES)
        os.unlink(os.path.join(c.store, "72", "key"))
        c.put(731, NODES, restart_from="72.1")
        c.delete(731, NODES)
        good(c, "72.1", 732)


@test
def not_known():
    """StoreDir has lost the job and no level can be asked: it does not begin afresh"""
    with Levels(2, 1) as c:
        c.put(73, NODES)
        c.snapshot(73, 1)
        c.copied("73.1")
        c.delete(73, NODES)
        c.forget(73)
        away = c.place["second"] + ".away"
        os.rename(c.place["second"], away)
        for attempt in (1, 2):
            for r in c.put_each(73, AGAIN, restart_count=attempt):
                assert isinstance(r, Refused) and "second" in r.text, r
            c.delete(73, NODES)
        os.rename(away, c.place["second"])
        c.put(73, AGAIN, restart_count=3)
        assert c.node(1).job(73)["restored_from"] == "73.1"
        # a job that never had a snapshot does
        os.rename(c.place["second"], away)
        c.put(74, NODES)
        c.delete(74, NODES)
        c.put(74, AGAIN, restart_count=1)
        assert "restored_from" not in c.node(1).job(74)


@test
def commands():
    """the command shows, lists, verifies, repairs and prunes what levels have"""
    with Levels(2, 1) as c:
        c.put(75, NODES)
        c.snapshot(75, 1)
        c.copied("75.1")
        conf = c.node(2).conf
        r = Run(conf, "show", "75.1").exits(0)
        assert "second (directory %s): whole since " % c.place["second"] in r.out, r.out
        assert "whole, on second" in Run(conf, "list", "75").exits(0).out
        r = Run(conf, "verify", "75.1").exits(0)
        rows = {line.split()[0]: line.split() for line in r.out.splitlines() if line.split()}
        assert rows["store"][-1] == "ok" and rows["second"][-1] == "ok" and int(rows["second"][1]) >= 4, r.out
        pack = c.packs(75)[0]
        flip(pack)
        r = Run(conf, "verify", "75.1").exits(5)
        name = os.path.relpath(pack, c.store)
        assert "store: %s: " % name in r.out and "members do not verify" in r.err, (r.out, r.err)
        r = Run(conf, "verify", "75.1", "--repair").exits(0)
        assert "repaired from second" in r.out, r.out
        os.unlink(os.path.join(c.place["second"], name))
        r = Run(conf, "verify", "75.1").exits(5)
        assert "second: %s: " % name in r.out and "not on every level" in r.err, (r.out, r.err)
        Run(conf, "verify", "75.1", "--repair").exits(0)
        c.copied("75.1")
        c.snapshot(75, 1)
        c.copied("75.2")
        r = Run(conf, "prune", "75", "--keep=1", "--dry-run").exits(0)
        assert "job 75: level second: 1 snapshot, " in r.out and "would be removed" in r.out, r.out
        c.delete(75, NODES)
        c.forget(75)
        Run(conf, "show", "75.3").exits(3)
        r = Run(conf, "show", "75.1").exits(0)
        assert "level second: StoreDir does not have it" in r.out, r.out
        assert "75.1" not in Run(conf, "list").exits(0).out
        assert "only on second" in Run(conf, "list", "--levels").exits(0).out
        r = Run(conf, "verify", "75.1").exits(5)
        assert "level second has it" in r.err, r.err
        c.put(75, AGAIN, restart_count=1)
        # it need not be this node's member that has fetched
        shown = [Run(c.node(i).conf, "show", "75").exits(0).out for i in NODES]
        assert any("75.2 from level second (" in out for out in shown), shown
        r = Run(conf, "rm", "75.1").exits(0)
        wait_for("75.1 gone", lambda: not [o for o in c.objects() if o.startswith("75/1/")])
        assert "only on" not in Run(conf, "list", "75", "--levels").exits(0).out


if __name__ == "__main__":
    main()
