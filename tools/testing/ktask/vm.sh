#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Boot a test kernel, run a job in it, and say whether all of it went well.

. "$(dirname "$0")/lib.sh"
. "$KT_DIR/variants.sh"
. "$KT_DIR/accel.sh"
. "$KT_DIR/verdict.sh"

usage()
{
	cat <<'USAGE'
vm.sh [OPTION]... [--] PATH...: boot a kernel and run job.sh in it, as root

PATH is a directory, whose content travels to the guest, or a file. One of them
must bring job.sh; it is run in the directory where everything was unpacked.
What job.sh prints appears on stdout; what it leaves in $OUT comes back in
RESULT/out.

  --job COMMAND     run this instead of a job.sh of your own
  --variant NAME    the kernel, one of variants.sh (default)
  --kernel FILE     the kernel: this vmlinux
  --cpus N          virtual CPUs (CPUS, 2)
  --mem SIZE        memory (MEM, 4G)
  --numa N          spread both over N NUMA nodes
  --vfio N          an IOMMU, and N devices that can be driven through VFIO
  --append ARGS     more kernel parameters
  --timeout S       seconds after which the job counts as hung (300)
  --bench           steady timings: memory allocated beforehand, virtual CPUs
                    pinned to one host CPU each, QEMU's main thread before them
  --accel tcg|kvm   do not choose by trying
  --qemu ARGS       more arguments for QEMU
  --machine PROPS   more properties of the machine, as ,name=value
  --result DIR      where console.log, verdict and out/ go (default: a new one)
  --shell           a prompt on this terminal instead of a job

Exit status: 0 the job succeeded and the kernel had nothing to say; 1 the job
failed; 3 the machine failed (panic, warning, hang, early end, ...).
USAGE
}

variant=default kernel='' cpus=${CPUS:-2} mem=${MEM:-4G} numa=1 vfio=0 append='' timeout=300
bench='' accel='' machine='' result='' mode=job job='' qemu_args=() paths=()

parse()
{
	while [ $# -gt 0 ]; do
		case $1 in
		--bench | --shell | --help | --) ;;
		--*)	[ $# -ge 2 ] || die "$1 wants a value; see vm.sh --help" ;;
		esac
		case $1 in
		--variant)	variant=$2; shift ;;
		--kernel)	kernel=$2; shift ;;
		--cpus)		cpus=$2; shift ;;
		--mem)		mem=$2; shift ;;
		--numa)		numa=$2; shift ;;
		--vfio)		vfio=$2; shift ;;
		--append)	append="$append $2"; shift ;;
		--timeout)	timeout=$2; shift ;;
		--bench)	bench=1 ;;
		--accel)	accel=$2; shift ;;
		--qemu)		read -ra more <<<"$2"; qemu_args+=("${more[@]}"); shift ;;
		--machine)	machine=$2; shift ;;
		--result)	result=$2; shift ;;
		--job)		job=$2; shift ;;
		--shell)	mode=shell ;;
		-h | --help)	usage; exit 0 ;;
		--)		shift; paths+=("$@"); return ;;
		-*)		usage >&2; exit 2 ;;
		*)		paths+=("$1") ;;
		esac
		shift
	done
}

# What is found out here need not be built for.
check()
{
	local p

	for p in "${paths[@]}"; do
		[ -e "$p" ] || die "$p does not exist; see vm.sh --help"
	done
	positive CPUS "$cpus" >/dev/null
	positive --numa "$numa" >/dev/null
	positive --timeout "$timeout" >/dev/null
	mebibytes "$mem" >/dev/null
}

# The guest's files: contents of directories, and files, all in one place.
pack()
{
	local dir=$result/payload p

	mkdir -p "$dir"
	for p in "${paths[@]}"; do
		if [ -d "$p" ]; then
			cp -a "$p/." "$dir/"
		else
			cp "$p" "$dir/"
		fi
	done
	[ -z "$job" ] || printf '%s\n' "$job" >"$dir/job.sh"
	[ "$mode" = shell ] || [ -f "$dir/job.sh" ] || die "no job.sh among: ${paths[*]}"
	tar -cf "$result/payload.tar" --owner=0 --group=0 -C "$dir" .
	rm -rf "$dir"
}

# Memory in one piece or in nodes; allocated beforehand for a measurement, so
# that no page fault of the host is part of it.
memory_args()
{
	local how=reserve=off i per first last

	[ -z "$bench" ] || how=prealloc=on
	per=$(($(mebibytes "$mem") / numa))
	if [ "$numa" -eq 1 ]; then
		qemu+=(-object "memory-backend-ram,id=mem0,size=${per}M,$how")
		machine="$machine,memory-backend=mem0"
		return
	fi
	for ((i = 0; i < numa; i++)); do
		first=$((i * cpus / numa))
		last=$(((i + 1) * cpus / numa - 1))
		qemu+=(-object "memory-backend-ram,id=mem$i,size=${per}M,$how")
		if [ "$last" -ge "$first" ]; then
			qemu+=(-numa "node,nodeid=$i,memdev=mem$i,cpus=$first-$last")
		else
			qemu+=(-numa "node,nodeid=$i,memdev=mem$i")
		fi
	done
}

# Each edu device does DMA on command, and has an IOMMU group of its own. The
# IOMMU comes first: what is plugged in before it would not be behind it.
vfio_args()
{
	local i

	[ "$vfio" -gt 0 ] || return 0
	machine="$machine,kernel-irqchip=split"
	qemu+=(-device "intel-iommu,intremap=on,caching-mode=on")
	for ((i = 0; i < vfio; i++)); do
		qemu+=(-device "edu,dma_mask=0xffffffffffffffff")
	done
}

# The CPUs of a socket share a cache, so a socket must not span nodes.
cpu_topology()
{
	if [ "$numa" -gt 1 ] && [ $((cpus % numa)) -eq 0 ]; then
		echo "$cpus,sockets=$numa,cores=$((cpus / numa)),threads=1"
	else
		echo "$cpus,sockets=1,cores=$cpus,threads=1"
	fi
}

serial_args()
{
	if [ "$mode" = shell ]; then
		qemu+=(-chardev "stdio,id=console,mux=on,signal=off" -serial chardev:console -mon chardev=console)
	else
		qemu+=(-chardev "file,id=console,path=$result/console.log" -serial chardev:console)
	fi
	# shellcheck disable=SC2054 # the commas are for QEMU
	qemu+=(
		-device virtio-serial-pci
		-chardev "file,id=verdict,path=$result/verdict"
		-device virtserialport,chardev=verdict,name=ktask.verdict
		-chardev "file,id=out,path=$result/out.tar"
		-device virtserialport,chardev=out,name=ktask.out
	)
}

# An emulated time stamp counter can be relied on, whatever the kernel thinks.
kernel_args()
{
	local args

	args="console=ttyS0 loglevel=7 root=/dev/vda rw init=/sbin/ktask-init panic=-1 tsc=reliable"
	args="$args no_timer_check kunit.enable=0 ktask.nonce=$nonce ktask.mode=$mode ktask.patience=$((timeout - timeout / 10))"
	[ "$vfio" -eq 0 ] || args="$args intel_iommu=on"
	if [ "$mode" = shell ]; then
		args="$args quiet ktask.rows=$(tput lines 2>/dev/null || echo 24) ktask.cols=$(tput cols 2>/dev/null || echo 80)"
	fi
	echo "$args$append"
}

qemu_command()
{
	# shellcheck disable=SC2054 # the commas are for QEMU
	qemu=(
		qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
		-name "ktask,debug-threads=on"
		-accel "$accel" -cpu "$(accel_cpu "$accel")"
		-smp "$(cpu_topology)" -m "$(mebibytes "$mem")M"
	)
	vfio_args
	# shellcheck disable=SC2054 # the commas are for QEMU
	qemu+=(
		-drive "file=$image,if=none,id=root,format=raw,snapshot=on"
		-device virtio-blk-pci,drive=root
		-drive "file=$result/payload.tar,if=none,id=payload,format=raw,readonly=on"
		-device virtio-blk-pci,drive=payload
		-kernel "$kernel" -append "$(kernel_args)"
	)
	memory_args
	serial_args
	qemu+=(-machine "q35$machine" "${qemu_args[@]}")
}

# The threads of the virtual CPUs, as "CPU-number thread".
vcpu_threads()
{
	local task name

	for task in "/proc/$1/task"/*; do
		name=$(cat "$task/comm" 2>/dev/null || :)
		case $name in
		"CPU "*)
			name=${name#CPU }
			echo "${name%%/*} ${task##*/}"
			;;
		esac
	done
}

# One host CPU per virtual one, so that none is moved in the middle of a run.
# Their threads come into being once the memory is allocated.
pin_cpus()
{
	local pid=$1 host tries=600 i thread

	host=$(nproc)
	[ "$cpus" -le "$host" ] || say "NOTE: $cpus virtual CPUs on $host: timings will not be steady"
	while [ "$(vcpu_threads "$pid" | wc -l)" -lt "$cpus" ]; do
		kill -0 "$pid" 2>/dev/null || return 0
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || die "QEMU has no thread for each virtual CPU: nothing to pin; leave out --bench"
		sleep 0.1
	done
	while read -r i thread; do
		taskset -cp $((i % host)) "$thread" >/dev/null
	done < <(vcpu_threads "$pid")
	# QEMU's main thread makes the timers of all CPUs go off. On a host that has
	# a CPU for each virtual one it would have to wait for one of theirs.
	chrt --fifo --reset-on-fork --pid 1 "$pid" 2>/dev/null ||
		say "NOTE: no real-time priority for QEMU: timers will be late where all CPUs are busy"
	say "pinned $cpus virtual CPUs to $host host CPUs"
}

# Prints the verdict channel as it comes; ends the machine that hangs.
run_job()
{
	local pid tail_pid watcher='' end rc=0

	: >"$result/verdict"
	TMPDIR=$result setpriv --pdeathsig KILL "${qemu[@]}" </dev/null >"$result/qemu.log" 2>&1 &
	pid=$!
	trap 'kill $pid 2>/dev/null || :' EXIT
	[ -z "$bench" ] || pin_cpus "$pid"
	tail -f -n +1 --pid="$pid" -s 0.2 "$result/verdict" 2>/dev/null |
		grep --line-buffered -v '^ktask-init: ' &
	tail_pid=$!
	# Who reads the job's output sees how far it is; a measurement is left alone.
	[ -t 1 ] || [ -n "$bench" ] || keep_saying 60 last_line running "$result/verdict"
	end=$((SECONDS + timeout))
	while kill -0 "$pid" 2>/dev/null; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "no end after $timeout s" >"$result/hung"
			kill "$pid" 2>/dev/null || :
			break
		fi
		sleep 0.2
	done
	wait "$pid" 2>/dev/null || rc=$?
	[ -z "$watcher" ] || kill "$watcher" 2>/dev/null || :
	wait "$tail_pid" 2>/dev/null || :
	trap - EXIT
	echo "$rc" >"$result/qemu-status"
}

unpack_out()
{
	mkdir -p "$result/out"
	[ ! -s "$result/out.tar" ] || tar -xf "$result/out.tar" -C "$result/out" 2>/dev/null || :
	rm -f "$result/out.tar" "$result/payload.tar"
}

once()
{
	nonce=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
	rm -f "$result"/{console.log,verdict,hung,out.tar}
	pack
	qemu=()
	local saved=$machine
	qemu_command
	machine=$saved
	if [ "$mode" = shell ]; then
		TMPDIR=$result exec "${qemu[@]}"
	fi
	run_job
	unpack_out
}

{
	parse "$@"
	check
	[ -n "$kernel" ] || kernel=$("$KT_DIR/build.sh" "$variant")
	image=$("$KT_DIR/rootfs.sh")
	if [ -z "$result" ]; then
		mkdir -p "$(kt_home)/run"
		# Nobody reads these for long.
		find "$(kt_home)/run" -mindepth 1 -maxdepth 1 -mtime +2 -exec rm -rf {} +
		result=$(mktemp -d "$(kt_home)/run/$(date +%H%M%S)-XXXX")
	fi
	mkdir -p "$result"
	result=$(realpath "$result")
	[ -n "$accel" ] || accel=$(accel_choose "$kernel")
	accel=$(accel_threads "$accel" "$kernel")
	say "booting $(basename "$(dirname "$kernel")") under $accel with $cpus CPUs, $mem; results in $result"

	retries=0
	once
	while verdict_is_text_patching_race && [ "$retries" -lt 3 ]; do
		retries=$((retries + 1))
		say "the emulator raced with the kernel's text patching (Oops: int3): try $((retries + 1))"
		echo "$retries" >"$result/retries"
		once
	done
	verdict
}
