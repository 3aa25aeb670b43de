#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each state of the lead and of a member, struck in each way.

The states are the code's own (cut_states); a state that STRIKES does not know fails
the test.  At each: its agent fails, is slower than any deadline, is killed;
the member's worker is killed.  After each: all VMs run, traffic flows
between all of them (every gate is open), the snapshot is whole or nothing of it is visible, the
one before verifies (and, sampled, is restored), and the next create works.

    fault_test.py [NAME…]        NAME: lead.cut, member.gated:delay, …
"""
import http.client
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import USER, Refused, tell_failed, wait_for, where  # noqa: E402
from network import Network  # noqa: E402

STATES = os.environ.get("CUT_STATES", os.path.abspath("tests/cluster/cut_states"))
ARENAS = 5
NODES = [1, 2, 3, 4]      # arity 2: n2 has n4 below it
LEAD, MEMBER, OTHER, LEAF = 1, 2, 3, 4
GATE_MAX, ROUND = 3000, 3000   # ms; long enough for a busy machine
PAST_LEASE, PAST_ROUND = 3700, 5800  # a round's order is awaited for ROUND + 1.9 s
RESTORE_EACH = 6         # strikes

FAILS, MAY = "failed", "failed or whole"   # what the snapshot must become
# where, and what, so that the victim comes to that state:
HARMED = (OTHER, "member.gated=fail:prelude")  # there is something to undo
LATE = (LEAD, "lead.save=hold")                # the order to commit does not come before its worker is done
NO_WORKER = "it has none; its own member's is struck under member"
LOGGED = "it cannot fail: nothing is left to be done, or all of it is undoing"

# state: (injected elsewhere, {way: what the snapshot must become, or why it cannot be struck so}).
STRIKES = {
    "lead arm": ("", {"fail": FAILS, "delay": MAY, "kill": FAILS, "worker": NO_WORKER}),
    "lead gate": ("", {"fail": FAILS, "delay": MAY, "kill": FAILS, "worker": NO_WORKER}),
    "lead drain": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": NO_WORKER}),
    "lead cut": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": NO_WORKER}),
    "lead release": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": NO_WORKER}),
    "lead save": ("", {"fail": FAILS, "delay": MAY, "kill": FAILS, "worker": NO_WORKER}),
    "lead store": ("", {"fail": FAILS, "delay": MAY, "kill": MAY, "worker": NO_WORKER}),
    "lead whole": ("", {"fail": LOGGED, "delay": MAY, "kill": MAY, "worker": NO_WORKER}),
    "lead abort": (HARMED, {"fail": LOGGED, "delay": FAILS, "kill": FAILS, "worker": NO_WORKER}),
    "lead discard": (HARMED, {"fail": LOGGED, "delay": FAILS, "kill": FAILS, "worker": NO_WORKER}),
    "lead failed": (HARMED, {"fail": LOGGED, "delay": FAILS, "kill": FAILS, "worker": NO_WORKER}),
    "member idle": ("", dict.fromkeys(("fail", "delay", "kill", "worker"), "it is never entered: no snapshot is under way")),
    "member arming": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member armed": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member gated": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member draining": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member drained": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member cutting": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member cut": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member releasing": ("", {"fail": FAILS, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member saving": ("", {"fail": FAILS, "delay": MAY, "kill": FAILS, "worker": FAILS}),
    "member saved": (LATE, {"fail": FAILS, "delay": MAY, "kill": FAILS, "worker": "it has said its last word and ends"}),
    "member voted": ("", {"fail": LOGGED, "delay": MAY, "kill": MAY, "worker": "it has ended"}),
    "member undoing": (HARMED, {"fail": LOGGED, "delay": FAILS, "kill": FAILS, "worker": FAILS}),
    "member aborted": (HARMED, {"fail": LOGGED, "delay": FAILS, "kill": FAILS, "worker": "it has ended"}),
}
WAYS = ("fail", "delay", "kill", "worker")
SHUT = ("gated", "draining", "drained", "cutting", "cut", "releasing", "gate", "drain", "release")


def states():
    out = subprocess.run([STATES], check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(out) > 2 and len(set(out)) == len(out), out
    return out


class Arena:
    """One cluster, one job at a time, struck again and again."""

    def __init__(self):
        self.c = Network(len(NODES), rate=50, TreeArity="2", GateMax="%dms" % GATE_MAX, RoundTimeout="%dms" % ROUND)
        self.job, self.strikes = 1, 0
        self.c.__enter__()
        self.c.put(self.job, NODES, keep=2)
        self.whole = self.c.snapshot(self.job, LEAF)["snapshot"]

    # ---- what must hold after each strike
    def flows(self):
        """Between all: no gate is shut. Frames may have been lost with an agent, so only that they arrive."""
        def received():
            return [[g["received"][p] for p in range(len(NODES)) if p != g["rank"]] for g in self.c.looks(self.job, NODES)]
        before = received()
        wait_for("traffic between all", lambda: all(
            n >= b + 3 for x, y in zip(received(), before) for n, b in zip(x, y)))

    def runs(self):
        self.c.all_run(self.job, NODES)

    def files(self, snapshot):
        prefix = snapshot.replace(".", "/") + "/"
        return [f for f in self.c.files(self.job) if f.startswith(prefix)]

    def verifies(self, snapshot):
        v = self.c.node(LEAF).call("POST", "/v1/snapshots/%s/verify" % snapshot, {}, USER)
        assert v["ok"], v

    def restores(self):
        self.c.delete(self.job, NODES)
        self.c.put(self.job + 1, NODES, restart_from=self.whole, keep=2)
        self.job += 1
        self.runs()
        self.flows()
        self.whole = self.next_whole()

    def next_whole(self):
        """The next create: at once, or as soon as nobody is busy with the one before."""
        end = time.monotonic() + 25
        while True:
            try:
                s = self.c.ended(self.c.begin(self.job, LEAF), LEAF)
                if s["state"] == "whole":
                    return s["snapshot"]
                why = s["error"]
                assert " is still " in why, "the next create failed: " + why
            except Refused as e:
                why = str(e)
                assert e.code == 8, e
            assert time.monotonic() < end, "no other snapshot: " + why
            time.sleep(0.05)

    # ---- the strike
    def strike(self, role, state, way, must):
        prelude = STRIKES["%s %s" % (role, state)][0]
        victim = self.c.node(LEAD if role == "lead" else MEMBER)
        delay = PAST_LEASE if state in SHUT or (role, state) == ("lead", "cut") else PAST_ROUND
        injected = {"fail": "fail:injected", "delay": "delay:%d" % delay, "kill": "kill", "worker": "hold"}[way]
        text = "%s.%s=%s" % (role, state, injected)
        if way == "worker":
            text += ";save.end=hold"  # it is still there
            if state == "arming":
                text = "save.begin=kill"
        mark = os.path.getsize(victim.log)
        if prelude:
            self.c.node(prelude[0]).inject(prelude[1])
        victim.inject(text)
        began = time.monotonic()
        snapshot = self.begin()
        self.see(victim, role, state, mark, snapshot)
        if prelude == LATE:
            self.c.node(LEAD).inject("")
        if way == "delay":
            victim.call("GET", "/v1/status")
            assert time.monotonic() - began > delay / 1000, "it was not delayed"
        if way == "worker" and state != "arming":
            os.kill(self.saver(victim), signal.SIGKILL)
            victim.inject("")
        if way == "kill":
            wait_for("the agent's death", lambda: victim.process.poll() is not None)
            victim.kill()
            self.runs()  # without it
            victim.inject("")
            victim.start()
        s = self.c.ended(snapshot, LEAF, 40)
        for i in NODES:
            self.c.node(i).inject("")
        assert s["state"] == "whole" or s["state"] == "failed" and must in (FAILS, MAY), s
        assert s["state"] in must, "%s must have %s: %s" % (snapshot, must, s)
        if way == "fail":
            assert "injected" in s["error"], s["error"]
        self.after(snapshot, s)

    def begin(self):
        def numbers():
            return [int(d) for d in os.listdir(os.path.join(self.c.store, str(self.job))) if d.isdigit()]
        last = max(numbers())
        while True:
            try:
                return self.c.begin(self.job, LEAF)
            except Refused as e:
                if max(numbers()) > last:  # the lead was struck before it could say so
                    return "%d.%d" % (self.job, last + 1)
                assert e.code == 8, e  # the lead has yet to note that the last one is whole
                time.sleep(0.01)

    def see(self, victim, role, state, mark, snapshot):
        """It was in that state: its log says so."""
        word = ("-> %s\n" if role == "member" else "snapshot=" + snapshot + " %s\n") % state

        def there():
            with open(victim.log) as f:
                f.seek(mark)
                return any(line.endswith(word) and "snapshot=" + snapshot in line for line in f)
        wait_for("%s in state %s" % (role, state), there, 20)

    def saver(self, node):
        import json
        with open(os.path.join(node.run, "jobs", "%d.json" % self.job)) as f:
            pid = json.load(f)["save_pid"]
        with open("/proc/%d/comm" % pid) as f:
            assert f.read().startswith("fermata-worker"), pid
        return pid

    def after(self, snapshot, s):
        self.runs()
        self.flows()
        if s["state"] == "failed":
            wait_for("the remains of %s to go" % snapshot, lambda: not self.files(snapshot), 20)
        else:
            self.verifies(snapshot)
            self.whole = snapshot
        self.verifies(self.whole)
        listed = self.c.node(LEAF).call("GET", "/v1/snapshots?job=%d" % self.job, uid=USER)["snapshots"]
        assert (snapshot in [x["snapshot"] for x in listed if x["state"] == "whole"]) == (s["state"] == "whole"), listed
        self.whole = self.next_whole()
        self.runs()
        self.strikes += 1
        if self.strikes % RESTORE_EACH == 0:
            self.restores()


# ---- all of them, some at a time ---------------------------------------------------------

def worker(todo, results):
    arena = None
    while True:
        try:
            name, role, state, way, must = todo.get_nowait()
        except queue.Empty:
            break
        began = time.monotonic()
        try:
            arena = arena or Arena()
            arena.strike(role, state, way, must)
            results[name] = (None, time.monotonic() - began)
        except (AssertionError, OSError, Refused, KeyError, http.client.HTTPException) as e:
            log = "".join("---- %s\n%s" % (n.name, n.tail(25)) for n in arena.c.nodes.values()) if arena else ""
            results[name] = ("%s\n%s" % (where(e), log), time.monotonic() - began)
            if arena:
                arena.c.close()  # the next strike starts in order
            arena = None
    if arena:
        arena.c.close()


def chosen(known):
    for state in known:
        role, name = state.split(" ", 1)
        for way, must in STRIKES.get(state, ("", {}))[1].items():
            full = "%s.%s:%s" % (role, name, way)
            if must in (FAILS, MAY) and (len(sys.argv) < 2 or any(full.startswith(a) for a in sys.argv[1:])):
                yield full, role, name, way, must


def main():
    if os.geteuid() != 0 or not shutil.which("munged"):
        print("1..0 # SKIP needs root and munged")
        sys.exit(77)
    known, results, todo = states(), {}, queue.Queue()
    strikes = sorted(chosen(known), key=lambda s: s[3] != "delay")  # the slow ones first
    for s in strikes:
        todo.put(s)
    began = time.monotonic()
    threads = [threading.Thread(target=worker, args=(todo, results)) for _ in range(ARENAS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    lines = [(None if set(known) == set(STRIKES) else "in the code or here alone: %s" % (set(known) ^ set(STRIKES)),
              "all states of the code, and no other, are struck here")]
    lines += [(None if set(ways) == set(WAYS) else "not all of %s" % (WAYS,), "%s: each way is tried, or it is said why not: %s" % (
        state, "; ".join("no %s: %s" % (w, m) for w, m in ways.items() if m not in (FAILS, MAY)) or "all"))
        for state, (_, ways) in STRIKES.items()]
    lines += [(results.get(s[0], ("it was not tried", 0))[0], "%s (%.1f s)" % (s[0], results.get(s[0], ("", 0))[1])) for s in strikes]
    print("1..%d" % len(lines))
    for i, (error, text) in enumerate(lines, 1):
        if error:
            print("# " + error.replace("\n", "\n# "))
        print("%s %d - %s" % ("not ok" if error else "ok", i, text))
    tell_failed([(text, error.split("\n")[0]) for error, text in lines if error])
    print("# %d strikes in %.0f s" % (len(strikes), time.monotonic() - began))
    sys.exit(1 if any(e for e, _ in lines) else 0)


if __name__ == "__main__":
    main()
