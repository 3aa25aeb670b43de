# SPDX-License-Identifier: GPL-2.0-or-later
# faults.sh - scenarios of faults that need real machines, sourced by tests/lab/scenarios: the wire cut in the middle of a
# round, a member that stands still, a clock that jumps.  A snapshot may fail, or be whole; after each fault all VMs
# run, all gates are open (the count goes on), what was there before verifies, and the next create works.
#
# What is struck is a round as the lead shows it.  So that a round lasts long enough to be struck, member 1's host is
# behind a slow wire, and the bounds are set for that.

set_conf() { # KEY=VALUE…: for all agents, which start anew; set_conf alone: as it was
	local h setting script="cp -n $conf_file $conf_file.site; cp $conf_file.site $conf_file"
	for setting; do script+="; sed -i '/^${setting%%=*}=/d' $conf_file; echo '$setting' >>$conf_file"; done
	for h in n1 n2 n3; do
		on $h "$script; kill \$(pidof fermatad); while pidof fermatad >/dev/null && [ \$((i = i + 1)) -lt 5 ]; do sleep 0.2; done" || return
	done
	for h in n1 n2 n3; do
		until_true 30 "the agent of $h" on $h fermata status || return
	done
}
conf_file=/etc/fermata/fermata.conf
rounds=(arm gate drain cut release save)
faults_begin() { # a tally job on n1 (the lead) and n2, with one good snapshot, behind a slow wire; sets job
	set_conf GateMax=12s FlushBound=1s LogLevel=debug || return
	begin_tally 2 --exclude=n3 || return
	need "an earlier snapshot" create "$job" || return
	tried=1
	"$lab" wire delay n2 400
}
faults_end() {
	local r=0
	"$lab" wire heal
	need "in the end a snapshot is whole" create "$job" || r=1
	need "the first one can still be restored" restored_goes_on "$job.1" || r=1
	as ada scancel "$job"
	set_conf || r=1
	return $r
}
restored_goes_on() { # SNAPSHOT; beside the job it is of, which must end for it
	local new since
	as ada scancel "${1%.*}"
	await_state "${1%.*}" CANCELLED 60 || return
	since=$(date +%s)
	new=$(submit ada --restart-from="$1") || return
	await_state "$new" RUNNING 150 && tally_going "$new" 2 "$since"
	local r=$?
	as ada scancel "$new"
	return $r
}
# await_round ROUND: of the snapshot under way, or a later one; sets struck to what it is in.  The lead's log tells, at once
# and without work for a machine that is busy.
await_round() {
	local later
	later=$(printf '%s\n' "${rounds[@]}" | sed -n "/^$1\$/,\$p" | sed 's/^arm$/begins.*/' | paste -sd'|')
	struck=$(on n1 "exec 3< <(exec tail -n +1 -F /var/log/fermatad.log 2>/dev/null); tail=\$!
		timeout 120 grep -m 1 -oE 'snapshot=$job\.$tried ($later)\$' <&3; r=\$?; kill \$tail; exit \$r")
	struck=${struck#* }
	[ -n "$struck" ]
}
# strike ROUND DO UNDO HEAL-AFTER: a create, the fault in that round, and what must hold afterwards.  The fault lasts
# until create has ended, or so many seconds.
strike() {
	local round=$1 pid since=$SECONDS r=0 said
	tried=$((tried + 1))
	create "$job" >"$work/create" 2>&1 &
	pid=$!
	need "snapshot $job.$tried in round $round" await_round "$round" || { wait $pid; cat "$work/create"; return 1; }
	"$2"
	until_true "$4" "the end of create" ended $pid 2>/dev/null || note "$round: create has not ended after $4 s of it"
	[ -z "${5:-}" ] || "$5" || r=1
	"$3"
	need "create ends" until_true 90 "the end of create" ended $pid || return
	wait $pid
	said=$(grep -a snapshot "$work/create" | head -n 2 | paste -sd' ')
	note "round $round (struck in $struck, after $((SECONDS - since)) s over): $said"
	if whole "$job.$tried"; then
		need "$job.$tried verifies" as ada fermata verify "$job.$tried" || r=1
	else
		need "create says which and why: $said" has "$said" "snapshot $job\.$tried failed: .+" || r=1
	fi
	need "the guest on n1 runs" until_true 40 "the guest" guest_runs n1 || r=1
	need "the guest on n2 runs" until_true 40 "the guest" guest_runs n2 || r=1
	need "the gates are open" tally_going "$job" 2 || r=1
	need "the earlier snapshot verifies" as ada fermata verify "$job.1" || r=1
	return $r
}
ended() { ! kill -0 "$1" 2>/dev/null; }

cut_wire() { "$lab" wire cut n1 n2; }
heal_wire() { "$lab" wire heal n1 n2; }
# Inside the freeze it must end by itself, at the latest when the gates' lease is over; elsewhere the wire may heal.
wire_in() { # ROUND
	case $1 in
	arm | save) strike "$1" cut_wire heal_wire 5 ;;
	*) strike "$1" cut_wire heal_wire 40 ;;
	esac
}

stop_agent() { on n2 'kill -STOP $(pidof fermatad)'; }
go_agent() { on n2 'kill -CONT $(pidof fermatad)'; }
stop_workers() { on n2 'kill -STOP $(pidof fermata-worker)'; }
go_workers() { on n2 'kill -CONT $(pidof fermata-worker) 2>/dev/null; true'; }
# The agent that shut the gate stands still: the kernel opens it.
open_without_agent() { need "the kernel opens the gate of an agent that stands still" tally_going "$job" 2; }
agent_stands() { strike gate stop_agent go_agent 40 open_without_agent; }
worker_stands() { strike cut stop_workers go_workers 60; }

clock_ahead() { on n2 'date -s "+1 hour" >/dev/null'; }
clock_back() { on n2 'date -s "-1 hour" >/dev/null'; }
clock_right() { on n2 'lab-clock /shared/tmp/clock.n2 >/dev/null'; }
clock_off_before() {
	local said r=0
	clock_ahead
	tried=$((tried + 1))
	said=$(create "$job" 2>&1)
	clock_right
	note "an hour ahead before create: $said"
	whole "$job.$tried" || need "a clock that is an hour off is named" has "$said" 'n2.*(clock|[Ee]xpired|[Rr]ewound)' || r=1
	need "the count goes on" tally_going "$job" 2 || r=1
	return $r
}
clock_jumps() { strike gate "clock_$1" clock_right 40; }

faults() { # "FAULT ARGUMENTS"…, on one job
	local fault r=0
	faults_begin || { set_conf; return 1; }
	for fault; do
		$fault || { note "failed: $fault"; r=1; }
	done
	faults_end && return $r
}
s_faults() { faults "wire_in gate" agent_stands worker_stands clock_off_before; }
s_wire_cut_full() { faults "wire_in arm" "wire_in gate" "wire_in drain" "wire_in cut" "wire_in release" "wire_in save"; }
s_slow_member() { faults agent_stands worker_stands; }
s_clock_jump() { faults clock_off_before "clock_jumps ahead" "clock_jumps back"; }
