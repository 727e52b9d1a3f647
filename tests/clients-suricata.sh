#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Suricata looks at what comes by AF_XDP, and raises the same alerts as from a capture of it.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

have suricata || skip_all "there is no suricata"
N=${N:-600}
mark_log
plan 3
reach
rm -rf "$PINNED"
rules() {
	echo 'alert udp any any -> any 7200 (msg:"a frame"; content:"vnm-frame"; sid:1; rev:1;)'
	echo 'alert udp any 5003 -> any any (msg:"of the fourth port"; content:"vnm-frame"; sid:2; rev:1;)'
}
# config DIRECTORY BIND-MODE BUSY-POLLING
config() {
	cat <<-END
		%YAML 1.1
		---
		default-log-dir: $1
		stats: {enabled: no}
		outputs:
		  - fast: {enabled: yes, filename: fast.log, append: no}
		logging:
		  default-log-level: notice
		  outputs: [{console: {enabled: yes}}]
		pcap-file: {checksum-checks: no}
		app-layer: {protocols: {}}
		unix-command: {enabled: no}
		af-xdp:
		  - interface: $NETIF
		    threads: auto
		    disable-promisc: false
		    force-xdp-mode: drv
		    force-bind-mode: $2
		    gro-flush-timeout: 2000000
		    napi-defer-hard-irq: 2
		    enable-busy-poll: $3
		    checksum-checks: no
	END
}
alerts() { echo "$(grep -c 'a frame' "$1") $(grep -c 'of the fourth port' "$1")"; }
# looks BIND-MODE BUSY-POLLING: the alerts of N frames, as Suricata sees them by the card.
looks() {
	config "$WORK" "$1" "$2" >"$WORK/suricata.yaml"
	rules >"$WORK/rules"
	: >"$WORK/out"
	suricata -c "$WORK/suricata.yaml" --af-xdp="$NETIF" -S "$WORK/rules" -l "$WORK" -k none --runmode workers >"$WORK/out" 2>&1 &
	S=$!
	wait_for 120 eval 'grep -qiE "engine started|threads created" "$WORK/out" || ! kill -0 $S 2>/dev/null'
	kill -0 $S 2>/dev/null || bad "it doesn't start: $(tail -4 "$WORK/out" | tr '\n' ';')"
	wait_for 20 eval '[ "$(attached)" ]' || bad "no program is attached: $(tail -4 "$WORK/out" | tr '\n' ';')"
	frames "$N" 100
	wait_for 20 eval '[ "$(grep -c "a frame" "$WORK/fast.log")" -ge "$N" ]'
	kill -INT $S 2>/dev/null
	wait_for 60 eval '! kill -0 $S 2>/dev/null' || { bad "it doesn't end"; kill -KILL $S; }
	wait $S 2>/dev/null
	ALERTS=$(alerts "$WORK/fast.log")
	[ -z "$(attached)" ] || { bad "a program is left"; detach; }
	rm -f "$WORK/fast.log"
}

# The same frames, captured at the host's tap and read by the host's Suricata. What it is given goes there as a line.
there=/tmp/suricata.$RANDOM
host() { hostctl -t 60 host run="$1"; }
config $there none no >"$WORK/yaml"
rules >"$WORK/rules"
host "mkdir $there; echo $(base64 -w0 "$WORK/yaml") | base64 -d >$there/yaml; echo $(base64 -w0 "$WORK/rules") | base64 -d >$there/rules
	tcpdump -Z root -U -i $TAP -w $there/pcap udp port 7200 >$there/tcpdump 2>&1 & echo \$! >$there/pid; sleep 2"
at_exit "host 'kill \$(cat $there/pid); rm -rf $there'"
frames "$N" 100
want=$(host "sleep 1; kill -INT \$(cat $there/pid); sleep 1
	suricata -c $there/yaml -r $there/pcap -S $there/rules -l $there -k none >$there/out 2>&1 || tail -3 $there/out
	echo \$(grep -c 'a frame' $there/fast.log) \$(grep -c 'of the fourth port' $there/fast.log)" | tail -1)
note "of a capture: $want"

for how in "zero copy:zero:no" "copy mode:copy:no" "busy polling:none:yes"; do
	IFS=: read -r name mode busy <<<"$how"
	begin
	if [ "$mode" = zero ] && [ "$ZC" != yes ]; then
		skip "suricata: $name" "this device has none"
		continue
	fi
	looks "$mode" "$busy"
	[ "${want%% *}" = "$N" ] || bad "of a capture: $want, not $N"
	[ "$ALERTS" = "$want" ] || bad "alerts: $ALERTS, of a capture $want"
	reach || bad "no answer to ping"
	nothing_said
	verdict "suricata: $name"
done
finish
