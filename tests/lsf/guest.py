# SPDX-License-Identifier: GPL-2.0-or-later
"""A real fermata-runner in place of the one in a simulated VM: it has the address and the token the agents gave the
job's first member, which a restored group keeps.  So it goes on over a restart, as what is in a guest does."""
import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from cluster import wait_for  # noqa: E402

RUNNER = os.path.abspath("agent/runner/fermata-runner")


class Guest:
    def __init__(self, cluster, node, number, user):
        place = cluster.node(node).call("POST", "/v1/jobs/%d/attach" % number, {})
        pw = pwd.getpwnam(user)
        self.dir = tempfile.mkdtemp(prefix="guest.", dir=cluster.dir)
        os.chmod(self.dir, 0o755)
        params = {"job": number, "rank": 0, "uid": pw.pw_uid, "gid": pw.pw_gid, "gids": [pw.pw_gid], "user": user,
                  "home": "/tmp", "prefix": 8, "port": place["port"], "nodes": [{"name": "n1", "ip": place["address"]}],
                  "ip": place["address"], "token": place["token"], "incarnation": 0}
        path = os.path.join(self.dir, "params")
        with open(path, "w") as f:
            json.dump(params, f)
        self.log = os.path.join(self.dir, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([RUNNER, "--params", path, "--run-dir", os.path.join(self.dir, "run")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def ready():
            assert self.process.poll() is None, open(self.log).read()
            return " ready, port" in open(self.log).read()
        wait_for("the runner", ready)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
