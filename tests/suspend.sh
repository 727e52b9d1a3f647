#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Suspend and resume keep every setting: number of pairs, sizes of rings, address, MTU, VLAN, promiscuous mode, groups, receive
# offload, interrupt affinity. The kernel's test mode (Documentation/power/basic-pm-debugging.rst) suspends devices without
# suspending the machine, to each depth in turn; with S3=yes the machine is suspended to memory for real, too.
# So does a reset of the PCI function (sysfs), and the driver's own after a transmit timeout: for that the device is stopped
# behind the driver's back, by its status register, which takes iomem=relaxed.
. "$(dirname "$0")/lib.sh"

[ -w /sys/power/pm_test ] || skip_all "the kernel has no /sys/power/pm_test"
levels=$(tr -d '[]' </sys/power/pm_test | tr ' ' '\n' | grep -v none | tac)
states=$(tr ' ' '\n' </sys/power/state | grep -xE 'mem|freeze')
rings() { echo "$(ring RX 2)/$(ring TX 2)"; }
first=$(pairs) old_rings=$(rings) old_mac=$(mac) old_mtu=$(mtu) old_gro=$(feature rx-gro-hw)
plan $(($(wc -w <<<"$levels") + 10))
at_exit configure
at_exit 'echo none >/sys/power/pm_test; ip link del $NETIF.100; ip link set $NETIF promisc off mtu $old_mtu address $old_mac
	ip link set $NETIF up; ip maddr del $group dev $NETIF; set_pairs $first; ethtool -K $NETIF rx-gro-hw ${old_gro%% *}
	[ "$(rings)" = $old_rings ] || ethtool -G $NETIF rx ${old_rings%/*} tx ${old_rings#*/}'
# Each test mode waits that many seconds, 5 by default.
echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null
mark_log
reach

new_mac=02:00:00:00:51:ee group=01:00:5e:11:22:33
n=$(max_pairs)
[ "$n" -gt 1 ] && n=$((n - 1))
[ "$n" = "$first" ] && n=1

begin
set_pairs $n || bad "combined $n refused"
new_rings=$old_rings
if ours && negotiated 40; then
	new_rings=128/64
	ethtool -G "$NETIF" rx 128 tx 64 || bad "rings of 128 and 64 were refused"
fi
ip link set "$NETIF" address $new_mac || bad "the address was refused"
ip link set "$NETIF" mtu 1400 || bad "the MTU was refused"
ip link set "$NETIF" promisc on
ip maddr add $group dev "$NETIF" || bad "joining a group failed"
if modprobe 8021q 2>/dev/null || [ -d /proc/net/vlan ]; then
	ip link add link "$NETIF" name "$NETIF.100" type vlan id 100 && ip link set "$NETIF.100" up || bad "no VLAN"
	vlan=yes
fi
if [ "$old_gro" = on ]; then ethtool -K "$NETIF" rx-gro-hw off || bad "rx-gro-hw stays on"; fi

affinity() {
	local q
	for ((q = 0; q < n; q++)); do
		echo "$q: xps $(xps_cpus $q), output $(cat "/proc/irq/$(irq_of output.$q)/affinity_hint" 2>/dev/null)," \
			"input $(cat "/proc/irq/$(irq_of input.$q)/affinity_hint" 2>/dev/null)"
	done
}
want_affinity=$(affinity)

filter() {
	local got
	[ "$HAVE_FILTER" ] || return
	got=$(rx_filter "$1")
	# shellcheck disable=SC2053
	[[ $got == $2 ]] || bad "the device has $1 $got, not $2"
}
have_hostctl && rx_filter main-mac >/dev/null 2>&1 && HAVE_FILTER=yes

# Everything is as set above.
check() {
	local a
	[ "$(pairs)" = $n ] || bad "$(pairs) pairs, not $n"
	[ "$(queue_dirs tx)/$(queue_dirs rx)" = $n/$n ] || bad "sysfs has $(queue_dirs tx)/$(queue_dirs rx) queues, not $n"
	[ "$(rings)" = $new_rings ] || bad "the rings have $(rings) entries, not $new_rings"
	[ "$(mac)" = $new_mac ] || bad "the address is $(mac)"
	[ "$(mtu)" = 1400 ] || bad "the MTU is $(mtu)"
	a=$(affinity)
	[ "$a" = "$want_affinity" ] || bad "CPUs were ${want_affinity//$'\n'/; }, are ${a//$'\n'/; }"
	filter main-mac "\"$new_mac\""
	filter promiscuous true
	filter multicast-table "*$group*"
	[ "${vlan:-}" ] && filter vlan-table '*[[ ]100[],]*'
	wait_for 10 carrier || bad "no carrier"
	reach || bad "no answer to ping"
	reach6 || bad "no answer to ping over IPv6"
	iperf_start -P 2 -t 1
	iperf_ok || bad "iperf3: $(iperf_last)"
	a=$(stat_sum 'rx[0-9]+_gso_packets')
	iperf_start -P 2 -t 1 -R
	iperf_ok || bad "iperf3 -R: $(iperf_last)"
	if ours && [ "$old_gro" = on ]; then
		[ "$(feature rx-gro-hw)" = off ] || bad "rx-gro-hw is $(feature rx-gro-hw)"
		a=$(($(stat_sum 'rx[0-9]+_gso_packets') - a))
		[ $a = 0 ] || bad "the device merged $a packets, though rx-gro-hw is off"
	fi
}
check
verdict "the settings, before"

sleep_now() { # STATE
	local rc
	echo "$1" >/sys/power/state 2>"$WORK/err"
	rc=$?
	[ $rc = 0 ] || bad "$1 failed: $(cat "$WORK/err") $(log_since | grep -E 'PM:|virtio' | tail -2)"
}

state=$(head -1 <<<"$states" | grep . || echo freeze)
grep -q mem <<<"$states" && state=mem
for level in $levels; do
	begin
	echo "$level" >/sys/power/pm_test || bad "no test mode $level"
	sleep_now $state
	check
	verdict "test mode $level, to $state"
done

begin
echo devices >/sys/power/pm_test
iperf_start -P 2 --bidir -t 4
sleep 1
sleep_now $state
iperf_ok || bad "iperf3: $(iperf_last)"
check
verdict "devices, under traffic"

begin
for _ in 1 2 3 4 5; do sleep_now freeze; done
check
verdict "devices, five times"

begin
ip link set "$NETIF" down
sleep_now $state
[ "$(cat "/sys/class/net/$NETIF/operstate")" = down ] || bad "the interface was down, is $(cat "/sys/class/net/$NETIF/operstate")"
# Filters of an interface that is down are not the device's.
ip link set "$NETIF" up
configure
check
verdict "devices, with the interface down"

echo none >/sys/power/pm_test
begin
if [ "${S3:-}" != yes ] || ! grep -q mem <<<"$states" || ! have_hostctl; then
	skip "suspended to memory" "not a machine that does that (S3=yes)"
else
	grep -q deep /sys/power/mem_sleep && echo deep >/sys/power/mem_sleep
	hostctl wake after=3 >/dev/null
	sleep_now mem
	check
	verdict "suspended to memory"
fi

# --- resets -----------------------------------------------------------------------------------------------------------

pci=$(readlink -f "/sys/bus/virtio/devices/$VDEV/..")

begin
if ! ours; then
	skip "reset of the PCI function" "the driver $DRV has no callbacks for it"
elif [ ! -e "$pci/reset" ]; then
	skip "reset of the PCI function" "the function can't be reset"
else
	iperf_start -P 2 --bidir -t 4
	sleep 1
	echo 1 >"$pci/reset" || bad "reset failed"
	iperf_ok || bad "iperf3: $(iperf_last)"
	check
	ip link set "$NETIF" down
	echo 1 >"$pci/reset" || bad "reset failed while down"
	ip link set "$NETIF" up
	configure
	check
	# Nobody wakes a queue that isn't in use: if one has stayed stopped the stack's watchdog finds it, 5 to 9 s
	# after it was told of the carrier.
	nap 10
	while IFS= read -r l; do bad "$l"; done < <(log_since | grep 'NETDEV WATCHDOG')
	verdict "reset of the PCI function"
fi

# What senders give the interface meanwhile waits in its qdiscs. From the reset on until the driver says that it is there
# again (DRIVER_OK, 4) the device isn't notified of anything (specification 3.1.1): QEMU traces that.
trace() { hostctl qmp human-monitor-command "command-line=log $1" >/dev/null; }
early_kicks() {
	hostctl host run='awk "/virtio_set_status/ { n = \$NF; if (n == 0) { off = 1; resets++ } else if (int(n / 4) % 2) off = 0 }
		/virtio_pci_notify_write/ && off { kicks++ } END { print kicks + 0, resets + 0 }" "$QEMU_LOG"'
}
begin
if ! ours; then
	skip "eight resets under load" "the driver $DRV has no callbacks for it"
elif [ ! -e "$pci/reset" ]; then
	skip "eight resets under load" "the function can't be reset"
else
	have_hostctl && trace trace:virtio_set_status,trace:virtio_pci_notify_write && traced=yes || traced=
	dropped=$(stat_sum 'tx[0-9]+_drops')
	senders=()
	for cpu in $(online_cpus); do
		taskset -c "$cpu" ping -f -q -s 1000 "$PEER" >/dev/null 2>&1 &
		senders+=($!)
	done
	iperf_start -P 4 --bidir -t 60
	for ((turn = 0; turn < 8; turn++)); do
		nap 0.7
		echo 1 >"$pci/reset" || bad "reset failed"
	done
	nap 0.5
	kill "${senders[@]}" "$IPERF_PID" 2>/dev/null
	pkill iperf3
	dropped=$(($(stat_sum 'tx[0-9]+_drops') - dropped))
	[ $dropped = 0 ] || bad "$dropped packets were dropped"
	if [ "$traced" ]; then
		trace none
		read -r kicks resets < <(early_kicks)
		[ "${resets:-0}" -ge 8 ] || bad "QEMU traced ${resets:-no} resets: $(early_kicks)"
		[ "${kicks:-1}" = 0 ] || bad "$kicks notifications between a reset and DRIVER_OK"
	fi
	check
	verdict "eight resets under load: nothing is dropped, nothing notified"
fi

# The common configuration is at the start of bar 4, the status 20 bytes on (specification 4.1.4.3); 4: DRIVER_OK.
devmem() { busybox devmem "$@"; }
common=$(($(sed -n 5p "$pci/resource" 2>/dev/null | cut -d' ' -f1)))
register=$((common + 20))
# flood MESSAGE: more than a ring holds, on one queue: only one that is full is noticed. Whether the log has the message then.
flood() {
	local i pids=()
	for ((i = 0; i < 4; i++)); do
		head -c 20000 /dev/zero | timeout 3 taskset -c 0 socat -u -b 64 - UDP4:"$PEER":9 2>/dev/null &
		pids+=($!)
	done
	wait "${pids[@]}"
	log_since | grep -q "$1"
}
# What the stack has kept of a flood is sent without anything new that comes.
backlog() { tc -s qdisc show dev "$NETIF" | awk '/backlog/ { n += $3 } END { print n + 0 }'; }
all_sent() { wait_for 5 eval '[ $(backlog) = 0 ]' || bad "$(backlog) packets wait in the qdiscs"; }
# What the log may have from here on.
provoked='PM: suspend debug'
# Queue 1 (output.0) is reset behind the driver's back (queue_select, queue_reset), so the device doesn't look at it any more.
begin
name="transmit timeout of one queue: it is reset, and no other"
if ! ours; then
	skip "$name" "the driver $DRV only counts it"
elif ! grep -q iomem=relaxed /proc/cmdline || [ "$(devmem $register 8 2>/dev/null)" != 0x0F ]; then
	skip "$name" "the device's status can't be read (iomem=relaxed)"
elif ! negotiated 40; then
	skip "$name" "the device can't reset single queues"
else
	while IFS= read -r l; do bad "$l"; done < <(log_problems | grep -vE "$provoked")
	provoked+='|NETDEV WATCHDOG'
	devmem $((common + 22)) 16 1
	devmem $((common + 58)) 16 1
	wait_for 60 flood "output.0: stuck; resetting the queue" || bad "the driver doesn't notice: $(log_since | tail -2)"
	all_sent
	wait_for 30 taskset -c 0 ping -q -c 1 -W 1 "$PEER" >/dev/null || bad "no answer to ping on that queue"
	log_since | grep -E 'resetting the device|reset failed' && bad "the device was reset"
	check
	verdict "$name"
fi

begin
if ! ours; then
	skip "transmit timeout" "the driver $DRV only counts it"
elif ! grep -q iomem=relaxed /proc/cmdline; then
	skip "transmit timeout" "the device's status can't be read (iomem=relaxed)"
else
	# A queue that is stuck before has not been made to be.
	while IFS= read -r l; do bad "$l"; done < <(log_problems | grep -vE "$provoked")
	[ "$(devmem $register 8)" = 0x0F ] || bad "the device's status is $(devmem $register 8 2>&1) before"
	devmem $register 8 11
	wait_for 60 flood "stuck; resetting the device" ||
		bad "the driver doesn't notice: $(log_since | tail -2)"
	all_sent
	wait_for 20 reach || bad "no answer to ping afterwards"
	[ "$(devmem $register 8)" = 0x0F ] || bad "the device's status is $(devmem $register 8)"
	check
	verdict "transmit timeout"
fi

begin
while IFS= read -r l; do bad "$l"; done < <(log_problems | grep -vE 'PM: suspend debug|NETDEV WATCHDOG')
verdict "the kernel's log is clean"
finish
