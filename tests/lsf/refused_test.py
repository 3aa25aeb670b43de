#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What an esub takes and refuses, and bad input everywhere: one line that says why, an exit code LSF heeds, no harm to the job."""
import os
import pwd
import stat
import subprocess
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "cluster")]
from cluster import Cluster, main, test, wait_for  # noqa: E402
from lsf import Aborted, Lsf  # noqa: E402

OTHER_USER = "daemon"


def one_line(text, *words):
    assert text.endswith("\n") and text.count("\n") == 1, "not one line: %r" % text
    for word in words:
        assert word in text, (word, text)


def begun(c, lsf, hosts=((1, 1),), **kw):
    job = lsf.bsub(chkpnt=lsf.chkpnt, **{"esub": ["image=tiny"], **kw})
    assert all(r == (0, "") for r in job.dispatch(list(hosts))), job.pre
    job._make_files()
    return job


def unharmed(c, job):
    assert c.node(1).state("fm-%d-0" % job.number) == "running"
    r = job.checkpoint()
    assert r.succeeded, r.err


def aborted(lsf, *words, **kw):
    """bsub is refused, with a line; what LSF would have taken from the esub's files is nothing."""
    try:
        lsf.bsub(**kw)
    except Aborted as e:
        one_line(str(e), "esub.fermata: ", *words)
        assert lsf.esub_out == "", lsf.esub_out  # eexec's
        return
    raise AssertionError("accepted, exit %d: %s" % (lsf.esub_code, lsf.esub_err))


# ---- esub ---------------------------------------------------------------------------------------------------------

@test
def esub_takes():
    """-a with arguments, by mesub's or by LSB_SUB_ADDITIONAL; -k as bsub has taken it apart, or whole; nothing on stdout"""
    with Cluster(1) as c:
        lsf = Lsf(c)
        job = lsf.bsub(chkpnt=lsf.chkpnt, period=1800, esub=["image=tiny", "memory=512,keep=3"])
        marks = {"FERMATA_JOB": "lsf", "LSB_ECHKPNT_METHOD": "fermata", "FERMATA_IMAGE": "tiny", "FERMATA_MEMORY": "512",
                 "FERMATA_KEEP": "3"}
        assert marks.items() <= job.submit_env.items(), job.submit_env
        assert (job.parent, job.period, lsf.esub_out, lsf.esub_err) == (lsf.chkpnt, 1800, "", "")
        job = lsf.bsub(parms={"LSB_SUB_ADDITIONAL": "license fermata(image=tiny memory=64)"})
        assert job.submit_env["FERMATA_MEMORY"] == "64" and job.parent is None
        job = lsf.bsub(chkpnt=lsf.chkpnt + " 30 method=fermata", esub=["app=vm"])
        assert (job.parent, job.period, job.app) == (lsf.chkpnt, 30 * 60, "vm"), (job.parent, job.period)
        job = lsf.bsub(parms={"LSB_SUB_COMMAND_LINE": 'echo "a\nb" = c', "LSB_SUB_RES_REQ": "SUB_RESET"})
        assert "FERMATA_IMAGE" not in job.submit_env  # the site's default
        for command in ("LSB_SUB_RESTART", "LSB_SUB_MODIFY"):  # brestart, bmod: nothing is changed
            options, env = lsf.esub({"LSB_SUB_ADDITIONAL": "fermata", command: "Y", "LSB_SUB_CHKPNT_DIR": lsf.chkpnt})
            assert (options, env, lsf.esub_code) == ({}, {}, 0)


@test
def esub_refuses():
    """each error ends with 97, since LSF would take the job otherwise, and says why in a line"""
    with Cluster(1) as c:
        lsf = Lsf(c)
        d = lsf.chkpnt
        for k, words in (("", ["directory"]), ("30", ["directory"]), ("init=5 30", ["directory"]), ("method=fermata", ["directory"]),
                         (d + " soon", ["soon", "minutes"]), (d + " 0", ["\"0\"", "minutes"]), (d + " -5", ["-5"]),
                         (d + " 30 40", ["40", "second"]), (d + " init=5 30", ["init="]), (d + " init=x", ["init=x"]),
                         (d + " 99999999999999999999", ["minutes"]), (d + " method=", ["method"]),
                         (d + " method=cray", ["cray"]), (d + " method=fermata method=fermata", ["second"]),
                         ("/no/such/dir", ["/no/such/dir", "No such file"]), ("no/such", ["No such file"]),
                         ("/etc/passwd", ["no directory"]), ("/root", ["Permission denied"]), ("/usr", ["Permission denied"])):
            aborted(lsf, "-k", *words, chkpnt=k, esub=["image=tiny"])
        aborted(lsf, "no period", chkpnt=d, parms={"LSB_SUB_CHKPNT_PERIOD": "x y"})
        aborted(lsf, "without a directory", period=60)
        aborted(lsf, "two periods", chkpnt=d + " 30", period=60)
        for a, words in ((["image=none"], ["none", "image"]), (["image="], ["names nothing"]), (["image=../../etc"], ["names nothing"]),
                         (["colour=blue"], ["colour=blue", "unknown"]), (["memory=lots"], ["lots"]), (["memory=0"], ["memory=0"]),
                         (["keep=-1"], ["keep=-1"]), (["image=tiny", "image=tiny"], ["twice"])):
            aborted(lsf, *words, esub=a)
        aborted(lsf, "cray", "LSB_ECHKPNT_METHOD", chkpnt=d, env={"LSB_ECHKPNT_METHOD": "cray"})
        for command, name in (("LSB_SUB_RESTART", "brestart"), ("LSB_SUB_MODIFY", "bmod")):
            aborted(lsf, name, "cannot change", esub=["image=tiny"], parms={command: "Y"})
        aborted(lsf, "fermata.conf", "Colour", env={"FERMATA_CONF": bad_conf(c)})
        aborted(lsf, "No such file", env={"LSB_SUB_PARM_FILE": "/no/such/file"})
        aborted(lsf, "No such file", env={"LSB_SUB_MODIFY_ENVFILE": "/no/such/file"})


def bad_conf(c):
    path = os.path.join(c.dir, "fermata.conf")
    with open(path, "w") as f:
        f.write("Colour=blue\n")
    return path


# ---- by hand, outside LSF --------------------------------------------------------------------------------------------------

@test
def by_hand():
    """run by hand: a line, exit 2 or 97"""
    with Cluster(1) as c:
        lsf = Lsf(c)
        build = os.path.dirname(lsf.host_pre)
        env = {"FERMATA_CONF": c.node(1).conf, "FERMATA_JOB": "lsf"}
        for name, args, code, words in (("echkpnt.fermata", ["-d", "/tmp", "22"], 2, ["LSB_JOBID", "LSF runs this"]),
                                        ("erestart.fermata", ["/tmp"], 2, ["LSB_JOBID"]),
                                        ("esub.fermata", [], 97, ["LSB_SUB_PARM_FILE", "bsub"]),
                                        ("fermata-starter", ["true"], 2, ["LSB_JOBID"]),
                                        ("fermata-hostpre", [], 1, ["LSB_JOBID"]), ("fermata-hostpost", [], 1, ["LSB_JOBID"])):
            p = subprocess.run([os.path.join(build, name), *args], env=env, cwd="/", capture_output=True, text=True)
            assert p.returncode == code and p.stdout == "", (name, p.returncode, p.stdout)
            one_line(p.stderr, name + ": ", *words)
            p = subprocess.run([os.path.join(build, name), *args], env={**env, "LSB_JOBID": "12x"}, capture_output=True, text=True)
            if name not in ("esub.fermata",):
                one_line(p.stderr, "LSB_JOBID=12x")


# ---- methods ---------------------------------------------------------------------------------------------------------------------

@test
def bad_checkpoints():
    """bad arguments, a directory that is missing or not the user's, a job without VMs, another's job: refused, no harm"""
    with Cluster(1) as c:
        lsf = Lsf(c)
        job = begun(c, lsf)

        def refused(argv, code, *words, **env):
            p = job._method("echkpnt", argv, job.chkpnt_dir, **env)
            at = os.path.getsize(job.err_file())
            assert p.wait(60) == code, p.returncode
            with open(job.err_file()) as f:
                f.seek(max(0, at - 2000))
                text = f.read().splitlines()[-1] + "\n"
            one_line(text, "echkpnt.fermata: ", *words)
            one_line(open(os.path.join(job.chkpnt_dir, "fermata.log")).read().splitlines()[-1] + "\n", *words)
        refused(["22"], 2, "-d")
        refused(["-d", "x"], 2, "process group")
        refused(["-d", "x", "22", "23"], 2, "process group")
        refused(["-d", "x", "0"], 2, "no process group")
        refused(["-d", "x", "-1"], 2)
        refused(["-k", "-s", "-d", "x", "22"], 2, "exclude")
        refused(["-z", "-d", "x", "22"], 2, "unknown option")
        refused(["-d", "no.tmp", "22"], 3, "no.tmp", "No such file")
        refused(["-d", job.dir_name + "/" + job.file, "22"], 2, "no directory")
        os.mkdir(os.path.join(job.parent, "roots"), 0o755)
        refused(["-d", "roots", "22"], 4, "roots", "Permission denied")
        os.mkdir(os.path.join(job.parent, "ok"), 0o777)
        os.chmod(os.path.join(job.parent, "ok"), 0o777)
        refused(["-d", "ok", "22"], 2, "FERMATA_CHKPNT_TIMEOUT", FERMATA_CHKPNT_TIMEOUT="soon")
        refused(["-d", "ok", "22"], 3, "job 9999", LSB_JOBID="9999")
        refused(["-d", "ok", "22"], 2, "fermata.conf", FERMATA_CONF=bad_conf(c))
        # the kernel says who calls, whatever the environment
        mine, lsf.pw = lsf.pw, pwd.getpwnam(OTHER_USER)
        assert job._method("echkpnt", ["-d", "ok", "22"], None).wait(60) == 4
        assert os.listdir(os.path.join(job.parent, "ok")) == []
        lsf.pw = mine
        unharmed(c, job)


@test
def agent_down():
    """no agent: said in a line after a while in which it may come back; the job's VM does not mind, and the next checkpoint is whole"""
    with Cluster(1) as c:
        lsf = Lsf(c)
        job = begun(c, lsf)
        c.node(1).kill()
        r = job.checkpoint()
        assert not r.succeeded and r.code == 3, r.code
        one_line(r.err, "fermatad")
        c.node(1).start()
        unharmed(c, job)
        c.node(1).kill()
        r = job.begin_checkpoint()  # restarted meanwhile
        c.node(1).start()
        assert job.end_checkpoint(r).succeeded or "fermatad" in r.err, r.err
        job.finish()
        c.node(1).kill()
        other = lsf.bsub(chkpnt=lsf.chkpnt, esub=["image=tiny"], env={"FERMATA_CONF": c.node(1).conf})
        code, err = other.dispatch([(1, 1)])[0]
        assert code == 1, code  # LSF tries another host
        one_line(err, "fermatad")
        new = job.again()
        new.hosts = [(1, 1)]
        assert new.erestart() is None and new.code == 3
        one_line(new.err, "fermatad")


@test
def bad_starts():
    """pre-execution: 99 where no host would do, 1 where another may, 0 for a job that is none of ours; and never as a user"""
    with Cluster(2) as c:
        lsf = Lsf(c)
        job = lsf.bsub(esub=["image=tiny"])
        job.submit_env["FERMATA_IMAGE"] = "none"
        codes = job.dispatch([(1, 1), (2, 1)])
        assert {code for code, _ in codes} <= {1, 99} and 99 in {code for code, _ in codes}, codes
        for code, err in codes:
            one_line(err, "none")
        job = lsf.bsub(esub=["image=tiny"])
        c.node(2).inject("create=fail:no memory")
        codes = job.dispatch([(1, 1), (2, 1)])
        assert [code for code, _ in codes] == [1, 1], codes
        one_line(codes[0][1], "member 1 (n2)", "no memory")
        c.node(2).inject("")
        assert job.dispatch([(1, 1), (2, 1)]) == [(0, ""), (0, "")]  # LSF has tried again
        assert job.dispatch([(1, 1), (2, 1)]) == [(0, ""), (0, "")]  # a stale one is replaced
        for r in job.dispatch([(1, 1)], env={"LSB_MCPU_HOSTS": "elsewhere 2"}):
            assert r[0] == 99
            one_line(r[1], "n1", "none of the job's")
        for env, words in (({"LSB_MCPU_HOSTS": "n1"}, ["LSB_MCPU_HOSTS"]), ({"LSFUSER": "no-such-user"}, ["no-such-user"]),
                           ({"LSFUSER": OTHER_USER}, ["LSFUSER", OTHER_USER, "group"])):
            code, err = job.dispatch([(1, 1)], env=env)[0]
            assert code == 1, (code, err)
            one_line(err, *words)
        code, err = job.dispatch([(1, 1)], root=False)[0]
        assert code == 1
        one_line(err, "lsf.sudoers")
        fake = os.path.join(c.dir, "fake.conf")
        with open(fake, "w") as f:
            f.write("Socket=/no/such\n")
        assert job.dispatch([(1, 1)], env={"FERMATA_CONF": fake}) == [(0, "")]  # the user's is not heard
        job.finish()
        plain = lsf.bsub()
        del plain.submit_env["FERMATA_JOB"]
        assert plain.dispatch([(1, 1)]) == [(0, "")] and c.node(1).domain("fm-%d-0" % plain.number) is None


@test
def links_are_not_followed():
    """a link in the checkpoint directory leads none of the programs, also not root's, out of it"""
    with Cluster(1) as c:
        lsf = Lsf(c)
        job = begun(c, lsf)
        target = os.path.join(c.dir, "precious")
        with open(target, "w") as f:
            f.write("as it was\n")
        os.chmod(target, 0o666)
        os.symlink(target, os.path.join(job.chkpnt_dir, "fermata.log"))
        job._as_user(lambda: os.symlink(target, os.path.join(job.chkpnt_dir, "fermata.snapshot")))
        unharmed(c, job)
        job.finish()
        job.again().dispatch([(1, 1)])
        with open(target) as f:
            assert f.read() == "as it was\n"
        assert stat.S_ISREG(os.lstat(os.path.join(job.chkpnt_dir, "fermata.snapshot")).st_mode)
        job.finish()
        wait_for("its end", lambda: c.node(1).domain("fm-%d-0" % job.number) is None)


main()
