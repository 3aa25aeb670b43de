# SPDX-License-Identifier: GPL-2.0-or-later
"""What LSF does to its external programs, replayed: bsub and mesub to an esub; sbatchd to pre-execution commands, the
job, echkpnt and erestart.  README.md says where each behaviour is known from.

    lsf = Lsf(cluster)
    job = lsf.bsub("sleep 100", chkpnt="/dir", period=1800, esub=["image=tiny"])
    job.dispatch([(1, 2), (2, 2)])      # slots on nodes n1, n2: pre-execution commands
    job.start()                         # the job file, on the first host
    r = job.checkpoint("-k")            # r.succeeded is what LSF believes
    new = job.brestart()                # another id; job.restart() is the same one's
    job.finish()                        # post-execution commands
"""
import concurrent.futures
import os
import pwd
import signal
import subprocess

IGNORED = [signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN,
           signal.SIGTTOU]
PREEXEC_PATH = "/bin:/usr/bin:/sbin:/usr/sbin"
USER = "nobody"
BUILD = os.getcwd()  # `make check` runs in the top of the build tree


class Aborted(Exception):
    """bsub: the request was aborted by an esub"""


def _become(pw, uid=None, mask=0o022, ignored=(), blocked=(), session=False):
    """In the child, between fork and exec: the user's groups and gid; uid None: the user's own."""
    def f():
        for s in range(1, signal.NSIG):
            if s not in (signal.SIGKILL, signal.SIGSTOP) and s < 32:
                signal.signal(s, signal.SIG_IGN if s in ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if session:
            os.setsid()
        os.setgroups(os.getgrouplist(pw.pw_name, pw.pw_gid))
        os.setresgid(pw.pw_gid, pw.pw_gid, pw.pw_gid)
        uid_ = pw.pw_uid if uid is None else uid
        os.setresuid(uid_, uid_, uid_)
        os.umask(mask)
    return f


def read_parm(path):
    """NAME=value lines of what an esub has written, as bsub reads them."""
    out = {}
    if os.path.exists(path):
        with open(path) as f:
            for line in f:
                name, value = line.rstrip("\n").split("=", 1)
                out[name] = value[1:-1].replace('\\"', '"') if value.startswith('"') else value
    return out


class Lsf:
    def __init__(self, cluster, starter=True):
        self.cluster, self.pw = cluster, pwd.getpwnam(USER)
        self.dir = os.path.join(cluster.dir, "lsf")
        self.server = os.path.join(self.dir, "etc")  # LSF_SERVERDIR
        self.spool = os.path.join(self.dir, "lsbatch")
        self.chkpnt = os.path.join(self.dir, "chkpnt")
        os.makedirs(self.server)
        for path in (self.spool, self.chkpnt):
            os.mkdir(path)
            os.chown(path, self.pw.pw_uid, self.pw.pw_gid)
        for name in ("echkpnt", "erestart", "esub"):
            os.symlink(os.path.join(BUILD, name + ".fermata"), os.path.join(self.server, name + ".fermata"))
        self.starter = '%s "%%USRCMD"' % os.path.join(BUILD, "fermata-starter") if starter else ""
        self.host_pre, self.host_post = os.path.join(BUILD, "fermata-hostpre"), os.path.join(BUILD, "fermata-hostpost")
        self.all_hosts = False  # from PRE_EXEC, where HOST_PRE_EXEC does not exist
        self.keep_output = True  # LSB_ECHKPNT_KEEP_OUTPUT=y
        self.next = 100
        self.env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TMPDIR": "/no/such", "HOME": "/",
                    "FERMATA_STARTER": os.path.join(BUILD, "fermata-starter"), "FERMATA_SHIM": os.path.join(BUILD, "fermata-shim")}

    # ---- bsub, brestart, bmod on the submitting host ---------------------------------------------------------------
    def esub(self, parms, args=(), env=None):
        """mesub runs esub.fermata; (what it changed of the options, and of the environment). Aborted, or accepted."""
        base = os.path.join(self.dir, "sub.%d" % self.next)
        files = {"LSB_SUB_PARM_FILE": base + ".parm", "LSB_SUB_MODIFY_FILE": base + ".deltaparm",
                 "LSB_SUB_MODIFY_ENVFILE": base + ".deltaenv"}
        for path in files.values():
            if os.path.exists(path):
                os.unlink(path)
        os.chmod(self.dir, 0o777)
        with open(files["LSB_SUB_PARM_FILE"], "w") as f:
            for name, value in parms.items():
                bare = value in ("Y", "SUB_RESET") or value.isdigit()
                f.write("%s=%s\n" % (name, value if bare else '"%s"' % value.replace('"', '\\"')))
        os.chmod(files["LSB_SUB_PARM_FILE"], 0o666)
        env = {**self.env, "FERMATA_CONF": self.cluster.node(1).conf, "LSB_SUB_ABORT_VALUE": "97", **files, **(env or {})}
        p = subprocess.run([os.path.join(self.server, "esub.fermata"), *args], env=env, cwd=self.chkpnt,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           preexec_fn=_become(self.pw))
        self.esub_out, self.esub_err, self.esub_code = p.stdout, p.stderr, p.returncode
        if p.returncode == 97:  # nothing else stops it
            raise Aborted(p.stderr)
        return read_parm(files["LSB_SUB_MODIFY_FILE"]), read_parm(files["LSB_SUB_MODIFY_ENVFILE"])

    def bsub(self, command="sleep 1000", chkpnt=None, period=0, esub=(), env=None, name=None, script=None, index=0,
             parms=None, job_id=None):
        p = {"LSB_SUB_ADDITIONAL": "fermata", "LSB_SUB_NUM_PROCESSORS": "4", **(parms or {})}
        if chkpnt is not None:
            p["LSB_SUB_CHKPNT_DIR"] = chkpnt
        if period:
            p["LSB_SUB_CHKPNT_PERIOD"] = str(period)  # seconds, though -k takes minutes
        options, changed = self.esub(p, esub, env)
        p.update(options)
        job = Job(self, job_id or self.take_id(), index)
        job.command, job.script, job.job_name = command, script, name or command
        job.parent, job.period = p.get("LSB_SUB_CHKPNT_DIR"), int(p.get("LSB_SUB_CHKPNT_PERIOD", 0))
        job.submit_env = {**self.env, **(env or {}), **changed}
        job.app = p.get("LSB_SUB3_APP")
        return job

    def take_id(self):
        self.next += 1
        return self.next


class Checkpoint:
    """What LSF makes of a method's run."""


class Job:
    def __init__(self, lsf, job_id, index=0):
        self.lsf, self.id, self.index = lsf, job_id, index
        self.hosts, self.process, self.restarted, self.old = [], None, False, None
        self.number = job_id if not index else 1 << 31 | index << 20 | job_id
        self.file = "1464190108.%d" % job_id
        self.log = ""

    # ---- the environment sbatchd sets, over what the user had ---------------------------------------------------------
    @property
    def dir_name(self):
        return "%d" % self.id if not self.index else "%d.%d" % (self.id, self.index)

    @property
    def chkpnt_dir(self):
        return os.path.join(self.parent, self.dir_name)

    def env(self, node, **more):
        cluster = self.lsf.cluster
        names = [cluster.node(n).name for n, _ in self.hosts]
        e = dict(self.submit_env)
        e.update({"LSB_JOBID": str(self.id), "LSB_JOBINDEX": str(self.index), "LSB_JOBFILENAME": self.job_file(),
                  "LSB_HOSTS": " ".join(n for n, (_, s) in zip(names, self.hosts) for _ in range(s)),
                  "LSB_MCPU_HOSTS": "".join("%s %d " % (n, s) for n, (_, s) in zip(names, self.hosts)),
                  "LSB_QUEUE": "normal", "LSB_JOBNAME": self.job_name, "LSFUSER": USER, "USER": USER,
                  "LSB_EXIT_PRE_ABORT": "99", "LS_SUBCWD": self.lsf.chkpnt, "LSF_SERVERDIR": self.lsf.server,
                  "LSF_ENVDIR": "/etc", "LSB_TRAPSIGS": "trap # 15 10 12 2 1", "LS_JOBPID": str(os.getpid())})
        if self.parent:
            e.update({"LSB_CHKPNT_DIR": self.chkpnt_dir, "LSB_CHKPNT_PERIOD": str(self.period),
                      "LSB_CHKFILENAME": os.path.join(self.chkpnt_dir, self.file)})
        else:
            e["LSB_CHKFILENAME"] = self.job_file()
        if self.restarted:
            e["LSB_RESTART"] = "Y"
        # one machine stands for all hosts: each has its own fermata.conf
        e["FERMATA_CONF"] = cluster.node(node).conf
        e.update(more)
        return e

    def job_file(self):
        return os.path.join(self.lsf.spool, self.file)

    # ---- pre- and post-execution ----------------------------------------------------------------------------------------
    def _exec_command(self, node, command, root=True, env=None):
        pw = self.lsf.pw
        conf = " --conf " + self.lsf.cluster.node(node).conf  # one machine stands for all hosts
        e = self.env(node, PATH=PREEXEC_PATH, **(env or {}))
        err = open(os.path.join(self.lsf.cluster.node(node).dir, "exec.err"), "w+")  # LSF: /dev/null
        p = subprocess.run(["/bin/sh", "-c", command + conf], env=e, cwd="/tmp", stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=err, preexec_fn=_become(pw, 0 if root else None))
        err.seek(0)
        text = err.read()
        err.close()
        return p.returncode & 0xff, text

    def _on_hosts(self, command, **kw):
        if self.lsf.all_hosts:
            nodes, command = [self.hosts[0][0]], command + " --all-hosts"
        else:
            nodes = [n for n, _ in self.hosts]
        with concurrent.futures.ThreadPoolExecutor(len(nodes)) as pool:
            return list(pool.map(lambda n: self._exec_command(n, command, **kw), nodes))

    def dispatch(self, hosts, **kw):
        """The hosts' pre-execution commands: [(exit code, stderr)]. Not all 0: the job is not started here."""
        self.hosts = hosts
        self.pre = self._on_hosts(self.lsf.host_pre, **kw)
        if any(code for code, _ in self.pre):
            self.finish()
        return self.pre

    def finish(self, **kw):
        return self._on_hosts(self.lsf.host_post, **kw)

    # ---- the job itself -----------------------------------------------------------------------------------------------------
    def _with_starter(self, text):
        starter = self.lsf.starter
        if not starter:
            return text
        return starter.replace("%USRCMD", text) if "%USRCMD" in starter else starter + " " + text

    def _user_input(self):
        if self.script is None:
            return self._with_starter(self.command)
        return ("( cat <<_USER_\\SCRIPT_\n%s\n_USER_SCRIPT_\n) > $LSB_CHKFILENAME.shell\nchmod u+x $LSB_CHKFILENAME.shell\n%s\n"
                "saveExit=$?\n/bin/rm -f $LSB_JOBFILENAME.shell\n(exit $saveExit)" %
                (self.script.rstrip("\n"), self._with_starter("$LSB_JOBFILENAME.shell")))

    def _as_user(self, f):
        """Files that sbatchd makes as the user."""
        pid = os.fork()
        if not pid:
            try:
                _become(self.lsf.pw)()
                f()
                os._exit(0)
            except BaseException as e:  # the parent has to know
                os.write(2, ("# as the user: %r\n" % e).encode())
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0

    def _make_files(self):
        def make():
            if self.parent:
                os.makedirs(self.parent, 0o777, exist_ok=True)
                if not os.path.isdir(self.chkpnt_dir):
                    os.mkdir(self.chkpnt_dir, 0o700)
            where = self.chkpnt_dir if self.parent else self.lsf.spool
            path = os.path.join(where, self.file)
            with open(path, "w") as f:
                f.write("#! /bin/sh\n\n$LSB_TRAPSIGS\n$LSB_RCP1\n$LSB_RCP2\n$LSB_RCP3\n# LSBATCH: User input\n%s\n"
                        "ExitStat=$?\nwait\n# LSBATCH: End user input\ntrue\nexit `expr $? \"|\" $ExitStat`\n" % self._user_input())
            os.chmod(path, 0o700)
            for end in ("", ".shell"):
                link = self.job_file() + end
                if self.parent and not os.path.islink(link):
                    os.symlink(os.path.join(self.chkpnt_dir, self.file + end), link)
        self._as_user(make)

    def _run_file(self, path, **env):
        self.out = os.path.join(self.lsf.dir, "out.%s" % self.dir_name)
        with open(self.out, "w") as out:
            self.process = subprocess.Popen([os.path.basename(path)], executable=path, env=self.env(self.hosts[0][0], **env),
                                            cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            preexec_fn=_become(self.lsf.pw, ignored=[signal.SIGHUP], session=True))

    def start(self):
        self._make_files()
        self._run_file(os.path.join(self.chkpnt_dir if self.parent else self.lsf.spool, self.file))
        return self

    def output(self):
        with open(self.out) as f:
            return f.read()

    def wait(self, timeout=60):
        return self.process.wait(timeout)

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    # ---- echkpnt -----------------------------------------------------------------------------------------------------------------
    def _method(self, name, args, output, **env):
        """A method of LSF's interface programs: fds 0 to 2 alone, the parent of the checkpoint directory, no signals."""
        kw = {}
        for stream, end in (("stdout", "out"), ("stderr", "err")):
            kw[stream] = open(os.path.join(output, name + "." + end), "a") if output else subprocess.DEVNULL
        p = subprocess.Popen(["%s.fermata" % name, *args], executable=os.path.join(self.lsf.server, name + ".fermata"),
                             env=self.env(self.hosts[0][0], **env), cwd=self.parent, stdin=subprocess.DEVNULL, close_fds=True,
                             restore_signals=False, preexec_fn=_become(self.lsf.pw, ignored=IGNORED, blocked=[signal.SIGCHLD],
                                                                       session=True), **kw)
        for f in kw.values():
            if f is not subprocess.DEVNULL:
                f.close()
        return p

    def begin_checkpoint(self, *flags, group=None, **env):
        """As far as the method's start; flags: -c -f -k -s."""
        tmp = os.path.join(self.parent, self.dir_name + ".tmp")
        if not os.path.isdir(tmp):  # EEXIST is fine: what a failed one has left
            self._as_user(lambda: os.mkdir(tmp, 0o700))
        c = Checkpoint()
        c.output = self.chkpnt_dir if self.lsf.keep_output else None
        c.log_at = os.path.getsize(self.err_file()) if os.path.exists(self.err_file()) else 0
        group = group if group is not None else (self.process.pid if self.process else 999999)
        # chkpnt, then -d: the order of the options is LSF's
        c.argv = [*flags, "-d", self.dir_name + ".tmp", str(group)]
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
        c.process = self._method("echkpnt", c.argv, c.output, LS_EXEC_T="CHKPNT", **env)
        return c

    def err_file(self, name="echkpnt"):
        return os.path.join(self.chkpnt_dir, name + ".err")

    def end_checkpoint(self, c, timeout=120):
        """Only the byte of the exit status counts; then renames, one by one."""
        status = c.process.wait(timeout)
        c.code = status if status >= 0 else 0  # WEXITSTATUS() of a death by signal is 0
        c.signal = -status if status < 0 else 0
        c.err = ""
        if c.output and os.path.exists(self.err_file()):
            with open(self.err_file()) as f:
                f.seek(c.log_at)
                c.err = f.read()
        tmp = os.path.join(self.parent, self.dir_name + ".tmp")
        c.succeeded, c.why, c.renamed = c.code == 0, None, []
        if c.succeeded:
            for name in os.listdir(tmp):
                try:
                    os.rename(os.path.join(tmp, name), os.path.join(self.chkpnt_dir, name))
                    c.renamed.append(name)
                except OSError as e:
                    c.succeeded, c.why = False, e.strerror
                    return c  # and <id>.tmp stays
            if self.old and self.old != self.dir_name and os.path.islink(os.path.join(self.parent, self.old)):
                os.unlink(os.path.join(self.parent, self.old))
        for name in os.listdir(tmp):  # rmDir() does not descend
            path = os.path.join(tmp, name)
            if not os.path.isdir(path):
                os.unlink(path)
        try:
            os.rmdir(tmp)
        except OSError:
            pass
        if c.succeeded:
            self._as_user(lambda: open(os.path.join(self.chkpnt_dir, "chklog"), "w").close())
        return c

    def checkpoint(self, *flags, **kw):
        return self.end_checkpoint(self.begin_checkpoint(*flags, **kw))

    # ---- erestart ---------------------------------------------------------------------------------------------------------------------
    def again(self, job_id=None):
        """The job under another id, or in another start of the same one."""
        new = Job(self.lsf, job_id or self.id, self.index)
        for key in ("command", "script", "job_name", "parent", "period", "submit_env", "app"):
            setattr(new, key, getattr(self, key))
        new.restarted, new.old, new.file = True, self.dir_name, self.file
        return new

    def take_directory(self):
        """After the queue's pre-execution commands: <old> becomes <new>, and a link to it."""
        old = os.path.join(self.parent, self.old)
        if self.old == self.dir_name:
            return
        os.rename(old, self.chkpnt_dir)
        os.symlink(self.chkpnt_dir, old)
        for end in ("", ".shell"):
            link = self.job_file() + end
            if os.path.islink(link):
                os.unlink(link)
            os.symlink(os.path.join(self.chkpnt_dir, self.file + end), link)

    def erestart(self, force=False, timeout=120):
        """The method, and what LSF runs after it; self.code, self.err. None: the job does not run."""
        self.take_directory()
        env = {"LSB_ERESTART_USRCMD": self.command, "LSB_OLD_JOBID": self.old, "LSB_RESTART_PID": "1", "LS_EXEC_T": "START"}
        path = self.err_file("erestart")
        at = os.path.getsize(path) if os.path.exists(path) else 0
        p = self._method("erestart", [*(["-f"] if force else []), self.dir_name],
                         self.chkpnt_dir if self.lsf.keep_output else None, **env)
        status = p.wait(timeout)
        self.code, self.err = (status if status >= 0 else 0), ""
        if os.path.exists(path):
            with open(path) as f:
                f.seek(at)
                self.err = f.read()
        if self.code:
            return None
        self._run_file(self._new_job_file())
        return self

    def _new_job_file(self):
        """.restart_cmd's command in place of the first line of the user's input, the rest as it was."""
        cmd = os.path.join(self.chkpnt_dir, ".restart_cmd")
        self.restart_cmd = None
        if os.path.exists(cmd):
            with open(cmd) as f:
                line = f.readline(512)
            assert line.startswith("LSB_RESTART_CMD="), line
            self.restart_cmd = line[len("LSB_RESTART_CMD="):].strip()
            os.unlink(cmd)
        path = os.path.join(self.chkpnt_dir, self.file)
        out, marked = [], False
        with open(path) as f:
            for line in f:
                text = line.strip(" ")
                if text.startswith("#"):
                    marked = text.split() == ["#", "LSBATCH:", "User", "input"]
                elif text != "\n" and marked:
                    marked = False
                    line = self.restart_cmd + "\n" if self.restart_cmd else line
                out.append(line)
        self._as_user(lambda: open(path + ".restart", "w").writelines(out))
        self._as_user(lambda: os.chmod(path + ".restart", 0o700))
        return path + ".restart"
