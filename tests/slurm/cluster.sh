# SPDX-License-Identifier: GPL-2.0-or-later
# cluster.sh - a real Slurm on loopback for the tests: munged, slurmctld, three
# slurmd (n1 n2 n3) on one host, in namespaces of its own.  Sourced by *.test.
#
#	cluster_enter "$@"     go on in new namespaces; whatever is started ends with them
#	cluster_start          all daemons, nodes idle
#	as USER CMD…           run as that user
# Environment: srcdir, builddir (automake's).  State: $LAB, thrown away at the end
# unless FERMATA_TEST_KEEP=1.  SLURM_PREFIX: another Slurm than the installed one
# (built for several slurmd on a host; the build folder made with its headers).

srcdir=${srcdir:-.}
builddir=${builddir:-.}
top=$(cd "$srcdir" && pwd)
build=$(cd "$builddir" && pwd)
[ -z "${SLURM_PREFIX:-}" ] || PATH=$SLURM_PREFIX/bin:$SLURM_PREFIX/sbin:$PATH
OWNER=daemon
OTHER=games

skip_all() { echo "1..0 # SKIP $*"; exit 77; }

cluster_needs() {
	local program
	[ "$(id -u)" = 0 ] || skip_all "needs root: daemons that change users"
	for program in slurmctld slurmd munged sbatch setpriv unshare; do
		command -v "$program" >/dev/null || skip_all "needs $program (slurm-wlm, munge, util-linux)"
	done
	[ -e "$build/.libs/spank_fermata.so" ] || skip_all "spank_fermata.so was not built (--without-slurm)"
	unshare --net --pid --fork --uts --ipc --mount true 2>/dev/null || skip_all "needs namespaces (unshare)"
}

# New network: no port of another test; new pids: nothing survives.
cluster_enter() {
	[ "${FERMATA_TEST_INSIDE:-}" ] && return
	cluster_needs
	LAB=$(mktemp -d "${TMPDIR:-/tmp}/fermata-slurm.XXXXXX") || exit 99
	chmod 755 "$LAB"
	export LAB FERMATA_TEST_INSIDE=1
	unshare --net --pid --fork --kill-child --uts --ipc --mount --mount-proc bash "$0" "$@"
	local rc=$?
	if [ "${FERMATA_TEST_KEEP:-}" ]; then echo "# kept $LAB"; else rm -rf "$LAB"; fi
	exit $rc
}

munge_start() {
	mkdir -m 711 "$LAB/munge"
	dd if=/dev/urandom of="$LAB/munge/key" bs=128 count=1 status=none
	chmod 600 "$LAB/munge/key"
	munged --force --key-file="$LAB/munge/key" --socket="$LAB/munge/sock" \
		--pid-file="$LAB/munge/pid" --seed-file="$LAB/munge/seed" --log-file="$LAB/munge/log"
}

slurm_configure() {
	mkdir -p "$LAB"/{state,spool/n1,spool/n2,spool/n3,log,run,libexec}
	cat >"$LAB/slurm.conf" <<-EOF
	ClusterName=lab
	SlurmctldHost=head(127.0.0.1)
	SlurmUser=root
	SlurmdUser=root
	AuthType=auth/munge
	CredType=cred/munge
	AuthInfo=socket=$LAB/munge/sock,cred_expire=5
	CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
	SlurmctldPort=17000
	StateSaveLocation=$LAB/state
	SlurmdSpoolDir=$LAB/spool/%n
	SlurmctldPidFile=$LAB/run/slurmctld.pid
	SlurmdPidFile=$LAB/run/slurmd.%n.pid
	SlurmctldLogFile=$LAB/log/slurmctld.log
	SlurmdLogFile=$LAB/log/slurmd.%n.log
	PlugStackConfig=$LAB/plugstack.conf
	ProctrackType=proctrack/linuxproc
	MpiDefault=none
	SelectType=select/cons_tres
	SelectTypeParameters=CR_CPU
	ReturnToService=2
	JobRequeue=1
	SlurmdTimeout=15
	KillWait=3
	MinJobAge=300
	PrologFlags=Alloc,DeferBatch
	SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
	NodeName=n[1-3] NodeHostname=head NodeAddr=127.0.0.1 Port=[17011-17013] CPUs=2 RealMemory=1000
	PartitionName=p Nodes=ALL Default=YES
	EOF
	cat >"$LAB/plugstack.conf" <<-EOF
	required $build/.libs/spank_fermata.so conf=$LAB/%n.conf run=$LAB/run/%n libexec=$LAB/libexec
	EOF
	export SLURM_CONF=$LAB/slurm.conf
}

# wait_for SECONDS CMD…: until it succeeds; seconds of a machine at rest, a busy one may take three times as long
wait_for() {
	local end=$((SECONDS + 3 * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

nodes_idle() { [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = 3 ]; }

slurmd_start() { # node
	SLURMD_NODENAME=$1 slurmd -N "$1" -f "$SLURM_CONF"
}

cluster_start() {
	hostname head
	ip link set lo up
	ip addr add 10.255.0.1/32 dev lo # getaddrinfo wants one address that is not 127.*
	printf '127.0.0.1 localhost head\n127.0.0.11 n1\n127.0.0.12 n2\n127.0.0.13 n3\n' >"$LAB/hosts"
	mount --bind "$LAB/hosts" /etc/hosts
	munge_start || { echo "Bail out! munged does not start"; exit 99; }
	slurm_configure
	slurmctld -f "$SLURM_CONF"
	for node in n1 n2 n3; do slurmd_start $node; done
	wait_for 30 nodes_idle || { tail -n 5 "$LAB"/log/*; echo "Bail out! Slurm does not come up"; exit 99; }
}

# fermata.conf of a host without an agent, and one a node; $LAB/libexec
fermata_configure() { # extra lines
	mkdir -p "$LAB/$OWNER" "$LAB/$OTHER" "$LAB/images/tiny"
	chown "$OWNER" "$LAB/$OWNER"
	chown "$OTHER" "$LAB/$OTHER"
	cat >"$LAB/images/tiny/image.conf" <<-EOF
	Kernel=vmlinuz
	EOF
	: >"$LAB/images/tiny/vmlinuz"
	cat >"$LAB/fermata.conf" <<-EOF
	MungeSocket=$LAB/munge/sock
	ImageDir=$LAB/images
	DefaultImage=tiny
	NodeAddr=n1=127.0.0.11,n2=127.0.0.12,n3=127.0.0.13
	EOF
	[ $# -eq 0 ] || printf '%s\n' "$@" >>"$LAB/fermata.conf"
	{ cat "$LAB/fermata.conf"; echo "Socket=$LAB/run/none.sock"; } >"$LAB/client.conf"
	local i
	for i in 1 2 3; do
		{ cat "$LAB/fermata.conf"; printf '%s\n' "NodeName=n$i" "BindAddress=127.0.0.1$i" \
			"Socket=$LAB/run/n$i.sock" "RunDir=$LAB/run/n$i-agent"; } >"$LAB/n$i.conf"
	done
	export FERMATA_CONF=$LAB/client.conf
	ln -sf "$build/fermata-slurm" "$LAB/libexec/fermata-slurm"
	cd "$LAB/$OWNER" || exit 99
}

agent_answers() { curl -fsS --unix-socket "$LAB/run/$1.sock" http://agent/v1/status >/dev/null 2>&1; }

agent_start() { # node
	"$build/fermatad" -f "$LAB/$1.conf" >>"$LAB/log/fermatad.$1.log" 2>&1 &
	echo $! >"$LAB/run/fermatad.$1.pid"
	wait_for 20 agent_answers "$1" || { tail -n 5 "$LAB/log/fermatad.$1.log"; echo "Bail out! no agent on $1"; exit 99; }
}

agent_stop() { # node [signal]
	local pid
	pid=$(cat "$LAB/run/fermatad.$1.pid")
	kill "-${2:-TERM}" "$pid" && wait "$pid" 2>/dev/null
	true
}

# Real agents with simulated domains, whose insides are real runners on loopback.
agents_start() {
	fermata_configure Agents=n[1-3] Hypervisor=sim Gate=sim GuestNetwork=10.78.0.0/16 GuestBridge=none \
		"StoreDir=$LAB/store" "WorkerPath=$build/fermata-worker" LogLevel=debug CreateTimeout=60s GateMax=20s
	ip addr add 10.78.0.1/16 dev lo # all of the guests' addresses are this host's
	ln -sf "$build/fermata-shim" "$LAB/libexec/fermata-shim"
	local node
	for node in n1 n2 n3; do
		mkdir -p "$LAB/run/$node-agent/sim"
		agent_start $node
	done
	"$top/tests/slurm/guests" "$build/agent/runner/fermata-runner" "$LAB/guests" "$LAB"/run/n?-agent/sim \
		>"$LAB/log/guests.log" 2>&1 &
}

# The agent's words on something: node path
ask() { curl -sS --unix-socket "$LAB/run/$1.sock" "http://agent$2"; }
# Domains on a node, one a line
domains() { (cd "$LAB/run/$1-agent/sim" && ls fm-*.json 2>/dev/null | sed 's/\.json$//'); }

as() {
	local user=$1
	shift
	setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --init-groups \
		env USER="$user" HOME="$LAB/$user" "$@"
}

job_field() { # job field
	scontrol -o show job "$1" 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p" | head -1
}

job_done() { # job
	case $(job_field "$1" JobState) in
	COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL) [ "$(job_field "$1" EndTime)" != Unknown ] ;;
	*) return 1 ;;
	esac
}

# The node's epilog is over when it is idle again.
cluster_quiet() { wait_for 60 nodes_idle; }

script() { printf '#!/bin/sh\n%s\n' "$1" >"$LAB/$OWNER/job.sh"; }
queued() { squeue -h -a -o %i | wc -l; }
# sets $job
submit() { run as "$OWNER" sbatch "$@"; job=$(sed -n 's/^Submitted batch job //p' "$LAB/out"); }
# a job's output into $LAB/out when it is over
finished() { wait_for 60 job_done "$1" && cat "$LAB/$OWNER/slurm-$1.out" >"$LAB/out"; }
in_state() { [ "$(job_field "$1" JobState)" = "$2" ]; }

# ---- TAP ------------------------------------------------------------------------
count=0 failures=0 names=

ok() { # description; uses $? of the caller's last command when no second argument
	local status=$?
	[ $# -gt 1 ] && status=$2
	count=$((count + 1))
	if [ "$status" = 0 ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		failures=$((failures + 1)) names+="# FAILED $count - $1"$'\n'
		[ -s "$LAB/out" ] && sed 's/^/#   /' "$LAB/out"
	fi
}

# run DESCRIPTION-LESS: output to $LAB/out, exit code to $rc
run() { "$@" >"$LAB/out" 2>&1 </dev/null; rc=$?; }

# says PATTERN: the last run's output has it
says() { grep -qE -- "$1" "$LAB/out"; }

finish() {
	echo "1..$count"
	printf %s "$names" # again: only the end may be all one sees
	[ $failures = 0 ]
	exit
}
