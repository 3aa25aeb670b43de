#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Packs on the nodes' own disks: a node may be lost, and nothing that was promised is."""
import hashlib
import http.client
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Refused, main, test, wait_for  # noqa: E402
from disks import KEY_FILE, PATIENCE, Disks, restored, seeds  # noqa: E402


@test
def flushed():
    """LocalDir alone: packs are written there, copied to StoreDir by and by; show says so; a node's loss is none then"""
    with Disks(4) as c:
        c.put(1, [1, 2])
        was = seeds(c, 1, [1, 2])
        s = c.snapshot(1, 1)
        assert [x["name"] for x in s["levels"]] == ["local", "shared"], s
        assert c.level("1.1", "local")["state"] == "whole"
        shared = c.reaches("1.1", "shared", "whole")
        assert shared["bytes"] > 0 and "since" in shared
        assert sorted(c.names(1, 1, "pages") + c.names(2, 1, "pages")) == c.shared(1) != []
        assert c.node(1).call("POST", "/v1/snapshots/1.1/verify")["ok"]
        c.lose(1)
        assert restored(c, 2, [2, 3], "1.1", was) == ["shared", "shared"]


@test
def fetched():
    """not flushed: what another node's disk has is fetched from its agent; none that answers: an error that names all"""
    with Disks(4, Flush="no") as c:
        c.put(3, [1, 2])
        was = seeds(c, 3, [1, 2])
        c.snapshot(3, 1)
        assert c.reaches("3.1", "local", "whole") and c.shared(3) == []
        c.reaches("3.1", "shared", "none")
        assert c.asked("3.1", "local")["state"] == "whole"
        c.delete(3, [1, 2])
        assert restored(c, 4, [3, 1], "3.1", was) == ["node", "node"]
        assert c.node(3).job(4)["obtained"]["from"] == "n1"
        c.delete(4, [3, 1])
        assert restored(c, 5, [1, 3], "3.1", was) == ["local", "node"]
        c.delete(5, [1, 3])
        c.lose(2)
        c.lose(3)
        lost = c.asked("3.1", "local")
        assert lost["state"] == "failed" and "n2" in lost["error"], lost
        text = [r for r in c.put_each(6, [1, 4], restart_from="3.1") if isinstance(r, Refused)][0].text
        assert "member 1" in text and "pack" in text and "n2" in text, text


def survives(count, lost, level, protect):
    """A job of `count` nodes, protected; `lost` of them are, then it runs on what is left and two more."""
    with Disks(count + len(lost), Protect=protect, Flush="no") as c:
        job, nodes = 10, list(range(1, count + 1))
        c.put(job, nodes, memory_mib=16)  # more than a stripe, and pieces that end within packs
        was = seeds(c, job, nodes)
        c.snapshot(job, 1)
        whole = c.reaches("10.1", protect, "whole")
        assert whole["kind"] == level and whole["bytes"] > 0, whole
        assert c.shared(job) == []
        c.snapshot(job, 1)  # what is protected is not protected again
        c.reaches("10.2", protect, "whole")
        shards = sum(len(c.names(i, job, "parity")) for i in nodes)
        for i in lost:
            c.lose(i)
        for i in nodes:
            if i not in lost:
                c.node(i).call("DELETE", "/v1/jobs/%d/member" % job)
        left = [i for i in range(1, count + len(lost) + 1) if i not in lost]
        levels = restored(c, 11, left, "10.1", was)
        assert level in levels and set(levels) <= {"local", "node", level}, levels
        return shards


@test
def partner():
    """Protect=partner: a node and its disk lost, the member comes from its partner's copy"""
    assert survives(3, [2], "partner", "partner") == 3


@test
def exclusive_or():
    """Protect=xor:2: any one of three"""
    assert survives(3, [3], "xor", "xor:2") == 3


@test
def reed_solomon():
    """Protect=rs:3+2: two of five, the lead too"""
    assert survives(5, [1, 4], "rs", "rs:3+2") == 10


@test
def disks():
    """a member's writable disk goes the way of its memory: protected, fetched or rebuilt with it"""
    with Disks(4, Protect="partner", Flush="no") as c:
        size = 1 << 20
        folder = os.path.join(c.images, "tiny")
        with open(os.path.join(folder, "base"), "wb") as f:
            f.truncate(size)
        with open(os.path.join(folder, "image.conf"), "a") as f:
            f.write("Disk=base,xvdb,w\n")
        for n in c.nodes.values():
            n.kill()
            n.disks = os.path.join(n.run, "disks")
            n.configure({"Agents": "n[1-4]", "LocalDir": n.local, "Disks": "sim:" + n.disks, **c.settings})
            n.start()
        c.put(20, [1, 2])
        was = seeds(c, 20, [1, 2])
        content = [os.urandom(65536) for _ in range(2)]
        for i in (1, 2):
            with open(os.path.join(c.node(i).disks, "fm-20-%d.xvdb" % (i - 1)), "r+b") as f:
                f.seek(size // 2)
                f.write(content[i - 1])
        c.snapshot(20, 1)
        c.reaches("20.1", "partner", "whole")
        c.lose(2)
        c.node(1).call("DELETE", "/v1/jobs/20/member")
        levels = restored(c, 21, [3, 4], "20.1", was)
        assert "partner" in levels, levels
        for rank, i in enumerate((3, 4)):
            with open(os.path.join(c.node(i).disks, "fm-21-%d.xvdb" % rank), "rb") as f:
                f.seek(size // 2)
                assert f.read(65536) == content[rank], rank
        assert c.snapshot(21, 3)["members"][0]["disks"]


@test
def behind():
    """a level behind StoreDir gets it when it is flushed; what no node and no StoreDir has any more comes from there"""
    with Disks(4) as c:
        place = os.path.join(c.dir, "second")
        os.mkdir(place)
        for n in c.nodes.values():
            n.kill()
            n.configure({"Agents": "n[1-4]", "LocalDir": n.local, "LevelRetry": "200ms",
                         "Level": "second directory:%s same-filesystem=yes" % place, **c.settings})
            n.start()
        c.put(22, [1, 2])
        was = seeds(c, 22, [1, 2])
        s = c.snapshot(22, 1)
        assert [x["name"] for x in s["levels"]] == ["local", "shared", "second"], s["levels"]
        c.reaches("22.1", "second", "whole")
        assert c.level("22.1", "shared")["state"] == "whole"
        c.delete(22, [1, 2])
        c.lose(1)
        c.lose(2)
        for name in c.shared(22):
            os.unlink(os.path.join(c.store, "22", "pages", name))
        assert restored(c, 23, [3, 4], "22.1", was) == ["shared", "shared"]
        c.delete(23, [3, 4])
        v = c.node(3).call("POST", "/v1/snapshots/22.1/verify")
        assert [(x["name"], x["ok"]) for x in v["levels"]] == [("local", False), ("store", True), ("second", True)], v
        assert all(m["ok"] for m in v["members"]), v
        assert not v["ok"] and "n1" in v["levels"][0]["error"] and "n2" in v["levels"][0]["error"], v  # nobody can say


@test
def too_many_lost():
    """one more than parity can do: refused, naming the pack and the places; nothing half-written is used"""
    with Disks(5, Protect="xor:2", Flush="no") as c:
        c.put(12, [1, 2, 3])
        c.snapshot(12, 1)
        c.reaches("12.1", "xor:2", "whole")
        c.lose(2)
        c.lose(3)
        c.node(1).call("DELETE", "/v1/jobs/12/member")
        replies = c.put_each(13, [1, 4, 5], restart_from="12.1")
        texts = [r.text for r in replies if isinstance(r, Refused)]
        assert len(texts) == 3 and "pack" in texts[0] and "n2" in texts[0] + texts[1] + texts[2], texts
        assert c.names(4, 12, "pages") + c.names(5, 12, "pages") == []


def slow(c, job, snapshot, name, nodes=(1, 2, 3)):
    """A snapshot whose copies to that level take minutes, and are at it."""
    c.put(job, list(nodes))
    c.snapshot(job, nodes[0])
    c.reaches(snapshot, name, "copying", nodes[0])


def at_full_speed(c, *nodes):
    for n in (c.node(i) for i in nodes or c.numbers):
        n.kill()
        n.configure({"Agents": "n[1-%d]" % len(c.nodes), "LocalDir": n.local, **c.settings, "Bandwidth": "0"})
        n.start()


@test
def killed_while_copying():
    """agents killed while they make parity and flush: the states say it is not whole; begun again, it gets whole"""
    with Disks(3, Protect="xor:2", Bandwidth="5000") as c:
        slow(c, 20, "20.1", "xor:2")
        assert c.level("20.1", "shared")["state"] in ("waiting", "copying")
        c.node(2).kill()
        level = c.level("20.1", "xor:2")
        assert level["state"] == "copying" and level["done"] < level["total"], level
        assert c.shared(20) == []
        at_full_speed(c)
        c.reaches("20.1", "xor:2", "whole")
        c.reaches("20.1", "shared", "whole")
        assert sum(len(c.names(i, 20, "parity")) for i in (1, 2, 3)) == 3


@test
def killed_while_flushing():
    """killed while it copies to StoreDir: no pack has a name there before it is whole"""
    with Disks(2, Bandwidth="5000") as c:
        slow(c, 22, "22.1", "shared", (1, 2))
        c.node(1).kill()
        c.node(2).kill()
        assert c.shared(22) == []
        at_full_speed(c)
        c.reaches("22.1", "shared", "whole")
        assert len(c.shared(22)) == 2
        assert c.node(1).call("POST", "/v1/snapshots/22.1/verify")["ok"]


@test
def partner_lost():
    """a partner lost while it is copied to: the level failed, naming it; a restore needs what only it had: refused"""
    with Disks(4, Protect="partner", Flush="no", Bandwidth="5000") as c:
        slow(c, 24, "24.1", "partner")
        c.lose(3)
        at_full_speed(c, 1, 2, 4)

        def names_it():  # between two tries
            level = c.level("24.1", "partner")
            return level["state"] == "failed" and "n3" in level.get("error", "")
        wait_for("a failure that names n3", names_it, PATIENCE)
        # its own packs are on two nodes that live: only n3's are lost
        c.delete(24, [1, 2])
        texts = [r.text for r in c.put_each(25, [1, 2, 4], restart_from="24.1") if isinstance(r, Refused)]
        assert texts and "member 2" in texts[0] and "pack" in texts[0], texts


@test
def full_disk():
    """a full LocalDir: the snapshot fails, saying so, the job runs on, and nothing of it is left"""
    with Disks(2) as c:
        disk = c.node(2).local
        c.node(2).kill()
        shutil.rmtree(disk)
        os.mkdir(disk, 0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk], check=True)
        try:
            c.node(2).start()
            c.put(26, [1, 2])
            text = c.fails(26, 1)
            assert "n2" in text and "No space left" in text, text
            c.all_run(26, [1, 2])
            assert c.names(2, 26, "pages") == []
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            c.snapshot(26, 1)
            c.reaches("26.2", "shared", "whole")
        finally:
            c.node(2).kill()
            subprocess.run(["umount", "-l", disk], check=True)  # the dead agent's helpers may be in it a moment longer


@test
def tidied():
    """what is removed goes from all disks, packs and shards; what a whole snapshot needs stays"""
    with Disks(3, Protect="partner", Flush="no") as c:
        c.put(27, [1, 2, 3])
        c.snapshot(27, 1)
        c.reaches("27.1", "partner", "whole")
        had = [c.names(i, 27, "pages") + c.names(i, 27, "parity") for i in (1, 2, 3)]
        assert all(len(h) == 2 for h in had), had
        c.snapshot(27, 1)  # the same pages
        c.reaches("27.2", "partner", "whole")
        c.node(1).call("DELETE", "/v1/snapshots/27.1")
        c.delete(27, [1, 2, 3])  # each tidies
        c.node(2).kill()
        c.node(2).start()  # and at its start
        assert [c.names(i, 27, "pages") + c.names(i, 27, "parity") for i in (1, 2, 3)] == had
        c.node(1).call("DELETE", "/v1/snapshots/27.2")
        wait_for("nothing left", lambda: not any(c.names(i, 27, w) for i in (1, 2, 3) for w in ("pages", "parity")))


@test
def other_store():
    """StoreDir not mounted: an agent does not start, and nothing on its disk is removed"""
    with Disks(2, Flush="no") as c:
        c.put(28, [1, 2])
        c.snapshot(28, 1)
        c.reaches("28.1", "local", "whole")
        had = c.names(1, 28, "pages")
        assert had
        c.delete(28, [1, 2])
        c.node(1).kill()
        os.rename(c.store, c.store + ".away")
        os.mkdir(c.store, 0o700)
        run = subprocess.run([os.environ["FERMATAD"], "-f", c.node(1).conf], capture_output=True, timeout=60)
        assert run.returncode == 6 and b"another store" in run.stderr, (run.returncode, run.stderr[-500:])
        c.node(2).call("POST", "/v1/jobs/28/tidy")
        wait_for("that it is not tidied", lambda: "not tidied" in c.node(2).tail(50))
        shutil.rmtree(c.store)
        os.rename(c.store + ".away", c.store)
        c.node(1).start()
        assert c.names(1, 28, "pages") == had and c.names(2, 28, "pages")


@test
def damaged():
    """a flipped bit in a pack on the node's own disk: found before it is used, and another level's taken in its place"""
    with Disks(3, Protect="partner", Flush="no") as c:
        c.put(33, [1, 2])
        was = seeds(c, 33, [1, 2])
        c.snapshot(33, 1)
        c.reaches("33.1", "partner", "whole")
        c.delete(33, [1, 2])
        path = os.path.join(c.node(1).local, "33", "pages", c.names(1, 33, "pages")[0])
        with open(path, "r+b") as f:
            f.seek(5000)
            byte = f.read(1)
            f.seek(5000)
            f.write(bytes([byte[0] ^ 4]))
        assert restored(c, 34, [1, 2], "33.1", was) == ["partner", "local"]
        c.delete(34, [1, 2])
        assert restored(c, 35, [1, 2], "33.1", was) == ["local", "local"]


@test
def kept():
    """Keep=1: what the older snapshots alone had goes from all disks while the job runs, what the newest needs stays"""
    with Disks(2, Protect="partner", Flush="no", Keep="1") as c:
        c.put(36, [1, 2])
        for n in (1, 2, 3):
            c.snapshot(36, 1)
            c.reaches("36.%d" % n, "partner", "whole")
        wait_for("one left", lambda: [s["snapshot"] for s in c.node(1).call("GET", "/v1/snapshots?job=36")["snapshots"]] == ["36.3"])
        for i in (1, 2):
            c.node(i).call("POST", "/v1/jobs/36/tidy")
        was = seeds(c, 36, [1, 2])
        c.lose(2)
        c.node(1).call("DELETE", "/v1/jobs/36/member")
        c.node(2).start()  # with an empty disk
        c.node(2).call("DELETE", "/v1/jobs/36/member")
        assert restored(c, 37, [1, 2], "36.3", was) == ["local", "partner"]


@test
def killed_while_fetching():
    """an agent killed while it fetches packs for a restore: what came half is not used, and goes"""
    with Disks(3, Flush="no") as c:
        c.put(38, [1])
        was = seeds(c, 38, [1])
        c.snapshot(38, 1)
        c.reaches("38.1", "local", "whole")
        c.delete(38, [1])
        pack = c.names(1, 38, "pages")[0]
        os.makedirs(os.path.join(c.node(3).local, "38", "incoming"))
        for part in ("lock", pack, "0" * 64 + ".pack"):  # as one that was killed leaves them
            with open(os.path.join(c.node(3).local, "38", "incoming", part), "w") as f:
                f.write("half" * 1000 if part != "lock" else "")
        c.node(3).kill()
        c.node(3).start()
        wait_for("it is tidied", lambda: c.names(3, 38, "incoming") == [])
        assert restored(c, 39, [3], "38.1", was) == ["node"]
        assert c.names(3, 38, "pages") == [pack] and c.names(3, 38, "incoming") == []


def port_call(c, i, method, path, body=None, headers=None):
    """To the process that serves a node's disk: status and body."""
    h = http.client.HTTPConnection(c.address(i), c.port + 2, timeout=30)
    try:
        h.request(method, path, body, headers or {})
        r = h.getresponse()
        return r.status, r.read()
    finally:
        h.close()


def credential(c, method, path, body=b""):
    """Root's, for that request."""
    digest = hashlib.sha256(body).hexdigest()
    run = subprocess.run(["munge", "-S", c.munge, "-s", "%s %s %s" % (method, path, digest)], capture_output=True, check=True)
    return {"Authorization": "MUNGE " + run.stdout.decode().strip()}


@test
def served_to_root_only():
    """the disk's server: nobody without root's credential for that very request; no path out of a job's packs and shards"""
    with Disks(1, Flush="no") as c:
        c.put(40, [1])
        c.snapshot(40, 1)
        c.reaches("40.1", "local", "whole")
        pack = c.names(1, 40, "pages")[0]
        path = "/v1/local/40/pages/%s?offset=0&length=100" % pack
        data = open(os.path.join(c.node(1).local, "40", "pages", pack), "rb").read()

        def get(path, **more):
            return port_call(c, 1, "GET", path, **more)

        wait_for("an answer", lambda: get(path, headers=credential(c, "GET", path)) == (200, data[:100]))
        assert get(path)[0] == 401
        assert get(path, headers={"Authorization": "MUNGE nonsense"})[0] == 401
        assert get(path, headers=credential(c, "GET", path + "0"))[0] == 401
        assert get(path, headers=credential(c, "PUT", path))[0] == 401
        once = credential(c, "GET", path)
        assert get(path, headers=once)[0] == 200 and get(path, headers=once)[0] == 401
        for bad in ("/v1/local/40/pages/../../../store.id", "/v1/local/40/incoming/x.pack", "/v1/local/40/pages/lock", "/v1/local/",
                    "/v1/local/40/parity/1-0-0-0.parity/../../pages/" + pack, "/v1/local/x/pages/" + pack, "/",
                    "/v1/local/40/pages/%s?offset=0&length=99999999" % pack):
            status, body = get(bad, headers=credential(c, "GET", bad))
            assert status == 400, (bad, status, body)
        gone = "/v1/local/40/pages/%s.pack?offset=0&length=1" % ("0" * 64)
        assert get(gone, headers=credential(c, "GET", gone))[0] == 404
        shard = "/v1/local/40/parity/9-0-0-0.parity"
        for where, body, status in ((path, b"x", 401), (shard + "?offset=5", b"x", 400), (shard + "?offset=0", b"y" * 300000, 400)):
            h = credential(c, "PUT", where, body)
            assert port_call(c, 1, "PUT", where, body, h)[0] in (status, 400), where
        # Without a commit nothing is left of it.
        assert port_call(c, 1, "PUT", shard + "?offset=0", b"abc", credential(c, "PUT", shard + "?offset=0", b"abc"))[0] == 200
        wait_for("nothing left", lambda: c.names(1, 40, "parity") == [])
        whole = shard + "?offset=0&commit=1"
        assert port_call(c, 1, "PUT", whole, b"abc", credential(c, "PUT", whole, b"abc"))[0] == 200
        assert c.names(1, 40, "parity") == ["9-0-0-0.parity"]


@test
def one_node():
    """a job of one node has its partner outside of it"""
    with Disks(3, Protect="partner", Flush="no", Racks="a:n1 b:n2 c:n3") as c:
        c.put(29, [1])
        was = seeds(c, 29, [1])
        c.snapshot(29, 1)
        c.reaches("29.1", "partner", "whole")
        assert len(c.names(2, 29, "parity") + c.names(3, 29, "parity")) == 1
        c.lose(1)
        assert restored(c, 30, [2], "29.1", was[:1]) == ["partner"]


@test
def encrypted():
    """with a site key: rebuilt and fetched packs are checked with the job's key"""
    with Disks(3, Protect="partner", Flush="no", KeyFile=KEY_FILE) as c:
        c.put(31, [1, 2])
        was = seeds(c, 31, [1, 2])
        c.snapshot(31, 1)
        c.reaches("31.1", "partner", "whole")
        c.lose(2)
        c.node(1).call("DELETE", "/v1/jobs/31/member")
        assert restored(c, 32, [3, 1], "31.1", was) == ["node", "partner"]


@test
def began_unencrypted():
    """a job whose pages are on a disk was begun without a key: with a KeyFile it goes on as it is, wherever the next writer is"""
    with Disks(3, Flush="no") as c:
        c.put(41, [1, 2])
        c.snapshot(41, 1)
        c.reaches("41.1", "local", "whole")
        c.delete(41, [1, 2])
        for n in c.nodes.values():
            n.kill()
            n.configure({"Agents": "n[1-3]", "LocalDir": n.local, "Flush": "no", "KeyFile": KEY_FILE})
            n.start()
        c.put(41, [3, 2], restart_count=1)
        assert c.snapshot(41, 3)["snapshot"] == "41.2"
        assert not os.path.exists(os.path.join(c.store, "41", "key"))


if __name__ == "__main__":
    main()
