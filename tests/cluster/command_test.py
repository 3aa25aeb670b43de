#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The `fermata` command with real agents: as the job's owner, another user, an admin; on a node and on a host without an agent."""
import hashlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import OTHER, USER, Cluster, Refused, main, test, wait_for  # noqa: E402

FERMATA = os.environ.get("FERMATA", os.path.abspath("fermata"))
NODES = [1, 2, 3]


class Run:
    """One run of the command: code, out, err."""

    def __init__(self, conf, *args, uid=USER, start_only=False, stderr=subprocess.PIPE):
        def become():
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        self.args = args
        self.process = subprocess.Popen([FERMATA, *args], env={"FERMATA_CONF": conf, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                                        text=True, preexec_fn=become, cwd="/")
        if not start_only:
            self.end()

    def end(self, timeout=90):
        self.out, self.err = self.process.communicate(timeout=timeout)
        self.code = self.process.returncode
        return self

    def exits(self, code):
        assert self.code == code, "%s: exit %d, not %d\n%s\n%s" % (self.args, self.code, code, self.out, self.err)
        return self

    def json(self):
        self.exits(0)
        return json.loads(self.out)


class OnTerminal(Run):
    """One whose stderr is a terminal: it shows how far it has come."""

    def __init__(self, conf, *args):
        self.terminal, end = pty.openpty()
        super().__init__(conf, *args, start_only=True, stderr=end)
        os.close(end)
        self.seen = ""

    def read(self, until):
        """What it writes there, up to a word, or to its end."""
        self.read_match(until and re.escape(until))

    def read_match(self, until):
        while until is None or not re.search(until, self.seen):
            ready, _, _ = select.select([self.terminal], [], [], 60)
            assert ready, "it says no more than: " + self.seen
            try:
                data = os.read(self.terminal, 65536)
            except OSError:  # EIO: it has ended
                assert until is None, "it ended with: " + self.seen
                break
            self.seen += data.decode()

    def end(self, timeout=90):
        self.read(None)
        super().end(timeout)
        os.close(self.terminal)
        self.err = self.seen.split("\r\033[K")[-1]  # without the progress
        return self


def login_host(c):
    """The configuration of a host that has no agent."""
    path = os.path.join(c.dir, "login.conf")
    with open(path, "w") as f:
        f.write("Agents=n[1-3]\nSocket=%s/nothing\nPort=%d\nMungeSocket=%s\nNodeAddr=%s\n" % (
            c.dir, c.port, c.munge, ",".join("n%d=%s" % (i, c.address(i)) for i in c.numbers)))
    return path


@test
def life():
    """create, list, show, verify, rm, on a node that is not the lead's"""
    with Cluster(3) as c:
        c.put(50, NODES)
        conf = c.node(2).conf
        r = Run(conf, "create", "50", "--comment=first light", "--quiet").exits(0)
        assert r.out.startswith("50.1 whole: 3 members, ") and r.err == "", (r.out, r.err)
        assert r.out.splitlines()[1] == os.path.join(c.store, "50", "1")
        s = Run(conf, "create", "50", "--json").json()
        assert s["snapshot"] == "50.2" and s["state"] == "whole" and len(s["members"]) == 3, s
        assert "token" not in json.dumps(s)
        lines = Run(conf, "list", "50").exits(0).out.splitlines()
        assert lines[0].split()[:2] == ["SNAPSHOT", "CREATED"], lines
        assert [x.split()[0] for x in lines[1:]] == ["50.1", "50.2"], lines
        assert "first light" in lines[1], lines
        assert [x["snapshot"] for x in Run(conf, "list", "--json").json()["snapshots"]] == ["50.1", "50.2"]
        r = Run(conf, "show", "50").exits(0)
        assert "running" in r.out and "50.2" in r.out, r.out
        assert Run(conf, "show", "50.1", "--json").json()["comment"] == "first light"
        Run(conf, "verify", "50.1").exits(0)
        r = Run(conf, "rm", "50.1").exits(0)
        assert r.out == "removed 50.1\n" and not any(f.startswith("50/1/") for f in c.files(50))
        r = Run(conf, "show", "50.1").exits(3)
        assert "50.1" in r.err, r.err
        Run(conf, "rm", "50.1").exits(3)
        c.delete(50, NODES)  # snapshots stay
        assert [x["snapshot"] for x in Run(conf, "list", "50", "--json").json()["snapshots"]] == ["50.2"]
        r = Run(conf, "create", "50").exits(3)
        assert "50" in r.err, r.err


@test
def login():
    """from a host without an agent, by MUNGE"""
    with Cluster(3) as c:
        conf = login_host(c)
        c.put(51, [2, 3])  # n1, the first that is asked, knows nothing of it
        Run(conf, "create", "51").exits(0)
        r = Run(conf, "show", "51").exits(0)
        assert "State        running" in r.out and "51.1" in r.out, r.out
        rows = Run(conf, "status").exits(0).out.splitlines()
        assert [x.split()[0] for x in rows[1:4]] == ["n1", "n2", "n3"], rows
        agents = Run(conf, "status", "--json").json()["agents"]
        assert [[j["job"] for j in a["jobs"]] for a in agents] == [[], [51], [51]], agents
        c.node(1).kill()
        r = Run(conf, "status").exits(3)
        assert "unreachable" in r.out and "n1" in r.err and "n3" in r.out, (r.out, r.err)
        Run(conf, "list").exits(0)  # n2 answers
        c.node(2).kill()
        c.node(3).kill()
        r = Run(conf, "list").exits(3)
        assert "no agent could be reached" in r.err and "fermatad running" in r.err, r.err


@test
def whose():
    """another user sees and touches nothing; an admin everything"""
    with Cluster(3) as c:
        for conf, job in ((c.node(1).conf, 52), (login_host(c), 53)):
            c.put(job, NODES)
            Run(conf, "create", str(job)).exits(0)
            assert Run(conf, "list", "--json", uid=OTHER).json()["snapshots"] == []
            for command in ("show", "verify", "rm"):
                r = Run(conf, command, "%d.1" % job, uid=OTHER).exits(4)
                assert "%d.1" % job in r.err and "owner" in r.err, r.err
            r = Run(conf, "create", str(job), uid=OTHER).exits(4)
            assert "job %d" % job in r.err, r.err
            assert len(Run(conf, "list", str(job), "--json", uid=0).json()["snapshots"]) == 1
            Run(conf, "rm", "%d.1" % job, uid=0).exits(0)
            c.all_run(job, NODES)


@test
def failures():
    """a snapshot that fails, is slow, or is a second one: exit code, member, reason; the job runs on"""
    with Cluster(3) as c:
        conf = c.node(1).conf
        c.put(54, NODES)
        c.node(3).inject("save.armed=fail:the disk burns")
        r = Run(conf, "create", "54").exits(1)
        assert "member 2 (n3)" in r.err and "the disk burns" in r.err and "runs on" in r.err, r.err
        r = Run(conf, "show", "54.1").exits(0)
        assert "failed" in r.out and "the disk burns" in r.out, r.out
        c.all_run(54, NODES)
        c.node(3).inject("save.armed=hold")
        slow = Run(conf, "create", "54", start_only=True)
        wait_for("the snapshot", lambda: c.node(1).job(54).get("snapshot", {}).get("state") == "running")
        Run(conf, "create", "54").exits(8)
        r = Run(conf, "show", "54").exits(0)
        assert "54.2 running" in r.out, r.out
        r = Run(conf, "rm", "54.2").exits(8)
        c.node(3).inject("")
        slow.end().exits(0)
        c.node(3).inject("save.armed=hold")
        r = Run(conf, "create", "54", "--timeout=1s").exits(7)
        assert "54.3" in r.err, r.err
        c.node(3).inject("")
        assert c.ended("54.3", 1)["state"] == "whole"
        r = Run(conf, "create", "54", "--no-wait").exits(0)
        assert r.out == "54.4 begun\n", r.out
        assert c.ended("54.4", 1)["state"] == "whole"
        c.all_run(54, NODES)


@test
def bars():
    """on a terminal every member has a bar, whichever agent is asked; interrupted the command ends and the snapshot does not"""
    with Cluster(3) as c:
        c.put(74, NODES)
        c.node(3).inject("save.end=hold")
        r = OnTerminal(c.node(2).conf, "create", "74")
        for word in ("74.1: save ", r" 0 n1 .* done", r" 1 n2 .* done", r" 2 n3 .*\d% .* of 2\.\d MiB, "):
            r.read_match(word)
        r.process.send_signal(signal.SIGINT)
        r.end()
        assert r.code == -signal.SIGINT and "74.1 goes on" in r.seen, (r.code, r.seen)
        c.node(3).inject("")
        assert c.ended("74.1", 1)["state"] == "whole"
        r = OnTerminal(c.node(1).conf, "create", "74").end().exits(0)
        assert r.out.startswith("74.2 whole: 3 members") and r.err == "", (r.out, r.err)
        r = OnTerminal(c.node(1).conf, "create", "74", "-q").end().exits(0)
        assert r.seen == "", r.seen


@test
def lead_killed():
    """the lead's agent is killed while the command waits: it says so; after its restart the next one is whole"""
    with Cluster(3) as c:
        c.put(55, NODES)
        c.node(1).inject("save.armed=hold")
        r = OnTerminal(c.node(2).conf, "create", "55")
        r.read("55.1: arm")  # it knows which one, and waits
        c.node(1).kill()
        c.node(1).inject("")
        c.node(1).start()
        r.end()
        assert r.code != 0 and "55.1" in r.err, (r.code, r.out, r.err)
        c.all_run(55, NODES)
        Run(c.node(2).conf, "create", "55").exits(0)


@test
def export():
    """a member as a stream: to a file or a pipe, whole or not at all; no privilege, no member, no room: a reason"""
    with Cluster(2) as c:
        conf = c.node(1).conf
        c.put(57, [1, 2])
        Run(conf, "create", "57").exits(0)
        path = os.path.join(c.dir, "x.save")
        r = Run(conf, "export", "57.1", "1", path, "--json", uid=0).json()
        assert r == {"snapshot": "57.1", "rank": 1, "file": path, "bytes": os.path.getsize(path)}, r
        with open(path, "rb") as f:
            data = f.read()
        assert data.startswith(b"Xen saved domain, xl format\n") and os.stat(path).st_mode & 0o777 == 0o600
        piped = subprocess.run([FERMATA, "export", "57", "1", "-", "--config", conf], stdout=subprocess.PIPE, check=True).stdout
        assert piped == data
        assert "File exists" in Run(conf, "export", "57.1", "1", path, uid=0).exits(1).err
        assert c.store in Run(conf, "export", "57.1", "1", path + "2").exits(4).err
        assert "member 2" in Run(conf, "export", "57.1", "2", path + "2", uid=0).exits(3).err
        assert "57.2" in Run(conf, "export", "57.2", "1", path + "2", uid=0).exits(3).err
        assert "rank" in Run(conf, "export", "57.1", "one", path + "2", uid=0).exits(2).err
        for _ in range(20):  # interrupted at any moment: all of it is there, or none
            r = Run(conf, "export", "57.1", "1", path + "2", "-q", uid=0, start_only=True)
            wait_for("the file", lambda: os.path.exists(path + "2") or r.process.poll() is not None)
            r.process.send_signal(signal.SIGINT)
            r.end()
            assert r.code in (0, -signal.SIGINT), (r.code, r.err)
            if os.path.exists(path + "2"):
                assert os.path.getsize(path + "2") == len(data), (r.code, os.path.getsize(path + "2"))
                os.unlink(path + "2")
            else:
                assert r.code != 0
        with open("/dev/full", "wb") as full:
            r = subprocess.run([FERMATA, "export", "57.1", "1", "-", "--config", conf], stdout=full, stderr=subprocess.PIPE, text=True)
        assert r.returncode == 1 and "No space left" in r.stderr, r
        packs = os.path.join(c.store, "57", "pages")
        for name in os.listdir(packs):
            if name.endswith(".pack"):
                with open(os.path.join(packs, name), "r+b") as f:
                    f.seek(os.path.getsize(f.name) // 3)
                    byte = f.read(1)[0]
                    f.seek(-1, 1)
                    f.write(bytes([byte ^ 1]))
        assert "pack" in Run(conf, "export", "57.1", "1", path + "2", uid=0).exits(5).err
        assert not os.path.exists(path + "2")


@test
def damage():
    """a damaged stream, a missing file, a damaged manifest: verify names it, exit 5"""
    with Cluster(2) as c:
        conf = c.node(1).conf
        c.put(56, [1, 2])
        for _ in range(3):
            Run(conf, "create", "56").exits(0)
        path = os.path.join(c.store, "56", "1", "member-1.map")
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 2)
            byte = f.read(1)[0]
            f.seek(-1, 1)
            f.write(bytes([byte ^ 1]))
        r = Run(conf, "verify", "56.1").exits(5)
        assert "member-1.map" in r.out and "1 of 2 members" in r.err, (r.out, r.err)
        assert [m["ok"] for m in json.loads(Run(conf, "verify", "56.1", "--json").exits(5).out)["members"]] == [True, False]
        os.unlink(os.path.join(c.store, "56", "2", "member-0.map"))
        r = Run(conf, "verify", "56.2").exits(5)
        assert "missing" in r.out, r.out
        manifest = os.path.join(c.store, "56", "3", "manifest.json")
        with open(manifest) as f:
            text = f.read()
        with open(manifest, "w") as f:
            f.write(text.replace('"keep":0', '"keep":1'))
        Run(conf, "verify", "56.3").exits(5)
        assert "damaged" in Run(conf, "list", uid=0).exits(0).out
        Run(conf, "rm", "56.3").exits(5)  # whose it is cannot be known
        Run(conf, "rm", "56.3", uid=0).exits(0)
        # The newest that is whole: 56.3 is gone, 56.2 lacks a file.
        assert Run(conf, "show", "56", "--json").json()["snapshot"]["snapshot"] == "56.1"


def reseal(c, snapshot, old, new):
    """Another text in a manifest, and the hash that goes with it."""
    path = os.path.join(c.store, snapshot.replace(".", "/"), "manifest.json")
    with open(path) as f:
        text = re.sub(r',"sha256":"[0-9a-f]*"}$', "}", f.read())
    text = re.sub(old, new, text, count=1)
    with open(path, "w") as f:
        f.write('%s,"sha256":"%s"}' % (text[:-1], hashlib.sha256(text.encode()).hexdigest()))


def listed(conf, job, uid=0):
    return [s["snapshot"] for s in Run(conf, "list", str(job), "--json", uid=uid).json()["snapshots"]]


@test
def rules():
    """after a snapshot the stricter of the job's and the site's rules is kept"""
    with Cluster(2, Keep=3, MaxAge="1d") as c:
        conf = c.node(1).conf
        c.put(57, [1, 2])
        c.put(58, [1, 2], keep=2, max_age_s=3600)
        assert c.node(1).job(58)["max_age_s"] == 3600
        for _ in range(4):
            Run(conf, "create", "57").exits(0)
            Run(conf, "create", "58").exits(0)
        wait_for("57 by the site's rule", lambda: listed(conf, 57) == ["57.2", "57.3", "57.4"])
        wait_for("58 by its own", lambda: listed(conf, 58) == ["58.3", "58.4"])
        assert Run(conf, "show", "58.4", "--json").json()["job"]["max_age_s"] == 3600
        reseal(c, "57.3", '"created":"[^"]*"', '"created":"2020-02-29T12:00:00Z"')
        Run(conf, "create", "57").exits(0)
        wait_for("57.3 gone for its age", lambda: listed(conf, 57) == ["57.4", "57.5"])
        for s in ("57.4", "57.5", "58.3", "58.4"):
            Run(conf, "verify", s).exits(0)


@test
def pins():
    """a pinned snapshot is shown as such, and removed by nobody until it is unpinned"""
    with Cluster(2) as c:
        conf = c.node(2).conf
        c.put(59, [1, 2], keep=1)
        Run(conf, "create", "59").exits(0)
        Run(conf, "pin", "59.1", uid=OTHER).exits(4)
        Run(conf, "pin", "59").exits(2)
        Run(conf, "pin", "59.8").exits(3)
        Run(conf, "unpin", "59.8").exits(3)
        r = Run(conf, "pin", "59.1", "--comment=for the paper").exits(0)
        assert r.out == "59.1 pinned\n", r.out
        for _ in range(2):
            Run(conf, "create", "59").exits(0)
        wait_for("59.2 gone", lambda: listed(conf, 59) == ["59.1", "59.3"])
        assert "whole, pinned" in Run(conf, "list", "59").exits(0).out
        assert "for the paper" in Run(conf, "show", "59.1").exits(0).out
        pin = Run(conf, "show", "59.1", "--json").json()["pinned"]
        assert pin["uid"] == USER and pin["comment"] == "for the paper" and pin["when"].endswith("Z"), pin
        assert "pinned" not in Run(conf, "show", "59.3", "--json").json()
        r = Run(conf, "rm", "59.1").exits(8)
        assert "for the paper" in r.err and "unpin" in r.err, r.err
        Run(conf, "rm", "59.1", uid=0).exits(8)
        r = Run(conf, "prune", "59", "--keep=1").exits(0)
        assert listed(conf, 59) == ["59.1", "59.3"] and "pinned" in r.out, r.out
        Run(conf, "unpin", "59.1", uid=OTHER).exits(4)
        assert Run(conf, "unpin", "59.1").exits(0).out == "59.1 unpinned\n"
        Run(conf, "unpin", "59.1").exits(0)
        Run(conf, "rm", "59.1").exits(0)
        assert listed(conf, 59) == ["59.3"]


@test
def prune():
    """by whom, what, and why not; first only said, then done"""
    with Cluster(2) as c:
        conf = c.node(1).conf
        c.put(60, [1, 2])
        c.put(61, [1, 2])
        for _ in range(3):
            Run(conf, "create", "60").exits(0)
            Run(conf, "create", "61").exits(0)
        before = c.files(60)
        dry = Run(conf, "prune", "60", "--keep=1", "--dry-run").exits(0)
        assert re.search(r"60\.1 .*would remove +1 newer one is kept", dry.out), dry.out
        assert "2 snapshots would be removed, " in dry.out and c.files(60) == before, dry.out
        said = Run(conf, "prune", "60", "--keep=1", "--dry-run", "--json").json()
        assert Run(conf, "prune", "60", "--keep=1", "--json", uid=OTHER).json()["removed"] == 0
        done = Run(conf, "prune", "60", "--keep=1", "--json").json()
        assert done["removed"] == said["removed"] == 2 and said["dry_run"] and not done["dry_run"], (said, done)
        assert [s["removed"] for s in done["jobs"][0]["snapshots"]] == [True, True, False], done
        assert listed(conf, 60) == ["60.3"] and listed(conf, 61) == ["61.1", "61.2", "61.3"]
        Run(conf, "verify", "60.3").exits(0)
        Run(conf, "prune", "--keep=0").exits(2)
        r = Run(conf, "prune").exits(0)  # no rule anywhere
        assert "no rule removes it" in r.out and "0 snapshots removed" in r.out, r.out
        # All of one's own; age leaves the newest of a job.
        for s in ("61.1", "61.2", "61.3", "60.3"):
            reseal(c, s, '"created":"[^"]*"', '"created":"2020-02-29T12:00:00Z"')
        assert Run(conf, "prune", "--max-age=30d", "--json", uid=OTHER).json()["jobs"] == []
        r = Run(conf, "prune", "--max-age=30d").exits(0)
        assert "but the job's newest" in r.out and listed(conf, 60) == ["60.3"] and listed(conf, 61) == ["61.3"], r.out


@test
def prune_damaged():
    """damaged snapshots are named, and removed when that is asked for; an admin's where nobody can say whose they are"""
    with Cluster(2) as c:
        conf = c.node(1).conf
        c.put(62, [1, 2])
        for _ in range(4):
            Run(conf, "create", "62").exits(0)
        manifest = os.path.join(c.store, "62", "3", "manifest.json")
        with open(manifest) as f:
            text = f.read()
        with open(manifest, "w") as f:
            f.write(text.replace('"keep":0', '"keep":1'))
        lost = [f for f in c.files(62) if f.startswith("62/4/member-1.") and not f.endswith(".held")][0]
        os.unlink(os.path.join(c.store, lost))
        r = Run(conf, "prune", "62", "--keep=1").exits(0)
        assert "62.4" in r.out and "damaged" in r.out and "62.3" not in r.out, r.out
        assert os.path.exists(os.path.join(c.store, "62", "4", "manifest.json"))
        # 62.2 is the newest that is whole: a damaged one does not count.
        assert [s for s in listed(conf, 62) if s < "62.3"] == ["62.2"], listed(conf, 62)
        r = Run(conf, "prune", "62", "--damaged").exits(0)
        assert listed(conf, 62) == ["62.2", "62.3"], listed(conf, 62)
        r = Run(conf, "prune", "62", "--damaged", uid=0).exits(0)
        assert "62.3" in r.out and listed(conf, 62) == ["62.2"], r.out


@test
def prune_pages():
    """packs that nobody needs go with the snapshots; a map that cannot be read stops that, and is named"""
    with Cluster(2) as c:
        conf = c.node(1).conf
        c.put(63, [1, 2])
        for _ in range(2):
            Run(conf, "create", "63").exits(0)
        pages = os.path.join(c.store, "63", "pages")
        os.makedirs(pages, mode=0o700, exist_ok=True)
        stray = os.path.join(pages, "ab" * 32 + ".pack")
        with open(stray, "wb") as f:
            f.write(b"x" * 5000)
        unreadable = os.path.join(c.store, "63", "2", "member-9.map")
        with open(unreadable, "wb") as f:
            f.write(b"no map")
        r = Run(conf, "prune", "63", "--keep=1").exits(5)
        assert unreadable in r.err and "no page of job 63 is removed" in r.err, r.err
        assert os.path.exists(stray) and listed(conf, 63) == ["63.2"]
        os.unlink(unreadable)
        reply = Run(conf, "prune", "63", "--dry-run", "--json").json()
        assert reply["jobs"][0]["sweep"]["removed"] >= 1 and reply["freed"] >= 5000 and os.path.exists(stray), reply
        reply = Run(conf, "prune", "63", "--json").json()
        assert reply["jobs"][0]["sweep"]["removed"] >= 1 and reply["freed"] >= 5000, reply
        assert not os.path.exists(stray)
        Run(conf, "verify", "63.2").exits(0)
        Run(conf, "create", "63").exits(0)
        c.all_run(63, [1, 2])


@test
def rm_pages():
    """what is removed by name takes its pages along, and only those"""
    with Cluster(2) as c:
        conf = c.node(1).conf
        c.put(65, [1, 2])
        for _ in range(3):
            Run(conf, "create", "65").exits(0)
        pages = os.path.join(c.store, "65", "pages")

        def packs():
            return sorted(n for n in os.listdir(pages) if n.endswith(".pack"))
        there = packs()
        assert there
        Run(conf, "rm", "65.1", "65.2").exits(0)
        Run(conf, "verify", "65.3").exits(0)  # all their pages are the third's, too
        assert packs() == there
        Run(conf, "rm", "65.3").exits(0)
        wait_for("the pages of job 65 to go", lambda: not packs(), 20)
        Run(conf, "create", "65").exits(0)
        Run(conf, "verify", "65.4").exits(0)
        c.all_run(65, [1, 2])


@test
def prune_ended():
    """a job that has ended goes altogether; one that has a VM anywhere has not ended"""
    with Cluster(3) as c:
        conf = c.node(3).conf  # where the job has none
        with open(conf, "a") as f:
            f.write("Agents=n[1-3]\n")
        c.put(64, [1, 2])
        Run(conf, "create", "64").exits(0)
        assert os.path.exists(os.path.join(c.store, "64", "script"))
        reseal(c, "64.1", '"created":"[^"]*"', '"created":"2020-02-29T12:00:00Z"')
        r = Run(conf, "prune", "64", "--ended", "--max-age=30d").exits(8)
        assert "has not ended" in r.err, r.err
        try:
            c.node(1).call("POST", "/v1/prune", {"job": 64, "ended": True, "max_age_s": 60})
            raise AssertionError("an agent with a VM of it believed that it had ended")
        except Refused as e:
            assert e.code == 8 and "n1" in e.text, e
        Run(conf, "prune", "--ended").exits(2)
        c.delete(64, [1, 2])
        r = Run(conf, "prune", "64", "--max-age=30d").exits(0)
        assert listed(conf, 64) == ["64.1"], r.out
        r = Run(conf, "prune", "64", "--ended", "--max-age=30d", uid=OTHER).exits(0)
        assert listed(conf, 64) == ["64.1"], r.out
        r = Run(conf, "prune", "64", "--ended", "--max-age=30d", "--dry-run").exits(0)
        assert "would remove its script" in r.out and os.path.exists(os.path.join(c.store, "64", "script")), r.out
        r = Run(conf, "prune", "64", "--ended", "--max-age=30d").exits(0)
        assert "removed its script" in r.out and not os.path.exists(os.path.join(c.store, "64")), r.out


if __name__ == "__main__":
    main()
