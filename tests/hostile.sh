#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The test device misbehaves, one case after the other (qemu-test/device/src/cases.rs is the catalogue; CASES names some of
# it, !NAME takes out again; SEED is for those that go by chance). Each time: the kernel has nothing to complain of, nothing
# hangs, the counters or the log name the cause, the log isn't flooded, and with the device honest again traffic comes back,
# after unbinding and binding the driver at the latest. `make hostile` runs all of it, on the in-tree driver as well.
# Tests that do the same beside something else have it already.
[ "${HERE:-}" ] || . "$(dirname "$0")/lib.sh"

have_hostctl && hostctl device run=acked >/dev/null 2>&1 || skip_all "not on the test device"
SEED=${SEED:-1}
# How long a command may take, and how many lines a case may leave in the log.
LIMIT=$((15 * SLOW))
LINES_MAX=40
# For the cases of scale.rs.
USED=${USED:-20000} COMMANDS=${COMMANDS:-2000}

dev() { hostctl device "run=$*"; }
# Too long for the line to the host.
cp "${TESTDEV_CASES:-/job/testdev-cases}" "$WORK/cases" || skip_all "no catalogue (testdev --cases prints it)"
chosen=()
# Not files called like that.
set -f
while IFS=';' read -r name stage stimulus expect quick what; do
	want=
	if [ "$CASES" ]; then
		for p in $CASES; do
			# shellcheck disable=SC2254  # patterns
			case $name in ${p#!}) [ "$p" = "${p#!}" ] && want=1 || want= ;; esac
		done
		# These take as long as is asked for: who says "all" doesn't mean them.
		[[ $quick != scale || " $CASES" == *" $quick"* ]] || want=
	elif [ "$quick" = quick ]; then
		want=1
	fi
	[ "$want" ] && chosen+=("$name;$stage;$stimulus;$expect;$what")
done <"$WORK/cases"
set +f
[ ${#chosen[@]} -gt 0 ] || skip_all "no case is called $CASES"
plan ${#chosen[@]}

# --- what may hang -------------------------------------------------------------------------------------------------

hung=
# bounded COMMAND…: its status; 124 and a note if it takes too long. It may be stuck in the kernel, so it isn't waited for.
bounded() {
	local pid end=$((SECONDS + LIMIT + 1))
	"$@" >"$WORK/out" 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		if [ $SECONDS -ge $end ]; then
			# Before it is killed, which changes where it is.
			stacks $pid
			kill -KILL $pid 2>/dev/null
			bad "no end after $LIMIT s: $*"
			hung=1
			return 124
		fi
		nap 0.03
	done
	wait $pid
}

# --- finding, binding, plugging ------------------------------------------------------------------------------------

find_device() {
	local d id
	for d in /sys/bus/virtio/devices/*; do
		read -r id 2>/dev/null <"$d/device" && [ "$id" = 0x0001 ] && { VDEV=${d##*/}; return 0; }
	done
	return 1
}
no_device() { ! find_device; }
have_netif() { find_device && find_netif; }
sysfs() { echo "$1" >"/sys/bus/virtio/drivers/$DRV/$2"; }
unbind() { [ ! -e "/sys/bus/virtio/devices/$VDEV/driver" ] || bounded sysfs "$VDEV" unbind; }
bind() { [ -e "/sys/bus/virtio/devices/$VDEV/driver" ] || bounded sysfs "$VDEV" bind; }
unplug() {
	bounded hostctl -t 25 unplug id=nic0 || bad "the device can't be unplugged: $(cat "$WORK/out")"
	wait_for 10 no_device
}
plug() { hostctl plug id=nic0 >/dev/null || bad "the device can't be plugged in"; wait_for 5 find_device; }
address() {
	find_netif || return 1
	echo 0 2>/dev/null >"/proc/sys/net/ipv6/conf/$NETIF/accept_dad"
	printf '%s\n' "addr replace $DUT_IP/24 dev $NETIF" "neigh flush dev $NETIF" | ip -force -batch - 2>/dev/null
}
up() { bounded ip link set "$NETIF" up; }
pings() { wait_for "$1" ping -q -c 1 -W 1 "$PEER" >/dev/null 2>&1; }
# From each CPU, since each has a queue of its own: one that is broken takes no part in what the others send.
pings_everywhere() {
	local cpu
	for cpu in $(online_cpus); do
		wait_for "$1" taskset -c "$cpu" ping -q -c 1 -W 1 "$PEER" >/dev/null 2>&1 || return 1
	done
}

# --- stimuli -------------------------------------------------------------------------------------------------------

packets() {
	local cpu
	ping -q -c 3 -i 0.2 -w 1 "$PEER" >/dev/null 2>&1 &
	for cpu in $(online_cpus); do
		# Each from a socket of its own.
		taskset -c "$cpu" bash -c 'for ((i = 0; i < 64; i++)); do echo "$i" >/dev/udp/'"$PEER"'/7; done' 2>/dev/null
	done
	wait $!
}
commands() {
	local max
	bounded ip link set "$NETIF" promisc on
	[ "$hung" ] && return
	max=$(ethtool -l "$NETIF" 2>/dev/null | awk '/^Combined:/ { print $2; exit }')
	bounded ethtool -L "$NETIF" combined 1
	[ "$hung" ] || bounded ethtool -L "$NETIF" combined "${max:-1}"
	[ "$hung" ] || bounded ip link add link "$NETIF" name v7 type vlan id 7
	[ "$hung" ] || bounded ip link del v7
	[ "$hung" ] || bounded ethtool -C "$NETIF" rx-usecs 10 rx-frames 4
	[ "$hung" ] || bounded ethtool -x "$NETIF"
	[ "$hung" ] || bounded ethtool -S "$NETIF"
	[ "$hung" ] || bounded ip link set "$NETIF" promisc off
}
# As much as is asked for by USED, buffers, and COMMANDS, for each case. A ring that was broken is mended by hand: the device is honest
# meanwhile, and goes on by another chance. So is one whose command was never answered, after which the driver sends none. A minute
# without a buffer and a command is the end.
thrown() { dev stat "thrown_$1" | sed '/^$/d'; }
scale() {
	local used0 commands0 used=0 commands=0 last=-1 still=0 turn=0 again=0 was=-1 silent=0 jobs=() n cpu
	used0=$(thrown used) commands0=$(thrown commands)
	python3 "$HERE/storm.py" "/sys/bus/virtio/devices/$VDEV/net" "$WORK/enough" >"$WORK/storm" &
	jobs+=($!)
	for cpu in $(online_cpus); do
		(while [ ! -e "$WORK/enough" ]; do
			taskset -c "$cpu" ping -q -i "0.$SLOW" -s $((56 + RANDOM % 1300)) -w $((5 * SLOW)) "$PEER"
		done >/dev/null 2>&1) &
		jobs+=($!)
	done
	while [ "$used" -lt "$USED" ] || [ "$commands" -lt "$COMMANDS" ]; do
		# Each process that is started costs more on a slow kernel than many packets do.
		sleep $((2 * SLOW))
		used=$(($(thrown used) - used0)) commands=$(($(thrown commands) - commands0))
		if [ $((used + commands)) != "$last" ]; then
			last=$((used + commands)) still=0
		elif [ $((++still)) -ge 30 ]; then
			bad "no progress: $used buffers, $commands commands"
			hung=1
			stacks "${jobs[0]}"
			break
		fi
		[ "$commands" = "$was" ] && silent=$((silent + 1)) || silent=0
		was=$commands
		# Only one of the two may be at an end, if it is a ring that is broken.
		[ $((++turn % 5)) = 0 ] || [ $still -ge 2 ] || [ $silent -ge 3 ] || continue
		note "$SECONDS s: $used buffers, $commands commands"
		dev honest >/dev/null
		if ! find_netif || [ $silent -ge 3 ] || ! pings_everywhere 2; then
			again=$((again + 1)) silent=0
			unbind
			[ "$hung" ] || bind
			[ ! "$hung" ] || break
			wait_for 10 have_netif && address && up
		fi
		dev case "$name" $((SEED + turn)) >/dev/null || bad "the device doesn't know the case"
	done
	touch "$WORK/enough"
	for n in "${jobs[@]}"; do bounded tail --pid="$n" -f /dev/null; done
	rm -f "$WORK/enough"
	note "commands that worked, of those tried: $(<"$WORK/storm")"
	note "figure: $name: $used buffers and $commands commands were used by chance; bound again $again times"
}
timed_out() { [ "$(stat_sum 'tx[0-9]+_tx_timeouts')" -gt "${count0:-0}" ]; }
stimulate() {
	case $1 in
	Packets) packets ;;
	Commands) commands; sleep 0.3 ;;
	All) packets; commands ;;
	Scale) scale ;;
	Stuck)
		ping -f -q -w 20 "$PEER" >/dev/null 2>&1 &
		if ours; then wait_for 20 timed_out; else sleep 12; fi
		kill $! 2>/dev/null
		;;
	esac
}

# What the device wrote to memory that was freed before: SLUB fills that with a pattern and complains if it is another, where
# slab_debug is on. (It isn't in KERNEL=debug, whose KASAN sees what the kernel writes, not what a device does.)
grep -q slab_debug /proc/cmdline && heap=yes || heap=
check_heap() {
	local f
	[ "$heap" ] || return
	for f in /sys/kernel/slab/kmalloc-*/validate; do
		echo 1 2>/dev/null >"$f" || bad "slab_debug is without effect: $f"
	done
}

# --- one case ------------------------------------------------------------------------------------------------------

count_of() { case $expect in count:*) have_netif && stat_sum "${expect#count:}" ;; esac; }
# The device has features of a case that is over.
odd=

enter_case() {
	if [ "$stage" = Plug ]; then
		unplug
		dev case "$name" "$SEED" >/dev/null || bad "the device doesn't know the case"
		count0=0
		plug
		wait_for 5 have_netif
		return
	fi
	if [ "$odd" ]; then
		unplug
		plug
		odd=
	fi
	if ! wait_for 5 have_netif; then
		bad "there is no interface before the case"
		return
	fi
	address
	up
	if [ "$stage" = Bind ]; then
		unbind
		dev case "$name" "$SEED" >/dev/null || bad "the device doesn't know the case"
		count0=0
		bind
	else
		pings 10 || bad "no answer to ping before the case"
		count0=$(count_of)
		dev case "$name" "$SEED" >/dev/null || bad "the device doesn't know the case"
	fi
}

survive() {
	[ "$hung" ] || bounded ip link set "$NETIF" down
	[ "$hung" ] || bounded ethtool -S "$NETIF"
	[ "$hung" ] || bounded ethtool -l "$NETIF"
	[ "$hung" ] || bounded ip link set "$NETIF" up
}

# Honest again: traffic, at the latest after unbinding and binding.
recover() {
	dev honest >/dev/null || bad "the device doesn't answer"
	if [ "$stage" = Plug ]; then
		odd=1
		if [ "$expect" = refused ]; then
			unplug
			plug
			odd=
		fi
	fi
	if [ "$stage" = Run ] && find_netif && address && up && pings_everywhere 2; then
		return
	fi
	[ "$hung" ] && return
	find_device || { bad "the device is gone"; return; }
	unbind
	[ "$hung" ] && return
	bind || bad "binding fails: $(cat "$WORK/out")"
	[ "$hung" ] && return
	wait_for 5 have_netif || { bad "no interface after binding"; return; }
	address
	up
	[ "$hung" ] || pings 10 || bad "no traffic after binding"
}

run_case() {
	local lines=() n
	if [ "$expect" = heap ] && [ ! "$heap" ]; then
		skip "$name" "freed memory isn't watched without slab_debug"
		return
	fi
	begin
	note "case $name"
	mark_log
	enter_case
	if [ "$hung" ]; then
		:
	elif have_netif; then
		[ "$expect" != refused ] || bad "the driver took the device"
		address
		up
		[ "$hung" ] || stimulate "$stimulus"
		if [ "$expect" = works ] && [ ! "$hung" ]; then
			pings 10 || bad "no answer to ping meanwhile"
		fi
		if ours && [ "${expect%%:*}" = count ]; then
			n=$(count_of)
			[ "${n:-0}" -gt "${count0:-0}" ] || bad "the counter ${expect#count:} didn't move ($count0, $n)"
		fi
		if [ ! "$hung" ] && have_netif; then survive; fi
	elif [ "$expect" = works ]; then
		bad "the driver doesn't take the device"
	fi
	if [ "$stage" = Death ]; then
		[ "$hung" ] || unbind
	elif [ ! "$hung" ]; then
		recover
	fi
	check_heap
	# Plugging in has its own lines. A watchdog that finds a queue stuck which the device doesn't serve is right.
	log_since >"$WORK/log"
	mapfile -t lines < <(grep -vE 'vnm|pci|ACPI|NETDEV WATCHDOG' "$WORK/log")
	[ "$stimulus" = Scale ] || [ ${#lines[@]} -le $LINES_MAX ] || bad "${#lines[@]} lines in the log, such as ${lines[4]} ${lines[29]}"
	log_bad <"$WORK/log" | grep -v 'NETDEV WATCHDOG' >"$WORK/splat"
	[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
	if ours && [ "${expect%%:*}" = log ]; then
		grep -qE "${expect#log:}" "$WORK/log" || bad "the log doesn't say: ${expect#log:}"
	fi
	verdict "$name"
}

for c in "${chosen[@]}"; do
	IFS=';' read -r name stage stimulus expect what <<<"$c"
	run_case
	if [ "$hung" ]; then
		note "this guest hangs: the rest can't run"
		exit 1
	fi
	if [ -s "$WORK/splat" ] && grep -qE 'BUG|Oops|RIP: ' "$WORK/splat"; then
		note "this kernel is damaged: the rest can't run"
		exit 1
	fi
done
finish
