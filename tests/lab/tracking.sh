# SPDX-License-Identifier: GPL-2.0-or-later
# tracking.sh - a scenario of snapshots of what has changed (Tracking=), sourced by tests/lab/scenarios: of a job under
# load each is whole and exact, also when somebody's `xl save -c` has come between two.  What single pages are, and what
# both ways cost: tests/lab/t/worker BUILD tracking.

# is_tracked SNAPSHOT MEMBER true|false
is_tracked() {
	local m=$shared/fermata/store/${1%.*}/${1#*.}/manifest.json
	need "member $2 of $1 is ${3/false/not }tracked" jq -e --argjson r "$2" --argjson t "$3" \
		'any(.members[]; .rank == $r and (.tracked // false) == $t)' "$m"
}
# Bytes and times of a snapshot, by member.
tell_cost() { jq -r '.members[] | "# member \(.rank): tracked \(.tracked // false), \(.map | .zero_pages + .known_pages + .stored_pages) pages, \(.map.stored_bytes) bytes stored, stop \(.stop_ms) ms, copy \(.copy_ms) ms"' \
	"$shared/fermata/store/${1%.*}/${1#*.}/manifest.json"; }

s_tracking() {
	local n r=0 kind=false
	set_conf Tracking=yes TrackingFull=0 || return
	begin_tally 2 --exclude=n3 || { set_conf; return 1; }
	for n in 1 2 3; do
		need "snapshot $job.$n" create "$job" || r=1
		need "the count goes on after it" tally_going "$job" 2 || return
		tell_cost "$job.$n"
		is_tracked "$job.$n" 0 $kind && is_tracked "$job.$n" 1 $kind || r=1
		kind=true
	done
	need "xl save -c of member 0's guest" on n1 "xl save -c fm-$job-0 /dev/null" || r=1
	need "snapshot $job.4" create "$job" || r=1
	tell_cost "$job.4"
	is_tracked "$job.4" 0 false && is_tracked "$job.4" 1 true || r=1
	need "the agent says why" on n1 "grep 'saved whole: another program' /var/log/fermatad.log" || r=1
	need "snapshot $job.5" create "$job" || r=1
	is_tracked "$job.5" 0 true && is_tracked "$job.5" 1 true || r=1
	end_tally "$job" || r=1
	for n in 2 3 4; do
		need "snapshot $job.$n verifies" as ada fermata verify "$job.$n" || r=1
		restored_clean "$job.$n" 2 -N 2 --exclude=n1 || r=1
	done
	set_conf && return $r
}
