# SPDX-License-Identifier: GPL-2.0-or-later
# foreign.sh - a scenario of what others do to a guest and to its image, sourced by tests/lab/scenarios: somebody's `xl
# save -c` in the middle of ours, the death of the worker while the guest is suspended, and plain `xl restore` of a member's
# stream on a host that knows nothing of it.

# The worker that saves on a host; there is one more, which watches.
save_worker() { on "$1" "for p in \$(pidof fermata-worker); do ls -l /proc/\$p/fd | grep -q '/pages/lock' && echo \$p; done; true" | grep .; }
worker_saves() { save_worker "$1" >/dev/null; }
signal_worker() { local p; p=$(save_worker "$1") && on "$1" "kill -$2 $p"; } # HOST SIGNAL
armed_on() { on "$1" "grep -q 'snapshot=$job\.$2 worker says armed' /var/log/fermatad.log"; } # HOST N

# A create of which one host's part stands still until the other's is armed; sets pid.
begin_create() { # N HOST-TO-STOP THE-OTHER
	create "$job" >"$work/create" 2>&1 &
	pid=$!
	need "a worker on $2" until_true 40 "the worker" worker_saves "$2" || return
	need "the worker on $2 stands still" signal_worker "$2" STOP || return
	need "member on $3 is armed" until_true 120 "armed" armed_on "$3" "$1"
}
create_failed() { # PATTERN: and all runs on, on a wire as it should be
	local status
	wait_create "$pid"
	status=$?
	"$lab" wire heal
	need "create fails" [ "$status" != 0 ] || return
	need "and says why" grep -qaE -- "$1" "$work/create" || return
	need "both guests run" until_true 40 "the guests" eval 'guest_runs n1 && guest_runs n2' || return
	need "the job goes on" tally_going "$job" 2
}

# Their save switches dirty logging off under ours, which would then be torn, and nobody would be told.
foreign_save() { # N
	begin_create "$1" n2 n1 || return
	need "xl save -c" on n1 "xl save -c fm-$job-0 /dev/null" || return
	signal_worker n2 CONT
	create_failed 'member 0.*another program saved or migrated'
}

# The lead's own guest stands still for as long as its order to cut is under way to the other, and the answer.
killed_while_suspended() { # N
	local r=0
	"$lab" wire delay n1 150
	create "$job" >"$work/create" 2>&1 &
	pid=$!
	need "a worker on n1" until_true 40 "the worker" worker_saves n1 || r=1
	# told by the log as it grows: to look again and again would take the processor from the guest
	need "it is killed while its guest is suspended" on n1 "
		grep -qm1 'snapshot=$job\.$1 worker says cut' < <(exec timeout 120 tail -n +1 -s 0.05 -F /var/log/fermatad.log)
		kill -9 $(save_worker n1)
		! grep 'snapshot=$job\.$1 worker says released' /var/log/fermatad.log" || r=1
	create_failed 'member 0.*killed|member 0.*signal 9' || r=1
	need "the agent found it suspended" on n1 "grep 'snapshot=$job\.$1 .*left suspended' /var/log/fermatad.log" || r=1
	return $r
}

# plain_restore SNAPSHOT: member 0's stream, on n3, by nothing but xl; it runs there, and its job is not left frozen
plain_restore() {
	local dir=$shared/fermata/store/${1%.*}/${1#*.} ip name=fm-${1%.*}-0
	ip=$(jq -r '.guest.nodes[0].ip' "$dir/manifest.json")
	need "xl restore takes it" on n3 "fermata export $1 0 /tmp/plain.save && xl restore -e /tmp/plain.save" || return
	need "its runner answers" until_true 30 "the runner at $ip" on n3 "(echo > /dev/tcp/$ip/7777) 2>/dev/null"
	local r=$?
	need "its job sends" on n3 "c=/sys/class/net/vif\$(xl domid $name).0/statistics/rx_packets; a=\$(cat \$c)
		for i in \$(seq 100); do [ \$(cat \$c) -gt \$((a + 20)) ] && exit; sleep 0.1; done; xl list; exit 1" || r=1
	on n3 "xl destroy $name; rm /tmp/plain.save"
	return $r
}

s_foreign_save() {
	local pid r=0
	set_conf LogLevel=debug || return
	begin_tally 2 --exclude=n3 || { set_conf; return 1; }
	foreign_save 1 || r=1
	killed_while_suspended 2 || r=1
	need "the next snapshot is whole" create "$job" || r=1
	end_tally "$job" || r=1
	plain_restore "$job.3" || r=1
	set_conf && return $r
}
