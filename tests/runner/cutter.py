#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""cutter.py TARGET_ADDRESS:PORT MIN MAX CUTS SEED - a bad network between a shim and a runner.

Listens on a port of 127.0.0.1 (printed), passes bytes on to the target and cuts each connection, half of them with a
reset, after MIN to MAX bytes (both ways together); after CUTS cuts it leaves connections alone.  Prints "cut N" each time.
"""
import random
import select
import socket
import struct
import sys

target, least, most, cuts, seed = sys.argv[1:6]
host, port = target.split(':')
least, most, cuts = int(least), int(most), int(cuts)
rng = random.Random(int(seed))
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)


def carry(a, b, limit):
    """Pass bytes between a and b until one ends, or `limit` have passed (None: no limit). True when cut."""
    passed = 0
    while True:
        for source in select.select([a, b], [], [])[0]:
            try:
                data = source.recv(65536)
                if not data:
                    return False
                if limit is not None and passed + len(data) >= limit:
                    (b if source is a else a).sendall(data[:limit - passed])
                    return True
                (b if source is a else a).sendall(data)
            except OSError:
                return False
            passed += len(data)


done = 0
while True:
    a, _ = listener.accept()
    b = socket.create_connection((host, int(port)))
    was_cut = carry(a, b, rng.randint(least, most) if done < cuts else None)
    if was_cut:
        done += 1
        print('cut', done, flush=True)
        if rng.random() < 0.5:
            for s in a, b:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    a.close()
    b.close()
