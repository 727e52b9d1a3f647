#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs come, are exchanged and go while packets come in: each packet is judged by a program or reaches the stack, none is
# lost. The in-tree driver stops its queues for that, and loses some: how many is said. (ROUNDS in the environment.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

ours && ROUNDS=${ROUNDS:-340} || ROUNDS=${ROUNDS:-100}
mark_log
plan 4
reach
watch_stack

# under_flow FILE WHAT [lost]: has `ip` carry out the lines of a file while frames come in, and counts those. Sets LOST, which is of
# use if a program that takes a packet keeps it from the stack.
under_flow() {
	local pid sent=0 tap=0 seen=0 judged=0 rounds=0 from to
	# It keeps the descriptor of each program that it attached until it ends.
	(ulimit -n 16384 && exec ip -force -batch "$1") >"$WORK/batch" 2>&1 &
	pid=$!
	from=$EPOCHREALTIME
	while :; do
		frames 1500 60
		sent=$((sent + GOT[sent])) tap=$((tap + GOT[lost])) seen=$((seen + COUNT[seen])) judged=$((judged + COUNT[judged])) rounds=$((rounds + 1))
		kill -0 $pid 2>/dev/null || break
	done
	to=$EPOCHREALTIME
	wait $pid || bad "$(grep -v '^Command failed' "$WORK/batch" | sort | uniq -c | head -3)"
	LOST=$((sent - tap - seen - judged))
	note "$2: $(wc -l <"$1") changes in $(((${to/./} - ${from/./}) / 1000)) ms under $sent packets${3:+; lost: $LOST}"
	[ $((judged)) -gt 0 ] || bad "no program had anything to do"
}
line() { echo "link set dev $NETIF xdpdrv ${*:-off}"; }
program() { line pinned "$PINNED/progs/$1"; }

begin
for ((i = 0; i < ROUNDS; i++)); do program drop; program drop_too; line; done >"$WORK/all"
under_flow "$WORK/all" "attach, swap, detach" lost
! ours || [ "$LOST" = 0 ] || bad "$LOST packets are lost"
[ "$(attached)" ] && bad "a program is left"
nothing_said
verdict "attach, swap and detach lose nothing"

begin
attach drop || bad "$(said)"
for ((i = 0; i < ROUNDS * 3 / 2; i++)); do program drop_too; program drop; done >"$WORK/swaps"
under_flow "$WORK/swaps" "swap" lost
! ours || [ "$LOST" = 0 ] || bad "$LOST packets are lost"
frames 200 60
all_of judged "${COUNT[judged]}" 200
nothing_said
verdict "swapping loses nothing, and leaves no moment without a program"

# What the stack sent and what is redirected are on their way, too.
begin
put ports 0 "$(<"/sys/class/net/$NETIF/ifindex")"
for ((i = 0; i < ROUNDS / 4; i++)); do program tx; program to_self; line; program meta; done >"$WORK/mixed"
iperf_start -p 5203 -t 600 -R
under_flow "$WORK/mixed" "all verdicts in turn, beside TCP"
kill "$IPERF_PID" 2>/dev/null
attach pass || bad "$(said)"
detach || bad "$(said)"
reach || bad "no answer to ping"
if have_peer_service; then out=$(download 1000000 $RANDOM) || bad "$out"; fi
nothing_said
verdict "all verdicts in turn, beside TCP"

begin
pools_before=$(pools | wc -l)
for ((i = 0; i < 50; i++)); do attach drop && detach || { bad "$(said)"; break; }; done
[ "$(pools | wc -l)" = "$pools_before" ] || bad "$(pools | wc -l) page pools instead of $pools_before"
[ -z "$(lost_pools)" ] || bad "left: $(lost_pools | head -2)"
[ "$(bpftool -j prog show pinned "$PINNED/progs/drop" | grep -o '"id"' | wc -l)" = 1 ] || bad "the program is gone"
rm -rf "$PINNED"
# Whoever held the programs has let go of them.
held() { bpftool prog show | grep -E 'name (drop|tx|pass) '; }
wait_for 20 eval '! held >/dev/null' || bad "still there: $(held | head -2)"
nothing_said
verdict "no program and no page is left behind"
finish
