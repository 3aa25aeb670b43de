# SPDX-License-Identifier: GPL-2.0-or-later
# lib.sh - words for talking to a running lab, sourced by tests/lab/scenarios and contrib/quickstart.
#
# Jobs' output is read from the outside, in the hosts' shared directory.  Every wait is for a condition and has a
# bound; what a wait was for is said when it runs out.
top=${top:?}
export FERMATA_LAB_DIR=${FERMATA_LAB_DIR:-/var/tmp/fermata-lab}
lab=$top/tests/lab/lab
shared=$FERMATA_LAB_DIR/shared

# on HOST COMMAND…: as root.  as USER COMMAND…: that user, on the login host, in the home directory.
on() { local host=$1; shift; "$lab" run -n -t 300 "$host" -- "$@"; }
as() {
	local user=$1 words
	shift
	printf -v words '%q ' "$@"
	"$lab" run -n -t 300 -u "$user" head "cd /shared/home/$user && $words"
}

# submit USER SBATCH-ARGUMENTS…: prints the job's id.
submit() {
	local user=$1 id
	shift
	id=$(as "$user" sbatch --parsable "$@") || return
	echo "${id%%;*}"
}

output_of() { echo "$shared/home/${2:-ada}/slurm-$1.out"; }          # JOB [USER]: the file
state_of() { on head scontrol -o show job "$1" | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p'; }
nodes_of() { on head scontrol show hostnames "$(on head squeue -h -j "$1" -o %N)" | tr '\n' ' '; }
lead_of() { local n; read -r n _ <<<"$(nodes_of "$1")"; echo "$n"; }

# until_true SECONDS WHAT COMMAND…: await that COMMAND succeeds.
until_true() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			echo "# timeout: $what" >&2
			return 1
		fi
		sleep 0.5
	done
}

file_has() { grep -aqE -- "$2" "$1" 2>/dev/null; }
state_is() { [[ " $2 " == *" $(state_of "$1") "* ]]; }

# await_output JOB PATTERN SECONDS [USER]
await_output() { until_true "$3" "\"$2\" in the output of job $1" file_has "$(output_of "$1" "${4:-ada}")" "$2"; }
# await_state JOB "STATE…" SECONDS
await_state() { until_true "$3" "job $1 in state $2 (it is $(state_of "$1"))" state_is "$1" "$2"; }
iteration() { sed -n 's/^iter *\([0-9]*\).*/\1/p' "$(output_of "$1")" 2>/dev/null | tail -n 1; } # how far a heat job is
past_iteration() { local n; n=$(iteration "$1"); [ "${n:-0}" -ge "$2" ]; }
await_iteration() { until_true "$3" "job $1 at iteration $2" past_iteration "$1" "$2"; }
# What a heat job found: its last residual and its checksum.
result_of() { grep -a '^result' "$(output_of "$1")" 2>/dev/null; }
