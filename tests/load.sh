#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The module comes and goes, and so does its binding to the device, 50 times in all, half of them under traffic; each time
# the interface is back and usable. Also: what modinfo and sysfs show of it.
. "$(dirname "$0")/lib.sh"

LOADS=${LOADS:-10} BINDS=${BINDS:-40}
ours || skip_all "the driver is $DRV, not virtio_net_mq"
bind=/sys/bus/virtio/drivers/$DRV
params=/sys/module/virtio_net_mq/parameters
plan 8
at_exit configure
at_exit '[ -e $bind ] || insmod $KO $PARAMS; [ -e $bind/$VDEV ] || echo $VDEV >$bind/bind'

begin
for p in queue_pairs ctrl_timeout_ms; do
	[[ $(cat $params/$p) =~ ^[0-9]+$ ]] || bad "$params/$p: $(cat $params/$p 2>&1)"
done
verdict "parameters can be read"

if [ "${KO:-}" ]; then
	begin
	[ "$(modinfo -F alias "$KO")" = "virtio:d00000001v*" ] || bad "aliases: $(modinfo -F alias "$KO")"
	[ "$(modinfo -F license "$KO")" = GPL ] || bad "license: $(modinfo -F license "$KO")"
	for f in version author description vermagic name; do
		[ "$(modinfo -F $f "$KO")" ] || bad "no $f"
	done
	for p in queue_pairs ctrl_timeout_ms napi_weight csum gso napi_tx; do
		modinfo -F parm "$KO" | grep -q "^$p:" || bad "parameter $p is not described"
	done
	verdict "modinfo tells alias, version, license, author and parameters"
else
	skip "modinfo tells alias, version, license, author and parameters" "KO is not set"
fi

# Something under way while the driver goes: a flood of pings and a stream of TCP each way.
traffic() {
	ping -q -f -w 60 "$PEER" >/dev/null 2>&1 &
	T1=$!
	timeout 60 iperf3 -c "$PEER" -p 5203 --bidir -t 50 -i 0 --connect-timeout 3000 >/dev/null 2>&1 &
	T2=$!
}
no_traffic() {
	kill $T1 $T2 2>/dev/null
	wait $T1 $T2 2>/dev/null
	T1='' T2=''
}

gone() { [ ! -e "/sys/bus/virtio/devices/$VDEV/driver" ]; }
rebind() {
	echo "$VDEV" >$bind/unbind || bad "turn $1: unbind failed"
	gone || bad "turn $1: still bound"
	[ -e "/sys/bus/virtio/devices/$VDEV/net" ] && bad "turn $1: the interface is still there"
	echo "$VDEV" >$bind/bind || bad "turn $1: bind failed"
	configure || bad "turn $1: the interface isn't back"
}
reload() {
	# A process that still has /sys or a socket open may hold the module for a moment.
	wait_for 10 rmmod virtio_net_mq 2>/dev/null || { bad "turn $1: $(rmmod virtio_net_mq 2>&1)"; return; }
	[ -e /sys/module/virtio_net_mq ] && bad "turn $1: the module is still there"
	# shellcheck disable=SC2086
	insmod "$KO" ${PARAMS:-} || { bad "turn $1: insmod failed"; return; }
	configure || bad "turn $1: the interface isn't back"
}

mark_log
pairs0=$(pairs) mac0=$(mac)

begin
for ((i = 1; i <= BINDS / 2; i++)); do rebind $i; done
reach || bad "no answer to ping"
verdict "unbound and bound $((BINDS / 2)) times"

begin
for ((i = 1; i <= BINDS / 2; i++)); do
	# The stream ends with the address; begin another now and then.
	((i % 5 == 1)) && { no_traffic; reach || bad "turn $i: no answer to ping"; traffic; sleep 1; }
	rebind $i
done
no_traffic
reach || bad "no answer to ping"
verdict "unbound and bound $((BINDS / 2)) times under traffic"

if [ -z "${KO:-}" ]; then
	skip "unloaded and loaded" "KO is not set"
	skip "unloaded and loaded under traffic" "KO is not set"
else
	begin
	for ((i = 1; i <= LOADS / 2; i++)); do reload $i; done
	reach || bad "no answer to ping"
	verdict "unloaded and loaded $((LOADS / 2)) times"

	begin
	for ((i = 1; i <= LOADS / 2; i++)); do
		((i % 2 == 1)) && { no_traffic; reach || bad "turn $i: no answer to ping"; traffic; sleep 1; }
		reload $i
	done
	no_traffic
	reach || bad "no answer to ping"
	verdict "unloaded and loaded $((LOADS / 2)) times under traffic"
fi

begin
[ "$(pairs)" = "$pairs0" ] || bad "there were $pairs0 pairs, now $(pairs)"
[ "$(mac)" = "$mac0" ] || bad "the address was $mac0, is $(mac)"
reach || bad "no answer to ping"
reach6 || bad "no answer to ping over IPv6"
verdict "works as before at the end"

begin
while IFS= read -r l; do bad "$l"; done < <(log_problems)
verdict "the kernel's log is clean"
finish
