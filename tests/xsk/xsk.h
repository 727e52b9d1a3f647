/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AF_XDP sockets for the tests' program: a piece of memory, the four rings, and binding, by system calls alone.
 */
#ifndef XSK_H
#define XSK_H

#include <linux/if_xdp.h>
#include <stdbool.h>

/* For each socket; so many chunks are for receiving at first, the others for sending. */
#ifndef CHUNKS
#define CHUNKS 1024
#define FOR_RECEIVING 640
#define RING 1024
#endif
#define PAGE 4096

struct ring {
	__u32 *producer, *consumer, *flags;
	void *slots, *mapping;
	__u32 size;
	__u64 length;
};

/* How sockets are to be. */
struct how {
	int ifindex;
	__u32 chunk;
	/* XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP, XDP_USE_SG */
	__u16 flags;
	/* Chunks lie anywhere, none across the end of a page; busy polling; room for metadata in front of what is sent. */
	bool unaligned, busy;
	__u32 metadata;
	/* How many sockets share one memory. */
	__u32 sharers;
	/* So many of the chunks for receiving are left out. */
	__u32 idle;
	/* What it does that no process should. */
	enum {
		HONEST,
		/* Each chunk is given to receive in twice running; or once more behind the next one. */
		TWICE,
		AGAIN,
		/* The kernel's description of a packet, at the end of its first chunk, is written over. */
		ENDS,
	} abuse;
};

struct sock {
	int fd;
	__u32 queue;
	bool zero_copy, shares;
	struct how how;
	__u8 *umem;
	__u64 umem_size;
	struct ring fill, completion, rx, tx;
	/* Chunks that are free to send in. */
	__u64 spare[CHUNKS];
	unsigned int spares;
	/* What was given to the kernel to send, in order, until it comes back. */
	__u64 sent[CHUNKS];
	unsigned int first_sent, sents;
	/* The chunk that was given last. */
	__u64 given;
};

/* Binds a socket, with memory of its own or, as the nth that shares it, that of `other`; negative errors. */
int sock_open(struct sock *s, const struct how *how, __u32 queue, const struct sock *other, unsigned int nth);
void sock_close(struct sock *s);
/* How many slots of a ring are free for us to fill, or filled for us to read. */
__u32 ring_free(struct ring *r);
__u32 ring_used(struct ring *r);
void ring_publish(struct ring *r, __u32 n);
void ring_release(struct ring *r, __u32 n);
__u64 *ring_address(struct ring *r, __u32 at);
struct xdp_desc *ring_desc(struct ring *r, __u32 at);
/* Where an address of a descriptor lies, and of which chunk's beginning it is. */
__u8 *sock_data(struct sock *s, __u64 address);
__u64 sock_chunk(struct sock *s, __u64 address);
bool sock_receives(struct sock *s, __u64 chunk);
/* Gives a chunk to the kernel to receive in, twice if that is what is wanted. */
void sock_give(struct sock *s, __u64 chunk);
/* Writes over the ends of a socket's chunks in the background, until the process ends. */
int sock_spoil(struct sock *s);
/* Puts a pinned map's entry. */
int map_put(const char *path, __u32 key, __u32 value);

#endif
