#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fake_agent.py SOCKET LOG - a FAKE fermatad with canned answers, for tests of the `fermata` command alone.

It knows no VM, no store and no rights: what it says is written below.  Requests
are appended to LOG, one "METHOD PATH BODY" a line.
"""
import http.server
import json
import socketserver
import sys
import threading

SHA = "ab" * 32


def member(rank):
    return {"rank": rank, "node": f"n{rank + 1}", "type": "pvh", "live": True, "bytes": 17825792, "raw_bytes": 100663296,
            "sha256": SHA, "zero_pages": 45, "known_pages": 30, "stored_pages": 25, "stop_ms": 57.2 + rank, "held_frames": 3 * rank, "held_bytes": 300 * rank}


def snapshot(name, **more):
    job = int(name.split(".")[0])
    s = {"snapshot": name, "state": "whole", "created": "2026-01-31T12:00:00.5Z",
         "job": {"scheduler": "slurm", "job": job, "name": "heat", "uid": 1000, "user": "alice", "image": "mpi",
                 "nodes": ["n1", "n2"]},
         "members": [member(0), member(1)], "bytes": 35651584, "raw_bytes": 201326592, "dir": f"/store/{name.replace('.', '/')}",
         "create_ms": 4200, "stop_ms": 58.2, "skew_ms": 0.4, "drain": "markers", "marker_ms_max": 3.1,
         "flush_bound_ms": 20, "notes": ["a note"]}
    s.update(more)
    return s


JOB = {"job": 12, "uid": 1000, "user": "alice", "nodes": ["n1", "n2"], "lead": "n1", "image": "mpi", "members": 2,
       "node": "n1", "rank": 0, "state": "running", "incarnation": 1, "interval_s": 1800, "keep": 2,
       "saving": {"pages": 12288, "zero_pages": 6144, "known_pages": 3072, "stored_pages": 3072,
                  "stored_bytes": 3145728, "raw_bytes": 100663296}, "restored_from": "11.4", "checkpoint_disabled": False, "domain": "fm-12-0", "created": "2026-01-31T11:00:00Z"}
STATUS = {"version": "0.1.0", "node": "n1", "hypervisor": "xen", "gate": "bpf", "uptime_s": 93784.5, "jobs": [12],
          "store": {"dir": "/store", "free_bytes": 5 << 40}}
ERRORS = {400: (2, "usage"), 403: (4, "denied"), 404: (3, "not found"), 409: (8, "busy"), 422: (5, "corrupt"), 500: (1, "failed")}
PIN = {"by": "alice", "uid": 1000, "when": "2026-01-31T13:00:00Z", "comment": "for the paper"}
polls = {}


def error(status, text):
    code, name = ERRORS[status]
    return status, {"error": {"code": code, "name": name, "text": text}}


def poll(name):
    """12 becomes whole at the fourth look, 13 fails at the second, 16 never ends, 17 is forgotten."""
    n = polls[name] = polls.get(name, 0) + 1
    running = {"snapshot": name, "state": "running", "round": "drain", "bytes": 1048576 * n}
    if name.startswith("12."):
        return (200, snapshot(name)) if n >= 4 else (200, running)
    if name.startswith("13."):
        return (200, {"snapshot": name, "state": "failed", "error": "member 1 (n2): cut: the disk is full"}) if n >= 2 else (200, running)
    return 200, running


def prune(wishes):
    """Job 7: one goes, one is pinned; 8: a removal fails; 9: a map cannot be read; 10: in use; 11: its folder goes."""
    job = wishes.get("job", 7)
    o = {"job": job, "keep": wishes.get("keep", 0), "max_age_s": wishes.get("max_age_s", 0), "removed": 1, "freed": 35651584,
         "snapshots": [
             {"snapshot": f"{job}.1", "state": "whole", "created": "2026-01-31T12:00:00Z", "removed": job != 8, "reason": "older than 7 d",
              "bytes": 1000},
             {"snapshot": f"{job}.2", "state": "whole", "removed": False, "reason": "pinned", "bytes": 1000, "pinned": PIN}],
         "sweep": {"packs": 3, "bytes": 99999, "removed": 1, "rewritten": 1, "freed": 5, "damaged": 0}}
    if job == 8:
        o["snapshots"][0]["error"] = "the disk burns"
    if job == 9:
        o.update(sweep_error="no page of job 9 is removed: /store/9/1/member-0.map is damaged", sweep_code=5)
    if job == 10:
        o.update(sweep_error="pages are being written", sweep_code=8)
    if job == 11:
        o["folder_removed"] = True
    return 200, {"dry_run": wishes["dry_run"], "jobs": [o], "removed": 1, "freed": 35651584}


def answer(method, path, body):
    path = path.removesuffix("?disks=1")  # show asks the nodes, too
    if path == "/v1/status":
        return 200, STATUS
    if path == "/v1/jobs":
        return 200, {"jobs": [dict(JOB, snapshot={"id": "12.3", "state": "running", "round": "drain"})]}
    if path in ("/v1/jobs/12", "/v1/jobs/13", "/v1/jobs/16"):
        return 200, dict(JOB, job=int(path.split("/")[-1]))
    if path == "/v1/snapshots":
        return 200, {"snapshots": [snapshot("7.1", comment="\x1b[31mred\x1b[0m"), snapshot("12.2"),
                                   {"snapshot": "12.3", "state": "damaged", "error": "its SHA-256 is wrong"}]}
    if path == "/v1/snapshots?job=12":
        return 200, {"snapshots": [snapshot("12.2")]}
    if path.startswith("/v1/snapshots?job="):
        return 200, {"snapshots": []}
    if path == "/v1/snapshots/7.1/verify":
        return 200, {"snapshot": "7.1", "ok": True, "members": [{"rank": 0, "node": "n1", "ok": True}], "seconds": 0.25}
    if path == "/v1/snapshots/7.2/verify":
        return 200, {"ok": False, "seconds": 0.25, "members": [
            {"rank": 0, "node": "n1", "ok": True}, {"rank": 1, "node": "n2", "ok": False, "error": "member-1.map is damaged"}]}
    if path in ("/v1/snapshots/12", "/v1/snapshots/7.1"):
        return 200, snapshot("12.2" if path.endswith("12") else "7.1")
    if path == "/v1/snapshots/7.1/pin":
        return (200, {"snapshot": "7.1", "pinned": PIN}) if method == "POST" else (200, {})
    if path.endswith("/pin"):
        return error(404, f"there is no snapshot {path.split('/')[3]}")
    if path == "/v1/snapshots/7.6":
        return error(409, "snapshot 7.6 is pinned by alice: unpin it first") if method == "DELETE" else (200, snapshot("7.6", pinned=PIN))
    if path == "/v1/prune":
        return prune(json.loads(body))
    if path == "/v1/jobs/11":
        return 404, error(404, "job 11 has no VM here")[1]
    if path.startswith("/v1/snapshots/") and method == "DELETE":
        return (200, {}) if path in ("/v1/snapshots/7.1", "/v1/snapshots/7.2") else error(404, f"there is no snapshot {path[14:]}")
    if path.endswith("/snapshots") and method == "POST":
        job = path.split("/")[3]
        if job == "14":
            return error(409, "snapshot 14.2 is under way")
        if job == "15":
            return error(403, "job 15 is not yours")
        if job == "99":
            return error(404, "job 99 has no VM on this node")
        return 202, {"snapshot": f"{job}.3"}
    if path.startswith("/v1/snapshots/") and path.endswith(".3"):
        return poll(path[14:])
    return error(404, f"there is no {path}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        with lock, open(sys.argv[2], "a", encoding="utf-8") as log:
            print(self.command, self.path, body, file=log)
            status, reply = answer(self.command, self.path, body)
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def address_string(self):
        return "test"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


lock = threading.Lock()
Server(sys.argv[1], Handler).serve_forever()
