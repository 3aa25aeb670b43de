# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster whose nodes have disks of their own (LocalDir), and what its tests ask of it."""
import atexit
import os
import shutil
import tempfile

from cluster import Cluster, wait_for

PATIENCE = 240  # a copy that fails, for an agent that is not up again yet, is tried again after 2, 4, 8 … seconds
KEY_FILE = os.path.join(tempfile.mkdtemp(prefix="fermata-key-"), "site.key")
with open(os.open(KEY_FILE, os.O_WRONLY | os.O_CREAT, 0o600), "w") as key:
    key.write(os.urandom(32).hex())
atexit.register(shutil.rmtree, os.path.dirname(KEY_FILE), True)


class Disks(Cluster):
    """A LocalDir a node."""

    def __enter__(self):
        for n in self.nodes.values():
            n.local = os.path.join(n.run, "local")
            n.configure({"Agents": "n[1-%d]" % len(self.nodes), "LocalDir": n.local, **self.settings})
            n.start()
        return self

    def lose(self, i):
        """The node and its disk are gone."""
        self.node(i).kill()
        shutil.rmtree(self.node(i).local)

    def names(self, i, job, what):
        try:
            return sorted(f for f in os.listdir(os.path.join(self.node(i).local, str(job), what)) if f.endswith((".pack", ".parity", ".part")))
        except FileNotFoundError:
            return []

    def shared(self, job):
        try:
            return sorted(f for f in os.listdir(os.path.join(self.store, str(job), "pages")) if f.endswith(".pack"))
        except FileNotFoundError:
            return []

    def level(self, snapshot, name, node=1):
        s = self.node(node).call("GET", "/v1/snapshots/" + snapshot)
        return next((x for x in s.get("levels", []) if x["name"] == name), {"state": "not listed"})

    def asked(self, snapshot, name, node=1):
        """The same, the nodes asked."""
        return self.level(snapshot + "?disks=1", name, node)

    def reaches(self, snapshot, name, state, node=1):
        return wait_for("%s: level %s %s" % (snapshot, name, state),
                        lambda: self.level(snapshot, name, node) if self.level(snapshot, name, node)["state"] == state else None, PATIENCE)


def seeds(c, job, nodes):
    return [c.node(i).domain("fm-%d-%d" % (job, rank))["seed"] for rank, i in enumerate(nodes)]


def restored(c, job, nodes, snapshot, was):
    """A new job, from that snapshot, on these nodes: memory as it was; the level each member came from."""
    c.put(job, nodes, restart_from=snapshot)
    assert seeds(c, job, nodes) == was
    return [c.node(i).job(job)["obtained"]["level"] for i in nodes]
