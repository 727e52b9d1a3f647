#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The programs of xdp-tools: xdp-bench drops, passes, sends back and redirects what comes in, xdp-trafficgen sends, xdp-loader shows
# what the driver can, xdp-filter filters.
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

have xdp-bench || skip_all "there is no xdp-bench"
MANY=${MANY:-1000}
mark_log
plan 8
reach

# What xdp-bench and xdp-trafficgen load goes by the kernel's own types. xdp-loader and xdp-filter do without.
NO_BTF=
[ -e /sys/kernel/btf/vmlinux ] || NO_BTF="this kernel doesn't describe its types (BTF)"

# bench ARGUMENTS: starts xdp-bench on the interface; returns once its program is there.
bench() {
	xdp-bench "$@" >"$WORK/bench" 2>&1 &
	BENCH=$!
	wait_for 20 eval '[ "$(attached)" ] || ! kill -0 $BENCH 2>/dev/null'
	[ "$(attached)" ] || bad "xdp-bench $1: $(tail -2 "$WORK/bench")"
}
bench_end() {
	kill -INT $BENCH 2>/dev/null
	wait_for 10 eval '! kill -0 $BENCH 2>/dev/null' || { kill -KILL $BENCH; bad "it doesn't end"; }
	wait $BENCH 2>/dev/null
	[ -z "$(attached)" ] || { bad "its program is left"; detach; }
}

begin
xdp-loader features "$NETIF" >"$WORK/features" 2>&1 || bad "$(cat "$WORK/features")"
for f in NETDEV_XDP_ACT_BASIC NETDEV_XDP_ACT_REDIRECT; do
	grep -qE "$f:[[:space:]]*yes" "$WORK/features" || bad "$f: $(grep $f "$WORK/features")"
done
ours && { grep -qE 'NETDEV_XDP_ACT_NDO_XMIT:[[:space:]]*yes' "$WORK/features" || bad "no NDO_XMIT without a program"; }
note "$(grep -oE 'ACT_[A-Z_]+:[[:space:]]*yes' "$WORK/features" | tr '\n' ' ')"
verdict "xdp-loader features"

watch_stack
for what in drop pass tx redirect; do
	begin
	if [ "$NO_BTF" ]; then
		skip "xdp-bench $what" "$NO_BTF"
		continue
	fi
	args=("$NETIF") back=
	case $what in
	redirect) args=("$NETIF" "$NETIF") back=back=$MANY ;;
	tx) back=back=$MANY ;;
	esac
	bench $what "${args[@]}"
	# shellcheck disable=SC2086  # nothing, perhaps
	frames "$MANY" 60 $back
	case $what in
	drop) all_of "in the stack" "${COUNT[seen]}" 0 ;;
	pass) all_of "in the stack" "${COUNT[seen]}" "$MANY" ;;
	*) all_of "came back" "${GOT[back]}" "$MANY" ;;
	esac
	bench_end
	reach || bad "no answer to ping"
	nothing_said
	verdict "xdp-bench $what"
done

begin
if [ "$NO_BTF" ]; then
	skip "xdp-bench redirect-cpu" "$NO_BTF"
elif [ "$(nproc)" -gt 1 ]; then
	bench redirect-cpu -c 1 "$NETIF"
	reach || bad "no answer to ping by way of another CPU"
	frames "$MANY" 60
	wait_for 5 eval 'counts; [ ${COUNT[seen]} = "$MANY" ]' || bad "${COUNT[seen]} of $MANY in the stack"
	bench_end
	nothing_said
	verdict "xdp-bench redirect-cpu"
else
	skip "xdp-bench redirect-cpu" "one CPU"
fi

begin
if [ "$NO_BTF" ]; then
	skip "xdp-trafficgen" "$NO_BTF"
else
	# The in-tree driver sends only where there is a program.
	ours || attach pass
	before=$(hostctl host run="cat /proc/net/dev" | awk -v t="$TAP:" '$1 == t { print $3 }') full=$(stat_sum 'tx[0-9]+_xdp_tx_drops')
	xdp-trafficgen udp -n 2000 -m "$(cat /sys/class/net/"$NETIF"/address)" -M 02:76:6e:6d:00:02 "$NETIF" >"$WORK/gen" 2>&1
	sleep 0.5
	after=$(hostctl host run="cat /proc/net/dev" | awk -v t="$TAP:" '$1 == t { print $3 }')
	# It is faster than the device may be: what the ring has no room for is dropped, but counted.
	full=$(($(stat_sum 'tx[0-9]+_xdp_tx_drops') - full))
	[ $((after - before)) -ge 100 ] && [ $((after - before + full)) -ge 2000 ] ||
		bad "$((after - before)) of 2000 sent, $full counted as dropped: $(tail -2 "$WORK/gen")"
	detach
	reach || bad "no answer to ping"
	nothing_said
	verdict "xdp-trafficgen"
fi

begin
xdp-filter load -f udp -m native "$NETIF" >"$WORK/filter" 2>&1 || bad "$(tail -2 "$WORK/filter")"
xdp-filter port -m dst -p udp 7200 >>"$WORK/filter" 2>&1 || bad "$(tail -2 "$WORK/filter")"
frames 300 100
all_of "in the stack" "${COUNT[seen]}" 0
reach || bad "no answer to ping"
frames 300 100 port=7201
xdp-filter unload "$NETIF" >>"$WORK/filter" 2>&1 || bad "$(tail -2 "$WORK/filter")"
frames 300 100
all_of "in the stack without it" "${COUNT[seen]}" 300
nothing_said
verdict "xdp-filter"
finish
