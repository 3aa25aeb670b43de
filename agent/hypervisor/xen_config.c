/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_config.c - a request in libxl's terms.
 *
 * The on_… actions are there for whoever restores the file with xl by hand; no
 * monitor of xl's runs for our domains, the agent acts on a death itself.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/xen.h"
#include "common/cleanup.h"

static int copy(char **to, const char *from, struct fm_error *err)
{
	char *text = from ? strdup(from) : NULL;

	if (from && !text)
		return fm_fail(err, FM_FAILED, "out of memory");
	free(*to);
	*to = text;
	return 0;
}

static int set_disk(libxl_device_disk *disk, const struct domain_disk *d, struct fm_error *err)
{
	disk->backend = LIBXL_DISK_BACKEND_PHY; /* an image file gets a loop device; no device model */
	disk->format = LIBXL_DISK_FORMAT_RAW;
	disk->readwrite = !d->readonly;
	return copy(&disk->pdev_path, d->path, err) < 0 || copy(&disk->vdev, d->vdev, err) < 0 ? -1 : 0;
}

static int set_nic(libxl_device_nic *nic, const struct domain_vif *v, struct fm_error *err)
{
	if (v->mac && sscanf(v->mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &nic->mac[0], &nic->mac[1], &nic->mac[2],
			     &nic->mac[3], &nic->mac[4], &nic->mac[5]) != 6)
		return fm_fail(err, FM_USAGE, "bad MAC \"%.32s\"", v->mac);
	nic->nictype = LIBXL_NIC_TYPE_VIF;
	return v->bridge ? copy(&nic->bridge, v->bridge, err) : 0;
}

static int set_devices(libxl_domain_config *config, const struct domain_spec *spec, struct fm_error *err)
{
	config->disks = calloc(spec->disk_count + 1, sizeof(*config->disks));
	config->nics = calloc(spec->vif_count + 1, sizeof(*config->nics));
	if (!config->disks || !config->nics)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (unsigned i = 0; i < spec->disk_count; i++) {
		libxl_device_disk_init(&config->disks[config->num_disks]);
		if (set_disk(&config->disks[config->num_disks++], &spec->disks[i], err) < 0)
			return -1;
	}
	for (unsigned i = 0; i < spec->vif_count; i++) {
		libxl_device_nic *nic = &config->nics[config->num_nics++];

		libxl_device_nic_init(nic);
		nic->devid = (libxl_devid)i;
		if (copy(&nic->script, "vif-bridge", err) < 0 || set_nic(nic, &spec->vifs[i], err) < 0)
			return -1;
	}
	return 0;
}

static int set_build(struct hypervisor *hv, libxl_domain_build_info *b, const struct domain_spec *spec,
		     struct fm_error *err)
{
	b->max_vcpus = (int)spec->vcpus;
	if (libxl_cpu_bitmap_alloc(hv->ctx, &b->avail_vcpus, b->max_vcpus))
		return xen_fail(hv, err, FM_FAILED, "cannot give it %u vCPUs", spec->vcpus);
	for (int i = 0; i < b->max_vcpus; i++)
		libxl_bitmap_set(&b->avail_vcpus, i);
	b->max_memkb = b->target_memkb = (uint64_t)spec->memory_mib * 1024;
	return copy(&b->kernel, spec->kernel, err) < 0 || copy(&b->ramdisk, spec->initramfs, err) < 0 ||
			       copy(&b->cmdline, spec->cmdline ? spec->cmdline : "", err) < 0 ?
		       -1 : 0;
}

int xen_config_new(struct hypervisor *hv, libxl_domain_config *config, const struct domain_spec *spec,
		   struct fm_error *err)
{
	libxl_domain_type type = spec->type == DOMAIN_PV ? LIBXL_DOMAIN_TYPE_PV : LIBXL_DOMAIN_TYPE_PVH;

	config->c_info.type = type;
	libxl_domain_build_info_init_type(&config->b_info, type);
	xen_uuid_make(&config->c_info.uuid, spec->name);
	config->on_poweroff = config->on_reboot = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
	config->on_crash = config->on_watchdog = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	if (copy(&config->c_info.name, spec->name, err) < 0 || set_build(hv, &config->b_info, spec, err) < 0)
		return -1;
	return set_devices(config, spec, err);
}

static const struct domain_disk *disk_of(const struct domain_spec *spec, const char *vdev)
{
	for (unsigned i = 0; vdev && i < spec->disk_count; i++)
		if (strcmp(spec->disks[i].vdev, vdev) == 0)
			return &spec->disks[i];
	return NULL;
}

/* Its memory goes with no other content of a writable disk than that of its own instant. */
static int adopt_disks(libxl_domain_config *config, const struct domain_spec *spec, struct fm_error *err)
{
	unsigned found = 0;

	for (int i = 0; i < config->num_disks; i++) {
		libxl_device_disk *disk = &config->disks[i];
		const struct domain_disk *own = disk_of(spec, disk->vdev);

		if (!disk->readwrite)
			continue;
		if (!own)
			return fm_fail(err, FM_INCOMPATIBLE, "the saved domain can write to its disk %s, and the snapshot has not its content",
				       disk->vdev ? disk->vdev : "?");
		if (set_disk(disk, own, err) < 0)
			return -1;
		found++;
	}
	return found == spec->disk_count ? 0 : fm_fail(err, FM_INCOMPATIBLE, "the saved domain has %u writable disks, the snapshot %u",
						       found, spec->disk_count);
}

int xen_config_adopt(libxl_domain_config *config, const struct domain_spec *spec, struct fm_error *err)
{
	if (spec->vif_count && spec->vif_count != (unsigned)config->num_nics)
		return fm_fail(err, FM_INCOMPATIBLE, "the saved domain has %d network devices, not %u",
			       config->num_nics, spec->vif_count);
	config->c_info.domid = 0; /* the hypervisor's choice */
	xen_uuid_make(&config->c_info.uuid, spec->name);
	if (copy(&config->c_info.name, spec->name, err) < 0)
		return -1;
	for (int i = 0; i < config->num_nics; i++) {
		libxl_device_nic *nic = &config->nics[i];

		copy(&nic->ifname, NULL, err); /* named after the new number */
		if (spec->vif_count && set_nic(nic, &spec->vifs[i], err) < 0)
			return -1;
	}
	return adopt_disks(config, spec, err);
}

int xen_check_memory(struct hypervisor *hv, libxl_domain_config *config, struct fm_error *err)
{
	uint64_t need_kib, free_kib;

	if (libxl_domain_need_memory(hv->ctx, config, INVALID_DOMID, &need_kib) ||
	    libxl_get_free_memory(hv->ctx, &free_kib))
		return xen_fail(hv, err, FM_FAILED, "cannot find out about memory");
	if (need_kib <= free_kib)
		return 0;
	return fm_fail(err, FM_INCOMPATIBLE,
		       "not enough memory on this node: the domain needs %llu MiB, Xen has %llu MiB free",
		       (unsigned long long)(need_kib + 1023) / 1024, (unsigned long long)free_kib / 1024);
}
