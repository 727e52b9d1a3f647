#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Threaded NAPI goes on and off with queues that are not in use, and with the interface down. The core waits for ever, with
# the device locked, if a NAPI instance that it can find is disabled: so each write has a limit.
. "$(dirname "$0")/lib.sh"

knob=/sys/class/net/$NETIF/threaded
ours || skip_all "the driver is $DRV, not virtio_net_mq"
[ -e "$knob" ] || skip_all "this kernel has no threaded NAPI"
plan 4
n0=$(pairs)
at_exit configure
at_exit 'set_pairs $n0'
threaded() {
	timeout 20 bash -c "echo $1 >$knob" || bad "$2: writing $1 failed or didn't end"
	[ "$(cat "$knob")" = "$1" ] || bad "$2: wrote $1, reads $(cat "$knob")"
}

begin
for n in 1 $(max_pairs); do
	set_pairs "$n"
	for t in 1 0; do
		threaded $t "$n pairs"
		reach || bad "$n pairs, threaded $t: no answer to ping"
	done
done
verdict "on and off with fewer and with all pairs"

begin
set_pairs 1
threaded 1 "1 pair"
set_pairs "$(max_pairs)"
reach || bad "no answer to ping"
threaded 0 "grown"
verdict "on, more pairs, off"

begin
ip link set "$NETIF" down
# There is no NAPI instance then: it may be refused, but not wait.
for t in 1 0; do
	timeout 20 bash -c "echo $t >$knob" 2>/dev/null
	[ $? != 124 ] || bad "down: writing $t didn't end"
done
configure && reach || bad "no answer to ping"
verdict "nothing waits while the interface is down"

# The knob takes another lock than up and down do.
begin
(
	for ((i = 0; i < 40; i++)); do
		ip link set "$NETIF" down
		ip link set "$NETIF" up
	done
	touch "$WORK/done"
) &
(while [ ! -e "$WORK/done" ]; do echo 1 >"$knob"; echo 0 >"$knob"; done) 2>/dev/null &
if wait_for 60 [ -e "$WORK/done" ]; then
	wait
	echo 0 >"$knob"
	configure && reach || bad "no answer to ping"
else
	bad "the interface can't be taken down or up any more"
fi
verdict "on and off while the interface goes down and up"
finish
