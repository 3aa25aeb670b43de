#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A restored group is one group: elsewhere, together, or not at all."""
import json
import os
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import OTHER, USER, Cluster, Refused, main, refused, test, wait_for  # noqa: E402


FERMATA = os.environ.get("FERMATA", os.path.abspath("fermata"))


def ask(c, i, job):
    return c.node(i).call("POST", "/v1/jobs/%d/attach" % job, {}, USER)


@test
def elsewhere():
    """restart-from on other nodes: same identity, same memory, another job's name"""
    with Cluster(4) as c:
        c.put(30, [1, 2])
        before = ask(c, 1, 30)
        seeds = [c.node(i + 1).domain("fm-30-%d" % i) for i in range(2)]
        c.snapshot(30, 1)
        c.delete(30, [1, 2])
        c.put(31, [3, 4], restart_from="30")
        after = ask(c, 3, 31)
        assert (after["address"], after["token"]) == (before["address"], before["token"])
        assert after["restored_from"] == "30.1"
        for rank in range(2):
            d = c.node(rank + 3).domain("fm-31-%d" % rank)
            assert d["state"] == "running" and d["seed"] == seeds[rank]["seed"], d
        assert c.node(3).job(31)["restored_from"] == "30.1"
        assert c.snapshot(31, 3)["snapshot"] == "31.1"


@test
def requeued():
    """requeued under the same id: its own newest snapshot, whatever it began from; none: afresh"""
    with Cluster(3) as c:
        c.put(32, [1, 2])
        c.delete(32, [1, 2])
        c.put(32, [2, 3], restart_count=1)
        assert "restored_from" not in c.node(2).job(32)
        c.snapshot(32, 2)
        c.snapshot(32, 2)
        c.delete(32, [2, 3])
        c.put(32, [3, 1], restart_count=2, restart_from="99.9")
        j = c.node(1).job(32)
        assert (j["restored_from"], j["incarnation"], j["rank"]) == ("32.2", 2, 1), j
        # the incarnation before was never ended here: the new one replaces it
        c.put(32, [1, 3], restart_count=3)
        assert c.node(1).job(32)["rank"] == 0 and c.node(1).domain("fm-32-1") is None
        assert isinstance(c.put_each(32, [1, 3], restart_count=2)[0], Refused)


def none_left(c, job, nodes):
    for rank, i in enumerate(nodes):
        wait_for("fm-%d-%d gone" % (job, rank), lambda: c.node(i).domain("fm-%d-%d" % (job, rank)) is None)
        assert c.node(i).job(job)["state"] == "failed"


def all_refuse(c, job, nodes, code, *words, **more):
    for r in c.put_each(job, nodes, **more):
        assert isinstance(r, Refused) and r.code == code, r
        for word in words:
            assert word in r.text, r.text
    none_left(c, job, nodes)
    for i in nodes:
        text = refused(code, ask, c, i, job)
        assert words[0] in text, text


@test
def one_fails():
    """one member cannot be restored: none runs, all say which and why"""
    with Cluster(4) as c:
        c.put(33, [1, 2, 3])
        c.snapshot(33, 1)
        c.delete(33, [1, 2, 3])
        c.node(3).inject("restore=fail:no room at the inn")
        all_refuse(c, 34, [4, 3, 2], 1, "member 1 (n3)", "no room at the inn", restart_from="33.1")
        c.delete(34, [4, 3, 2])
        c.node(3).inject("restore=kill")
        all_refuse(c, 35, [4, 3, 2], 1, "member 1 (n3)", restart_from="33.1")
        c.node(3).inject("release=fail:stuck")  # after others were let go
        for r in c.put_each(36, [4, 3, 2], restart_from="33.1")[:2]:
            assert isinstance(r, Refused) and "stuck" in r.text, r
        none_left(c, 36, [4, 3, 2])
        c.node(3).inject("")
        c.put(37, [4, 3, 2], restart_from="33.1")


@test
def held_together():
    """no member runs before all are ready"""
    with Cluster(3) as c:
        c.put(38, [1, 2, 3])
        c.snapshot(38, 1)
        c.delete(38, [1, 2, 3])
        c.node(2).inject("restore=hold")
        puts = [c.pool.submit(c.put, 39, [1, 2, 3], restart_from="38")]
        wait_for("n1 held", lambda: state(c, 1, 39) == "held")
        wait_for("n3 held", lambda: state(c, 3, 39) == "held")
        assert c.node(1).state("fm-39-0") == "paused" and c.node(3).state("fm-39-2") == "paused"
        refused(8, c.begin, 39, 1)
        c.node(2).inject("")
        puts[0].result()
        c.all_run(39, [1, 2, 3])


def state(c, i, job):
    try:
        return c.node(i).job(job)["state"]
    except Refused:
        return None


@test
def late():
    """a member that is late: the lead gives up and names it; an absent one, too"""
    with Cluster(3, CreateTimeout="5s") as c:
        c.put(40, [1, 2])
        c.snapshot(40, 1)
        c.delete(40, [1, 2])
        c.node(3).inject("restore=hold")
        r = c.put_each(41, [1, 3], restart_from="40")
        assert "member 1 (n3)" in r[0].text and r[0].code == 7, r[0]
        wait_for("the VM's end", lambda: c.node(1).domain("fm-41-0") is None)
        try:  # rank 1's prolog never comes
            c.node(1).call("PUT", "/v1/jobs/42/member", c.spec(42, [1, 2]))
            raise AssertionError("it ran alone")
        except Refused as e:
            assert "member 1 (n2)" in e.text and e.code == 7, e
        wait_for("the VM's end", lambda: c.node(1).domain("fm-42-0") is None)


@test
def damaged():
    """a damaged byte: nothing starts, the member is named"""
    with Cluster(4) as c:
        c.put(43, [1, 2])
        c.snapshot(43, 1)
        c.delete(43, [1, 2])
        path = os.path.join(c.store, "43", "1", "member-1.map")
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 2)
            b = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([b[0] ^ 1]))
        v = c.node(4).call("POST", "/v1/snapshots/43.1/verify", {}, USER)
        assert v["ok"] is False and [m["ok"] for m in v["members"]] == [True, False], v
        all_refuse(c, 44, [3, 4], 5, "member 1 (n4)", restart_from="43.1")


@test
def not_theirs():
    """another user's snapshot, one that is not there, too few nodes: the right refusal"""
    with Cluster(3) as c:
        c.put(45, [1, 2])
        c.snapshot(45, 1)
        c.delete(45, [1, 2])
        for job, code, more in ((46, 4, {"restart_from": "45.1", "uid": OTHER}), (47, 3, {"restart_from": "45.9"}),
                                (48, 3, {"restart_from": "99"})):
            for r in c.put_each(job, [1, 2], **more):
                assert isinstance(r, Refused) and r.code == code, r
            none_left(c, job, [1, 2])
        r = c.put_each(49, [3], restart_from="45.1")[0]
        assert isinstance(r, Refused) and r.code == 6 and "--nodes=2" in r.text, r


@test
def same_address():
    """a restored group whose address is in use on the node: refused, the other runs on"""
    with Cluster(2) as c:
        c.put(50, [1, 2])
        c.snapshot(50, 1)
        for r in c.put_each(51, [1, 2], restart_from="50"):
            assert isinstance(r, Refused) and r.code == 8 and "in use by job 50" in r.text, r
        c.all_run(50, [1, 2])


@test
def fenced():
    """requeued elsewhere while the old incarnation still runs: it is destroyed; another job's is in the way"""
    with Cluster(5, Agents="n[1-5]") as c:
        c.put(54, [1, 2])
        c.snapshot(54, 1)
        for r in c.put_each(55, [3, 4], restart_from="54"):
            assert isinstance(r, Refused) and r.code == 8 and "in use by job 54" in r.text, r
        c.all_run(54, [1, 2])
        c.node(5).kill()  # a dead node keeps nobody from going on
        c.put(54, [3, 4], restart_count=1)
        assert c.node(1).domain("fm-54-0") is None and c.node(2).domain("fm-54-1") is None
        assert c.node(3).job(54)["restored_from"] == "54.1"
        refused(3, c.node(1).job, 54)


@test
def killed_while_restoring():
    """an agent killed while its member is held: the whole group is given up; restarted it has no guest"""
    for victim in (1, 2):
        with Cluster(3) as c:
            c.put(52, [1, 2])
            c.snapshot(52, 1)
            c.delete(52, [1, 2])
            other = 3 - victim
            c.node(other).inject("restore=hold")
            puts = [c.pool.submit(c.node(i).call, "PUT", "/v1/jobs/53/member", c.spec(53, [1, 2], restart_from="52"))
                    for i in (1, 2)]
            wait_for("held", lambda: state(c, victim, 53) == "held")
            c.node(victim).kill()
            c.node(victim).start()
            c.node(other).inject("")
            j = c.node(victim).job(53)
            assert j["state"] == "failed" and "restarted" in j["error"], j
            try:
                puts[other - 1].result()
                raise AssertionError("the other runs alone")
            except Refused as e:
                assert "restarted" in e.text and "member %d" % (victim - 1) in e.text, e.text
            none_left(c, 53, [1, 2])


def saved_group(c, job):
    c.put(job, [1, 2, 3])
    c.snapshot(job, 1)
    c.delete(job, [1, 2, 3])


def frozen(c, i, name):
    return c.node(i).domain(name)["frozen"]


@test
def not_at_rest():
    """a member whose runner does not answer at the cut: the snapshot is whole and says so"""
    with Cluster(2) as c:
        c.put(58, [1, 2])
        whole = c.snapshot(58, 1)
        assert all(m["frozen"] and m["quiet"] for m in whole["members"]) and not whole["notes"], whole
        c.node(2).inject("save.freeze=fail")
        s = c.snapshot(58, 1)
        assert [m["frozen"] for m in s["members"]] == [True, False], s
        assert [n for n in s["notes"] if n.startswith("member 1 was not frozen")], s["notes"]


@test
def linked_together():
    """a link that is late: the others run behind shut gates, their jobs frozen, until it is there"""
    with Cluster(3) as c:
        saved_group(c, 60)
        c.node(2).inject("guest.link=fail")
        put = c.pool.submit(c.put, 61, [1, 2, 3], restart_from="60")
        for rank, i in enumerate((1, 2, 3)):
            wait_for("member %d to run" % rank, lambda: c.node(i).state("fm-61-%d" % rank) == "running")
        wait_for("member 2 linked", lambda: "guest linked" in c.node(3).tail(100000))
        assert "guest linked" not in c.node(2).tail(100000) and "guest reinjecting" not in c.node(3).tail(100000)
        for rank, i in enumerate((1, 2, 3)):
            assert frozen(c, i, "fm-61-%d" % rank) and state(c, i, 61) == "held", (i, state(c, i, 61))
        refused(8, c.begin, 61, 1)
        c.node(2).inject("")
        put.result()
        c.all_run(61, [1, 2, 3])
        for rank, i in enumerate((1, 2, 3)):
            assert not frozen(c, i, "fm-61-%d" % rank)
            text = c.node(i).tail(100000)
            order = [text.rindex("guest " + s) for s in ("linking", "linked", "reinjecting", "thawing", "probing")]
            assert order == sorted(order), order


@test
def never_linked():
    """a member that never links: named, the group given up, nothing left"""
    with Cluster(3, CreateTimeout="6s") as c:
        saved_group(c, 62)
        c.node(3).inject("guest.link=fail")
        all_refuse(c, 63, [1, 2, 3], 7, "member 2 (n3)", "not linked to the network", restart_from="62")


STAGES = ("starting", "linking", "linked", "reinjecting", "thawing", "probing")


@test
def fails_at_each_step():
    """a failure at each step after the release, on the lead or another: all end, the member is named"""
    with Cluster(3) as c:
        saved_group(c, 64)
        job = 65
        for i, stage in [(2, s) for s in STAGES] + [(1, "linked"), (1, "reinjecting"), (1, "thawing")]:
            c.node(i).inject("guest.%s=fail:struck at %s" % (stage, stage))
            r = c.put_each(job, [1, 2, 3], restart_from="64")
            assert all(isinstance(x, Refused) for x in r) or stage in ("reinjecting", "thawing", "probing"), (stage, r)
            assert isinstance(r[i - 1], Refused), (stage, r)
            for x in r:
                if isinstance(x, Refused):
                    assert "member %d (n%d)" % (i - 1, i) in x.text and "struck at " + stage in x.text, x
            none_left(c, job, [1, 2, 3])
            c.node(i).inject("")
            job += 1
        for slot in ("thaw=fail:not warm enough", "thaw=kill"):
            c.node(2).inject(slot)
            r = c.put_each(job, [1, 2, 3], restart_from="64")
            assert isinstance(r[1], Refused) and "member 1 (n2)" in r[1].text, r
            none_left(c, job, [1, 2, 3])
            c.node(2).inject("")
            job += 1
        c.put(job, [1, 2, 3], restart_from="64")


@test
def delayed_at_each_step():
    """an agent that is slow at every step: it takes longer, no more"""
    with Cluster(3) as c:
        saved_group(c, 80)
        c.node(2).inject("\n".join("guest.%s=delay:150" % s for s in STAGES))
        c.put(81, [1, 2, 3], restart_from="80")
        c.all_run(81, [1, 2, 3])
        assert not frozen(c, 2, "fm-81-1")


@test
def killed_at_each_step():
    """an agent that dies at a step: the group is given up, also when it was the lead's; the next restore works"""
    with Cluster(3) as c:
        saved_group(c, 82)
        job = 83
        for i, stage in ((2, "linking"), (2, "linked"), (2, "thawing"), (1, "linked"), (1, "reinjecting")):
            c.node(i).inject("guest.%s=kill" % stage)
            puts = [c.pool.submit(put_one, c, n, job) for n in (1, 2, 3)]
            wait_for("the agent's end", lambda: c.node(i).process.poll() is not None)
            c.node(i).inject("")
            c.node(i).start()
            for n, p in enumerate(puts, 1):
                r = p.result()
                if n == i or (stage in ("reinjecting", "thawing") and isinstance(r, dict)):
                    continue  # nobody to answer; or it ran already, and ends with the others
                assert isinstance(r, Refused) and "member %d (n%d)" % (i - 1, i) in r.text, (stage, n, r)
            none_left(c, job, [1, 2, 3])
            c.delete(job, [1, 2, 3])
            job += 1
        c.put(job, [1, 2, 3], restart_from="82")


def put_one(c, i, job):
    try:
        return c.node(i).call("PUT", "/v1/jobs/%d/member" % job, c.spec(job, [1, 2, 3], restart_from="82"))
    except Exception as e:  # the agent that is killed answers nobody
        return e


@test
def encrypted():
    """with a KeyFile: saved, verified, restored, exported as ever; without the key, or with another, nothing of it"""
    with tempfile.TemporaryDirectory() as keys:
        key, other = (os.path.join(keys, n) for n in ("site.key", "other.key"))
        for path in (key, other):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(os.urandom(32).hex() + "\n")
        with Cluster(4, KeyFile=key) as c:
            c.put(48, [1, 2])
            c.snapshot(48, 1)
            assert c.snapshot(48, 2)["snapshot"] == "48.2"
            assert os.stat(os.path.join(c.store, "48", "key")).st_mode & 0o777 == 0o600
            with open(os.path.join(c.store, "48", "1", "manifest.json")) as f:
                guest = json.load(f)["guest"]  # its token is for nobody who has only the store
            with open(os.path.join(c.store, "48", "script"), "rb") as f:
                assert b"echo" not in f.read()
            assert "echo job 48" in c.node(4).call("GET", "/v1/snapshots/48.1/script", uid=USER)["script"]
            assert "token" not in guest and len(guest["token_sealed"]) > 128, guest
            second = c.node(2).call("GET", "/v1/snapshots/48.2", uid=USER)
            assert all(m["stored_pages"] == 0 and m["known_pages"] > 0 for m in second["members"]), second
            assert c.node(4).call("POST", "/v1/snapshots/48.1/verify", {}, USER)["ok"] is True
            token = ask(c, 1, 48)["token"]
            c.delete(48, [1, 2])
            c.put(49, [3, 4], restart_from="48.1")
            assert c.node(3).job(49)["restored_from"] == "48.1" and ask(c, 3, 49)["token"] == token
            c.delete(49, [3, 4])
            c.node(3).call("DELETE", "/v1/snapshots/48.2", uid=USER)  # and what only it needed
            assert c.node(4).call("POST", "/v1/snapshots/48.1/verify", {}, USER)["ok"] is True
            # what a program of somebody else's says, without the key and with another
            for lines, what in (("", "48/key"), ("KeyFile=%s\n" % other, other)):
                conf = os.path.join(c.dir, "thief.conf")
                with open(conf, "w") as f:
                    f.write("StoreDir=%s\nNodeName=x\n%s" % (c.store, lines))
                r = subprocess.run([FERMATA, "export", "48.1", "0", "-", "--config", conf], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
                assert r.returncode == 4 and r.stdout == b"" and what in r.stderr.decode(), r
            # a node that has no key
            c.node(4).kill(signal.SIGTERM)
            c.node(4).configure({"KeyFile": ""})
            c.node(4).start()
            refused(4, c.node(4).call, "POST", "/v1/snapshots/48.1/verify", {}, USER)
            all_refuse(c, 50, [3, 4], 4, "member 1 (n4)", restart_from="48.1")
            # one whose key others may read does not start
            c.node(4).kill(signal.SIGTERM)
            os.chmod(other, 0o644)
            c.node(4).configure({"KeyFile": other})
            try:
                c.node(4).start()
            except AssertionError as why:
                assert other in str(why), why
                c.node(4).process = None
            else:
                raise AssertionError("it started")


if __name__ == "__main__":
    main()
