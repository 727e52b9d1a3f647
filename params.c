// SPDX-License-Identifier: GPL-2.0
/*
 * Version and parameters of the module: the kernel crate has neither the former nor parameters of type
 * bool or such that sysfs shows.
 */

#include <linux/module.h>
#include <linux/netdevice.h>

#include "params.h"

MODULE_VERSION("0.2.0");

static unsigned int queue_pairs;
module_param(queue_pairs, uint, 0444);
MODULE_PARM_DESC(queue_pairs,
	"Active queue pairs of a new interface (0 = one per online CPU, at most the device's)");

static unsigned int ctrl_timeout_ms = 10000;
module_param(ctrl_timeout_ms, uint, 0644);
MODULE_PARM_DESC(ctrl_timeout_ms,
	"Milliseconds that a control virtqueue command may take (default 10000)");

static int napi_weight = NAPI_POLL_WEIGHT;
module_param(napi_weight, int, 0444);
MODULE_PARM_DESC(napi_weight, "Packets that one NAPI poll may receive (1 to 64, default 64)");

static bool csum = true;
module_param(csum, bool, 0444);
MODULE_PARM_DESC(csum, "Checksums of sent packets are left to the device at first (default Y)");

static bool gso = true;
module_param(gso, bool, 0444);
MODULE_PARM_DESC(gso, "Segmentation of sent packets is left to the device at first (default Y)");

static bool napi_tx = true;
module_param(napi_tx, bool, 0644);
MODULE_PARM_DESC(napi_tx, "Accepted and without effect: sent packets are always reaped by NAPI");

int vnm_param_napi_weight(void)
{
	return napi_weight;
}

bool vnm_param_csum(void)
{
	return csum;
}

bool vnm_param_gso(void)
{
	return gso;
}

bool vnm_param_napi_tx(void)
{
	return READ_ONCE(napi_tx);
}

unsigned int vnm_param_queue_pairs(void)
{
	return queue_pairs;
}

unsigned int vnm_param_ctrl_timeout_ms(void)
{
	return READ_ONCE(ctrl_timeout_ms);
}
