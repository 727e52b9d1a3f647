#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# packaging/report has what a bug report needs, and none of the addresses, names and keys of this machine or of others; it ends
# where a command doesn't, and prints nothing rather than a secret.
. "$(dirname "$0")/lib.sh"

REPORT=$HERE/../packaging/report
ours || skip_all "the driver is $DRV"
[ -x "$REPORT" ] || skip_all "packaging/report isn't beside the tests"
plan 7
reach

# With a name of its own, which nobody else sees.
named() { unshare --uts bash -c 'echo VnmSecretHost.example.org >/proc/sys/kernel/hostname; exec "$@"' sh "$@"; }
report() { named "$REPORT" "$@" >"$WORK/report" 2>"$WORK/err"; }
# The part below a heading or a command.
part() { awk -v from="$1" 'index($0, "== " from) == 1 || $0 == "$ " from { on = 1; next } /^(== |\$ )/ { on = 0 } on' "$WORK/report"; }

mark_log
say() { echo "virtio_net_mq $VDEV: planted $*" >/dev/kmsg; }
own=$(mac)
say "mac $own, ${own//:/-}, ${own//:/}, $(sed -E 's/(....)(....)(....)/\1.\2.\3/' <<<"${own//:/}"), other 52:54:00:AB:cd:ef."
say "four $DUT_IP/24 $DUT_IP:5201 (198.51.100.77) 203.0.113.9.80"
say "six $DUT_IP6/64 fe80::5054:ff:fe12:3456%$NETIF [2001:db8::abcd]:443 addr:2001:db8::99 ::ffff:198.51.100.77"
say "name vnmsecrethost VnmSecretHost.example.org vnmsecrethost.lan; somebody@mail.example.org"
say "key be:ac:01:fa:6a:42:b7:3b:80:30"
KEPT="0000:00:03.0 12:34:56 2026-11-24 7.2.12+deb14 core::cell a:b:c 0.0.0.0 127.0.0.1 ::1 ff:ff:ff:ff:ff:ff vnmsecrethost-2 notvnmsecrethost 999.1.1.1"
say "kept $KEPT end"
say "last"
ip link set "$NETIF" alias "the cupboard of Vera" 2>/dev/null
at_exit 'ip link set $NETIF alias ""'
ip link property add dev "$NETIF" altname "enx${own//:/}" 2>/dev/null
at_exit 'ip link property del dev $NETIF altname enx${own//:/}'

begin
report "$NETIF" || bad "status $?: $(cat "$WORK/err")"
[ ! -s "$WORK/err" ] || bad "it says: $(head -1 "$WORK/err")"
grep -qx "/proc/sys/kernel/tainted:$(cat /proc/sys/kernel/tainted)" "$WORK/report" || bad "it doesn't say how the kernel is tainted"
part "uname -srvm" | grep -qF "$(uname -r)" || bad "it lacks the kernel's version"
for o in -i -l -g -k -c -x -S; do
	[ "$(part "ethtool $o $NETIF" | grep -c .)" -ge 1 ] || bad "ethtool $o: nothing"
done
part "ethtool -i $NETIF" | grep -q '^driver: virtio_net_mq' || bad "ethtool -i: $(part "ethtool -i $NETIF" | head -1)"
part "ethtool -l $NETIF" | grep -q "^Combined:.*$(pairs)" || bad "ethtool -l: $(part "ethtool -l $NETIF" | tr '\n' ' ')"
part "ethtool -k $NETIF" | grep -q '^tx-checksumming:' || bad "ethtool -k has no checksums"
[ "$(part "ethtool -S $NETIF" | grep -cE '^ +[a-z0-9_]+: [0-9]+$')" = "$(ethtool -S "$NETIF" | grep -cE '^ +[a-z0-9_]+: [0-9]+$')" ] ||
	bad "ethtool -S has $(part "ethtool -S $NETIF" | grep -c :) lines"
version=$(cat /sys/module/virtio_net_mq/version)
part Module | grep -q "version:$version\$" || bad "it lacks the module's version, $version"
for p in /sys/module/virtio_net_mq/parameters/*; do
	part Module | grep -qxF "$p:$(cat "$p")" || bad "it lacks the parameter ${p##*/}"
done
part Module | grep -qxF "$VDEV: driver virtio_net_mq, interface $NETIF" || bad "it doesn't say who has $VDEV"
n=$(grep -cE "$VDEV(-|\\b)" /proc/interrupts)
[ "$(part "Interface $NETIF: queues" | grep -cE "[0-9]+: .*$VDEV")" = "$n" ] || bad "it hasn't the device's $n interrupts"
[ "$(part "Interface $NETIF: queues" | grep -c smp_affinity_list)" = "$n" ] || bad "it hasn't the affinity of $n interrupts"
if have_xps; then
	[ "$(part "Interface $NETIF: queues" | grep -c xps_cpus)" = "$(pairs)" ] || bad "it hasn't the XPS maps of $(pairs) queues"
fi
part "Kernel log" | grep -q 'virtio_net_mq .*planted last' || bad "the log lacks a line of the driver's"
verdict "it has what is needed"

begin
bits=$(cat "/sys/bus/virtio/devices/$VDEV/features")
awk '/^Features that/ { on = 1; next } on && !/^  / { exit } on' "$WORK/report" >"$WORK/features"
for ((i = 0; i < ${#bits}; i++)); do
	if [ "${bits:i:1}" = 1 ]; then grep -q "[A-Z0-9_a-z]* ($i)" "$WORK/features" || bad "bit $i is set and not told"
	else ! grep -q " ($i)" "$WORK/features" || bad "bit $i is told and not set"; fi
done
[ "${bits:32:1}" = 0 ] || grep -qw 'VERSION_1 (32)' "$WORK/features" || bad "bit 32 isn't called VERSION_1"
[ "${bits:17:1}" = 0 ] || grep -qw 'CTRL_VQ (17)' "$WORK/features" || bad "bit 17 isn't called CTRL_VQ"
! grep -q unknown "$WORK/features" || bad "bits without a name: $(grep -o 'unknown ([0-9]*)' "$WORK/features" | tr '\n' ' ')"
verdict "the features are those of the device, by name"

begin
grep -i 'vnmsecrethost' "$WORK/report" | grep -vq 'planted kept' && bad "the name is there: $(grep -i vnmsecrethost "$WORK/report" | grep -v 'planted kept' | head -1)"
for s in "$own" "${own//:/-}" "${own//:/}" 52:54:00:ab:cd:ef "$DUT_IP" "$PEER" "$DUT_IP6" fe80:: 2001:db8 198.51.100 203.0.113 be:ac:01 \
	mail.example.org cupboard; do
	! grep -qiF -e "$s" "$WORK/report" || bad "$s is there: $(grep -iF -e "$s" "$WORK/report" | head -1)"
done
ip -o addr show scope link dev "$NETIF" | awk '{ sub(/\/.*/, "", $4); print $4 }' | while read -r s; do
	! grep -qiF -e "$s" "$WORK/report" || echo "$s"
done | grep -q . && bad "a link-local address is there"
line() { sed -nE "s/.*planted $1 //p" "$WORK/report" | tail -1; }
# The same address has the same number in each of its forms.
[[ $(line mac) =~ ^(MAC-[0-9]+),\ (MAC-[0-9]+),\ (MAC-[0-9]+),\ (MAC-[0-9]+),\ other\ (MAC-[0-9]+)\.$ ]] || bad "mac: $(line mac)"
[ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[3]}" ] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[4]}" ] &&
	[ "${BASH_REMATCH[1]}" != "${BASH_REMATCH[5]}" ] || bad "mac: numbers are ${BASH_REMATCH[*]:1}"
part "ip -s -s -d link show dev $NETIF" | grep -q "link/ether ${BASH_REMATCH[1]:-none} brd ff:ff:ff:ff:ff:ff" || bad "ip: $(part "ip -s -s -d link show dev $NETIF" | sed -n 2p)"
[[ $(line four) =~ ^(IPV4-[0-9]+)/24\ (IPV4-[0-9]+):5201\ \((IPV4-[0-9]+)\)\ IPV4-[0-9]+\.80$ ]] || bad "four: $(line four)"
[ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ] && [ "${BASH_REMATCH[1]}" != "${BASH_REMATCH[3]}" ] || bad "four: numbers are ${BASH_REMATCH[*]:1}"
[[ $(line six) =~ ^IPV6-[0-9]+/64\ IPV6-[0-9]+%$NETIF\ \[IPV6-[0-9]+\]:443\ addr:IPV6-[0-9]+\ IPV6-[0-9]+:IPV4-[0-9]+$ ]] || bad "six: $(line six)"
[ "$(line name)" = "HOST HOST HOST; user@host" ] || bad "name: $(line name)"
[ "$(line key)" = "(10 bytes)" ] || bad "key: $(line key)"
[ "$(line kept)" = "$KEPT end" ] || bad "kept: $(line kept)"
if [ "$(key)" ]; then
	grep -qx '([0-9]* bytes)' "$WORK/report" || bad "ethtool -x has no masked key"
	note "a key of $(key | tr ':' '\n' | wc -l) bytes is masked"
fi
verdict "addresses, names and keys are masked, and nothing else"

begin
mkdir "$WORK/bin"
real=$(command -v ethtool)
# shellcheck disable=SC2016  # for the shell in there
printf '#!/bin/bash\n[ "$1" != -x ] || { echo "RSS hash key:"; echo %s; exit; }\n[ "$1" != -S ] || { echo "$$" >%s; exec sleep 1000; }\nexec %s "$@"\n' \
	"$(printf 'd0%.0s:' {1..39})d1" "$WORK/pid" "$real" >"$WORK/bin/ethtool"
chmod +x "$WORK/bin/ethtool"
PATH=$WORK/bin:$PATH report --wait 2 "$NETIF" || bad "status $?: $(cat "$WORK/err")"
part "ethtool -S $NETIF" | grep -q '^(no end within 2 s; in the kernel it is at: .*sleep' || bad "of a command without an end: $(part "ethtool -S $NETIF")"
part "ip -s -s -d link show dev $NETIF" | grep -q 'state UP' || bad "nothing follows"
part "Kernel log" | grep -q 'planted last' || bad "the log isn't there"
gone() { ! kill -0 "$(cat "$WORK/pid")" 2>/dev/null; }
wait_for 5 gone || bad "the command is still there"
part "ethtool -x $NETIF" | grep -qx '(40 bytes)' || bad "the key: $(part "ethtool -x $NETIF")"
verdict "a command without an end isn't waited for"

# With something that masks nothing.
begin
real=$(command -v awk)
# shellcheck disable=SC2016
printf '#!/bin/bash\n[[ $1 != *"function numbered"* ]] || exec cat "$3"\nexec %s "$@"\n' "$real" >"$WORK/bin/awk"
chmod +x "$WORK/bin/awk"
rm "$WORK/bin/ethtool"
PATH=$WORK/bin:$PATH report "$NETIF"
[ $? = 3 ] || bad "its status isn't 3"
[ ! -s "$WORK/report" ] || bad "it prints $(wc -l <"$WORK/report") lines"
grep -q 'so it is not printed' "$WORK/err" || bad "it says: $(cat "$WORK/err")"
verdict "nothing is printed rather than a secret"

begin
refused() {
	local status=$1 words=$2 got
	shift 2
	"$REPORT" "$@" >"$WORK/out" 2>"$WORK/err"
	got=$?
	[ $got = "$status" ] || bad "report $*: status $got, not $status"
	[ ! -s "$WORK/out" ] || bad "report $* prints $(head -1 "$WORK/out")"
	grep -qF -e "$words" "$WORK/err" || bad "report $* says '$(head -1 "$WORK/err")', without '$words'"
}
"$REPORT" --help 2>&1 | grep -q '^Usage: packaging/report' || bad "--help says $("$REPORT" --help 2>&1 | head -1)"
refused 1 "there is no interface 'nosuch0'" nosuch0
refused 1 "there is no interface '../$NETIF'" "../$NETIF"
refused 1 "lo is no virtio network card" lo
refused 2 "there is no option --frob" --frob
for s in 0 x 1.5 ''; do refused 2 "--wait wants whole seconds" --wait "$s" "$NETIF"; done
# Without a name: all that the driver has.
report || bad "without an interface: status $?"
grep -q "^== Interface $NETIF: $VDEV" "$WORK/report" || bad "without an interface: $NETIF isn't in it"
left=$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'tmp.*' -newer "$WORK/bin")
[ -z "$left" ] || bad "files are left: $left"
verdict "what can't be told is refused, and nothing is left behind"

# Not root: what there is.
begin
if ! have chroot || ! chroot --userspec=65534:65534 / test -x "$REPORT" 2>/dev/null; then
	skip "without root there is less" "this can't be run as another user"
else
	chroot --userspec=65534:65534 / "$REPORT" "$NETIF" >"$WORK/report" 2>"$WORK/err" || bad "status $?: $(cat "$WORK/err")"
	grep -q 'not run as root' "$WORK/err" || bad "it says: $(cat "$WORK/err")"
	part "ethtool -i $NETIF" | grep -q '^driver: virtio_net_mq' || bad "no ethtool -i: $(part "ethtool -i $NETIF" | head -1)"
	if [ "$(cat /proc/sys/kernel/dmesg_restrict)" = 1 ]; then
		part "Kernel log" | grep -q 'not readable' || bad "the log: $(part "Kernel log" | head -1)"
	fi
	verdict "without root there is less"
fi
finish
