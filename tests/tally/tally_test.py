#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tally (contrib/examples/tally) must see what happens to messages: a path that does no harm is called clean, and each
single frame that is dropped, doubled, overtaken or damaged is found, by number.  TAP.
usage: tally_test.py [PATH-OF-TALLY]

Two network namespaces, joined by a path of our own between two TAP devices, which does to the frames what a test asks
for.  Needs root, namespaces and /dev/net/tun; exit status 77 says why it cannot run."""
import ctypes, fcntl, os, re, select, signal, struct, subprocess, sys, threading, time

TALLY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else 'contrib/examples/tally/tally')
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x0002, 0x1000
RAW, UDP, TCP = 'raw', 'udp', 'tcp'
libc = ctypes.CDLL(None, use_errno=True)
entering = threading.Lock()


def skip(why):
    print(f'1..0 # SKIP {why}')
    print(f'tally_test: skipped: {why}', file=sys.stderr)
    sys.exit(77)


def kind_of(frame):
    """Which of tally's kinds a frame carries, with a message in it."""
    ethertype = frame[12:14]
    if ethertype == b'\x88\xb6':
        return RAW
    if ethertype != b'\x08\x00' or frame[14] != 0x45:
        return None
    protocol, payload = frame[23], len(frame) - 34
    if protocol == 17 and frame[36:38] == struct.pack('>H', 7788):
        return UDP
    return TCP if protocol == 6 and payload >= 20 + 200 else None


class Namespace:
    """A machine: a process in a network namespace of its own, and a TAP device in that."""
    def __init__(self, number):
        self.ip = f'10.9.0.{number + 1}'
        self.keeper = subprocess.Popen(['unshare', '--net', 'sh', '-c', 'echo; exec cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.keeper.stdout.readline() != b'\n':
            raise OSError('unshare --net does not work here')
        self.tap = self.make_tap()
        self.run(f'ip link set lo up; ip addr add {self.ip}/24 dev eth0; ip link set eth0 up')

    def make_tap(self):
        with entering:
            home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
            away = os.open(f'/proc/{self.keeper.pid}/ns/net', os.O_RDONLY)
            try:
                if libc.setns(away, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), 'setns')
                tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
                fcntl.ioctl(tap, TUNSETIFF, struct.pack('16sH14x', b'eth0', IFF_TAP | IFF_NO_PI))
            finally:
                libc.setns(home, CLONE_NEWNET)
                os.close(home), os.close(away)
        return tap

    def run(self, script):
        subprocess.run(['nsenter', f'--net=/proc/{self.keeper.pid}/ns/net', 'sh', '-ec', script], check=True)

    def close(self):
        self.keeper.stdin.close()
        self.keeper.wait()
        os.close(self.tap)


class Resent:
    """How many TCP segments of one end have been on the path before: on a busy machine an answer may be late enough for that."""
    def __init__(self):
        self.ends, self.count = {}, 0

    def see(self, frame):
        if frame[12:14] != b'\x08\x00' or frame[14] != 0x45 or frame[23] != 6:
            return
        total, = struct.unpack_from('>H', frame, 16)
        ports, seq = frame[34:38], struct.unpack_from('>I', frame, 38)[0]
        flags = frame[47]
        # what a segment takes of the sequence: its bytes, SYN and FIN
        size = total - 20 - (frame[46] >> 4) * 4 + bool(flags & 2) + bool(flags & 1)
        if size == 0:
            return
        end = self.ends.get(ports)
        if end is not None and ((seq - end) & 0xffffffff) >= 1 << 31:
            self.count += 1
        if end is None or ((seq + size - end) & 0xffffffff) < 1 << 31:
            self.ends[ports] = (seq + size) & 0xffffffff


class Path:
    """Carries frames both ways; harm(frame, kind, n) says what becomes of the n-th message of its kind from rank 0:
    a list of frames to pass on."""
    def __init__(self, a, b, harm):
        self.a, self.b, self.harm = a, b, harm
        self.counts = {RAW: 0, UDP: 0, TCP: 0}
        self.resent = [Resent(), Resent()]
        self.done = False
        self.thread = threading.Thread(target=self.carry)
        self.thread.start()

    def carry(self):
        while not self.done:
            for tap in select.select([self.a.tap, self.b.tap], [], [], 0.05)[0]:
                try:
                    frame = os.read(tap, 65536)
                except BlockingIOError:
                    continue
                frames, to = [frame], self.b.tap if tap == self.a.tap else self.a.tap
                self.resent[tap == self.b.tap].see(frame)
                kind = kind_of(frame)
                if tap == self.a.tap and kind:
                    self.counts[kind] += 1
                    frames = self.harm(frame, kind, self.counts[kind])
                for f in frames:
                    try:
                        os.write(to, f)
                    except OSError:
                        pass        # the device is gone: the test is over

    def close(self):
        self.done = True
        self.thread.join()


def start(space, rank, more):
    process = subprocess.Popen(['nsenter', f'--net=/proc/{space.keeper.pid}/ns/net', TALLY, f'--rank={rank}', '--rate=100', '--seconds=2',
                             '--quiet=1', '--wait=10', *more, '10.9.0.1', '10.9.0.2'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    process.heard = ''
    return process


def until_it_counts(process):
    """Both have met, and this one sends: it says so each second from then on."""
    while not process.heard.rstrip('\n').split('\n')[-1].startswith('tally '):
        line = process.stdout.readline().decode()
        if not line:
            raise OSError('tally ended early: ' + process.heard)
        process.heard += line


class Result:
    def __init__(self, processes, path):
        said = [p.heard + p.communicate(timeout=120)[0].decode() for p in processes]
        self.text, self.other = said
        self.resent = [r.count for r in path.resent]
        self.status = [p.returncode for p in processes]
        self.pairs = {}
        for line in self.text.splitlines():
            m = re.match(r'pair (\d->\d) (\w+) (.*)', line)
            if m:
                self.pairs[m[1], m[2]] = {k: int(v) for k, v in (w.split('=') for w in m[3].split())}

    def is_but(self, pair=None, **different):
        """Everything is clean but for this pair's columns."""
        if len(self.pairs) != 6:
            return False
        for key, columns in self.pairs.items():
            want = dict(lost=0, doubled=0, reordered=0, damaged=0)
            if key == pair:
                want |= different
            if columns['sent'] < 50 or any(columns[k] != v for k, v in want.items()):
                return False
        return True

    def counts_what_was_resent(self, rank):
        """It says no more was sent again than was."""
        return 0 <= self.rank(rank, 'retransmits') <= self.resent[rank]

    def rank(self, rank, word):
        m = re.search(rf'^rank {rank} .*\b{word}=([\d.]+)', self.text, re.M)
        return float(m[1]) if m else -1.0


def pass_on(frame, kind, n):
    return [frame]


def drop(what, number):
    return lambda frame, kind, n: [] if kind == what and n == number else [frame]


def double(what, number):
    return lambda frame, kind, n: [frame, frame] if kind == what and n == number else [frame]


def overtake(what, number):
    """That frame comes after the next of its kind."""
    kept = []

    def harm(frame, kind, n):
        if kind == what and n == number:
            kept.append(frame)
            return []
        if kind == what and kept:
            return [frame, kept.pop()]
        return [frame]
    return harm


def damage(what, number):
    return lambda frame, kind, n: [frame[:-1] + bytes([frame[-1] ^ 1])] if kind == what and n == number else [frame]


def stopped(processes):
    """Rank 1 does not run for a second and a half, in the middle of it."""
    until_it_counts(processes[1])
    time.sleep(0.5)
    processes[1].send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    processes[1].send_signal(signal.SIGCONT)


def killed(processes):
    until_it_counts(processes[1])
    processes[1].kill()


def ended(processes):
    until_it_counts(processes[1])
    time.sleep(0.5)
    processes[1].send_signal(signal.SIGUSR1)


def case(harm=pass_on, meanwhile=None, more=()):
    spaces, processes = [], []
    try:
        spaces = [Namespace(0), Namespace(1)]
        path = Path(*spaces, harm)
        try:
            # nsenter execs: the process is tally's
            processes = [start(s, i, more) for i, s in enumerate(spaces)]
            if meanwhile:
                meanwhile(processes)
            return Result(processes, path)
        finally:
            for p in processes:
                p.kill()
            path.close()
    finally:
        for s in spaces:
            s.close()


def harmed(kind, **different):
    return lambda r: r.status == [1, 1] and r.is_but(('0->1', kind), **different) and 'verdict NOT CLEAN' in r.text


CASES = {
    'a path that does no harm is clean, and no retransmission is counted that was none':
        (dict(), lambda r: r.status == [0, 0] and r.is_but() and 'verdict clean' in r.text and
         r.counts_what_was_resent(0) and r.counts_what_was_resent(1)),
    'a raw frame dropped is lost, and which': (dict(harm=drop(RAW, 40)),
        lambda r: harmed(RAW, lost=1)(r) and 'tally 1 missing pair 0->1 raw 39-39\n' in r.other),
    'a datagram dropped is lost': (dict(harm=drop(UDP, 40)), harmed(UDP, lost=1)),
    'the last datagram as well': (dict(harm=lambda f, k, n: [] if k == UDP and n >= 50 else [f]),
                                  lambda r: r.status == [1, 1] and r.pairs['0->1', UDP]['received'] == 49),
    'a raw frame doubled': (dict(harm=double(RAW, 40)), harmed(RAW, doubled=1)),
    'a datagram doubled': (dict(harm=double(UDP, 40)), harmed(UDP, doubled=1)),
    'a raw frame overtaken': (dict(harm=overtake(RAW, 40)), harmed(RAW, reordered=1)),
    'a datagram overtaken': (dict(harm=overtake(UDP, 40)), harmed(UDP, reordered=1)),
    'a raw frame damaged': (dict(harm=damage(RAW, 40)), harmed(RAW, lost=1, damaged=1)),
    'a TCP segment dropped is not lost, but counted as sent again':
        (dict(harm=drop(TCP, 40)), lambda r: r.status == [0, 0] and r.is_but() and r.rank(0, 'retransmits') >= 1 and
         r.rank(0, 'segments_again') >= 1 and r.counts_what_was_resent(0) and r.counts_what_was_resent(1)),
    'a program that does not run: its longest gap, and what its own sockets dropped, apart from the network\'s loss':
        (dict(meanwhile=stopped, more=('--receive-room=4096', '--seconds=4')),
         lambda r: r.status == [0, 0] and r.rank(1, 'mono') > 1400 and r.rank(1, 'boot') > 1400 and r.rank(0, 'mono') < r.rank(1, 'mono') and
         r.rank(1, 'udp_dropped') == r.pairs['0->1', UDP]['lost'] > 0 and r.rank(1, 'raw_dropped') == r.pairs['0->1', RAW]['lost'] > 0 and
         'dropped inside the guests' in r.text and 'verdict clean' in r.text),
    'a drop in the network beside it is still found':
        (dict(harm=drop(UDP, 20), meanwhile=stopped, more=('--receive-room=4096', '--seconds=4')),
         lambda r: r.status == [1, 1] and r.pairs['0->1', UDP]['lost'] == r.rank(1, 'udp_dropped') + 1),
    'a rank that dies': (dict(meanwhile=killed, more=('--seconds=20',)), lambda r: r.status == [1, -9] and 'rank 1' in r.text),
    'SIGUSR1 to one ends all': (dict(meanwhile=ended, more=('--seconds=600', )),
                                lambda r: r.status == [0, 0] and 'verdict clean' in r.text and 20 < r.pairs['0->1', UDP]['sent'] < 30000),
}


def main():
    if os.geteuid():
        skip('must be root')
    try:
        Namespace(0).close()
    except (OSError, subprocess.CalledProcessError) as e:
        skip(f'no network namespace with a TAP device: {e}')
    results = {}

    def run(name):
        try:
            results[name] = case(**CASES[name][0])
        except Exception as e:      # told as that case's failure
            results[name] = e
    waiting = list(CASES)
    while waiting:      # a few at once: they mostly wait
        threads = [threading.Thread(target=run, args=(n,)) for n in waiting[:5]]
        waiting = waiting[5:]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    failed = []
    for i, (name, (_, holds)) in enumerate(CASES.items()):
        r = results[name]
        good = isinstance(r, Result) and holds(r)
        print(f'{"ok" if good else "not ok"} {i + 1} - {name}')
        if not good:
            failed.append(name)
            said = f'exit {r.status}, sent again {r.resent}\n{r.text}{r.other}' if isinstance(r, Result) else repr(r)
            print('\n'.join('# ' + line for line in said.splitlines()))
    print(f'1..{len(CASES)}')
    for name in failed:     # again at the end: only that may be all one sees
        print(f'# FAILED: {name}')
    return 1 if failed else 0


sys.exit(main())
