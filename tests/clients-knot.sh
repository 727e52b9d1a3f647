#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Knot DNS answers by AF_XDP on the card, and its kxdpgun asks by AF_XDP through it: with both on either side, each question has its
# answer.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

have knotd && have kxdpgun || skip_all "there is no knotd or kxdpgun"
[ "$PEER_NS" ] || skip_all "there is no peer"
mark_log
plan 3
reach
rm -rf "$PINNED"
KNOT=$WORK/knot
mkdir -p "$KNOT"
cat >"$KNOT/example.test.zone" <<'END'
$ORIGIN example.test.
$TTL 3600
@ SOA ns hostmaster 1 3600 600 86400 3600
@ NS ns
ns A 192.0.2.2
END
for ((i = 0; i < 50; i++)); do echo "n$i A 192.0.2.$i"; done >>"$KNOT/example.test.zone"
for ((i = 0; i < 50; i++)); do echo "n$i.example.test A"; done >"$KNOT/queries"

# knot_config LISTEN [XDP-INTERFACE]
knot_config() {
	cat <<-END
		server:
		    rundir: $KNOT
		    listen: $1
		    user: root
		    udp-workers: 2
		    tcp-workers: 1
		    background-workers: 1
		${2:+xdp:
		    listen: $2@53}
		database:
		    storage: $KNOT/db
		log:
		  - target: stderr
		    any: info
		zone:
		  - domain: example.test
		    file: $KNOT/example.test.zone
	END
}
# serve COMMAND-IN-FRONT LISTEN [XDP-INTERFACE]
serve() {
	knot_config "$2" "$3" >"$KNOT/conf"
	# shellcheck disable=SC2086  # several words, or none
	$1 knotd -c "$KNOT/conf" >"$KNOT/log" 2>&1 &
	SERVER=$!
	wait_for 60 eval 'grep -q "server started" "$KNOT/log" || ! kill -0 $SERVER 2>/dev/null'
	kill -0 $SERVER 2>/dev/null || bad "knotd doesn't start: $(tail -4 "$KNOT/log" | tr '\n' ';')"
}
stop_serving() {
	kill -TERM $SERVER 2>/dev/null
	wait_for 30 eval '! kill -0 $SERVER 2>/dev/null' || { bad "knotd doesn't end"; kill -KILL $SERVER; }
	wait $SERVER 2>/dev/null
}
# asks COMMAND-IN-FRONT ADDRESS OPTIONS: what kxdpgun has to say of its questions.
asks() {
	local before=$1 to=$2 asked answered
	shift 2
	# shellcheck disable=SC2086  # several words, or none
	timeout 90 $before kxdpgun -t 4 -Q 300 -b 1 -i "$KNOT/queries" "$@" "$to" >"$KNOT/gun" 2>&1 || bad "kxdpgun: $(tail -3 "$KNOT/gun" | tr '\n' ';')"
	asked=$(sed -nE 's/^total queries: +([0-9]+).*/\1/p' "$KNOT/gun")
	answered=$(sed -nE 's/^total replies: +([0-9]+).*/\1/p' "$KNOT/gun")
	note "$(grep -E '^(total|average|duration)' "$KNOT/gun" | tr -s ' \n' ' ;')"
	[ "${asked:-0}" -ge 500 ] || bad "only ${asked:-no} questions: $(tail -3 "$KNOT/gun" | tr '\n' ';')"
	# What is asked last may be answered after it has stopped listening.
	[ "${answered:-0}" -ge $((${asked:-0} * 97 / 100)) ] || bad "${answered:-0} of ${asked:-0} are answered"
	grep -qE 'NOERROR: +[1-9]' "$KNOT/gun" || bad "$(grep -i 'response' "$KNOT/gun")"
}
in_peer="ip netns exec $PEER_NS"
# Addresses are known, as kxdpgun asks for none.
$in_peer ping -q -c 1 "$DUT_IP" >/dev/null
ping -q -c 1 "$PEER_NS_IP" >/dev/null

begin
serve "" "127.0.0.1@5353" "$NETIF"
note "$(grep -i xdp "$KNOT/log" | head -4 | tr '\n' ';')"
asks "$in_peer" "$DUT_IP"
reach || bad "no answer to ping meanwhile"
stop_serving
# They leave their programs.
detach
ip -n "$PEER_NS" link set eth0 xdp off
nothing_said
verdict "knotd answers by the card"

begin
serve "$in_peer" "$PEER_NS_IP@53"
asks "" "$PEER_NS_IP" -I "$NETIF"
stop_serving
# They leave their programs.
detach
ip -n "$PEER_NS" link set eth0 xdp off
nothing_said
verdict "kxdpgun asks through the card"

begin
configure
reach || bad "no answer to ping"
if have_peer_service; then out=$(download 1000000 $RANDOM) || bad "$out"; fi
nothing_said
verdict "everything is as it was"
finish
