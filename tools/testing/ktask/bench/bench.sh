#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Measure what ktask does to the teardown of memory and to its mapping for
# devices, by a recipe that gives steady figures: see bench/README. Needs a host
# with nothing else to do.
#
# PARTS='speed small quota map' REPS=10 CASES='exit/pages/1024 ...': what to
# measure; there are also harm, executed, ends, longest, live, window, saturated,
# bystander and waits. HARMS='exit/swapped/512/zram ...': cases of harm. MAPS=
# 'type1/pages/fresh/1024 ...': cases of map. KINDS='cpu.max ...': which limits
# live moves. PERCENTS='50 100 150': cpu.max of quota and bystander. PERIOD=100000:
# microseconds of a period of cpu.max, for quota. CPUS=2: virtual CPUs of live, ends,
# longest and waits. CLOCK=instructions: not time but instructions, of the parts for
# which that means something. FROM='function ...' UNTIL='function ...': where the
# sections of longest begin and end. RESULTS=: where to. KERNEL=, STOCK=: a vmlinux instead
# of building.

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../accel.sh"

bench=$KT_DIR/bench
reps=$(positive REPS "${REPS:-10}")
results=${RESULTS:-$(kt_home)/bench/$(date +%Y%m%d-%H%M%S)}
percents=${PERCENTS:-50 100 150}
period=$(positive PERIOD "${PERIOD:-100000}")
cpus=$(positive CPUS "${CPUS:-2}")
from=${FROM:-} until=${UNTIL:-}
clock=${CLOCK:-host}
case $clock in
host)
	known='speed harm small quota executed ends longest map live window saturated bystander waits'
	parts=${PARTS:-speed small quota map}
	;;
instructions)
	known='small window saturated bystander waits'
	parts=${PARTS:-$known}
	;;
*)
	die "CLOCK=$clock: there are host and instructions"
	;;
esac

# HOW/LAYOUT/MIB in use, for teardown.c
cases=${CASES:-
	exit/pages/1024 munmap/pages/1024 dontneed/pages/1024
	exit/thp/1024 munmap/thp/1024
	exit/sparse16/256 munmap/sparse16/256
	exit/sparse64/256 munmap/sparse64/256
	exit/sparse512/256 munmap/sparse512/256
	exit/vmas/1000 munmap/vmas/1000
	exit/mixed/2048 munmap/mixed/2048
	exit/shmem/512 munmap/shmem/512
	munmap/file/512 munmap/cow/512}

# HOW/LAYOUT/MIB/WITH: see harm.sh
harms=${HARMS:-
	exit/pages/1024/ exit/pages/1024/lrugen munmap/pages/1024/lrugen
	reaped/pages/1024/ exits8/pages/1024/ exits8/common/256/
	exit/swapped/512/zram exit/swapped/512/file
	dontneed/pages/512/1 dontneed/thp/512/1 munmap/pages/512/1 munmap/thp/512/1}

# API/KIND/STATE/MIB, for map.c; and those to be measured under a cpu.max
maps=${MAPS:-
	type1/pages/fresh/1024 iommufd/pages/fresh/1024
	type1/thp/fresh/1024 iommufd/thp/fresh/1024
	type1/hugetlb/fresh/1024 iommufd/hugetlb/fresh/1024
	type1/shmem/fresh/512 iommufd/shmem/fresh/512
	type1/pages/present/1024 iommufd/pages/present/1024
	type1/thp/present/1024 iommufd/thp/present/1024
	type1/pages/unmap/1024 iommufd/pages/unmap/1024}
maps_limited='type1/pages/fresh/512 iommufd/pages/fresh/512'

# Below the floor, around it, and above it where there is little to do
small='munmap/pages/4 munmap/pages/64 munmap/pages/256 munmap/pages/1024 munmap/pages/4096
       munmap/pages/8192 munmap/pages/15360 munmap/sparse16/1024 munmap/shmem/1024
       munmap/file/1024 exit/pages/64 exit/pages/1024 exit/pages/8192 exit/sparse16/1024
       exit/shmem/1024 munmap/sparse512/32 munmap/sparse512/128 munmap/sparse512/512
       dontneed/sparse512/32 munmap/thp/16384 munmap/thp/65536'

# The limits that live moves, and the layouts of whose chunks it asks the length
kinds=${KINDS:-cpu.ktask.max cpu.max cpuset.cpus affinity max_threads offline moved}
layouts='pages/1024 thp/1024 sparse16/256 sparse64/256 sparse512/256'

# job NAME SCRIPT ARGUMENTS...: a payload with what the guest has to run.
job()
{
	local name=$1 script=$2 source program

	shift 2
	rm -rf "${results:?}/$name"
	mkdir -p "$results/$name"
	for source in "$bench"/*.c; do
		program=$(basename "$source" .c)
		"${CC:-gcc}" -O2 -static -pthread -Wall -Wextra -Werror "$source" \
			-o "$results/$name/$program" || die "$program.c does not compile"
	done
	cp "$bench"/{"$script",held.sh,beside.sh,turns.sh} "$results/$name/"
	echo "exec bash ./$script $*" >"$results/$name/job.sh"
}

# boot NAME VM-ARGUMENTS...: what the guest says is progress.
boot()
{
	local name=$1 rc=0

	shift
	rm -rf "${results:?}/vm-$name"
	"$KT_DIR/vm.sh" --result "$results/vm-$name" "$@" "$results/$name" |
		tee "$results/$name/said" | while read -r line; do say_for_now "$line"; done || rc=$?
	[ "$rc" -eq 0 ] ||
		die "$name was not measured: $(cat "$results/vm-$name/failure" 2>/dev/null || tail -n 1 "$results/$name/said")"
	cp -r "$results/vm-$name/out/." "$results/"
	rm -rf "${results:?}/$name"
}

# The emulator's clock advances by a nanosecond per instruction and stands
# still otherwise: so a time is a number of instructions, and whatever else the
# host does changes nothing.
icount='-icount shift=0,sleep=off'

part_speed()
{
	# shellcheck disable=SC2086 # one word per case
	job speed speed.sh "$reps" $cases
	boot speed --kernel "$kernel" --accel "$accel" --bench --cpus 2 --mem "${MEM:-4G}" \
		--timeout $((600 + reps * 300))
}

part_harm()
{
	# shellcheck disable=SC2086 # one word per case
	job harm harm.sh "$reps" $harms
	boot harm --kernel "$kernel" --accel "$accel" --bench --cpus "$cpus" --mem "${MEM:-4G}" \
		--timeout $((600 + reps * 300))
}

part_quota()
{
	# shellcheck disable=SC2086 # one word per limit
	job quota quota.sh "$reps" 1024 "$period" $percents
	boot quota --kernel "$kernel" --accel "$accel" --bench --cpus 2 --mem "${MEM:-4G}" \
		--timeout $((300 + reps * 60 * $(wc -w <<<"$percents")))
}

# By what the emulator sees the CPUs do, and not by any clock.
part_executed()
{
	job executed executed.sh "$reps" 1024 150
	boot_counted executed 2 $((300 + reps * 60))
	python3 -B "$bench/executed.py" "$results" "$kernel"
	rm -f "$results"/executed{.counts,-order.csv}
}

part_ends()
{
	job ends ends.sh "$reps" 1024
	boot_counted ends "$cpus" $((300 + reps * 120))
	python3 -B "$bench/ends.py" "$results" "$kernel"
	rm -f "$results"/ends.counts
}

# Unless told otherwise, of a kernel that can be preempted, and says when.
part_longest()
{
	local kernel=$kernel edges='' function

	if [ -z "$from" ]; then
		kernel=${KERNEL:-$("$KT_DIR/build.sh" latency)}
		from='trace_preempt_off start_critical_timings'
		until='trace_preempt_on stop_critical_timings'
	fi
	for function in $from; do
		edges=${edges}from=$(address "$function"), || exit
	done
	for function in $until; do
		edges=${edges}until=$(address "$function"), || exit
	done
	job longest longest.sh "$reps" 1024
	boot_plugin longest longest "$cpus" $((600 + reps * 240)) "${edges}out=$results/longest.sections"
	python3 -B "$bench/longest.py" "$results" "$kernel"
	rm -f "$results"/longest.sections
}

# address FUNCTION: where the kernel has it
address()
{
	local found

	found=$(nm "$kernel" | awk -v name="$1" '$3 == name { print $1 }')
	[ -n "$found" ] || die "$kernel has no function $1 to look out for"
	echo "$found"
}

# boot_plugin NAME PLUGIN CPUS SECONDS ARGUMENTS: on an emulator with a plugin
boot_plugin()
{
	local mark plugin=$results/$2.so

	mark=$(address proc_do_uts_string) || exit
	"${CC:-gcc}" -O2 -shared -fPIC -Wall -Wextra -Werror "$bench/emulator/$2.c" -o "$plugin" ||
		die "$2.c does not compile"
	boot "$1" --kernel "$kernel" --accel tcg,thread=single --cpus "$3" --mem "${MEM:-4G}" \
		--append nokaslr --qemu "-plugin $plugin,mark=$mark,$5" --timeout "$4"
	rm -f "$plugin"
}

# boot_counted NAME CPUS SECONDS: on an emulator that counts instructions
boot_counted()
{
	boot_plugin "$1" count "$2" "$3" "out=$results/$1.counts"
}

# The order of things holds with more virtual CPUs than the host has; times do not.
part_live()
{
	rm -rf "${results:?}/traces"
	# shellcheck disable=SC2086 # one word per kind and layout
	job live live.sh "$reps" 8192 $kinds -- $layouts
	boot live --kernel "$kernel" --accel "$accel" --bench --cpus "$cpus" --mem "${MEM:-4G}" \
		--timeout $((600 + reps * 120))
}

# boot_by_clock NAME SECONDS [CPUS]: what others feel is seen by either clock. What two
# CPUs are good for is not: instructions of one pass as time on the other.
boot_by_clock()
{
	local name=$1 seconds=$2 cpus=${3:-2}

	case $clock in
	host)	boot "$name" --kernel "$kernel" --accel "$accel" --bench --cpus "$cpus" \
			--mem "${MEM:-4G}" --timeout "$seconds" ;;
	instructions)
		boot "$name" --kernel "$kernel" --accel tcg --cpus "$cpus" --mem "${MEM:-4G}" \
			--qemu "$icount" --timeout $((4 * seconds)) ;;
	esac
}

part_window()
{
	job window window.sh "$reps" 1024 25 50 100 150
	boot_by_clock window $((300 + reps * 120))
}

part_saturated()
{
	job saturated saturated.sh "$reps" 1024
	boot_by_clock saturated $((300 + reps * 60))
}

part_bystander()
{
	# shellcheck disable=SC2086 # one word per limit
	job bystander bystander.sh "$reps" 2560 $percents
	boot_by_clock bystander $((300 + reps * 40 * (2 + $(wc -w <<<"$percents"))))
}

part_waits()
{
	job waits waits.sh "$reps" 64 200
	boot_by_clock waits $((300 + reps * 120)) "$cpus"
}

part_map()
{
	local percent

	for percent in max 50 150; do
		# shellcheck disable=SC2086 # one word per case
		case $percent in
		max)	job map map.sh "$reps" "$percent" $maps ;;
		*)	job map map.sh "$reps" "$percent" $maps_limited ;;
		esac
		"$KT_DIR/map/build.sh" "$results/map/map"
		boot map --kernel "$kernel" --accel "$accel" --bench --cpus 2 --mem "${MEM:-4G}" \
			--vfio 1 --timeout $((600 + reps * 200))
	done
}

part_small()
{
	local which image

	for which in ktask stock; do
		image=$kernel
		[ "$which" = ktask ] || image=${STOCK:-$("$KT_DIR/build.sh" stock)}
		# shellcheck disable=SC2086 # one word per case
		job "small-$which" small.sh "$which" 101 $small
		boot "small-$which" --kernel "$image" --accel tcg --cpus 2 --mem 1G \
			--qemu "$icount" --timeout 600
	done
}

# Half a CPU of something else is enough to spoil a measurement.
look_around()
{
	local load

	read -r load _ </proc/loadavg
	if [ "${load%%.*}" -gt 0 ]; then
		say "NOTE: the host has a load of $load; figures will not be steady"
	fi
	{
		echo "date: $(date -u '+%Y-%m-%d %H:%M UTC')"
		echo "commit: $(git -C "$KT_TOP" describe --always --dirty 2>/dev/null || echo none)"
		echo "host: $(nproc) CPUs, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), load $load"
		echo "guest: $(qemu-system-x86_64 --version | head -n 1), $accel, 2 CPUs$([ "$cpus" -eq 2 ] || echo "; live: $cpus CPUs")"
		echo "clock: $clock"
	} >"$results/machine"
}

# For the plot only: without it there is one less.
want_gnuplot()
{
	if ! command -v gnuplot >/dev/null && [ "$(id -u)" -eq 0 ]; then
		step "installing gnuplot-nox" "$KT_CACHE/log/apt-gnuplot.log" \
			apt-get install -y --no-install-recommends gnuplot-nox
	fi
}

# What is wrong is said before anything is built, or gone.
check()
{
	local part

	[ "$(nproc)" -ge 2 ] || die "two CPUs are needed to measure with two"
	for part in $parts; do
		case " $known " in
		*" $part "*) ;;
		*)	die "no part $part by CLOCK=$clock; there are: $known" ;;
		esac
	done
	[ -f "$results/machine" ] || [ -z "$(ls -A "$results" 2>/dev/null)" ] ||
		die "RESULTS=$results holds other things: name a new directory"
}

check
kernel=${KERNEL:-$("$KT_DIR/build.sh" default)}
accel=$(accel_choose "$kernel")
want_gnuplot
mkdir -p "$results"
look_around
for part in $parts; do
	"part_$part"
done
python3 "$bench/report.py" "$results" | tee "$results/report"
say "samples, report and plots: $results"
