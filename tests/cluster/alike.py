# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster whose simulated domains have most of their memory in common, and what becomes of that in the store."""
import os

from cluster import Cluster, wait_for


class Alike(Cluster):
    """Members whose memory is mostly the same."""

    def __init__(self, count, percent=80, **settings):
        os.environ["FERMATA_SIM_ALIKE"] = str(percent)
        settings.setdefault("RoundTimeout", "120s")  # a quarter of it bounds AcrossWait
        super().__init__(count, **settings)

    def close(self):
        os.environ.pop("FERMATA_SIM_ALIKE", None)
        super().close()

    def pages(self, job):
        """{name: bytes} of its packs."""
        d = os.path.join(self.store, str(job), "pages")
        return {n: os.stat(os.path.join(d, n)).st_size for n in os.listdir(d) if n.endswith(".pack")}

    def bytes(self, job):
        return sum(self.pages(job).values())

    def verify(self, snapshot, node=1):
        r = self.node(node).call("POST", "/v1/snapshots/%s/verify" % snapshot)
        assert r["ok"], r

    def compacted(self, job, node=1, timeout=60):
        """What the pass says when it has ended, that of the newest snapshot."""
        def done():
            c = self.node(node).job(job).get("compacted")
            return c if c and c["state"] in ("done", "failed") else None
        return wait_for("the pass over job %d" % job, done, timeout)
