#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tests of xdp-tools (Debian's xdp-tests), which make pairs of virtual interfaces: in place of one of the pairs they get the card
# and the peer's.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"
. "$HERE/xdp/second.sh"

SUITE=/usr/libexec/xdp-tools
[ -e $SUITE/test_runner.sh ] || skip_all "there is no $SUITE"
rm -rf "$PINNED"
mark_log
second_card || skip_all "there is no second card"
ip link set "$SECOND" xdp off

# In front of the real programs. The pair whose name PAIR matches is the cards'; what takes it away gives them back. What these can't
# do, and tools that only tests want which don't run here, are none of the matter.
SHIM=$WORK/shim
mkdir "$SHIM"
cat >"$SHIM/ip" <<'END'
#!/bin/bash
real=/usr/bin/ip
here() { nsenter -t 1 -n $real link set "$1" down && nsenter -t 1 -n $real link set "$1" netns $$ && $real link set "$1" name "$2"; }
case "$*" in
"link add dev "*" type veth peer name "*)
	if [[ $4 =~ $PAIR ]] && [ ! -e "$SHIM/used" ]; then
		here "$CARD" "$4" && here "$OTHER" "${!#}" && echo "$4" >"$SHIM/used"
		exit
	fi
	;;
"link del dev "*)
	if [ "$4" = "$(cat "$SHIM/used" 2>/dev/null)" ]; then
		$real link set "$4" down
		$real link set "$4" name "$CARD"
		$real link set "$CARD" netns 1
		for dev in btest1; do $real link set $dev down 2>/dev/null && $real link set $dev name "$OTHER" && $real link set "$OTHER" netns 1; done
		rm "$SHIM/used"
		exit 0
	fi
	;;
esac
exec $real "$@"
END
cat >"$SHIM/ethtool" <<'END'
#!/bin/bash
/usr/bin/ethtool "$@" || [ "$1" = -K ]
END
printf '#!/bin/sh\nexec /usr/bin/tcpdump -Z root "$@"\n' >"$SHIM/tcpdump"
for tool in capinfos tshark ndisc6 arping; do
	have $tool || printf '#!/bin/sh\nexit 1\n' >"$SHIM/$tool"
done
chmod +x "$SHIM"/*

# suite NAME PAIR TESTS…
suite() {
	local name=$1 pair=$2
	shift 2
	begin
	PATH=$SHIM:$PATH SHIM=$SHIM PAIR=$pair CARD=$NETIF OTHER=$SECOND timeout $((300 * SLOW)) \
		$SUITE/test_runner.sh $SUITE/tests/"$name"/test-"$name".sh "$@" >"$WORK/suite" 2>&1
	grep -qE ' PASS$' "$WORK/suite" || bad "nothing passes: $(tail -3 "$WORK/suite" | tr '\n' ';')"
	while IFS= read -r line; do bad "$line"; done < <(grep -E '(FAIL|INVALID)$' "$WORK/suite")
	[ ${#_bad[@]} = 0 ] || note "$(grep -vE 'libxdp|libbpf' "$WORK/suite" | tail -40)"
	note "$name: $(grep -c ' PASS$' "$WORK/suite") of $#, skipped: $(grep -c 'SKIPPED$' "$WORK/suite")"
	# They come back with the namespaces that go.
	wait_for 20 eval 'command ip link show "$NETIF" >/dev/null 2>&1 || give_back' || bad "the card is gone"
	wait_for 20 eval 'command ip link show "$SECOND" >/dev/null 2>&1 || give_back' || bad "the other card is gone"
	rm -f "$SHIM/used"
	[ -z "$(attached)" ] || { bad "a program is left"; detach; }
	nothing_said
	verdict "$name: $*"
}
# Under whatever name.
give_back() {
	local dev
	dev=$(_by_mac 52:54:00:12:34:57) && [ "$dev" != "$SECOND" ] && ip link set "$dev" down && ip link set "$dev" name "$SECOND"
	dev=$(_by_mac "$DUT_MAC") && [ "$dev" != "$NETIF" ] && ip link set "$dev" down && ip link set "$dev" name "$NETIF"
	return 1
}
DUT_MAC=$(mac)
plan 8
NS='^xdptest-' BTEST='^btest0$'
suite xdp-loader "$NS"
suite xdp-bench "$NS" test_drop test_pass test_tx test_rxq_stats
suite xdp-bench "$BTEST" test_redirect test_redirect_cpu test_redirect_map test_redirect_map_egress test_xsk_drop test_xsk_tx
suite xdp-trafficgen "$NS" test_udp test_tcp
suite xdp-trafficgen "$BTEST" test_xsk_udp
suite xdp-forward "$NS" test_ping test_load test_fwd_full test_fwd_direct
suite xdp-filter "$NS" test_load test_print test_output_remove test_ports_allow test_ports_deny test_ipv4_allow test_ipv4_deny
begin
configure
reach || bad "no answer to ping"
nothing_said
verdict "everything is as it was"
finish
