#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`fermata verify` of what is on the nodes' own disks: found, named, repaired, and never taken for whole unread."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import OTHER, USER, main, refused, test, wait_for  # noqa: E402
from disks import KEY_FILE, Disks, restored, seeds  # noqa: E402

FERMATA = os.environ.get("FERMATA", os.path.abspath("fermata"))


def flip(path, at):
    """One bit of it; what it was."""
    with open(path, "r+b") as f:
        was = f.read()
        f.seek(at % len(was))
        f.write(bytes([was[at % len(was)] ^ 4]))
    return was


def read(path):
    with open(path, "rb") as f:
        return f.read()


def command(c, *args, exits=0):
    """`fermata` as root; its output."""
    r = subprocess.run([FERMATA, *args], env={"FERMATA_CONF": c.node(1).conf, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd="/")
    assert r.returncode == exits, (args, r.returncode, r.stdout, r.stderr)
    return r.stdout + r.stderr


class Verified(Disks):
    """Packs in StoreDir stay as they were flushed, unless a test says otherwise."""

    def __init__(self, nodes, **settings):
        super().__init__(nodes, Compact="no", **settings)

    def path(self, i, job, what, name=None):
        """The node's only pack or shard, or the one of that name."""
        return os.path.join(self.node(i).local, str(job), what, name or self.names(i, job, what)[0])

    def verify(self, snapshot, repair=False, node=1, uid=USER):
        """The verdict and its levels by name."""
        v = self.node(node).call("POST", "/v1/snapshots/%s/verify" % snapshot, {"repair": True} if repair else None, uid)
        return v, {e["name"]: e for e in v["levels"]}

    def verifies(self, snapshot, *names):
        """All is well, in these places."""
        v, levels = self.verify(snapshot)
        assert v["ok"] and (list(levels) == list(names) or not names), v
        assert all(m["ok"] for m in v["members"]), v
        return levels


def damage(level):
    return [(d["node"], d["file"]) for d in level["damaged"]]


@test
def everywhere():
    """flushed and protected: each place read in full, nearest first; a bit flipped in each pack and shard is found there only"""
    with Verified(3, Protect="xor:2") as c:
        c.put(50, [1, 2, 3])
        c.snapshot(50, 1)
        c.reaches("50.1", "xor:2", "whole")
        c.reaches("50.1", "shared", "whole")
        levels = c.verifies("50.1", "local", "xor:2", "store")
        assert all(e["ok"] and e["state"] == "whole" and e["files"] and not e["damaged"] for e in levels.values()), levels
        for what, name in (("pages", "local"), ("parity", "xor:2")):
            sizes = [os.path.getsize(c.path(i, 50, what)) for i in (1, 2, 3)]
            assert levels[name]["files"] == 3 and levels[name]["bytes"] == sum(sizes), (levels[name], sizes)
            for i in (1, 2, 3):
                path = c.path(i, 50, what)
                was = flip(path, 4321 * i)
                v, now = c.verify("50.1", node=3)
                assert not v["ok"] and all(m["ok"] for m in v["members"]), v
                assert [n for n in now if not now[n]["ok"]] == [name] and now[name]["state"] == "damaged", v
                assert damage(now[name]) == [("n%d" % i, "50/%s/%s" % (what, os.path.basename(path)))], now[name]
                with open(path, "wb") as f:
                    f.write(was)
        c.verifies("50.1", "local", "xor:2", "store")
        assert c.level("50.1", "xor:2")["state"] == "whole"


@test
def packs_repaired():
    """packs on nodes' own disks, damaged and missing, put right from StoreDir, or from parity where there is no other"""
    for flush, source in (("yes", "store"), ("no", "partner")):
        with Verified(3, Protect="partner", Flush=flush) as c:
            c.put(51, [1, 2, 3])
            was = seeds(c, 51, [1, 2, 3])
            c.snapshot(51, 1)
            c.reaches("51.1", "partner", "whole")
            if flush == "yes":
                c.reaches("51.1", "shared", "whole")
            paths = {i: c.path(i, 51, "pages") for i in (1, 2)}
            content = {i: read(p) for i, p in paths.items()}
            flip(paths[1], 5000)
            os.unlink(paths[2])
            v, levels = c.verify("51.1", node=3)
            names = [(n, "51/pages/" + os.path.basename(paths[i])) for i, n in ((1, "n1"), (2, "n2"))]
            assert not v["ok"] and sorted(damage(levels["local"])) == names, v
            assert all(m["ok"] for m in v["members"]), v
            v, levels = c.verify("51.1", True, node=3)
            assert v["ok"] and levels["local"]["ok"], v
            assert sorted(damage(levels["local"])) == names, v
            assert {d["repaired"] for d in levels["local"]["damaged"]} == {source}, levels["local"]
            assert {i: read(p) for i, p in paths.items()} == content
            c.verifies("51.1")
            c.delete(51, [1, 2, 3])
            assert restored(c, 52, [1, 2, 3], "51.1", was) == ["local"] * 3


@test
def shards_repaired():
    """damaged and missing shards: not taken for whole any more, made anew by their makers only when asked; then they serve"""
    with Verified(5, Protect="rs:2+2", Flush="no") as c:
        nodes = [1, 2, 3, 4]
        c.put(53, nodes)
        was = seeds(c, 53, nodes)
        c.snapshot(53, 1)
        c.reaches("53.1", "rs:2+2", "whole")
        shard, gone = c.path(2, 53, "parity"), c.path(3, 53, "parity", c.names(3, 53, "parity")[1])
        flip(shard, 700)
        os.unlink(gone)
        v, levels = c.verify("53.1")
        assert not v["ok"] and levels["local"]["ok"] and levels["rs:2+2"]["state"] == "damaged", v
        names = [("n2", "53/parity/" + os.path.basename(shard)), ("n3", "53/parity/" + os.path.basename(gone))]
        assert sorted(damage(levels["rs:2+2"])) == names, v
        shown = c.level("53.1", "rs:2+2")
        assert shown["state"] == "failed" and "found by a verify" in shown["error"], shown
        v, levels = c.verify("53.1", True)
        assert v["ok"] and levels["rs:2+2"]["state"] == "whole", v
        assert all(d["repaired"].startswith("the packs of n") for d in levels["rs:2+2"]["damaged"]), v
        assert len(levels["rs:2+2"]["damaged"]) == 2 and os.path.exists(gone)
        c.verifies("53.1", "local", "rs:2+2", "store")
        assert c.level("53.1", "rs:2+2")["state"] == "whole"
        c.lose(1)
        c.lose(4)
        for i in (2, 3):
            c.node(i).call("DELETE", "/v1/jobs/53/member")
        for i in (1, 4):
            c.node(i).start()  # with an empty disk
            c.node(i).call("DELETE", "/v1/jobs/53/member")
        levels = restored(c, 54, nodes, "53.1", was)
        assert levels[0] == "rs" and levels[3] == "rs", levels


@test
def pack_and_shard():
    """a pack, and the shard that could give it: nothing is made anew of damaged packs; the other shard gives the pack first"""
    with Verified(4, Protect="rs:2+2", Flush="no") as c:
        c.put(55, [1, 2, 3, 4])
        c.snapshot(55, 1)
        c.reaches("55.1", "rs:2+2", "whole")
        content = read(c.path(1, 55, "pages"))
        flip(c.path(1, 55, "pages"), 9000)
        for name in c.names(2, 55, "parity"):
            flip(c.path(2, 55, "parity", name), 1500)
        v, levels = c.verify("55.1")
        assert not v["ok"] and not levels["local"]["ok"] and not levels["rs:2+2"]["ok"], v
        assert all(m["ok"] for m in v["members"]), v  # by the shards that are left
        v, levels = c.verify("55.1", True, node=4)
        assert v["ok"] and levels["local"]["damaged"][0]["repaired"] == "rs", v
        assert len(levels["rs:2+2"]["damaged"]) == 2 and all("repaired" in d for d in levels["rs:2+2"]["damaged"]), v
        assert read(c.path(1, 55, "pages")) == content
        c.verifies("55.1", "local", "rs:2+2", "store")


@test
def lost():
    """more than parity can do: the member is named, nothing is said to be repaired, and the shards stay as they are"""
    with Verified(3, Protect="partner", Flush="no") as c:
        c.put(56, [1, 2])
        c.snapshot(56, 1)
        c.reaches("56.1", "partner", "whole")
        flip(c.path(1, 56, "pages"), 6000)
        shard = c.path(2, 56, "parity")
        flip(shard, 6500)
        left = read(shard)
        for repair in (False, True):
            v, levels = c.verify("56.1", repair)
            assert not v["ok"] and [m["ok"] for m in v["members"]] == [False, True], v
            assert levels["local"]["state"] == "damaged" and levels["partner"]["state"] == "damaged", v
        (pack,), (code,) = levels["local"]["damaged"], levels["partner"]["damaged"]
        assert "repaired" not in pack and "partner" in pack["repair_error"], pack
        assert "repaired" not in code and "not all good" in code["repair_error"], code
        assert read(shard) == left
        text = command(c, "verify", "56.1", "--repair", exits=5)
        assert "local: n1: 56/pages/" in text and "not repaired:" in text, text


@test
def node_down():
    """a node that does not answer is named, and no verdict of "ok"; its member is ok by the partner's copy; then it is back"""
    with Verified(3, Protect="partner", Flush="no") as c:
        c.put(57, [1, 2])
        c.snapshot(57, 1)
        c.reaches("57.1", "partner", "whole")
        c.node(2).kill()
        v, levels = c.verify("57.1")
        assert not v["ok"] and all(m["ok"] for m in v["members"]), v
        for name in ("local", "partner"):
            assert levels[name]["state"] == "unreachable" and not levels[name]["ok"], v
            assert "n2" in levels[name]["error"] and levels[name]["files"] == 1, v
        text = command(c, "verify", "57.1", exits=5)
        assert "unreachable: node n2" in text, text
        v, levels = c.verify("57.1", True)
        assert not v["ok"] and levels["local"]["state"] == "unreachable", v
        c.node(2).start()
        c.node(1).kill()
        flip(c.path(1, 57, "pages"), 100)
        v, levels = c.verify("57.1", node=3)
        assert not v["ok"] and "n1" in levels["local"]["error"] and all(m["ok"] for m in v["members"]), v
        c.node(1).start()
        v, levels = c.verify("57.1", True, node=3)
        assert v["ok"] and levels["local"]["damaged"][0]["repaired"] == "partner", v


@test
def disk_replaced():
    """a node's disk lost, the node back with an empty one: all that was on it is named as missing, and put there again"""
    with Verified(3, Protect="xor:2", Flush="no") as c:
        nodes = [1, 2, 3]
        c.put(66, nodes)
        was = seeds(c, 66, nodes)
        c.snapshot(66, 1)
        c.reaches("66.1", "xor:2", "whole")
        had = {w: c.names(2, 66, w) for w in ("pages", "parity")}
        c.lose(2)
        c.node(2).start()
        v, levels = c.verify("66.1")
        assert not v["ok"] and all(m["ok"] for m in v["members"]), v
        for level, what in (("local", "pages"), ("xor:2", "parity")):
            assert damage(levels[level]) == [("n2", "66/%s/%s" % (what, n)) for n in had[what]], levels[level]
            assert "missing" in levels[level]["damaged"][0]["error"], levels[level]
        v, levels = c.verify("66.1", True)
        assert v["ok"] and levels["local"]["damaged"][0]["repaired"] == "xor", v
        assert {w: c.names(2, 66, w) for w in had} == had
        c.verifies("66.1", "local", "xor:2", "store")
        c.lose(1)
        c.node(1).start()
        for i in nodes:
            c.node(i).call("DELETE", "/v1/jobs/66/member")
        assert restored(c, 67, nodes, "66.1", was) == ["xor", "local", "local"]


@test
def unflushed():
    """not in StoreDir (yet): not refused; the nodes' disks give the verdict, what is to come is no failure, nor said to be there"""
    with Verified(2, Bandwidth="5000") as c:
        place = os.path.join(c.dir, "second")
        os.mkdir(place)
        for n in c.nodes.values():
            n.kill()
            n.configure({"Agents": "n[1-2]", "LocalDir": n.local, "Level": "second directory:%s same-filesystem=yes" % place,
                         **c.settings})
            n.start()
        c.put(58, [1, 2])
        c.snapshot(58, 1)
        c.reaches("58.1", "shared", "copying")
        for repair in (False, True):
            v, levels = c.verify("58.1", repair)
            assert v["ok"] and all(m["ok"] for m in v["members"]), v
            assert levels["local"]["ok"] and levels["store"]["state"] == "absent" and not levels["store"]["ok"], v
            assert levels["store"]["to_come"] == 2 and not levels["store"]["damaged"], v
            assert levels["second"]["state"] == "absent", v
        text = command(c, "verify", "58.1")
        assert "2 packs not there (yet)" in text and "58.1 verifies" in text, text
        flip(c.path(2, 58, "pages"), 3000)
        v, levels = c.verify("58.1")
        assert not v["ok"] and [m["ok"] for m in v["members"]] == [True, False], v
        assert damage(levels["local"]) == [("n2", "58/pages/" + c.names(2, 58, "pages")[0])], v


@test
def unrecorded():
    """no record (yet), or a damaged one: the packs are those that the members' maps name; no parity is said to be there"""
    with Verified(2, Protect="partner", Flush="no") as c:
        c.put(68, [1, 2])
        c.snapshot(68, 1)
        c.reaches("68.1", "partner", "whole")
        record = os.path.join(c.store, "68", "local", "1", "record.json")
        flip(c.path(2, 68, "pages"), 3000)
        content = read(record)

        def unwritten():  # an agent that looks for what was left undone would write it again
            if os.path.exists(record):
                os.unlink(record)
            found = c.verify("68.1")
            return None if os.path.exists(record) else found

        for damaged in (False, True):
            v, levels = wait_for("a verdict without a record", unwritten)
            if damaged:
                with open(record, "wb") as f:
                    f.write(content[:100])
                v, levels = c.verify("68.1")
            assert not v["ok"] and [m["ok"] for m in v["members"]] == [True, False], v
            assert levels["local"]["files"] == 2 + damaged and levels["partner"]["state"] == "absent", v
            names = [("n2", "68/pages/" + c.names(2, 68, "pages")[0])]
            assert damage(levels["local"]) == [("StoreDir", "68/local/1/record.json")] * damaged + names, v
            assert levels["store"]["to_come"] == 2, v
        with open(record, "wb") as f:
            f.write(content)
        v, levels = c.verify("68.1", True)
        assert v["ok"] and levels["local"]["damaged"][0]["repaired"] == "partner", v


@test
def store_repaired():
    """flushed, and a pack gone from StoreDir, another damaged there: that is damage, and put right from the nodes' disks"""
    with Verified(3) as c:
        c.put(59, [1, 2])
        c.snapshot(59, 1)
        c.reaches("59.1", "shared", "whole")
        paths = [os.path.join(c.store, "59", "pages", name) for name in c.shared(59)]
        content = [read(p) for p in paths]
        os.unlink(paths[0])
        flip(paths[1], 4000)
        names = ["59/pages/" + os.path.basename(p) for p in paths]
        v, levels = c.verify("59.1", node=3)
        assert not v["ok"] and levels["local"]["ok"] and levels["store"]["state"] == "damaged", v
        assert sorted(d["file"] for d in levels["store"]["damaged"]) == names, v
        assert all(m["ok"] for m in v["members"]), v
        v, levels = c.verify("59.1", True)
        assert v["ok"] and levels["store"]["ok"], v
        assert sorted((d["file"], d["repaired"][0]) for d in levels["store"]["damaged"]) == [(n, "n") for n in names], v
        assert [read(p) for p in paths] == content
        c.verifies("59.1", "local", "store")


@test
def earlier_records():
    """a later snapshot's packs are protected by an earlier one's parity: that is read for it, and repaired for it"""
    with Verified(3, Protect="partner", Flush="no") as c:
        c.put(60, [1, 2])
        c.snapshot(60, 1)
        c.reaches("60.1", "partner", "whole")
        c.snapshot(60, 1)  # the same pages
        c.reaches("60.2", "partner", "whole")
        flip(c.path(2, 60, "parity"), 2222)
        v, levels = c.verify("60.2")
        assert not v["ok"] and damage(levels["partner"]) == [("n2", "60/parity/" + c.names(2, 60, "parity")[0])], v
        v, levels = c.verify("60.2", True)
        assert v["ok"] and "repaired" in levels["partner"]["damaged"][0], v
        c.verifies("60.1")


@test
def encrypted():
    """an encrypted job: read and repaired with the job's key; another user is denied it, and the nodes' call is root's"""
    with Verified(2, Protect="partner", Flush="no", KeyFile=KEY_FILE) as c:
        c.put(61, [1, 2])
        c.snapshot(61, 1)
        c.reaches("61.1", "partner", "whole")
        content = read(c.path(2, 61, "pages"))
        flip(c.path(2, 61, "pages"), 8000)
        refused(4, c.verify, "61.1", uid=OTHER)
        refused(4, c.verify, "61.1", True, uid=OTHER)
        refused(4, c.node(2).call, "POST", "/v1/snapshots/61.1/disk", {}, USER)
        assert read(c.path(2, 61, "pages")) != content
        v, levels = c.verify("61.1")
        assert not v["ok"] and damage(levels["local"])[0][0] == "n2", v
        v, levels = c.verify("61.1", True)
        assert v["ok"] and levels["local"]["damaged"][0]["repaired"] == "partner", v
        assert read(c.path(2, 61, "pages")) == content


@test
def written_anew():
    """StoreDir's packs compressed anew: with parity a node's pack comes back in the bytes it was made of, without in any"""
    for protect, source in (("partner", "partner"), ("none", "store")):
        with Verified(3, Protect=protect) as c:
            c.put(64, [1, 2])
            was = seeds(c, 64, [1, 2])
            c.snapshot(64, 1)
            c.reaches("64.1", "shared", "whole")
            if protect != "none":
                c.reaches("64.1", protect, "whole")
            name = c.names(1, 64, "pages")[0]
            mine, shared = c.path(1, 64, "pages"), os.path.join(c.store, "64", "pages", name)
            content = read(mine)

            def compacted():  # it gives way to whoever is at the packs
                c.node(1).call("POST", "/v1/prune", {"job": 64, "compact": True})
                return len(read(shared)) != len(content)
            wait_for("packs written anew", compacted)
            flip(mine, 3333)
            v, levels = c.verify("64.1", True, node=2)
            assert v["ok"] and [d["repaired"] for d in levels["local"]["damaged"]] == [source], v
            assert (read(mine) == content) == (protect != "none")
            c.verifies("64.1")
            assert c.asked("64.1", "local")["state"] == "whole"
            c.delete(64, [1, 2])
            assert restored(c, 65, [1, 2], "64.1", was) == ["local", "local"]


@test
def restored_beside_store():
    """a pack damaged on the node's own disk, whole in StoreDir: a restore there takes StoreDir's, and puts it in its place"""
    with Verified(2) as c:
        c.put(62, [1, 2])
        was = seeds(c, 62, [1, 2])
        c.snapshot(62, 1)
        c.reaches("62.1", "shared", "whole")
        c.delete(62, [1, 2])
        content = read(c.path(1, 62, "pages"))
        flip(c.path(1, 62, "pages"), 5000)
        assert restored(c, 63, [1, 2], "62.1", was) == ["shared", "local"]
        assert read(c.path(1, 62, "pages")) == content


if __name__ == "__main__":
    main()
