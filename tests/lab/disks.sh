# SPDX-License-Identifier: GPL-2.0-or-later
# disks.sh - scenarios of writable disks, sourced by tests/lab/scenarios.  One job of two members serves both: on n1 disks
# are files on XFS (reflink), on n2 thin volumes, on n3 files again.  In each VM records (contrib/examples) writes to its
# ext4 and compares all the time what the disk has with what it remembers, through snapshots that go on and through a
# restore on other hosts, where each member comes to the other kind of place than it was on.
disk_job= disk_verdicts= disk_looks=()

scratch_device='for b in /sys/block/vd*; do [ "$(cat $b/serial)" = scratch ] && dev=/dev/${b##*/}; done'
place_reflink() { # HOST
	on "$1" "$scratch_device; mountpoint -q /srv/disks && exit; modprobe xfs && mkfs.xfs -q -f -K \$dev && mkdir -p /srv/disks &&
		mount \$dev /srv/disks && chmod 700 /srv/disks"
}
place_thin() { # HOST: 32 MiB for the pool's metadata, the rest for data; dmsetup leaves the names to udev, which is not here
	on "$1" "$scratch_device; [ -e /dev/mapper/disks ] && exit; modprobe dm-thin-pool && all=\$(blockdev --getsz \$dev) &&
		dmsetup create disks-meta --table \"0 65536 linear \$dev 0\" &&
		dmsetup create disks-data --table \"0 \$((all - 65536)) linear \$dev 65536\" && dmsetup mknodes &&
		dd if=/dev/zero of=/dev/mapper/disks-meta bs=4096 count=1 status=none &&
		dmsetup create disks --table \"0 \$((all - 65536)) thin-pool /dev/mapper/disks-meta /dev/mapper/disks-data 128 0\" && dmsetup mknodes"
}
set_disks() { # HOST VALUE: its agent starts anew
	on "$1" "cp -n $conf_file $conf_file.site; sed -i '/^Disks=/d' $conf_file; echo 'Disks=$2' >>$conf_file
		kill \$(pidof fermatad); while pidof fermatad >/dev/null && [ \$((i = i + 1)) -lt 5 ]; do sleep 0.2; done" || return
	until_true 30 "the agent of $1" on "$1" fermata status
}

records_lines() { grep -ac "^$2 records at=" "$(output_of "$1")" 2>/dev/null || true; } # JOB NAME
looked() { # JOB NAME N: N looks at all of the disk, or more
	[ "$(sed -n "s/^$2 records .* looks=\([0-9]*\)$/\1/p" "$(output_of "$1")" 2>/dev/null | tail -n 1)" -ge "$3" ] 2>/dev/null
}
looking() { # JOB N: in both guests; their names are those of the first incarnation's nodes
	need "job $1 writes on n1" until_true 120 "looks" looked "$1" n1 "$2" && need "job $1 writes on n2" until_true 120 "looks" looked "$1" n2 "$2" && return
	tail -n 5 "$(output_of "$1")" | sed 's/^/#   | /'
	return 1
}
looks_of() { sed -n "s/^$2 records .* looks=\([0-9]*\)$/\1/p" "$(output_of "$1")" | tail -n 1; }
end_records() { # JOB: both say that the disk has always had what they wrote; no line lost, none doubled
	local out
	out=$(output_of "$1")
	as ada scancel --signal=USR1 --full "$1"
	await_state "$1" "COMPLETED FAILED CANCELLED NODE_FAIL" 90
	grep -a ' verdict ' "$out" | sed "s/^/# job $1: /"
	need "both verdicts are clean" [ "$(grep -ac ' verdict clean ' "$out")" = 2 ] || { tail -n 5 "$out" | sed 's/^/#   | /'; return 1; }
	need "no line of its output lost or doubled" awk '$2 == "records" { split($4, v, "="); if (v[2] != last[$1] + 64) exit bad = 1; last[$1] = v[2] }
		END { exit bad || !last["n1"] || !last["n2"] }' "$out" || return
	need "job $1 has completed" state_is "$1" COMPLETED
}

# exported_disk SNAPSHOT RANK: the disk as it was at the cut, by itself, after its journal is replayed, is a clean file
# system and has every record that had been synced a second before
exported_disk() {
	local image=$shared/tmp/disk-$2.img dir=$shared/fermata/store/${1%.*}/${1#*.} name=n$(($2 + 1)) synced cut
	rm -f "$image"
	on n3 fermata export "$1" "$2" --disk=xvdb "/shared/tmp/disk-$2.img" | sed 's/^/# /'
	cut=$(jq ".members[$2].suspended_at_ns / 1e9 - 1" "$dir/manifest.json")
	synced=$(awk -v name="$name" -v cut="$cut" '$1 == name && $2 == "records" { split($3, at, "="); split($5, n, "="); if (at[2] + 0 < cut + 0) last = n[2] } END { print last + 0 }' "$(output_of "${1%.*}")")
	e2fsck -y -E journal_only "$image" >/dev/null 2>&1
	need "the exported disk is a clean file system" e2fsck -fn "$image" || return
	need "it can be read" debugfs -R "dump /records $work/records" "$image" || return
	python3 - "$work/records" "$synced" <<-'PY' | sed 's/^/# /'
	import struct, sys
	numbers = [n for (n,) in (struct.unpack_from('<Q', block) for block in iter(lambda f=open(sys.argv[1], 'rb'): f.read(4096), b''))]
	last, synced = max(numbers), int(sys.argv[2])
	print(f'exported disk: records up to {last}, synced a second before the cut: {synced}')
	missing = [i for i in range(max(1, last - len(numbers) + 1), synced + 1) if numbers[i % len(numbers)] < i]
	sys.exit(f'{len(missing)} synced records are missing: {missing[:9]}' if missing or not synced or last < synced else 0)
	PY
	[ "${PIPESTATUS[0]}" = 0 ]
}
# What a snapshot's disks were and took.
disk_facts() { # SNAPSHOT
	note "$(jq -r '.members[] | "'"$1"' member \(.rank) on \(.node): stopped \(.stop_ms) ms, of these \(.disk_ms) ms for its disk; \(.disks[0] |
		"\(.pages) blocks, \(.stored_pages) new, \(.stored_bytes) bytes written")"' "$shared/fermata/store/${1%.*}/${1#*.}/manifest.json")"
}
no_disks_left() { # HOST
	on "$1" '! ls -A /srv/disks 2>/dev/null | grep . && ! dmsetup ls 2>/dev/null | grep "^fm-"'
}

# Both kinds of places, and the job on them, with two snapshots under load; it goes on, and ends clean.
disk_job() {
	local said r=0
	[ -z "$disk_job" ] || return 0
	place_reflink n1 && place_thin n2 && place_reflink n3 && set_disks n1 reflink:/srv/disks && set_disks n2 thin:disks || return
	job=$(submit ada -N1 -w n3 --vm=tiny-scratch --wrap 'true') || return
	need "without Disks= the job is refused" await_state "$job" FAILED 120 || r=1
	need "and says why" file_has "$(output_of "$job")" 'disk xvdb is writable, and node n3 has no place' || { tail -n 3 "$(output_of "$job")" | sed 's/^/#   | /'; r=1; }
	set_disks n3 reflink:/srv/disks || return
	job=$(submit ada --exclude=n3 records.sbatch 100) || return
	looking "$job" 1 || return
	for n in 1 2; do
		said=$(create "$job" 2>&1) || { note "$said"; r=1; }
		need "snapshot $job.$n is whole" whole "$job.$n" || return
		disk_facts "$job.$n"
		disk_looks[n]=$(looks_of "$job" n1)
		looking "$job" $((disk_looks[n] + 1)) || return # it goes on, and has what it wrote
	done
	need "the last one verifies" as ada fermata verify "$job.2" || r=1
	end_records "$job" || r=1
	disk_job=$job
	return $r
}
disks_end() { # both done, or one of them alone
	local h r=0
	disk_verdicts+=x
	[[ " ${only[*]} " == *disk_reflink*disk_thin* ]] && [ "$disk_verdicts" = x ] && return
	for h in n1 n2 n3; do need "no disk is left on $h" until_true 30 "disks gone" no_disks_left $h || r=1; done
	set_conf || r=1
	return $r
}

# The member that was on a reflink place comes to a thin one, the other the other way round.
s_disk_reflink() {
	local r=0 new
	disk_job || { disks_end; return 1; }
	exported_disk "$disk_job.1" 0 || r=1
	new=$(submit ada --restart-from="$disk_job.1" --exclude=n1) || return
	need "job $new runs, restored from $disk_job.1" await_state "$new" RUNNING 150 || { tail -n 3 "$(output_of "$new")" | sed 's/^/#   | /'; disks_end; return 1; }
	note "$disk_job.1 restored as job $new on $(nodes_of "$new")"
	looking "$new" $((disk_looks[1] + 2)) || r=1
	end_records "$new" || r=1
	disks_end && return $r
}

# A snapshot on the node of its own disks, which have gone on since: the job is requeued there, and its disks go back.
s_disk_thin() {
	local r=0 new
	disk_job || { disks_end; return 1; }
	exported_disk "$disk_job.2" 1 || r=1
	new=$(submit ada --restart-from="$disk_job.2" --exclude=n3) || return
	need "job $new runs, restored from $disk_job.2" await_state "$new" RUNNING 150 || { tail -n 3 "$(output_of "$new")" | sed 's/^/#   | /'; disks_end; return 1; }
	looking "$new" $((disk_looks[2] + 2)) || r=1
	need "a snapshot of the restored job" create "$new" || r=1
	disk_facts "$new.1"
	end_records "$new" || r=1
	disks_end && return $r
}
