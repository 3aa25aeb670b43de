#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon itself: who may call what, its periodic snapshots, its end and return."""
import http.client
import json
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import OTHER, USER, Cluster, Refused, main, refused, test, wait_for  # noqa: E402


@test
def owners():
    """users see and touch what is theirs; the prolog's calls are root's"""
    with Cluster(2) as c:
        c.put(60, [1, 2])
        c.snapshot(60, 1)
        for i in (1, 2):
            n = c.node(i)
            assert [j["job"] for j in n.call("GET", "/v1/jobs", uid=USER)["jobs"]] == [60]
            assert n.call("GET", "/v1/jobs", uid=OTHER)["jobs"] == []
            assert n.call("GET", "/v1/snapshots", uid=OTHER)["snapshots"] == []
            for method, path in (("GET", "/v1/jobs/60"), ("POST", "/v1/jobs/60/attach"), ("GET", "/v1/snapshots/60.1"),
                                 ("POST", "/v1/jobs/60/snapshots"), ("POST", "/v1/jobs/60/checkpoint"),
                                 ("DELETE", "/v1/snapshots/60.1"), ("POST", "/v1/snapshots/60.1/verify"),
                                 ("GET", "/v1/snapshots/60/script"), ("PUT", "/v1/jobs/61/member"),
                                 ("DELETE", "/v1/jobs/60/member"), ("GET", "/v1/jobs/60/plan"),
                                 ("POST", "/v1/jobs/60/release"), ("POST", "/v1/jobs/60/abort")):
                text = refused(4, n.call, method, path, {}, OTHER)
                assert "u12001" not in text and "test" not in text.split(), text
            refused(4, n.call, "DELETE", "/v1/jobs/60/member", None, USER)
        assert c.node(1).call("GET", "/v1/snapshots/60.1")["state"] == "whole"


@test
def disabled():
    """checkpoint disable and enable, asked of any member"""
    with Cluster(2) as c:
        c.put(61, [1, 2])
        c.node(2).call("POST", "/v1/jobs/61/checkpoint", {"enabled": False}, USER)
        assert c.node(2).call("GET", "/v1/jobs/61", uid=USER)["checkpoint_disabled"] is True
        assert "disabled" in refused(4, c.begin, 61, 2)
        c.node(1).call("POST", "/v1/jobs/61/checkpoint", {"enabled": True}, USER)
        c.snapshot(61, 2)


@test
def periodic():
    """a snapshot every second, two kept; a failure is recorded and the next one follows"""
    with Cluster(2) as c:
        c.put(62, [1, 2], interval_s=1, keep=2)

        def whole():
            s = c.node(2).call("GET", "/v1/snapshots?job=62", uid=USER)["snapshots"]
            return [x for x in s if x["state"] == "whole"]

        def ids():
            return [x["snapshot"] for x in whole()]
        wait_for("the fourth and the second pruned", lambda: len(ids()) == 2 and int(ids()[-1][3:]) >= 4)
        s = whole()[-1]
        assert s["comment"] == "periodic", s
        c.node(2).inject("save.armed=fail:a bad day")
        wait_for("a failure", lambda: "a bad day" in c.node(1).job(62).get("last_error", ""))
        wait_for("two to be left", lambda: len(ids()) == 2)
        c.node(2).inject("")
        last = ids()[-1]
        wait_for("the next", lambda: ids()[-1] != last)
        wait_for("no error", lambda: "last_error" not in c.node(2).job(62))
        c.delete(62, [1, 2])
        assert len(ids()) >= 2  # snapshots stay; what has yet to be pruned, too


@test
def restart():
    """killed and restarted, or told to stop: domains are found again, a guest that went meanwhile is missed"""
    with Cluster(2) as c:
        c.put(63, [1, 2])
        for sig in (signal.SIGKILL, signal.SIGTERM):
            c.node(1).kill(sig)
            assert c.node(1).state("fm-63-0") == "running"
            c.node(1).start()
            assert c.node(1).job(63)["state"] == "running"
            c.snapshot(63, 2)
        c.node(2).kill()
        os.unlink(os.path.join(c.node(2).run, "sim", "fm-63-1.json"))
        c.node(2).start()
        j = c.node(2).job(63)
        assert j["state"] == "crashed" and "gone" in j["error"], j
        wait_for("the lead to hear", lambda: "gone" in c.node(1).job(63).get("error", ""))
        wait_for("the group's end", lambda: c.node(1).domain("fm-63-0") is None)
        c.delete(63, [1, 2])


@test
def lost_record():
    """no record, but a domain: the epilog clears it away"""
    with Cluster(1) as c:
        c.put(67, [1])
        c.node(1).kill()
        os.unlink(os.path.join(c.node(1).run, "jobs", "67.json"))
        c.node(1).start()
        refused(3, c.node(1).job, 67)
        assert c.node(1).state("fm-67-0") == "running"
        c.delete(67, [1])
        assert c.node(1).domain("fm-67-0") is None


@test
def deaths():
    """each way a guest can end is told in words"""
    with Cluster(1) as c:
        for job, how, word in ((64, "poweroff", "shut down"), (65, "reboot", "rebooted"), (66, "watchdog", "watchdog")):
            c.put(job, [1])
            c.node(1).die("fm-%d-0" % job, how)
            wait_for(how, lambda: c.node(1).job(job)["state"] == "crashed")
            assert word in c.node(1).job(job)["error"]
            c.delete(job, [1])


def munge(c, method, path, body=b""):
    import hashlib
    payload = "%s %s %s" % (method, path, hashlib.sha256(body).hexdigest())
    return subprocess.run(["munge", "-S", c.munge], input=payload.encode(), capture_output=True, check=True).stdout.decode().strip()


def tcp(c, method, path, body=b"", credential=None):
    h = http.client.HTTPConnection(c.address(1), c.port, timeout=30)
    h.request(method, path, body or None, {"Authorization": "MUNGE " + credential} if credential else {})
    r = h.getresponse()
    data = json.loads(r.read())
    h.close()
    return r.status, data


@test
def credentials():
    """TCP: no credential, a replayed one, one for another call or body: refused"""
    with Cluster(1) as c:
        c.put(67, [1])
        cred = munge(c, "GET", "/v1/jobs/67")
        assert tcp(c, "GET", "/v1/jobs/67")[0] == 401
        assert tcp(c, "GET", "/v1/jobs/67", credential=cred)[0] == 200
        assert tcp(c, "GET", "/v1/jobs/67", credential=cred)[0] == 401
        assert tcp(c, "GET", "/v1/jobs", credential=munge(c, "GET", "/v1/jobs/67"))[0] == 401
        body = b'{"enabled":false}'
        cred = munge(c, "POST", "/v1/jobs/67/checkpoint", body)
        assert tcp(c, "POST", "/v1/jobs/67/checkpoint", b'{"enabled":true}', cred)[0] == 401
        cred = munge(c, "POST", "/v1/jobs/67/checkpoint", body)
        assert tcp(c, "POST", "/v1/jobs/67/checkpoint", body, cred)[0] == 200


@test
def bad_requests():
    """malformed, oversized and unknown requests are errors, and the agent lives"""
    with Cluster(1) as c:
        n = c.node(1)
        refused(3, n.call, "GET", "/v1/nothing")
        refused(2, n.call, "POST", "/v1/status")
        refused(2, n.call, "GET", "/v1/jobs/abc")
        refused(2, n.call, "GET", "/v1/jobs/7.1")
        refused(2, n.call, "PUT", "/v1/jobs/7/member", {"job": 7})
        refused(2, n.call, "PUT", "/v1/jobs/7/member", c.spec(8, [1]))
        refused(2, n.call, "PUT", "/v1/jobs/7/member", c.spec(7, [2]))
        refused(2, n.call, "PUT", "/v1/jobs/7/member", dict(c.spec(7, [1]), nodes=["../n1"]))
        refused(2, n.call, "PUT", "/v1/jobs/7/member", c.spec(7, [1], user="a\nb"))
        refused(2, n.call, "PUT", "/v1/jobs/7/member", c.spec(7, [1], memory_mib=-1))
        refused(3, n.call, "PUT", "/v1/jobs/7/member", c.spec(7, [1], image="absent"))
        refused(2, n.call, "POST", "/v1/jobs/7/attach", {"x": "y" * 70000}, USER)
        h = http.client.HTTPConnection(c.address(1), c.port, timeout=30)
        h.request("GET", "/v1/" + "x" * 40000)
        assert h.getresponse().status >= 400
        h.close()
        assert n.call("GET", "/v1/status")["node"] == "n1"


@test
def command_line():
    """--version, --help, --check-config, a bad configuration, a second agent"""
    with Cluster(1) as c:
        def run(*args):
            return subprocess.run([os.environ["FERMATAD"], *args], capture_output=True, text=True, timeout=60)
        assert run("--version").stdout.startswith("fermatad ")
        assert "--check-config" in run("--help").stdout
        assert run("-f", c.node(1).conf, "--check-config").returncode == 0
        bad = os.path.join(c.dir, "bad.conf")
        with open(bad, "w") as f:
            f.write("# one\nPort=6830\nColour=blue\n")
        r = run("-f", bad, "--check-config")
        assert r.returncode != 0 and "bad.conf:3" in r.stderr, r
        r = run("-f", c.node(1).conf)
        assert r.returncode == 8 and "another fermatad" in r.stderr, r
        assert run("--nonsense").returncode == 2


if __name__ == "__main__":
    main()
