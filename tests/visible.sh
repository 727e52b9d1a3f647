#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# On one device after the other driver shows users the same: ethtool, ip link, sysfs, netlink, module parameters. What differs
# on purpose is listed, with the reason, in visible.expected; any other difference, and one that is listed and isn't there, is
# a failure. The in-tree driver's module must be there, and have no other device.
. "$(dirname "$0")/lib.sh"

have python3 || skip_all "no Python in this guest"
modinfo virtio_net >/dev/null 2>&1 || skip_all "no in-tree driver to compare with"
[ ! -d /sys/module/virtio_net ] || skip_all "the in-tree driver is in use"
ours || skip_all "the driver is $DRV"
[ -n "${KO:-}" ] || skip_all "the module's file isn't known"

drivers=/sys/bus/virtio/drivers
plan 2
back() {
	[ ! -e "$drivers/virtio_net/$VDEV" ] || echo "$VDEV" >$drivers/virtio_net/unbind
	[ ! -d $drivers/virtio_net ] || rmmod virtio_net
	[ -e "$drivers/$DRV/$VDEV" ] || echo "$VDEV" >"$drivers/$DRV/bind"
	configure
}
at_exit back

begin
echo "$VDEV" >"$drivers/$DRV/unbind" || bad "unbind"
# It takes the device by itself.
modprobe virtio_net || bad "the in-tree driver isn't loaded"
configure || bad "the interface doesn't come up with the in-tree driver"
DRV=virtio_net reach || bad "no answer to ping with the in-tree driver"
[ "$(basename "$(readlink -f "/sys/class/net/$NETIF/device/driver")")" = virtio_net ] || bad "the device isn't the in-tree driver's"
python3 "$HERE/visible.py" collect "$NETIF" virtio_net >"$WORK/theirs" || bad "nothing collected of the in-tree driver"
echo "$VDEV" >$drivers/virtio_net/unbind
# What a device sees broken in between isn't ours.
! have_hostctl || hostctl device "run=violations clear" >/dev/null 2>&1
back 2>"$WORK/err" || bad "the interface doesn't come back: $(cat "$WORK/err")"
reach || bad "no answer to ping"
python3 "$HERE/visible.py" collect "$NETIF" "$KO" >"$WORK/ours" || bad "nothing collected of this driver"
# SHOW=yes: all of it.
[ -z "${SHOW:-}" ] || { note "$(sed 's/^/theirs	/' "$WORK/theirs")"; note "$(sed 's/^/ours	/' "$WORK/ours")"; }
for s in ethtool ethtool-i ethtool-k ethtool-S ip-link sysfs sysfs-device netdev-queue netdev-qstats modinfo parameters; do
	for f in theirs ours; do
		grep -q "^$s	" "$WORK/$f" || bad "$f: nothing in section $s"
	done
done
verdict "both drivers' interfaces are looked at ($(wc -l <"$WORK/theirs") and $(wc -l <"$WORK/ours") lines)"

begin
if ! python3 "$HERE/visible.py" compare "$WORK/theirs" "$WORK/ours" "$HERE/visible.expected" \
	"$(cat "/sys/bus/virtio/devices/$VDEV/features")" >"$WORK/diff" 2>&1; then
	while IFS= read -r l; do bad "$l"; done <"$WORK/diff"
	# All of them: the verdict shows ten.
	note "$(cat "$WORK/diff")"
fi
note "$(head -1 "$WORK/diff")"
verdict "what differs is what is listed"
finish
