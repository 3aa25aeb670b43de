#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A cut's rounds down a tree: who is dead or silent is named, everybody else is undone; who proves nothing is not heard."""
import hashlib
import hmac
import os
import signal
import socket
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, main, test, wait_for  # noqa: E402

NODES = [1, 2, 3, 4, 5, 6, 7]  # rank r on node r+1: 0 ─ 1 ─ 3, 4;  0 ─ 2 ─ 5, 6
ROUNDS = ["arm", "gate", "drain", "cut", "release", "commit", "abort"]


def seven(**settings):
    return Cluster(7, **{"TreeArity": 2, "RoundTimeout": "4s", **settings})


def in_round(c, job, name):
    wait_for("round " + name, lambda: c.node(1).job(job).get("snapshot", {}).get("round") == name)


def undone(c, nodes, snapshot):
    """These members have given this snapshot up."""
    for i in nodes:
        def said():
            with open(c.node(i).log) as f:
                return any("snapshot=" + snapshot in line and " undone:" in line for line in f)
        wait_for("n%d to give %s up" % (i, snapshot), said)


@test
def whole():
    """seven members, two a branch: whole, in order, the rounds' times are told, links are warm the second time"""
    with seven() as c:
        c.put(1, NODES)
        for _ in range(2):
            s = c.snapshot(1, 5)
            assert [m["rank"] for m in s["members"]] == list(range(7)), s
            assert s["arity"] == 2 and list(s["rounds_ms"]) == ROUNDS[:6], s
            assert all(ms > 0 for ms in s["rounds_ms"].values()), s
            assert 0 <= s["skew_ms"] <= sum(s["rounds_ms"].values()), s
        with open(c.node(2).log) as f:
            connected = [line for line in f if "connected" in line]
        assert len(connected) == 2, connected
        c.all_run(1, NODES)


def given_up(c, job, snapshot, member, nodes, word=""):
    """It failed because of this member; all others of the nodes are as before, and the next snapshot is whole."""
    why = c.ended(snapshot, 1)["error"]
    assert why.startswith("member %d (n%d)" % (member, member + 1)) and word in why, why
    undone(c, nodes, snapshot)
    c.all_run(job, NODES)


@test
def dead_inner():
    """an agent inside the tree dies: it is named, the members below it are undone all the same"""
    with seven(GateMax="60s", RoundTimeout="60s") as c:
        c.put(2, NODES)
        for victim, slot, round_ in ((2, "save.armed", "arm"), (3, "save.suspended", "cut")):
            c.node(7).inject(slot + "=hold")
            c.node(4).inject(slot + "=hold")
            snapshot = c.begin(2, 1)
            in_round(c, 2, round_)
            below = c.node(4 if victim == 2 else 7)
            wait_for("%s to be in it" % below.name, lambda: "snapshot=%s " % snapshot in below.tail(5))
            c.node(victim).kill()
            c.node(7).inject("")
            c.node(4).inject("")
            given_up(c, 2, snapshot, victim - 1, [i for i in NODES if i != victim], "broke")
            c.node(victim).start()
            assert c.snapshot(2, 1)["state"] == "whole"
            c.all_run(2, NODES)


@test
def dead_before():
    """an agent that is dead when the snapshot begins is named"""
    with seven() as c:
        c.put(3, NODES)
        c.snapshot(3, 1)
        for victim in (2, 7):
            c.node(victim).kill()
            given_up(c, 3, c.begin(3, 1), victim - 1, [], "no connection")
            c.node(victim).start()
            c.snapshot(3, 1)


def stop(node):
    node.process.send_signal(signal.SIGSTOP)


def go_on(node):
    node.process.send_signal(signal.SIGCONT)


@test
def silent_inner():
    """an agent inside the tree that is silent is named by its parent; its children are bypassed to"""
    with seven() as c:
        c.put(4, NODES)
        c.snapshot(4, 1)
        c.node(5).inject("save.begin=hold")
        snapshot = c.begin(4, 1)
        in_round(c, 4, "arm")
        wait_for("n4 armed", lambda: "snapshot=%s arming -> armed" % snapshot in c.node(4).tail(40))
        stop(c.node(2))
        c.node(5).inject("")
        given_up(c, 4, snapshot, 1, [1, 3, 4, 5, 6, 7], "no answer")
        assert "member 1 is bypassed" in c.node(1).tail(60)
        go_on(c.node(2))
        undone(c, [2], snapshot)
        c.node(5).inject("")
        c.snapshot(4, 1)
        c.all_run(4, NODES)


@test
def silent_leaf():
    """a silent leaf is named, not the branch it is on; in the freeze too, and nobody stays frozen for it"""
    with seven(GateMax="3s") as c:
        c.put(5, NODES)
        c.node(6).inject("save.begin=hold")
        snapshot = c.begin(5, 1)
        in_round(c, 5, "arm")
        stop(c.node(6))
        c.node(6).inject("")
        given_up(c, 5, snapshot, 5, [1, 2, 3, 4, 5, 7], "no answer")
        go_on(c.node(6))
        undone(c, [6], snapshot)
        c.node(6).inject("member.gated=hold")
        why = c.ended(c.begin(5, 1), 1)["error"]
        assert why.startswith("member 5 (n6)"), why
        c.node(6).inject("")
        c.all_run(5, NODES)
        wait_for("the slow one", lambda: c.ended(c.begin(5, 1), 1)["state"] == "whole")


@test
def lead_dies():
    """the lead's agent dies: everybody aborts at once, not at the lease or a timeout"""
    with seven(GateMax="600s", RoundTimeout="600s") as c:
        c.put(6, NODES)
        for slot, state in (("lead.gate", "arm"), ("lead.drain", "gate"), ("lead.cut", "drain"), ("lead.release", "cut"),
                            ("lead.save", "release"), ("lead.store", "voted")):
            c.node(1).inject(slot + "=kill")
            snapshot = c.begin(6, 1)
            c.node(1).process.wait(60)
            c.node(1).process = None
            if state != "voted":
                undone(c, NODES[1:], snapshot)
            for rank in range(1, 7):  # the lease and all timeouts are ten times as long as this waits
                wait_for("rank %d" % rank, lambda: c.node(rank + 1).state("fm-6-%d" % rank) == "running")
            c.node(1).inject("")
            c.node(1).start()
            assert "restarted" in c.ended(snapshot, 1)["error"]
            assert c.snapshot(6, 2)["state"] == "whole"
            c.all_run(6, NODES)


@test
def crowd():
    """many connections that prove nothing keep no parent out; a silent one is closed in the end"""
    with Cluster(2) as c:
        c.put(9, [1, 2])
        silent = [socket.create_connection((c.address(2), c.port + 1), 60) for _ in range(300)]
        assert c.snapshot(9, 1)["state"] == "whole"
        silent[0].settimeout(60)
        assert silent[0].recv(1) == b""
        silent[-1].settimeout(60)
        assert silent[-1].recv(1) == b""
        assert c.snapshot(9, 1)["state"] == "whole"
        for s in silent:
            s.close()


@test
def other_key():
    """an agent with another munge key: the create says what that agent has against it"""
    with Cluster(2) as c:
        c.put(8, [1, 2])
        other = Cluster(1)
        try:
            c.node(2).kill()
            c.node(2).configure({"MungeSocket": other.munge})
            c.node(2).start()
            why = c.fails(8, 1)
            assert why.startswith("member 1 (n2)") and "n2 refuses" in why and "munge" in why, why
        finally:
            other.close()
        c.node(2).kill()
        c.node(2).configure({})
        c.node(2).start()
        c.snapshot(8, 1)
        c.all_run(8, [1, 2])


# ---- the wire, spoken by somebody else ------------------------------------------------------

OPEN, ORDER, ANSWER, END, REFUSAL = 1, 2, 3, 4, 5


class Peer:
    """One who says it is rank 0."""

    def __init__(self, c, node, job, n, to, members):
        self.c, self.job, self.n, self.to, self.members = c, job, n, to, members
        self.key, self.number = os.urandom(32), 0
        self.sock = socket.create_connection((c.address(node), c.port + 1), 60)

    def frame(self, kind, round_, body=b"", key=None, number=None):
        self.number += 1
        head = struct.pack(">4sIBBHIIIIQ", b"FmC1", 36 + len(body) + 32, kind, ROUNDS.index(round_), 0, self.job, self.n,
                           0, self.to, self.number if number is None else number)
        return head + body + hmac.new(key or self.key, head + body, hashlib.sha256).digest()

    def order(self):
        return struct.pack(">IIII", 5000, 2000, 2, self.members)

    def open(self, round_="arm", text=None):
        text = text or "cut %d.%d 0 %d %s" % (self.job, self.n, self.to, self.key.hex())
        cred = subprocess.run(["munge", "-S", self.c.munge, "--restrict-uid=0"], input=text.encode(), capture_output=True, check=True).stdout
        return self.frame(OPEN, round_, self.order() + cred.strip())

    def send(self, data):
        self.sock.sendall(data)

    def answer(self):
        """(round, yes, text), or None: it was closed."""
        try:
            head = self.sock.recv(36, socket.MSG_WAITALL)
            if len(head) < 36:
                return None
            size, kind, round_ = struct.unpack(">IBB", head[4:10])
            rest = self.sock.recv(size - 36, socket.MSG_WAITALL)
        except ConnectionResetError:
            return None
        if kind == REFUSAL:
            return "refused", rest[:-32].decode()
        assert kind == ANSWER and hmac.new(self.key, head + rest[:-32], hashlib.sha256).digest() == rest[-32:]
        return ROUNDS[round_], bool(rest[0]), rest[48:-32].decode()


@test
def strangers():
    """who is not the lead is not heard: no credential, another's, a wrong HMAC, a replay, an endless frame; the job runs on"""
    with Cluster(2) as c:
        c.put(7, [1, 2])
        numbers = iter(range(100, 200))

        def peer():
            n = next(numbers)
            os.makedirs(os.path.join(c.store, "7", str(n)))
            return Peer(c, 2, 7, n, 1, 2)

        def shut_out(p, data, word):
            p.send(data)
            told = p.answer()
            assert told is None or told[0] == "refused" and p.answer() is None, told
            wait_for(word, lambda: word in c.node(2).tail(8))

        p = peer()
        shut_out(p, p.frame(ORDER, "gate", p.order()), "without a credential")
        p = peer()
        shut_out(p, p.frame(ANSWER, "cut", bytes(48)), "without a credential")
        p = peer()
        shut_out(p, b"GET / HTTP/1.1\r\n\r\n", "no frame")
        p = peer()
        shut_out(p, b"FmC1" + struct.pack(">I", 1 << 30), "bytes")
        p = peer()
        shut_out(p, p.open(text="GET /v1/status 00"), "for something else")
        p = peer()
        shut_out(p, p.open(text="cut 7.1 0 1 " + p.key.hex()), "for something else")
        p = peer()
        good = p.open()
        shut_out(p, good[:60] + bytes([good[60] ^ 1]) + good[61:], "munge")
        p = peer()
        good = p.open()
        shut_out(p, good[:43] + bytes([good[43] ^ 1]) + good[44:], "not what its credential is for")

        p = peer()  # a credential that has been used
        used = p.open()
        p.send(used)
        assert p.answer()[:2] == ("arm", True)
        q = Peer(c, 2, 7, p.n, 1, 2)
        shut_out(q, used, "munge")

        # in the middle of it, from another connection, then on its own: a wrong key, a replay, a gap
        q = Peer(c, 2, 7, p.n, 1, 2)
        shut_out(q, p.frame(ORDER, "gate", p.order()), "without a credential")
        p.number -= 1
        gate = p.frame(ORDER, "gate", p.order())
        p.send(gate)
        assert p.answer()[:2] == ("gate", True)
        shut_out(p, gate, "replayed")
        undone(c, [2], "7.%d" % p.n)

        for bad, word in ((lambda p: p.frame(ORDER, "gate", p.order(), key=bytes(32)), "not proven"),
                          (lambda p: p.frame(ORDER, "gate", p.order(), number=7), "replayed or one is missing")):
            p = peer()
            p.send(p.open())
            assert p.answer()[:2] == ("arm", True)
            shut_out(p, bad(p), word)
            undone(c, [2], "7.%d" % p.n)

        p = peer()  # out of turn
        p.send(p.open())
        assert p.answer()[:2] == ("arm", True)
        p.send(p.frame(ORDER, "release", p.order()))
        assert p.answer()[:2] == ("release", False)
        undone(c, [2], "7.%d" % p.n)
        p = peer()  # not a member, not a parent
        p.to = 5
        p.members = 9
        p.send(p.open())
        assert p.answer()[:2] == ("arm", False)
        c.all_run(7, [1, 2])
        assert c.snapshot(7, 1)["state"] == "whole"


if __name__ == "__main__":
    main()
