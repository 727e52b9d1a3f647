/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Frames as qemu-test/frames.py makes them: UDP with a number and contents that follow from it.
 */
#ifndef FRAME_H
#define FRAME_H

#include <linux/types.h>
#include <stdbool.h>

/* Header and number. */
#define FRAME_LEAST (14 + 20 + 8 + 9 + 4)
/* Where the checksum begins, and where in there it stands. */
#define FRAME_CSUM_START 34
#define FRAME_CSUM_OFFSET 6

/* One of another kind, and one of the test's with other contents than it was sent with. */
#define NO_FRAME (-1)
#define WRONG_FRAME (-2)

/* Its number, or one of these. */
long frame_number(const __u8 *frame, unsigned int len);
/* `partial`: the checksum is that of the pseudo header, for the device to go on from. */
void frame_build(__u8 *frame, const __u8 *destination, __u32 number, unsigned int size, bool partial);
/* Sends it back to whom it came from. */
void frame_swap(__u8 *frame);

#endif
