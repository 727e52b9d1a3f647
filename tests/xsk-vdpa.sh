#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# AF_XDP on a device whose memory isn't mapped by the DMA API (VDUSE): zero copy is refused, with why, though the device has
# ACCESS_PLATFORM. Who asks for either gets copies, and the interface receives as before.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

plan 3
mark_log
attach to_socket || skip_all "$(said)"

begin
xsk_start -z receive "$NETIF" && bad "zero copy is promised"
grep -qi "not supported" "$WORK/xsk" || bad "refused, but: $(xsk_said)"
xsk_kill
# It may have said so as the first program came.
dmesg | grep -q 'without zero copy: .*vDPA' || bad "the log doesn't say why: $(log_since | tail -2)"
verdict "zero copy is refused, with the reason"

begin
xsk_start receive "$NETIF" || bad "either isn't bound: $(xsk_said)"
mode_is copy
ping -q -c 3 -i 0.2 -W 1 "$PEER" >/dev/null
xsk_end
detach || bad "$(said)"
reach || bad "no answer to ping"
verdict "who takes either gets copies"

begin
nothing_said
verdict "no complaint in the kernel log"
finish
