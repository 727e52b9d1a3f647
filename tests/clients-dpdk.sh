#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# DPDK's testpmd forwards between two cards of the driver by AF_XDP: with its own defaults (zero copy where there is, busy polling),
# without busy polling, and in copy mode. Then it takes the cards itself, by its own driver for virtio, and gives them back.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"
. "$HERE/xdp/second.sh"

have dpdk-testpmd || skip_all "there is no dpdk-testpmd"
N=${N:-2000}
mark_log
# It may end before it is told to, and loads its drivers only from where nobody else may write.
trap '' PIPE
chmod go-w /
# Its buffers lie anywhere, so that there must be no bounds of pages between them.
echo 300 >/proc/sys/vm/nr_hugepages
at_exit 'echo 0 >/proc/sys/vm/nr_hugepages'
plan 5
rm -rf "$PINNED"
second_card || skip_all "there is no second card"
# While DPDK has the cards nobody can be asked.
first_mac=$(mac)
mac() { echo "$first_mac"; }
first_pairs=$(pairs)
at_exit 'set_pairs $first_pairs'
set_pairs 1
apart
at_exit together

# forwards NAME OPTIONS-OF-DPDK…: frames from one side arrive on the other, once, in order and unharmed.
forwards() {
	local name=$1 way from to came=0 dropped
	shift
	begin
	: >"$WORK/pmd"
	mkfifo "$WORK/in"
	dpdk-testpmd --log-level=pmd.net.af_xdp:8 -m 512 --no-telemetry --in-memory -l 0,1 "$@" -- \
		--forward-mode=io --auto-start --total-num-mbufs=16384 --no-lsc-interrupt <"$WORK/in" >"$WORK/pmd" 2>&1 &
	PMD=$!
	exec {hold}>"$WORK/in"
	wait_for 60 eval 'grep -q "Press enter to exit" "$WORK/pmd" || ! kill -0 $PMD 2>/dev/null'
	if ! kill -0 $PMD 2>/dev/null; then
		bad "it doesn't start: $(tail -5 "$WORK/pmd" | tr '\n' ';')"
		exec {hold}>&-
		rm -f "$WORK/in"
		verdict "testpmd: $name"
		return
	fi
	for way in "tapA tapB" "tapB tapA"; do
		read -r from to <<<"$way"
		TAP=$to catch 200
		TAP=$from frames "$N" 200
		TAP=$to caught "$N"
		note "$name: $from to $to: ${GOT[back]}"
		came=$((came + GOT[back]))
		[ "${GOT[twice]} ${GOT[wrong]} ${GOT[disorder]}" = "0 0 0" ] ||
			bad "$way: ${GOT[twice]} twice, ${GOT[wrong]} with other contents, ${GOT[disorder]} not in order"
	done
	echo >&"$hold"
	exec {hold}>&-
	wait_for 30 eval '! kill -0 $PMD 2>/dev/null' || { bad "it doesn't end"; kill -KILL $PMD; }
	wait $PMD 2>/dev/null
	rm -f "$WORK/in"
	# It drops what a full ring doesn't take, and says so.
	dropped=$(grep -A2 'Accumulated forward' "$WORK/pmd" | sed -nE 's/.*TX-dropped: ([0-9]+).*/\1/p')
	all_of "came, or was dropped by testpmd" $((came + ${dropped:-0})) $((2 * N))
	[ "${dropped:-0}" -le $((N / 10)) ] || bad "it has dropped $dropped"
	[ ${#_bad[@]} = 0 ] || note "$(tail -40 "$WORK/pmd")"
	note "$name: $(grep -A2 'Accumulated forward' "$WORK/pmd" | tail -2 | tr -s ' \n' ' ')"
	nothing_said
	verdict "testpmd: $name"
}
# by_sockets NAME OPTIONS-OF-THE-DEVICE
by_sockets() {
	forwards "$1" --no-pci --iova-mode=va --vdev="net_af_xdp0,iface=$NETIF$2" --vdev="net_af_xdp1,iface=$SECOND$2"
	[ -z "$(attached)" ] || detach
	[ -z "$(attached)" ] || note "a program is left"
}
# The in-tree driver sends nothing for who polls busily with zero copy.
if ours || [ "$(modes)" = copy ]; then
	by_sockets "AF_XDP, its own defaults" ""
else
	skip "testpmd: AF_XDP, its own defaults" "the in-tree driver sends nothing for who polls busily with zero copy"
fi
by_sockets "AF_XDP without busy polling" ",busy_budget=0"
by_sockets "AF_XDP in copy mode" ",force_copy=1,busy_budget=0"

# The cards themselves. to PCI-DEVICE DRIVER, or "" for the one that it has by itself.
to() {
	local dir=/sys/bus/pci/devices/$1
	echo "$2" >"$dir/driver_override"
	[ ! -e "$dir/driver" ] || echo "$1" >"$dir/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
}
pci_of() { basename "$(dirname "$(readlink -f "/sys/class/net/$1/device")")"; }
# takes_again MAC: the interface is there again and the driver is the one under test.
takes_again() {
	local dev vdev
	wait_for 20 eval "dev=\$(_by_mac $1)" || return 1
	vdev=$(basename "$(readlink -f "/sys/class/net/$dev/device")")
	if [ "$(basename "$(readlink -f "/sys/class/net/$dev/device/driver")")" != "$DRV" ]; then
		echo "$vdev" >/sys/bus/virtio/devices/"$vdev"/driver/unbind
		echo "$vdev" >"/sys/bus/virtio/drivers/$DRV/bind"
		wait_for 20 eval "dev=\$(_by_mac $1)" || return 1
	fi
	TAKEN=$dev
}
if modprobe uio_pci_generic 2>/dev/null; then
	first_pci=$(pci_of "$NETIF") second_pci=$(pci_of "$SECOND")
	to "$first_pci" uio_pci_generic
	to "$second_pci" uio_pci_generic
	forwards "its own driver for virtio" --iova-mode=pa -a "$first_pci" -a "$second_pci"
	to "$first_pci" ""
	to "$second_pci" ""
	takes_again 52:54:00:12:34:57 && SECOND=$TAKEN && SECOND_VDEV=$(basename "$(readlink -f "/sys/class/net/$SECOND/device")")
	takes_again "$first_mac" && NETIF=$TAKEN && VDEV=$(basename "$(readlink -f "/sys/class/net/$NETIF/device")")
else
	skip "testpmd: its own driver for virtio" "the kernel has no uio_pci_generic"
fi

begin
together
configure
reach || bad "no answer to ping"
nothing_said
verdict "everything is as it was"
finish
