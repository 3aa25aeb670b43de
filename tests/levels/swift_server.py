#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenStack Swift with its S3 front, whole, in one process on loopback.

    swift_server.py DIR       (Debian's python3, which has Debian's python3-swift)

A proxy (s3api, tempauth, slo) and an account, a container and an object server
with one device, DIR/devices/d1, whose file system must have extended attributes.
The sockets are bound before the rings are made, so no port is guessed.  Prints
"ready PORT" when the proxy answers, and ends when its stdin does.  User
test:tester, secret "testing"; a bucket listing has 5 names at most, a part of a
multipart upload may be small, so that little data takes the long ways.  tempauth
insists on a memcache: here it is a dict of this process.
"""
import logging
import os
import sys

USER, SECRET = "test:tester", "testing"

try:
    import eventlet
    from eventlet import wsgi
    from swift.common import utils
except ImportError as e:
    print("OpenStack Swift is not installed (python3-swift): %s" % e, flush=True)
    sys.exit(3)

SERVERS = ("account", "container", "object")

STORAGE = """[DEFAULT]
swift_dir = %(dir)s
devices = %(dir)s/devices
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
bind_ip = 127.0.0.1
bind_port = %(port)d
[pipeline:main]
pipeline = %(server)s-server
[app:%(server)s-server]
use = egg:swift#%(server)s
"""

PROXY = """[DEFAULT]
swift_dir = %(dir)s
bind_ip = 127.0.0.1
bind_port = %(port)d
[pipeline:main]
pipeline = catch_errors s3api tempauth bulk slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 20
node_timeout = 60
recoverable_node_timeout = 60
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
max_bucket_listing = 5
min_segment_size = 1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def make_ring(folder, server, port):
    from swift.common.ring.builder import RingBuilder
    builder = RingBuilder(4, 1, 0)  # 16 partitions, one copy
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1,
                     "replication_ip": "127.0.0.1", "replication_port": port})
    builder.rebalance(seed=1)
    builder.get_ring().save(os.path.join(folder, server + ".ring.gz"))


class Cache:
    """What Swift asks of its memcache client, without expiry: a test's server is young."""

    def __init__(self):
        self.kept = {}

    def get(self, key, **_):
        return self.kept.get(key)

    def set(self, key, value, **_):
        self.kept[key] = value

    def incr(self, key, delta=1, **_):
        self.kept[key] = self.kept.get(key, 0) + delta
        return self.kept[key]

    def delete(self, key, **_):
        self.kept.pop(key, None)


def with_cache(app):
    cache = Cache()

    def call(env, start_response):
        env["swift.cache"] = cache
        return app(env, start_response)
    return call


def serve(folder, name, listener, text):
    from swift.common.wsgi import SwiftHttpProtocol, loadapp
    conf = os.path.join(folder, name + "-server.conf")
    write(conf, text % {"dir": folder, "server": name, "port": listener.getsockname()[1]})
    app = loadapp(conf, global_conf={"log_name": name})
    if name == "proxy":
        app = with_cache(app)
    eventlet.spawn(wsgi.server, listener, app, logging.getLogger(name), protocol=SwiftHttpProtocol,
                   log_output=False, capitalize_response_headers=False, socket_timeout=60)


def main():
    folder = os.path.abspath(sys.argv[1])
    os.makedirs(os.path.join(folder, "devices", "d1"))
    write(os.path.join(folder, "swift.conf"), "[swift-hash]\nswift_hash_path_suffix = test\n")
    logging.basicConfig(filename=os.path.join(folder, "swift.log"), level=logging.INFO)
    eventlet.hubs.use_hub("poll")
    utils.eventlet_monkey_patch()
    utils.set_swift_dir(folder)
    listeners = {name: eventlet.listen(("127.0.0.1", 0)) for name in SERVERS + ("proxy",)}
    for name in SERVERS:
        make_ring(folder, name, listeners[name].getsockname()[1])
    for name in SERVERS:
        serve(folder, name, listeners[name], STORAGE)
    serve(folder, "proxy", listeners["proxy"], PROXY)
    print("ready %d" % listeners["proxy"].getsockname()[1], flush=True)
    eventlet.tpool.execute(sys.stdin.read)  # until whoever started this closes it, or dies
    os._exit(0)


if __name__ == "__main__":
    main()
