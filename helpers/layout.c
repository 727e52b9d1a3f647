// SPDX-License-Identifier: GPL-2.0
/* C's half of net/layout.rs: what that asks for, by the names that it has there. */

#define LAYOUT_SIZE(t)		{ "sizeof(" #t ")", sizeof(t) }
#define LAYOUT_AT(t, field)	{ "offsetof(" #t ", " #field ")", offsetof(t, field) }

static const struct {
	const char *name;
	size_t value;
} layout[] = {
	LAYOUT_SIZE(struct net_device),
	LAYOUT_AT(struct net_device, netdev_ops),
	LAYOUT_AT(struct net_device, mtu),
	LAYOUT_AT(struct net_device, needed_headroom),
	LAYOUT_AT(struct net_device, flags),
	LAYOUT_AT(struct net_device, features),
	LAYOUT_AT(struct net_device, real_num_rx_queues),
	LAYOUT_AT(struct net_device, dev_addr),
	LAYOUT_AT(struct net_device, stat_ops),
	LAYOUT_AT(struct net_device, ethtool_ops),
	LAYOUT_AT(struct net_device, hw_features),
	LAYOUT_AT(struct net_device, vlan_features),
	LAYOUT_AT(struct net_device, min_mtu),
	LAYOUT_AT(struct net_device, max_mtu),
	LAYOUT_AT(struct net_device, sysfs_rx_queue_group),
	LAYOUT_AT(struct net_device, priv),
	LAYOUT_SIZE(struct attribute),
	LAYOUT_AT(struct attribute, mode),
	LAYOUT_SIZE(struct attribute_group),
	LAYOUT_AT(struct attribute_group, bin_attrs),
	LAYOUT_SIZE(struct rx_queue_attribute),
	LAYOUT_AT(struct rx_queue_attribute, show),
	LAYOUT_SIZE(struct netdev_rx_queue),
	LAYOUT_AT(struct netdev_rx_queue, dev),
	LAYOUT_SIZE(struct dim),
	LAYOUT_AT(struct dim, work),
	LAYOUT_AT(struct dim, profile_ix),
	LAYOUT_AT(struct dim, tune_state),
	LAYOUT_AT(struct dim, tired),
	LAYOUT_SIZE(struct net_device_ops),
	LAYOUT_AT(struct net_device_ops, ndo_start_xmit),
	LAYOUT_AT(struct net_device_ops, ndo_set_rx_mode_async),
	LAYOUT_AT(struct net_device_ops, ndo_get_stats64),
	LAYOUT_AT(struct net_device_ops, ndo_set_features),
	LAYOUT_SIZE(struct netdev_stat_ops),
	LAYOUT_AT(struct netdev_stat_ops, get_base_stats),
	LAYOUT_SIZE(struct netdev_queue_stats_rx),
	LAYOUT_SIZE(struct netdev_queue_stats_tx),
	LAYOUT_SIZE(struct rtnl_link_stats64),
	LAYOUT_SIZE(struct ethtool_ops),
	LAYOUT_AT(struct ethtool_ops, supported_coalesce_params),
	LAYOUT_AT(struct ethtool_ops, get_drvinfo),
	LAYOUT_AT(struct ethtool_ops, get_rx_ring_count),
	LAYOUT_AT(struct ethtool_ops, set_rxfh_fields),
	LAYOUT_AT(struct ethtool_ops, get_coalesce),
	LAYOUT_AT(struct ethtool_ops, get_channels),
	LAYOUT_AT(struct ethtool_ops, get_per_queue_coalesce),
	LAYOUT_AT(struct ethtool_ops, get_link_ksettings),
	LAYOUT_SIZE(struct ethtool_rxfh_param),
	LAYOUT_AT(struct ethtool_rxfh_param, hfunc),
	LAYOUT_AT(struct ethtool_rxfh_param, indir),
	LAYOUT_AT(struct ethtool_rxfh_param, key),
	LAYOUT_SIZE(struct ethtool_rxfh_fields),
	LAYOUT_AT(struct ethtool_rxfh_fields, data),
	LAYOUT_AT(struct ethtool_rxfh_fields, flow_type),
	LAYOUT_SIZE(struct ethtool_link_ksettings),
	LAYOUT_SIZE(struct ethtool_coalesce),
	LAYOUT_SIZE(struct napi_struct),
	LAYOUT_AT(struct napi_struct, state),
	LAYOUT_AT(struct napi_struct, gro_flush_timeout),
	LAYOUT_AT(struct napi_struct, gro),
	LAYOUT_AT(struct napi_struct, dev),
	LAYOUT_SIZE(struct sk_buff),
	LAYOUT_AT(struct sk_buff, cb),
	LAYOUT_AT(struct sk_buff, len),
	LAYOUT_AT(struct sk_buff, data_len),
	LAYOUT_AT(struct sk_buff, queue_mapping),
	LAYOUT_AT(struct sk_buff, data),
	LAYOUT_AT(struct sk_buff, truesize),
	LAYOUT_SIZE(struct skb_shared_info),
	LAYOUT_SIZE(struct scatterlist),
	LAYOUT_SIZE(struct delayed_work),
	LAYOUT_AT(struct delayed_work, work),
	LAYOUT_SIZE(struct page_pool_params),
	LAYOUT_SIZE(struct virtio_device),
	LAYOUT_AT(struct virtio_device, dev),
	LAYOUT_AT(struct virtio_device, priv),
	LAYOUT_SIZE(struct virtio_driver),
	LAYOUT_AT(struct virtio_driver, driver),
	LAYOUT_AT(struct virtio_driver, id_table),
	LAYOUT_AT(struct virtio_driver, probe),
	LAYOUT_AT(struct virtio_driver, reset_done),
	LAYOUT_SIZE(struct virtqueue),
	LAYOUT_AT(struct virtqueue, vdev),
	LAYOUT_AT(struct virtqueue, index),
	LAYOUT_AT(struct virtqueue, num_free),
	LAYOUT_AT(struct virtqueue, num_max),
	LAYOUT_SIZE(struct virtqueue_info),
	{ "SKB_DATA_ALIGN(sizeof(struct skb_shared_info))",
	  SKB_DATA_ALIGN(sizeof(struct skb_shared_info)) },
};

/* What @name is, or SIZE_MAX if there is no such entry */
size_t vnm_helper_layout(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(layout); i++)
		if (!strcmp(layout[i].name, name))
			return layout[i].value;
	return SIZE_MAX;
}
