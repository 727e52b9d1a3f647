#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Each allocation that the driver makes, itself or by what it calls, fails once: those of probe, of open, of -L, -G and other
# commands, one after the other (the kernel's fail-nth), and those of receiving by chance and all at once. Either the operation
# fails and leaves nothing behind, or it does without; and then everything works. Needs a kernel with fault injection
# (make check KERNEL=debug). With WITH=xdp in the environment it is programs and AF_XDP's sockets that come and go, and that are
# there meanwhile, instead of all else.
. "$(dirname "$0")/lib.sh"
WITH=${WITH:-}
# shellcheck source=tests/xsk/lib.sh
[ -z "$WITH" ] || . "$HERE/xsk/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
debug=/sys/kernel/debug
bind=/sys/bus/virtio/drivers/$DRV
LIMIT=${LIMIT:-2000}
# 2: the kernel's log shows where each failure was injected (and that counts as a complaint).
VERBOSE=${VERBOSE:-0}
faults=(failslab fail_page_alloc)
slab=/sys/kernel/slab
[ -e /proc/self/fail-nth ] && [ -e $debug/failslab/require-start ] && [ -e $debug/fail_page_alloc/require-start ] && [ -e $slab/kmalloc-8/failslab ] ||
	skip_all "this kernel has no fault injection with a filter by stack (make check KERNEL=debug does)"

set_all() { local f; for f in "${faults[@]}"; do [ ! -e "$debug/$f/$1" ] || echo "$2" >"$debug/$f/$1"; done; }
# How often something may still fail, in $left: goes down with each failure. (No process of its own: that takes a checking kernel
# on an emulated CPU longer than what is tested.)
times() {
	local a b
	read -r a <$debug/failslab/times
	read -r b <$debug/fail_page_alloc/times
	left=$((a + b))
}
# Only what has the driver's code on its stack.
watch() {
	local text
	text=($(awk '$NF == "[virtio_net_mq]" && tolower($2) == "t" { print $1 }' /proc/kallsyms | sort))
	set_all require-start "0x${text[0]}"
	set_all require-end "0x$(printf %x $(((0x${text[-1]} | 0xfff) + 1)))"
	# Not an interrupt's descriptor, whose files in sysfs the kernel does without, one after the other: MSI-X allocates more
	# beside it, which fails the same way for the driver.
	text=($(sort /proc/kallsyms | awk 'tolower($2) == "t" && $3 != "__irq_alloc_descs" && found { print $1; exit }
		$3 == "__irq_alloc_descs" { found = 1; print $1 }'))
	set_all reject-start "0x${text[0]}"
	set_all reject-end "0x${text[1]}"
}
# Of all caches but those of kmemleak and of debugging objects, which allocate with each allocation of others and have a
# reserve; and that of /proc, since the kernel does without an interrupt's directory, and complains when it removes it.
caches() {
	local c
	for c in $slab/*; do
		case ${c##*/} in
		kmemleak_* | debug_objects_cache | proc_dir_entry) ;;
		*) [ -L "$c" ] || { echo 1 >"$c/failslab"; } 2>/dev/null || note "${c##*/} can't be told to fail" ;;
		esac
	done
	echo 1 >$debug/failslab/cache-filter
}
quiet() {
	set_all probability 0
	set_all times 1000000000
}
set_all verbose "$VERBOSE"
set_all ignore-gfp-wait 0
set_all ignore-gfp-highmem 0
set_all min-order 0
set_all task-filter 0
set_all space 0
set_all interval 1
set_all stacktrace-depth 32
quiet
watch
caches
at_exit configure
at_exit '[ -e $bind/$VDEV ] || echo $VDEV >$bind/bind'
at_exit quiet
at_exit 'echo 0 >$debug/failslab/cache-filter'
mark_log

bound() { [ -e "$bind/$VDEV" ]; }
# inject N COMMAND…: its N-th allocation fails; $hit says whether there was one. The command runs in place of the shell that
# asks for the failure, since that belongs to a process.
inject() {
	local n=$1 before rc
	shift
	times
	before=$left
	(echo "$n" >/proc/self/fail-nth; exec "$@") 2>"$WORK/err"
	rc=$?
	times
	hit=
	[ "$left" = "$before" ] || hit=1
	return $rc
}
# One interface, up, and an answer.
works() {
	wait_for 10 find_netif || { bad "$1: there is no interface"; return; }
	printf '%s\n' "link set $NETIF up" "addr replace $DUT_IP/24 dev $NETIF" | ip -batch - && reach || bad "$1: nothing gets through"
}

# The commands, each with what precedes, what must hold after a refusal, and what takes it back. (No more processes than it
# needs: each takes a checking kernel on an emulated CPU longer than what is tested.)
max=$(max_pairs)
name=() before=() command=() refused=() undo=()
operation() { name+=("$1"); before+=("$2"); command+=("$3"); refused+=("$4"); undo+=("${5:-}"); }
everything() {
	operation "open" 'ip link set $NETIF down' 'ip link set $NETIF up' ''
	operation "-L up" 'set_pairs 1' 'ethtool -L $NETIF combined $max' '[ "$(pairs)" = 1 ]'
	operation "-L down" 'set_pairs $max' 'ethtool -L $NETIF combined 1' '[ "$(pairs)" = $max ]'
	operation "-G" 'ethtool -G $NETIF rx 64 tx 64' 'ethtool -G $NETIF rx 32 tx 32' ''
	operation "-G with the interface down" 'ethtool -G $NETIF rx 64; ip link set $NETIF down' 'ethtool -G $NETIF rx 32' ''
	operation "address" '' 'ip link set $NETIF address 02:00:00:00:51:01' '[ "$(mac)" = $mac0 ]' 'ip link set $NETIF address $mac0'
	operation "VLAN" '[ -d /proc/net/vlan ] || modprobe 8021q' 'ip link add link $NETIF name fail.7 type vlan id 7' '[ ! -e /sys/class/net/fail.7 ]' 'ip link del fail.7'
	operation "group" '' 'ip maddr add 01:00:5e:11:22:33 dev $NETIF' '' 'ip maddr del 01:00:5e:11:22:33 dev $NETIF'
	operation "promisc" '' 'ip link set $NETIF promisc on' '' 'ip link set $NETIF promisc off'
	operation "MTU" '' 'ip link set $NETIF mtu 1400' '' 'ip link set $NETIF mtu $mtu0'
	operation "-K rx-gro-hw" '' 'ethtool -K $NETIF rx-gro-hw off' '' 'ethtool -K $NETIF rx-gro-hw on'
	operation "-S" '' 'ethtool -S $NETIF' ''
	operation "-C" '' 'ethtool -C $NETIF rx-usecs 10' ''
	operation "close" '' 'ip link set $NETIF down' ''
}
# A socket on each queue that is in use, unless it is there already.
bound_socket() {
	attach to_socket
	[ "$XSK_PID" ] && kill -0 "$XSK_PID" 2>/dev/null && return
	xsk_start -z -w -q "$(all_queues)" echo "$NETIF" || bad "$(xsk_said)"
}
programs_and_sockets() {
	operation "a program" '' 'ip -force link set dev $NETIF xdpdrv pinned $PINNED/progs/pass' '[ -z "$(attached)" ]' 'detach'
	operation "another program" 'attach pass; id=$(attached)' 'ip -force link set dev $NETIF xdpdrv pinned $PINNED/progs/drop_too' '[ "$(attached)" = "$id" ]' 'detach'
	# It goes whatever fails.
	operation "no program" 'attach pass' 'ip link set dev $NETIF xdpdrv off' 'false'
	operation "open with a program" 'attach pass; ip link set $NETIF down' 'ip link set $NETIF up' ''
	operation "-L with a program" 'attach pass; set_pairs 1' 'ethtool -L $NETIF combined $max' '[ "$(pairs)" = 1 ]'
	operation "-G with a program" 'attach pass; ethtool -G $NETIF rx 64 tx 64' 'ethtool -G $NETIF rx 32 tx 32' ''
	operation "a socket" 'attach to_socket' '"$XSK" -m "$MAP" -z -w -q 0 -n 1 -t 0.1 receive $NETIF' ''
	operation "open with sockets" 'bound_socket; ip link set $NETIF down' 'ip link set $NETIF up' ''
	operation "-G with sockets" 'bound_socket; ethtool -G $NETIF rx 64 tx 64' 'ethtool -G $NETIF rx 32 tx 32' ''
}
if [ "$WITH" ]; then programs_and_sockets; else everything; fi
mac0=$(mac) mtu0=$(mtu)
plan $((${#name[@]} + 6))

# --- probe ------------------------------------------------------------------------------------------------------------

probing() {
	begin
	failed=0 survived=0
	echo "$VDEV" >"$bind/unbind" || bad "unbind failed"
	for ((n = 1; n <= LIMIT; n++)); do
		times
		before=$left
		{
			echo "$n" >/proc/self/fail-nth
			echo "$VDEV" >"$bind/bind"
			echo 0 >/proc/self/fail-nth
		} 2>/dev/null
		times
		[ "$left" != "$before" ] || break
		if bound; then
			survived=$((survived + 1))
			works "allocation $n"
			echo "$VDEV" >"$bind/unbind" || bad "allocation $n: unbind failed"
		else
			failed=$((failed + 1))
			grep -q "$VDEV-" /proc/interrupts && bad "allocation $n: interrupts are left"
			[ -e "/sys/bus/virtio/devices/$VDEV/net" ] && bad "allocation $n: an interface is left"
		fi
		((n % 50)) || note "$n allocations so far"
		[ ${#_bad[@]} -lt 10 ] || break
	done
	note "$((n - 1)) allocations of probe: $failed make it fail, $survived don't"
	((n <= LIMIT)) || bad "no end after $LIMIT allocations"
	((failed >= 10)) || bad "only $failed failures: is the injection at work?"
	bound || echo "$VDEV" >"$bind/bind" || bad "bind failed"
	works "in the end"
	verdict "probe undoes what it did, whatever allocation fails"
}
# Without programs, which would go with the interface.
[ "$WITH" ] || probing

# --- commands ---------------------------------------------------------------------------------------------------------

# Small rings, so that there are fewer allocations to go through; at the end they are as they were.
rings0=$(ethtool -g "$NETIF" | awk '/^RX:/ { rx = $2 } /^TX:/ { tx = $2 } END { print "rx", rx, "tx", tx }')
at_exit 'ethtool -G $NETIF $rings0'
ethtool -G "$NETIF" rx 64 tx 64 2>/dev/null || note "the rings' sizes can't be changed"
for o in "${!name[@]}"; do
	begin
	failed=0
	for ((n = 1; n <= LIMIT; n++)); do
		eval "${before[o]}" >/dev/null 2>&1
		# shellcheck disable=SC2046,SC2086  # words
		eval "inject $n ${command[o]}" >/dev/null
		rc=$?
		[ "$hit" ] || break
		if [ $rc != 0 ]; then
			failed=$((failed + 1))
			[ -z "${refused[o]}" ] || eval "${refused[o]}" || bad "allocation $n: refused ($(head -1 "$WORK/err")), but not: ${refused[o]}"
		fi
		eval "${undo[o]}" >/dev/null 2>&1
		works "allocation $n, status $rc"
		[ ${#_bad[@]} -lt 10 ] || break
	done
	note "$((n - 1)) allocations of ${name[o]}: $failed make it fail"
	((n <= LIMIT)) || bad "no end after $LIMIT allocations"
	eval "${undo[o]}" >/dev/null 2>&1
	works "in the end"
	verdict "${name[o]} fails cleanly, whatever allocation fails"
done

# --- what isn't a process's --------------------------------------------------------------------------------------------

# Receiving allocates in softirqs and in a worker. By chance: traffic goes on, slower.
for f in "${faults[@]}"; do
	begin
	echo 20 >"$debug/$f/probability"
	times
	seen=$left
	for ((i = 0; i < 5; i++)); do
		timeout 5 ping -q -i 0.01 -c 100 -s 1400 "$PEER" >/dev/null 2>&1
		timeout 10 iperf3 -c "$PEER" -p 5202 -R -t 2 -i 0 --connect-timeout 3000 >/dev/null 2>&1
		timeout 10 iperf3 -c "$PEER" -p 5203 -u -b 20M -t 1 -i 0 -R --connect-timeout 3000 >/dev/null 2>&1
	done
	times
	quiet
	note "$((seen - left)) failures of $f"
	[ $((seen - left)) -gt 0 ] || bad "nothing failed: is the injection at work?"
	works "afterwards"
	verdict "receiving goes on after one in five of its allocations failed ($f)"
done

# All of them, for long enough that the rings run dry.
begin
set_all probability 100
times
seen=$left
for ((i = 0; i < 3; i++)); do
	timeout 5 ping -q -f -w 3 -s 1400 "$PEER" >/dev/null 2>&1
	timeout 5 iperf3 -c "$PEER" -p 5204 -u -b 20M -t 2 -i 0 -R --connect-timeout 1000 >/dev/null 2>&1
done
times
quiet
note "$((seen - left)) failures"
[ $((seen - left)) -gt 0 ] || bad "nothing failed: is the injection at work?"
works "afterwards"
for c in $(online_cpus); do
	wait_for 20 taskset -c "$c" ping -q -c 3 -i 0.05 -W 2 "$PEER" >/dev/null || bad "CPU $c: no answer to ping"
done
verdict "receiving comes back after all allocations failed for a while"

begin
set_all probability 100
times
seen=$left
ip link set "$NETIF" down
ip link set "$NETIF" up 2>/dev/null
times
quiet
[ $((seen - left)) -gt 0 ] || bad "nothing failed: is the injection at work?"
works "afterwards"
verdict "open works after all of its allocations failed"

# Sockets go in a worker, whose allocations all fail; others come.
if [ "$WITH" ]; then
	begin
	for i in 1 2 3; do
		bound_socket
		set_all probability 100
		xsk_kill
		wait_for 60 eval '! "$XSK" -m "$MAP" -z -w -q 0 -n 1 -t 0.1 receive $NETIF 2>&1 | grep -qi busy'
		quiet
		works "turn $i"
		"$XSK" -m "$MAP" -z -w -q "$(all_queues)" -n 1 -t 0.1 receive "$NETIF" >"$WORK/xsk" 2>&1 || bad "turn $i: not bound again: $(xsk_said)"
	done
	[ -z "$(log_since | grep 'keeps the memory')" ] || bad "$(log_since | grep 'keeps the memory' | head -1)"
	verdict "sockets go whatever allocation fails"
fi

# But for what its checkers say when they get no memory.
begin
while IFS= read -r l; do bad "$l"; done < <(log_problems | grep -vE 'ref_tracker: memory allocation failure|DMA-API: cacheline tracking ENOMEM')
verdict "the kernel's log is clean"
finish
