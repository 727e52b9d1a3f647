/* SPDX-License-Identifier: GPL-2.0 */
/* What the helpers and the safe layer tell each other. */

/* How the device wants the header before a packet: its length in bytes, and */
enum vnm_hdr_form {
	VNM_HDR_LEN		= 0xff,
	/* it may share a descriptor with data (VERSION_1 or ANY_LAYOUT) */
	VNM_HDR_ANY_LAYOUT	= 1 << 8,
	/* hdr_len must be exact (GUEST_HDRLEN) */
	VNM_HDR_EXACT		= 1 << 9,
	/* tunnelled packets may be left to it for segmentation (HOST_UDP_TUNNEL_GSO) */
	VNM_HDR_TUNNEL		= 1 << 10,
	/* not of the header: entries have physical addresses in the place of DMA addresses */
	VNM_SG_PHYS		= 1 << 11,
};

/* A used buffer: what it was added with, and the length that the device says it wrote */
struct vnm_used_buf {
	void *data;
	void *ctx;
	unsigned int len;
};

/* Pieces of pages that small packets are received in: half a page of 4 KiB, and of the same size where pages are larger */
enum vnm_piece {
	VNM_PIECE		= 2048,
};

/* Pieces of pages that are to be posted, and where they come from: see vnm_helper_virtqueue_post_frags() */
struct vnm_post {
	struct page_pool *pool;
	/* whom the pool maps for, NULL if nothing is to be mapped */
	const struct device *dev;
	/* the device takes physical addresses */
	bool phys;
	/* the piece has VNM_PIECE bytes, else it is a page */
	bool piece;
	/* what the device may write to of each */
	unsigned int offset, len;
	/* goes with each */
	void *ctx;
	gfp_t gfp;
	/* pieces of pages of the pool that are there already, and room for what a page makes */
	void **spare;
	unsigned int spares;
	/* why not all were posted: -ENODATA if the pool had no memory, else what the queue said */
	int err;
};

/* What vnm_helper_skb_map_xmit() returns: entries of the scatterlist, and */
enum vnm_xmit_map {
	VNM_XMIT_ENTRIES	= 0xff,
	/* the header is in the packet's control buffer */
	VNM_XMIT_HDR_IN_CB	= 1 << 8,
	/* above that bit: packets on the wire that it makes, 0 for one that isn't segmented */
	VNM_XMIT_SEGS_SHIFT	= 16,
};

/* A bit in a token, which says whose it is: XDP's frames, or AF_XDP's */
enum vnm_tag {
	VNM_TAG_FRAME		= 1,
	VNM_TAG_XSK		= 2,
};

/* Frames that were in a ring: see vnm_helper_virtqueue_put_frames() */
struct vnm_sent {
	unsigned int frames, bytes;
};

enum vnm_xsk {
	/* bytes of a slot's own memory */
	VNM_XSK_SLOT_SIZE	= 256,
	/* bytes of the longest header */
	VNM_XSK_MAX_HDR		= 24,
	/* in a buffer's private bytes, where the word is that counts it; what is said for programs is before that */
	VNM_XSK_IN_RING_AT	= 8,
	/* what that word says once the pool is gone, and its buffers are nobody's */
	VNM_XSK_ABANDONED	= 0xffffffff,
	/* bytes before the data of a frame that was an AF_XDP buffer */
	VNM_XSK_FRAME_ROOM	= 64,
};

/* A received packet in one buffer of AF_XDP's, which has @len bytes of it.  @flags are those of its header. */
struct vnm_xsk_packet {
	struct xdp_buff *xdp;
	u32 len;
	u8 flags;
};

/* A packet that AF_XDP sends */
struct vnm_xsk_slot {
	/* descriptors of user space that it takes; 0 once they were completed */
	u32 descs;
	u32 bytes;
	/* user space has its memory back: what the device reads is in the slot's own */
	bool copied;
	/* the device has none of it, any more or at all */
	bool done;
};

/* What AF_XDP sends by: see vnm_helper_virtqueue_send_xsk() */
struct vnm_xsk_tx {
	struct xsk_buff_pool *pool;
	/* mask + 1 of them, each with VNM_XSK_SLOT_SIZE bytes of @bufs, which begins with the header */
	struct vnm_xsk_slot *slots;
	void *bufs;
	dma_addr_t dma;
	u32 mask;
	/* the next slot that is free, counted on and on */
	u32 head;
	u32 hdr_len;
	/* the device completes checksums */
	bool csum;
};
