#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""LSF's contract with the plug-in: a job's life, and each trap of README.md, against real agents with simulated VMs."""
import contextlib
import json
import os
import signal
import socket
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "cluster")]
from cluster import Cluster, Refused, main, test, wait_for  # noqa: E402
from guest import Guest  # noqa: E402
from lsf import USER, Lsf  # noqa: E402

STATE = "fermata.snapshot"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


@contextlib.contextmanager
def site(count=2, **settings):
    """Agents on n1, n2, …, whose guests' addresses are on loopback, and an LSF over them."""
    with Cluster(count, GuestNetwork="127.78.0.0/16", GuestRanks="8", RunnerPort=str(free_port()), **settings) as c:
        lsf = Lsf(c)
        jobs = []
        first = Lsf.bsub

        def bsub(*args, **kw):
            jobs.append(first(lsf, *args, **kw))
            return jobs[-1]
        lsf.bsub = bsub
        try:
            yield c, lsf
        finally:
            for job in jobs:
                job.kill()


def begun(c, lsf, hosts, **kw):
    """A job whose VMs run; its command is not begun."""
    job = lsf.bsub(chkpnt=lsf.chkpnt, **{"esub": ["image=tiny"], **kw})
    pre = job.dispatch(hosts)
    assert all(r == (0, "") for r in pre), pre
    for n, _ in hosts:
        assert c.node(n).job(job.number)["state"] == "running"
    return job


def written(directory):
    with open(os.path.join(directory, STATE)) as f:
        return json.load(f)


def log_of(job):
    with open(os.path.join(job.chkpnt_dir, "fermata.log")) as f:
        return f.read()


def one_line(text, *words):
    assert text.endswith("\n") and text.count("\n") == 1, "not one line: %r" % text
    for word in words:
        assert word in text, (word, text)


def harmless(c, job):
    """Whatever went wrong: the job runs, and can be checkpointed."""
    for rank, (n, _) in enumerate(job.hosts):
        assert c.node(n).state("fm-%d-%d" % (job.number, rank)) == "running"
    if job.process:
        assert job.process.poll() is None
    r = job.checkpoint()
    assert r.succeeded and written(job.chkpnt_dir)["job"] == job.dir_name.replace(".", "[") + ("]" if job.index else ""), r.err


def gone(c, job):
    for rank, (n, _) in enumerate(job.hosts):
        assert c.node(n).domain("fm-%d-%d" % (job.number, rank)) is None


# ---- a job's life ----------------------------------------------------------------------------------------------------

@test
def life():
    """submit, VMs on all hosts, run in them, two checkpoints, the end"""
    with site(3) as (c, lsf):
        job = begun(c, lsf, [(2, 4), (3, 2)], command="echo \\$LSB_JOBID on \\$LSB_HOSTS; sleep 0.2; exit 7", period=1800)
        spec = c.node(2).job(job.number)
        assert spec["user"] == USER and spec["nodes"] == ["n2", "n3"] and spec["image"] == "tiny", spec
        with Guest(c, 2, job.number, USER):
            job.start()
            for n in (1, 2):
                r = job.checkpoint()
                assert r.succeeded and r.code == 0 and r.renamed == [STATE], (r.code, r.err, r.renamed)
                state = written(job.chkpnt_dir)
                assert state["snapshot"] == "%d.%d" % (job.number, n) and state["nodes"] == ["n2", "n3"], state
            assert job.wait() == 7, job.output()
            assert job.output() == "%d on n2 n2 n2 n2 n3 n3\n" % job.id, job.output()
        assert all(r == (0, "") for r in job.finish())
        gone(c, job)
        assert [s["snapshot"] for s in c.node(1).call("GET", "/v1/snapshots?job=%d" % job.number)["snapshots"]] == \
            ["%d.1" % job.number, "%d.2" % job.number]
        assert "snapshot %d.2 is whole" % job.number in log_of(job)


@test
def killed_and_restarted_elsewhere():
    """bchkpnt -k (or bmig): the method ends the job, after the snapshot; brestart elsewhere under another id: not a line is lost or doubled"""
    with site(3) as (c, lsf):
        job = begun(c, lsf, [(1, 1), (2, 1)], script="#!/bin/sh\necho begun\nread line <%s/go\necho $line\nexit 3\n" % lsf.dir)
        os.mkfifo(os.path.join(lsf.dir, "go"), 0o666)
        os.chmod(os.path.join(lsf.dir, "go"), 0o666)
        with Guest(c, 1, job.number, USER):
            job.start()
            wait_for("its first line", lambda: job.output() == "begun\n")
            r = job.checkpoint("-c", "-k")
            assert r.succeeded, r.err
            assert job.wait() == -signal.SIGKILL
            assert "the job is ended" in log_of(job)
            job.finish()
            gone(c, job)

            new = job.again(lsf.take_id())
            assert new.dispatch([(3, 1), (1, 1)]) == [(0, ""), (0, "")]
            assert c.node(3).job(new.number)["state"] == "creating"  # what it restarts from is not known yet
            assert new.erestart() is new, (new.code, new.err)
            assert new.restart_cmd.endswith("fermata-starter --restarted"), new.restart_cmd
            assert c.node(3).job(new.number)["restored_from"] == "%d.1" % job.number
            harmless(c, new)
            with open(os.path.join(lsf.dir, "go"), "w") as f:
                f.write("and ended\n")
            assert new.wait() == 3, new.output()
            assert new.output() == "begun\nand ended\n", new.output()
            assert written(new.chkpnt_dir)["snapshot"] == "%d.1" % new.number
            new.finish()


def processes(*words):
    """Those of this command line."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open("/proc/%s/cmdline" % pid) as f:
            if f.read().split("\0")[:-1] == list(words):
                out.append(int(pid))
    return out


def process_state(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0]


@test
def stopped():
    """echkpnt -s (a queue's job control): stopped in the guest, after the snapshot; SIGCONT lets it go on"""
    with site(1) as (c, lsf):
        seconds = "1000%d" % c.port
        job = begun(c, lsf, [(1, 1)], command="sleep " + seconds)
        with Guest(c, 1, job.number, USER):
            job.start()
            pid = wait_for("the command in the guest", lambda: processes("sleep", seconds))[0]
            assert job.checkpoint("-s").succeeded
            wait_for("it to stop", lambda: process_state(pid) == "T")
            os.killpg(job.process.pid, signal.SIGCONT)
            wait_for("it to go on", lambda: process_state(pid) == "S")
            os.killpg(job.process.pid, signal.SIGTERM)  # bkill
            job.wait()
            wait_for("its end in the guest", lambda: not processes("sleep", seconds))


@test
def other_jobs():
    """a queue's other jobs have no VMs, and run on the host as without a starter"""
    with site(1) as (c, lsf):
        for command, output in (("echo 'a  b' \\$LSB_JOBID; exit 5", "a  b %d\n"), ("exit 5", "")):
            job = lsf.bsub(command)
            del job.submit_env["FERMATA_JOB"]
            assert job.dispatch([(1, 1)]) == [(0, "")]
            job.start()
            assert job.wait() == 5 and job.output() == (output % job.id if output else ""), job.output()
            assert job.finish() == [(0, "")]
        lsf.starter = lsf.starter.split()[0]  # without %USRCMD
        job = lsf.bsub("printf '%s,' a 'b  c'")
        del job.submit_env["FERMATA_JOB"]
        job.hosts = [(1, 1)]
        job.start()
        assert job.wait() == 0 and job.output() == "a,b  c,", job.output()


@test
def host_failure():
    """a host is lost: LSF restarts the same id by itself, with -f, on others; twice"""
    with site(3) as (c, lsf):
        job = begun(c, lsf, [(1, 1), (2, 1)])
        with Guest(c, 1, job.number, USER):
            job.start()
            wait_for("the start to be counted", lambda: os.path.exists(os.path.join(job.chkpnt_dir, "fermata.starts")))
            assert job.checkpoint().succeeded
            for turn, hosts in enumerate([[(2, 1), (3, 1)], [(3, 1), (2, 1)]], 1):
                job.kill()  # with its host; what is on the others, LSF may clean or not
                new = job.again()
                assert new.dispatch(hosts) == [(0, ""), (0, "")]
                assert new.erestart(force=True) is new, new.err
                lead = c.node(hosts[0][0]).job(new.number)
                assert lead["restored_from"] == "%d.1" % job.number and lead["incarnation"] == turn, lead
                wait_for("the start to be counted",
                         lambda: open(os.path.join(job.chkpnt_dir, "fermata.starts")).read() == "%d\n" % (turn + 1))
                job = new
            assert c.node(1).domain("fm-%d-0" % job.number) is None  # fenced
            harmless(c, job)
            job.kill()
            job.finish()


@test
def nothing_to_restart():
    """no checkpoint: brestart is refused, with -f and after a host failure the job begins anew; so does a mere rerun"""
    with site(2) as (c, lsf):
        job = begun(c, lsf, [(1, 1)], command="echo anew")
        job._make_files()
        job.finish()
        new = job.again(lsf.take_id())
        assert new.dispatch([(2, 1)]) == [(0, "")]
        assert new.erestart() is None and new.code == 3
        one_line(new.err, "no whole checkpoint", "job %d" % new.id)
        new.old = new.dir_name
        guest_at(c, lsf, new, lambda: new.erestart(force=True))
        new.finish()
        again = new.again()  # bsub -r: no method at all
        assert again.dispatch([(1, 1)]) == [(0, "")]
        guest_at(c, lsf, again, again.start)
        again.finish()


def guest_at(c, lsf, job, start):
    """The group is made only now, so its guest cannot be there before: the shim waits for it."""
    assert start() is job, job.err
    node = job.hosts[0][0]
    wait_for("the group", lambda: c.node(node).job(job.number)["state"] == "running")
    assert "restored_from" not in c.node(node).job(job.number)
    with Guest(c, node, job.number, USER):
        assert job.wait() == 0 and job.output() == "anew\n", job.output()


@test
def one_host_asks_for_all():
    """where there is no HOST_PRE_EXEC: the VMs of all hosts from PRE_EXEC on the first, and their end from POST_EXEC"""
    with site(3) as (c, lsf):
        lsf.all_hosts = True
        job = begun(c, lsf, [(2, 1), (1, 1), (3, 1)])
        harmless_without_files(c, job)
        assert job.finish() == [(0, "")]
        gone(c, job)


def harmless_without_files(c, job):
    job._make_files()
    harmless(c, job)


@test
def array_elements():
    """elements of a job array are jobs of their own to the agents; numbers that do not fit are refused"""
    with site(1) as (c, lsf):
        one = begun(c, lsf, [(1, 1)], index=1, job_id=77)
        two = begun(c, lsf, [(1, 1)], index=2, job_id=77)
        plain = begun(c, lsf, [(1, 1)], job_id=77)
        assert len({one.number, two.number, plain.number}) == 3
        for job in (one, two, plain):
            harmless_without_files(c, job)
        for job in (one, two, plain):
            job.finish()
        big = lsf.bsub(chkpnt=lsf.chkpnt, esub=["image=tiny"], index=1, job_id=1 << 20)
        code, err = big.dispatch([(1, 1)])[0]
        assert code == 1, code
        one_line(err, "arrays are taken up to")


# ---- the traps, by their number in README.md ------------------------------------------------------------------------------

def held(c, job, node=1):
    """A checkpoint that does not get on: its method waits."""
    c.node(node).inject("save.begin=hold")
    r = job.begin_checkpoint()
    wait_for("the snapshot to be under way", lambda: state(c, job) == "running")
    return r


def state(c, job):
    return c.node(job.hosts[0][0]).job(job.number).get("snapshot", {}).get("state")


def let_go(c, job, node=1):
    c.node(node).inject("")
    wait_for("the snapshot's end", lambda: state(c, job) != "running")


@test
def trap_1_signals():
    """1: begun with TERM and others ignored and CHLD blocked, it has no signal ignored but PIPE, none blocked, and TERM ends it"""
    with site(1) as (c, lsf):
        job = begun(c, lsf, [(1, 1)])
        job._make_files()
        r = held(c, job)
        with open("/proc/%d/status" % r.process.pid) as f:
            status = dict(line.split(":\t", 1) for line in f)
        own = 3 << 31  # 32 and 33 are the C library's, which lets nobody set them: as they are with us
        ignored = int(status["SigIgn"], 16) & ~own
        assert int(status["SigBlk"], 16) == 0 and ignored == 1 << (signal.SIGPIPE - 1), status
        r.process.send_signal(signal.SIGTERM)
        assert r.process.wait(60) == -signal.SIGTERM
        let_go(c, job)
        harmless(c, job)


@test
def trap_2_death_is_success():
    """2: a method that is killed has succeeded, to LSF: the checkpoint before stands, and without one nothing is claimed"""
    with site(1) as (c, lsf):
        job = begun(c, lsf, [(1, 1)])
        job._make_files()
        r = held(c, job)
        r.process.kill()
        lsf_says = job.end_checkpoint(r)
        assert lsf_says.succeeded and lsf_says.signal == signal.SIGKILL and lsf_says.renamed == []
        assert STATE not in os.listdir(job.chkpnt_dir) and "chklog" in os.listdir(job.chkpnt_dir)
        let_go(c, job)
        new = job.again()
        assert new.dispatch([(1, 1)]) == [(0, "")]
        assert new.erestart() is None and new.code == 3
        one_line(new.err, "no whole checkpoint")
        new.finish()

        job = begun(c, lsf, [(1, 1)])
        job._make_files()
        harmless(c, job)
        before = written(job.chkpnt_dir)
        r = held(c, job)
        r.process.kill()
        assert job.end_checkpoint(r).succeeded and written(job.chkpnt_dir) == before
        c.node(1).inject("")


@test
def trap_3_kill_is_ours():
    """3: LSF does not end the job for -k; where the snapshot fails, nor does the method"""
    with site(1) as (c, lsf):
        job = begun(c, lsf, [(1, 1)])
        with Guest(c, 1, job.number, USER):
            job.start()
            c.node(1).inject("save.begin=fail:no room")
            r = job.checkpoint("-c", "-k")
            assert not r.succeeded and r.code == 1, r.code
            one_line(r.err, "no room", "echkpnt.fermata: job %d" % job.id)
            assert job.process.poll() is None
            c.node(1).inject("")
            harmless(c, job)
            r = job.checkpoint("-c", "-k", group=1)
            assert not r.succeeded and r.code == 2
            one_line(r.err, "no process group")
            assert job.process.poll() is None
            assert job.checkpoint("-c", "-k").succeeded
            assert job.wait() == -signal.SIGKILL


@test
def trap_4_flat_files():
    """4: a method that makes a folder fails at its second checkpoint; ours makes one file, and does not"""
    with site(1) as (c, lsf):
        job = begun(c, lsf, [(1, 1)])
        job._make_files()
        ours = os.readlink(os.path.join(lsf.server, "echkpnt.fermata"))
        path = os.path.join(lsf.server, "echkpnt.fermata")
        os.unlink(path)
        with open(path, "w") as f:
            f.write("#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\nmkdir $1/data && echo 1 >$1/data/pages\n")
        os.chmod(path, 0o755)
        assert job.checkpoint().succeeded
        r = job.checkpoint()
        assert not r.succeeded and r.why == "Directory not empty", r.why
        os.unlink(path)
        os.symlink(ours, path)
        tmp = os.path.join(job.parent, job.dir_name + ".tmp")
        assert os.path.isdir(os.path.join(tmp, "data"))  # left: also this does not stop ours
        r = job.checkpoint()
        assert not r.succeeded and STATE in os.listdir(job.chkpnt_dir) + os.listdir(tmp)
        for root in (tmp, job.chkpnt_dir):
            os.unlink(os.path.join(root, "data", "pages"))
            os.rmdir(os.path.join(root, "data"))
        for n in range(3):
            r = job.checkpoint()
            assert r.succeeded and r.renamed == [STATE], (r.err, r.renamed)


@test
def trap_5_own_deadline():
    """5: bkill waits for the method, and LSF for ever: it ends by itself, in time, and says so; the job runs on"""
    with site(1) as (c, lsf):
        job = begun(c, lsf, [(1, 1)])
        job._make_files()
        c.node(1).inject("save.begin=hold")
        r = job.checkpoint(FERMATA_CHKPNT_TIMEOUT="1")
        assert not r.succeeded and r.code == 7, (r.code, r.err)
        one_line(r.err, "not whole after", "no longer waited for")
        r = job.checkpoint(FERMATA_CHKPNT_TIMEOUT="1")
        assert not r.succeeded and r.code == 7
        one_line(r.err, "another snapshot")
        let_go(c, job)
        harmless(c, job)


@test
def trap_6_first_host_alone():
    """6: it is run on the first host alone: the snapshot has all hosts' VMs, and one that fails elsewhere is none"""
    with site(3) as (c, lsf):
        job = begun(c, lsf, [(2, 1), (1, 1), (3, 1)])
        job._make_files()
        harmless(c, job)
        assert written(job.chkpnt_dir)["members"] == 3 and written(job.chkpnt_dir)["nodes"] == ["n2", "n1", "n3"]
        c.node(3).inject("save.begin=fail:disk full")
        r = job.checkpoint()
        assert not r.succeeded, r.err
        one_line(r.err, "member 2 (n3)")
        assert written(job.chkpnt_dir)["snapshot"] == "%d.1" % job.number
        c.node(3).inject("")
        harmless(c, job)


@test
def trap_7_directories():
    """7: the log is in the job's own directory, the file where -d says, whatever the names hold"""
    with site(1) as (c, lsf):
        lsf.chkpnt = os.path.join(lsf.dir, "check points")
        os.mkdir(lsf.chkpnt)
        os.chown(lsf.chkpnt, lsf.pw.pw_uid, lsf.pw.pw_gid)
        job = lsf.bsub(chkpnt=os.path.join(lsf.dir, "chkpnt"), esub=["image=tiny"])
        job.parent = lsf.chkpnt
        assert job.dispatch([(1, 1)]) == [(0, "")]
        job._make_files()
        harmless(c, job)
        assert "is whole" in log_of(job) and os.stat(os.path.join(job.chkpnt_dir, "fermata.log")).st_mode & 0o777 == 0o600
        lsf.keep_output = False  # LSF's default: the log is all one has
        c.node(1).inject("save.begin=fail:no room")
        assert not job.checkpoint().succeeded
        assert "no room" in log_of(job)


@test
def trap_8_stale_directory():
    """8: what a failed checkpoint has left in <id>.tmp does not pass for the next one's"""
    with site(1) as (c, lsf):
        job = begun(c, lsf, [(1, 1)])
        job._make_files()
        harmless(c, job)
        old = os.path.join(job.chkpnt_dir, STATE)
        harmless(c, job)
        tmp = os.path.join(job.parent, job.dir_name + ".tmp")

        def leave():
            os.mkdir(tmp, 0o700)
            for name in (STATE, STATE + ".tmp.XyZ123"):
                with open(os.path.join(tmp, name), "w") as f:
                    f.write("half")
        job._as_user(leave)
        r = held(c, job)
        assert os.listdir(tmp) == []
        r.process.kill()
        assert job.end_checkpoint(r).succeeded and written(job.chkpnt_dir)["snapshot"] == "%d.2" % job.number
        let_go(c, job)
        harmless(c, job)
        assert os.path.exists(old)


# ---- what is on disk is not believed ------------------------------------------------------------------------------------------

@test
def damaged():
    """a file that is not what was written is refused, with -f too; a snapshot that is gone: a later one, an older one only with -f"""
    with site(1) as (c, lsf):
        job = begun(c, lsf, [(1, 1)])
        job._make_files()
        harmless(c, job)
        harmless(c, job)
        path = os.path.join(job.chkpnt_dir, STATE)
        good = open(path).read()
        job.finish()

        def tried(content, force, code, *words):
            def put():
                with open(path, "w") as f:
                    f.write(content)
            job._as_user(put)
            new = job.again()
            assert new.dispatch([(1, 1)]) == [(0, "")]
            result = new.erestart(force=force)
            if code:
                assert result is None and new.code == code, (new.code, new.err)
                one_line(new.err, *words)
                assert not os.path.exists(os.path.join(job.chkpnt_dir, ".restart_cmd"))
            else:
                assert result is new, (new.code, new.err)
                for word in words:
                    assert word in new.err + json.dumps(c.node(1).job(new.number)), new.err
                new.kill()
            new.finish()
        tried(good.replace("%d.2" % job.number, "%d.1" % job.number), True, 5, "checksum")
        tried(good[:40], True, 5)
        tried("", True, 5)
        c.node(1).call("DELETE", "/v1/snapshots/%d.2" % job.number)
        tried(good, False, 3, "brestart -f")
        tried(good, True, 0, "OLDER", '"restored_from": "%d.1"' % job.number)
        c.node(1).call("DELETE", "/v1/snapshots/%d.1" % job.number)
        tried(good, True, 3, "nor another")


main()
