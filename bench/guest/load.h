/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LOAD_H
#define LOAD_H

/* bench/plugin/count.rs looks for these */
#define BEGIN() asm volatile(".byte 0x0f,0x1f,0x84,0x00,0x6d,0x71,0x76,0x01" ::: "memory")
#define END()   asm volatile(".byte 0x0f,0x1f,0x84,0x00,0x6d,0x71,0x76,0x02" ::: "memory")

void die(const char *what);
/* Tells the host something, and waits for what it says to that: 0, or it has failed. */
int request(const char *text);
int answer(int fd);
int do_xsk(int argc, char **argv);

#endif
