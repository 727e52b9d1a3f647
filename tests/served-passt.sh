#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# passt serves the card: it gives the address by DHCP, connections have the contents they should have, and pings and datagrams
# come back; it ends, is killed, and comes again.
. "$(dirname "$0")/lib.sh"

[[ $BACKEND == passt* ]] || skip_all "passt doesn't serve this card"
plan 6
mark_log
at_exit 'hostctl backend run=up'

# What the script of busybox's client is called with, as one line.
cat >"$WORK/lease" <<END
#!/bin/sh
[ "\$1" = bound ] && echo "\$ip/\$mask \$router" >"$WORK/leased"
exit 0
END
chmod +x "$WORK/lease"
begin
[ "$(max_pairs)" = 1 ] || bad "$(max_pairs) pairs"
busybox udhcpc -i "$NETIF" -n -q -f -t 10 -s "$WORK/lease" >"$WORK/dhcp" 2>&1 || bad "no lease: $(tail -1 "$WORK/dhcp")"
[ "$(cat "$WORK/leased" 2>/dev/null)" = "$DUT_IP/24 $PEER" ] || bad "the lease is: $(cat "$WORK/leased" 2>/dev/null)"
verdict "an address by DHCP"

begin
wait_for 20 all_pings -c 20 -i 0.05 -s 1400 "$PEER" || bad "pings are lost"
verdict "pings"

begin
sum=$(blob "$WORK/blob" 4000000)
out=$(upload "$WORK/blob" "$sum") || bad "$out"
out=$(download 4000000 7) || bad "$out"
for n in 1 61 150; do
	sum=$(blob "$WORK/small" $((n * 40)))
	out=$(BLOCK=$n upload "$WORK/small" "$sum") || bad "in pieces of $n bytes: $out"
done
verdict "contents each way"

begin
for args in "-P 2" "-R -P 2"; do
	# shellcheck disable=SC2086
	iperf_start $args -t 4
	iperf_ok || bad "iperf3 $args: $(iperf_last)"
	note "$args: $(iperf_last)"
done
echoed 6400 "UDP:$PEER:7099" || bad "datagrams don't come back"
verdict "TCP and UDP both ways"

# Connections are the process's own, and end with it.
begin
for how in quit kill; do
	iperf_start -t 20
	sleep 2
	hostctl backend run=$how || bad "$how: it doesn't end"
	wait_for 10 no_carrier || bad "$how: there still is a carrier"
	hostctl backend run=up || bad "$how: it doesn't come again"
	wait_for 60 carrier || bad "$how: no carrier with the new one"
	kill "$IPERF_PID" 2>/dev/null
	wait "$IPERF_PID" 2>/dev/null
	wait_for 30 download 400000 9 >"$WORK/out" || bad "$how: $(tail -1 "$WORK/out")"
done
verdict "another process takes over"

begin
[ "$(if_stat rx_errors)/$(if_stat tx_errors)" = 0/0 ] || bad "errors: RX $(if_stat rx_errors), TX $(if_stat tx_errors)"
log_since | grep -E "$DRV .*(stuck|reset)" >"$WORK/resets" && bad "$(head -1 "$WORK/resets")"
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "no errors, no resets, no complaint of the kernel"
finish
