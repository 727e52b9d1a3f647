#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device that didn't negotiate it asks for an announcement: it gets none. Needs the test device, without GUEST_ANNOUNCE.
. "$(dirname "$0")/lib.sh"

GUEST_ANNOUNCE=21
on_testdev || skip_all "not on the test device"
! negotiated $GUEST_ANNOUNCE || skip_all "the device may ask for announcements"
plan 1

begin
# A command for it would break a rule. The link goes and comes, so that the driver has seen the status.
dev announce || bad "the device can't be told"
dev link down && wait_for 10 no_carrier || bad "the link doesn't go"
dev link up && wait_for 10 carrier || bad "the link doesn't come"
reach || bad "no answer to ping"
dev violations >"$WORK/v"
[ "$(head -1 "$WORK/v")" = 0 ] || bad "acknowledged: $(cat "$WORK/v")"
verdict "announcements are for a device that may ask for them"
finish
