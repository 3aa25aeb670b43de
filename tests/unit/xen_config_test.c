/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_config_test.c - what a saved domain can write to comes back only as a disk that was made for it: its configuration,
 * taken over in a restore, never keeps a path to a writable disk that it had.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/xen.h"

static struct fm_error err;

static void add(libxl_domain_config *config, const char *vdev, const char *path, bool writable)
{
	libxl_device_disk *disk;

	config->disks = realloc(config->disks, (size_t)(config->num_disks + 1) * sizeof(*config->disks));
	disk = &config->disks[config->num_disks++];
	libxl_device_disk_init(disk);
	disk->vdev = strdup(vdev);
	disk->pdev_path = strdup(path);
	disk->readwrite = writable;
	disk->backend = LIBXL_DISK_BACKEND_PHY;
	disk->format = LIBXL_DISK_FORMAT_RAW;
}

/* A domain with a read-only root and `writable` disks; taken over with these disks made for it. */
static int adopt(libxl_domain_config *config, unsigned writable, unsigned made)
{
	static const char *const vdevs[] = { "xvdb", "xvdc", "xvdd" };
	static const char *const paths[] = { "/dev/loop7", "/dev/mapper/fm-2-0.xvdc", "/dev/loop8" };
	struct domain_spec spec = { .name = "fm-2-0", .disk_count = made };

	libxl_domain_config_init(config);
	add(config, "xvda", "/srv/images/root.ext4", false);
	for (unsigned i = 0; i < writable; i++)
		add(config, vdevs[i], "/dev/loop1", true);
	for (unsigned i = 0; i < made; i++)
		spec.disks[i] = (struct domain_disk){ .path = paths[i], .vdev = vdevs[i] };
	return xen_config_adopt(config, &spec, &err);
}

static void test_new_disks_take_the_place_of_old_ones(void **state)
{
	libxl_domain_config config;

	if (adopt(&config, 2, 2) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(config.disks[0].pdev_path, "/srv/images/root.ext4");
	assert_false(config.disks[0].readwrite);
	assert_string_equal(config.disks[1].pdev_path, "/dev/loop7");
	assert_string_equal(config.disks[2].pdev_path, "/dev/mapper/fm-2-0.xvdc");
	assert_true(config.disks[1].readwrite && config.disks[2].readwrite);
	assert_string_equal(config.c_info.name, "fm-2-0");
	libxl_domain_config_dispose(&config);
}

static void test_without_disks(void **state)
{
	libxl_domain_config config;

	assert_int_equal(adopt(&config, 0, 0), 0);
	assert_string_equal(config.disks[0].pdev_path, "/srv/images/root.ext4");
	libxl_domain_config_dispose(&config);
}

static void test_no_old_disk_is_kept(void **state)
{
	for (unsigned made = 0; made < 4; made++) {
		libxl_domain_config config;

		assert_int_equal(adopt(&config, 2, made), made == 2 ? 0 : -1);
		if (made != 2)
			assert_int_equal(err.code, FM_INCOMPATIBLE);
		libxl_domain_config_dispose(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_disks_take_the_place_of_old_ones),
		cmocka_unit_test(test_without_disks),
		cmocka_unit_test(test_no_old_disk_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
