#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The in-tree driver's module parameters: each of them is accepted with any value that it may have there, is shown in sysfs
# with the same rights, and does what it says. The module is loaded anew for each.
. "$(dirname "$0")/lib.sh"

ours || skip_all "this is $DRV"
[ "${KO:-}" ] || skip_all "KO is not set"
first_params=${PARAMS:-}
dir=/sys/module/virtio_net_mq/parameters
tracing=/sys/kernel/tracing
mountpoint -q $tracing || mount -t tracefs tracefs $tracing 2>/dev/null

load() {
	if [ -d /sys/module/virtio_net_mq ]; then
		wait_for 10 rmmod virtio_net_mq 2>/dev/null || { bad "$*: the module can't be unloaded"; return 1; }
	fi
	insmod "$KO" "$@" 2>"$WORK/err" || { bad "insmod $*: $(cat "$WORK/err")"; return 1; }
	offered=$(cat "/sys/class/net/$NETIF/queues/rx-0/virtio_net/mergeable_rx_buffer_size" 2>&1)
	configure || { bad "$*: the interface doesn't come up"; return 1; }
	reach || bad "$*: no answer to ping"
}
at_exit 'load $first_params'
plan 7

begin
for p in napi_weight:444 csum:444 gso:444 napi_tx:644 queue_pairs:444 ctrl_timeout_ms:644; do
	mode=$(command stat -c %a "$dir/${p%:*}" 2>&1)
	[ "$mode" = "${p#*:}" ] || bad "$p: $mode"
done
verdict "sysfs shows them, with the in-tree driver's rights"

# What is on at first: checksums, and segmentation. All of it can be switched on later, if the device has it.
flags() { echo "$(feature tx-checksum-ip-generic) $(feature tx-scatter-gather) $(feature tx-tcp-segmentation) $(feature tx-udp-segmentation)"; }
all=$(flags)
if [ "$all" != "on on on on" ]; then
	skip "csum=0" "flags are $all"
	skip "gso=0" "flags are $all"
else
	begin
	load csum=0
	[ "$(flags)" = "off off off off" ] || [[ $(flags) == "off off off"* ]] || bad "flags are $(flags)"
	ethtool -K "$NETIF" tx on sg on tso on tx-udp-segmentation on || bad "they can't be switched on"
	[ "$(flags)" = "on on on on" ] || bad "switched on, they are $(flags)"
	reach || bad "no answer to ping"
	verdict "csum=0"
	begin
	load gso=0
	[[ $(flags) == "on on off off"* ]] || bad "flags are $(flags)"
	ethtool -K "$NETIF" tso on tx-udp-segmentation on || bad "they can't be switched on"
	[ "$(flags)" = "on on on on" ] || bad "switched on, they are $(flags)"
	verdict "gso=0"
fi

begin
load napi_tx=0 csum=Y gso=1
iperf_start -t 1 -P 2
iperf_ok || bad "iperf3: $(iperf_last)"
[ "$(cat $dir/napi_tx)" = N ] || bad "napi_tx is $(cat $dir/napi_tx)"
echo 1 >$dir/napi_tx || bad "it can't be changed"
[ "$(cat $dir/napi_tx)" = Y ] || bad "napi_tx is $(cat $dir/napi_tx) after writing 1"
# The stack's own view: the interrupt of a TX queue schedules a NAPI instance, whatever was asked for.
[ "$(stat_sum 'tx[0-9]+_packets')" -gt 0 ] || bad "no packet was reaped"
verdict "napi_tx=0 is accepted, packets are sent"

# The first buffers are posted as the interface comes up.
begin
if negotiated 15; then
	[[ $offered =~ ^[0-9]+$ ]] && [ "$offered" -ge 1518 ] && [ "$offered" -le "$(page_size)" ] || bad "it was '$offered'"
	verdict "mergeable_rx_buffer_size is shown before the interface was up"
else
	skip "mergeable_rx_buffer_size is shown before the interface was up" "no mergeable buffers"
fi

# The budget that polls get, as the stack traces it.
budgets() {
	echo >$tracing/trace
	echo 1 >$tracing/events/napi/napi_poll/enable
	ping -q -c 20 -i 0.01 "$PEER" >/dev/null
	echo 0 >$tracing/events/napi/napi_poll/enable
	grep "for device $NETIF" $tracing/trace | sed -E 's/.*budget //' | sort -nu | tr '\n' ' '
}
# The most packets that the stack has got from one poll, of bursts.
most_at_once() {
	local e
	echo >$tracing/trace
	for e in napi/napi_poll net/napi_gro_receive_entry; do echo 1 >$tracing/events/$e/enable; done
	for _ in 1 2 3; do hostctl -t 60 host run="ping -q -c 100 -l 100 -W 5 $DUT_IP" >/dev/null; done
	for e in napi/napi_poll net/napi_gro_receive_entry; do echo 0 >$tracing/events/$e/enable; done
	awk -v dev="$NETIF" '{ match($0, /\[[0-9]+\]/); cpu = substr($0, RSTART, RLENGTH) }
		/ napi_gro_receive_entry: / && index($0, "dev=" dev " ") { n[cpu]++ }
		/ napi_poll: / && index($0, "for device " dev " ") { if (n[cpu] > most) most = n[cpu]; n[cpu] = 0 }
		END { print most + 0 }' $tracing/trace
}
begin
if [ ! -e $tracing/events/napi/napi_poll/enable ]; then
	skip "napi_weight" "there is no trace of napi_poll"
else
	for w in 8 64; do
		load napi_weight=$w
		got=$(budgets)
		[ "$got" = "$w " ] || bad "napi_weight=$w: budgets $got"
		have_hostctl || continue
		got=$(most_at_once)
		[ "$got" -gt 0 ] && [ "$got" -le $w ] || bad "napi_weight=$w: a poll took $got packets"
		note "napi_weight=$w: polls took up to $got packets"
	done
	# What can't be is made the nearest that can.
	for w in 0:1 -3:1 1000:64; do
		load "napi_weight=${w%:*}"
		got=$(budgets)
		[ "$got" = "${w#*:} " ] || bad "napi_weight=${w%:*}: budgets $got"
	done
	verdict "napi_weight"
fi

begin
load csum=0 gso=0 napi_tx=0 napi_weight=16
iperf_start -t 1 -P 2
iperf_ok || bad "iperf3: $(iperf_last)"
iperf_start -t 1 -P 2 -R
iperf_ok || bad "iperf3 -R: $(iperf_last)"
verdict "all of them at once"
finish
