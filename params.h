/* SPDX-License-Identifier: GPL-2.0 */
/* The module's parameters, as params.rs reads them. */

#include <linux/types.h>

unsigned int vnm_param_queue_pairs(void);
unsigned int vnm_param_ctrl_timeout_ms(void);
int vnm_param_napi_weight(void);
bool vnm_param_csum(void);
bool vnm_param_gso(void);
bool vnm_param_napi_tx(void);
