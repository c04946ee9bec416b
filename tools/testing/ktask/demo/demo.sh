#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Containers with different limits on a kernel with ktask: what ending each of
# them takes, and mapping the memory of each for a device, with ktask off and on.
# One table of two halves.
#
# CPUS=, MEM=: the machine. PAIRS=: how often to measure. MIB=: what each
# container holds. KERNEL=: a vmlinux to use instead of building one.

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../accel.sh"

demo=$KT_DIR/demo
mem=${MEM:-4G}
cpus=$(positive CPUS "${CPUS:-2}")
pairs=$(positive PAIRS "${PAIRS:-3}")

# A quarter of the machine's memory, and no more than 1 GiB.
quarter_of()
{
	local n

	n=$(mebibytes "$1")
	echo $((n / 4 < 1024 ? n / 4 : 1024))
}

# Can this host set the machine's memory aside? That makes times steadier.
has_memory()
{
	[ "$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)" -gt \
		$(($(mebibytes "$1") + 1024)) ]
}

build()
{
	local p

	rm -rf "$work"
	mkdir -p "$work/payload"
	for p in hold end; do
		"${CC:-gcc}" -O2 -static -Wall -Wextra -Werror "$demo/$p.c" -o "$work/payload/$p" ||
			die "$p.c does not compile"
	done
	"$KT_DIR/map/build.sh" "$work/payload/map"
	cp "$demo/guest.sh" "$work/payload/"
	printf 'exec bash ./guest.sh %s %s\n' "$pairs" "$mib" >"$work/payload/job.sh"
}

# Each line that the guest says is progress; the last one tells why it failed.
boot()
{
	local rc=0 steady=()

	! has_memory "$mem" || steady=(--bench)
	"$KT_DIR/vm.sh" --kernel "$kernel" --accel "$accel" --cpus "$cpus" --mem "$mem" \
		--vfio 1 "${steady[@]}" --timeout $((120 + 600 * (pairs + 1))) --result "$work/vm" "$work/payload" |
		tee "$work/said" | while read -r line; do say_for_now "$line"; done || rc=$?
	[ "$rc" -ne 1 ] || die "$(tail -n 1 "$work/said")"
	[ "$rc" -eq 0 ] || die "the machine failed: $(cat "$work/vm/failure" 2>/dev/null || echo "vm.sh: $rc")"
}

mib=$(positive MIB "${MIB:-$(quarter_of "$mem")}")
work=$(kt_home)/demo
kernel=${KERNEL:-$("$KT_DIR/build.sh" default)}
accel=$(accel_choose "$kernel")
build
boot
say "runs of this demo: $work/vm/out/runs"
python3 "$demo/table.py" "$work/vm/out/runs" "$accel" "$cpus" "$mib"
