# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster whose guests are processes that send each other numbered messages, and the check that a cut lost none.

    with Network(3, rate=300) as c:
        c.put(1, [1, 2, 3])
        c.wires(2, delay={3: 40})            # what n2 sends n3 takes 40 ms longer
        s = c.snapshot(1, 1)
        c.conserved(s["snapshot"])           # for each pair: sent = received + held, number by number

Environment: SIM_GUEST, the program (tests/cluster/sim_guest of the build tree).
"""
import json
import os
import socket
import struct
import subprocess

from cluster import Cluster, wait_for

os.environ.setdefault("FERMATA", os.path.abspath("fermata"))
os.environ.setdefault("SIM_GUEST", os.path.abspath("tests/cluster/sim_guest"))

MESSAGE, MARKER = 0x88b6, 0x88b5


class NotConserved(AssertionError):
    pass


class Network(Cluster):
    def __init__(self, count, rate=200, gate="", **settings):
        super().__init__(count, **settings)
        self.delays, self.drops = {}, {}
        for i, n in self.nodes.items():
            sim = os.path.join(n.run, "sim")
            n.env = {"FERMATA_GATE_SIM": "network=" + sim + ("," + gate if gate else ""), "FERMATA_SIM_RATE": str(rate),
                     "FERMATA_SIM_GUEST": os.environ["SIM_GUEST"]}
            self._write(i)

    def _write(self, i):
        lines = ["listen %s %d" % (self.address(i), self.port)]
        for j in self.numbers:
            if j != i:
                options = ""
                if self.delays.get((i, j)):
                    options += " delay=%d" % self.delays[i, j]
                if self.drops.get((i, j)):
                    options += " drop=" + self.drops[i, j]
                lines.append("peer %s %d%s" % (self.address(j), self.port, options))
        path = os.path.join(self.node(i).run, "sim", "network")
        with open(path + ".tmp", "w") as f:
            f.write("\n".join(lines) + "\n")
        os.rename(path + ".tmp", path)

    def wires(self, i, delay=None, drop=None):
        """What node i sends the nodes j: {j: ms}, {j: "markers" or "all"}."""
        for j in self.numbers:
            self.delays[i, j] = (delay or {}).get(j, 0)
            self.drops[i, j] = (drop or {}).get(j, "")
        self._write(i)

    def inject_frame(self, i, frame):
        """A frame onto node i's wire, from nobody."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(frame, (self.address(i), self.port))

    # ---- guests
    def put(self, job, nodes, **more):
        super().put(job, nodes, **more)
        for rank, i in enumerate(nodes):  # all are there to listen now; a restored one has begun long ago
            self.order(i, "fm-%d-%d" % (job, rank), "begin")

    def order(self, i, name, order):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(os.path.join(self.node(i).run, "sim", name + ".ctl"))
        with s, s.makefile("rw") as f:
            f.write(order + "\n")
            f.flush()
            return json.loads(f.readline())

    def look(self, i, name):
        """A running guest's memory."""
        return self.order(i, name, "look")

    def looks(self, job, nodes):
        return [self.look(i, "fm-%d-%d" % (job, rank)) for rank, i in enumerate(nodes)]

    def flows(self, job, nodes, more=100):
        """All get messages from all; wait until each got so many more, then none may be lost or doubled."""
        def received():
            return [[g["received"][p] for p in range(len(nodes)) if p != g["rank"]] for g in self.looks(job, nodes)]
        before = received()
        wait_for("messages between all of job %d" % job, lambda: all(
            now >= then + more for a, b in zip(received(), before) for now, then in zip(a, b)))
        for g in self.looks(job, nodes):
            if any(g["lost"]) or any(g["again"]):
                raise NotConserved("member %d of job %d: lost %s, again %s" % (g["rank"], job, g["lost"], g["again"]))

    # ---- snapshots
    def saved(self, snapshot, rank):
        """The guest's memory in a snapshot, and the held messages: {0: out, 1: in}: [(from, to, number)]."""
        job, n = snapshot.split(".")
        path = os.path.join(self.store, job, n, "member-%d" % rank)
        return _stream_memory(self.node(1).conf, snapshot, rank), _held(path + ".held")

    def conserved(self, snapshot, members):
        """For each ordered pair: what was sent and not received is held, each once, in order."""
        saved = [self.saved(snapshot, rank) for rank in range(members)]
        held_frames = 0
        for memory, held in saved:
            if any(memory["lost"]) or any(memory["again"]):
                raise NotConserved("%s: member %d: lost %s, again %s" % (snapshot, memory["rank"], memory["lost"], memory["again"]))
        for i in range(members):
            for j in range(members):
                if i == j:
                    continue
                sent, received = saved[i][0]["sent"][j], saved[j][0]["received"][i]
                held = [m[2] for m in saved[j][1][1] if m[:2] == (i, j)] + [m[2] for m in saved[i][1][0] if m[:2] == (i, j)]
                held_frames += len(held)
                if held != list(range(received, sent)):
                    raise NotConserved("%s: %d -> %d: sent %d, received %d, held %s" % (snapshot, i, j, sent, received, held))
        return held_frames


def _stream_memory(conf, snapshot, rank):
    """What is kept of a member, exported as a stream; in its HVM_CONTEXT the memory of the guest's process."""
    data = subprocess.run([os.environ["FERMATA"], "export", snapshot, str(rank), "-", "--config", conf], check=True,
                          stdout=subprocess.PIPE).stdout
    more, = struct.unpack_from("<I", data, 44)
    at = 48 + more + 16 + 8 + 40  # agent/xenstream/format.h: xl's header, libxl's, LIBXC_CONTEXT, libxc's headers
    while True:
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 9:
            return json.loads(data[at + 16:at + 8 + size])
        assert kind != 0, "%s.%d has no HVM_CONTEXT" % (snapshot, rank)
        at += 8 + (size + 7) // 8 * 8


def _held(path):
    """man 5 fermata-snapshot."""
    out = {0: [], 1: []}
    if not os.path.exists(path):
        return out
    with open(path, "rb") as f:
        data = f.read()
    at, = struct.unpack_from("<I", data, 12)
    while at < len(data):
        size, direction = struct.unpack_from("<IB", data, at)
        frame = data[at + 20:at + 20 + size]
        at += 20 + size
        kind, = struct.unpack_from(">H", frame, 12)
        assert kind == MESSAGE, "a frame of type %#x was held" % kind
        out[direction].append(struct.unpack_from("<IIQ", frame, 14))
    return out
