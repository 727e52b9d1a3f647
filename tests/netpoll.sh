#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The kernel's messages go out through netpoll (netconsole): from whatever context they come, with interrupts off and a NAPI
# budget of 0; alone, with the rings full of other traffic, and while the number of pairs changes.
. "$(dirname "$0")/lib.sh"

[ "$PEER_NS" ] || skip_all "there is no second NIC in a namespace to receive the messages"
have socat || skip_all "socat is missing"
have_netconsole || skip_all "this kernel has no netconsole that takes targets at run time"
LINES_SENT=200
plan 4
mark_log

in_ns() { ip netns exec "$PEER_NS" "$@"; }
reach "$PEER_NS_IP" || skip_all "no answer from the second NIC"

in_ns socat -u "UDP-RECV:6666,rcvbuf=4194304" "OPEN:$WORK/lines,creat,append" &
at_exit "kill $!"
listening() { in_ns ss -lun | grep -q :6666; }
wait_for 10 listening || skip_all "nobody listens on the second NIC"

netconsole_to "$PEER_NS_IP"

# messages NAME: sends numbered ones and waits for them. netpoll itself may give a packet up that a full ring doesn't take.
messages() {
	local i
	for ((i = 0; i < LINES_SENT; i++)); do echo "<4>netpoll $1 $i" >/dev/kmsg; done
	all() { [ "$(got "$1")" = $LINES_SENT ]; }
	wait_for 10 all "$1"
}
got() { grep -o "netpoll $1 [0-9]*" "$WORK/lines" | sort -u | wc -l; }

begin
messages idle || bad "$(got idle) of $LINES_SENT messages arrived"
verdict "messages arrive"

begin
iperf_start -t 8 -P 4
sleep 1
messages busy || [ "$(got busy)" -ge $((LINES_SENT / 2)) ] || bad "$(got busy) of $LINES_SENT messages arrived"
note "with full rings $(got busy) of $LINES_SENT messages arrived"
iperf_ok || bad "iperf3: $(iperf_last)"
verdict "messages arrive beside other traffic"

begin
first=$(pairs)
at_exit 'set_pairs $first'
(for n in 1 "$(max_pairs)" 1 "$(max_pairs)" 1 "$(max_pairs)"; do set_pairs "$n" || exit 1; done) & changes=$!
messages changing || [ "$(got changing)" -ge $((LINES_SENT / 2)) ] || bad "$(got changing) of $LINES_SENT messages arrived"
wait $changes || bad "a number of pairs was refused"
messages changed || bad "afterwards $(got changed) of $LINES_SENT messages arrived"
reach || bad "no answer to ping"
verdict "messages arrive while the number of pairs changes"

begin
log_problems >"$WORK/splat"
[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
verdict "the kernel has nothing to complain of"
finish
