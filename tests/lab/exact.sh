# SPDX-License-Identifier: GPL-2.0-or-later
# exact.sh - scenarios of the exact cut, sourced by tests/lab/scenarios: tally counts every raw frame, datagram and TCP
# message between a job's VMs, through snapshots that go on and through restores on other hosts.

# The wire delays by 5 to 8 ms at each end: a message is under way when the gates close.
wire_slow() { local h; for h in n1 n2 n3; do "$lab" wire delay $h 5 3; done; }
tally_lines() { grep -ac "^tally $2 at=" "$(output_of "$1")" 2>/dev/null || true; } # JOB RANK
tally_has() { [ "$(tally_lines "$1" "$2")" -ge "$3" ]; }                         # JOB RANK LINES
# Whether since that time (s, as the guests' clocks have it) the rank has told two states, the later with more of every
# kind received.  What a restored job's output repeats from before is older.
received_since() { # JOB RANK TIME
	awk -v rank="$2" -v since="$3" '
	$1 == "tally" && $2 == rank && $3 ~ /^at=[0-9.]+$/ && NF == 8 && substr($3, 4) + 0 > since + 0 {
		for (i = 4; i <= 6; i++) { split($i, v, "/"); if (!(i in first)) first[i] = v[2]; last[i] = v[2] }
	}
	END { exit !(4 in first && last[4] > first[4] && last[5] > first[5] && last[6] > first[6]) }' "$(output_of "$1")"
}
# tally_going JOB RANKS [TIME]: every rank receives from now on (or since then)
tally_going() {
	local rank since=${3:-$(date +%s)}
	for ((rank = 0; rank < $2; rank++)); do
		until_true 60 "rank $rank of job $1 receives" received_since "$1" $rank "$since" || return
	done
}
# begin_tally HOSTS ARGUMENTS-OF-SBATCH… -- ARGUMENTS-OF-TALLY…: sets job
begin_tally() {
	local hosts=$1 options=() rank
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
	job=$(submit ada -N "$hosts" "${options[@]}" tally.sbatch --seconds=3000 --gap=20 "${@:2}") || return
	for ((rank = 0; rank < hosts; rank++)); do
		need "rank $rank of job $job counts" until_true 120 "states" tally_has "$job" $rank 3 || { tail "$(output_of "$job")" | sed 's/^/#   | /'; return 1; }
	done
}
# end_tally JOB: it ends, and its verdict is 0 lost, 0 doubled, 0 reordered, of all kinds, for all pairs
end_tally() {
	local out verdict
	out=$(output_of "$1")
	as ada scancel --signal=USR1 --full "$1"
	await_state "$1" "COMPLETED FAILED CANCELLED NODE_FAIL" 90
	grep -aE '^(pair|rank|verdict|notice)|^tally . missing' "$out" | sed "s/^/# job $1: /"
	verdict=$(grep -a '^verdict' "$out")
	need "verdict of job $1: ${verdict:-none}" has "$verdict" '^verdict clean .* lost=0 doubled=0 reordered=0 damaged=0' || return
	need "job $1 has completed" state_is "$1" COMPLETED
}
# tally_snapshots JOB N RANKS: one after the other, under load
tally_snapshots() {
	local n said r=0
	for ((n = 1; n <= $2; n++)); do
		said=$(create "$1" 2>&1) || { note "$said"; r=1; }
		need "snapshot $1.$n is whole" whole "$1.$n" || return
		drained "$1.$n" || r=1
		need "the count goes on after it" tally_going "$1" "$3" || return
	done
	return $r
}
# What the cuts looked like from inside; TCP noticed none of them.
tally_unnoticed() { # JOB N
	local seen again
	sleep_until_lines "$1"
	seen=$("$top/tests/lab/tally-cuts" "$(output_of "$1")" $(seq -f "$shared/fermata/store/$1/%.0f/manifest.json" "$2")) || return
	sed 's/^/# /' <<<"$seen"
	again=$(grep -o 'TCP retransmits +[0-9A-Za-z]*' <<<"$seen" | grep -vc '+0$')
	note "$again of $(grep -c 'TCP retransmits' <<<"$seen") cuts with a retransmission near them"
	[ "$again" = 0 ]
}
sleep_until_lines() { # the counters' lines reach past the last cut
	local rank n
	for rank in 0 1; do
		n=$(tally_lines "$1" $rank)
		until_true 30 "more lines" tally_has "$1" $rank $((n + 4))
	done
}
# restored_clean SNAPSHOT RANKS ARGUMENTS-OF-SBATCH…: it goes on elsewhere, to a clean end
restored_clean() {
	local id=$1 ranks=$2 new since
	shift 2
	since=$(date +%s)
	new=$(submit ada --restart-from="$id" "$@") || return
	need "job $new runs, restored from $id" await_state "$new" "RUNNING" 150 || return
	note "$id restored as job $new on $(nodes_of "$new")"
	need "job $new counts on" tally_going "$new" "$ranks" "$since" || { tail "$(output_of "$new")" | sed 's/^/#   | /'; return 1; }
	end_tally "$new"
}
exact() { # HOSTS SNAPSHOTS SNAPSHOT-TO-RESTORE…
	local hosts=$1 snapshots=$2 n r=0 nodes others=(-N "$1") tally=()
	shift 2
	wire_slow
	# three emulated guests at full speed do not get their own output out in time
	[ "$hosts" = 2 ] || tally=(--rate=10 --gap=100)
	begin_tally "$hosts" -- "${tally[@]}" || return
	read -r -a nodes <<<"$(nodes_of "$job")"
	tally_snapshots "$job" "$snapshots" "$hosts" || r=1
	tally_unnoticed "$job" "$snapshots" || note "(retransmissions: see above)"
	end_tally "$job" || r=1
	[ "$hosts" = 3 ] || others+=(--exclude="${nodes[0]}")
	for n; do
		restored_clean "$job.$n" "$hosts" "${others[@]}" || r=1
	done
	"$lab" wire heal
	return $r
}
s_exact() { exact 2 5 4; }
s_exact_full() { exact 2 20 3 11 20; }
s_exact_three() { exact 3 5 3; }
