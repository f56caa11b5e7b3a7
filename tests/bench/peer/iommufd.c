#include "peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAX_RANGES 16

static int open_cdev(const char *address)
{
	char path[384] = "";
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev",
		 address);
	dir = opendir(path);
	if (!dir)
		must(-1, path);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s",
				 entry->d_name);
	}
	closedir(dir);
	return must(open(path, O_RDWR | O_CLOEXEC), path);
}

static void open_space(struct space *space)
{
	struct iommu_ioas_alloc argument = { .size = sizeof(argument) };

	space->fd = must(open("/dev/iommu", O_RDWR | O_CLOEXEC), "/dev/iommu");
	must(ioctl(space->fd, IOMMU_IOAS_ALLOC, &argument), "IOAS_ALLOC");
	space->ioas = argument.out_ioas_id;
}

static void iova_ranges(struct space *space)
{
	struct iommu_iova_range ranges[MAX_RANGES];
	struct iommu_ioas_iova_ranges argument = {
		.size = sizeof(argument),
		.ioas_id = space->ioas,
		.num_iovas = MAX_RANGES,
		.allowed_iovas = (uintptr_t)ranges,
	};

	must(ioctl(space->fd, IOMMU_IOAS_IOVA_RANGES, &argument), "IOVA_RANGES");
}

static struct device attach(struct space *space, const char *address)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = offsetof(struct vfio_device_bind_iommufd,
				  token_uuid_ptr),
	};
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = offsetof(struct vfio_device_attach_iommufd_pt, pasid),
	};
	struct device device = { .group = -1 };

	if (space->devices++ == 0)
		open_space(space);
	device.fd = open_cdev(address);
	bind.iommufd = space->fd;
	pthread_mutex_unlock(&turn);
	must(ioctl(device.fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), "BIND");
	pthread_mutex_lock(&turn);
	attach.pt_id = space->ioas;
	must(ioctl(device.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), "ATTACH");
	iova_ranges(space);
	device_info(device.fd);
	return device;
}

static void detach(struct space *space, struct device *device)
{
	struct vfio_device_detach_iommufd_pt argument = {
		.argsz = offsetof(struct vfio_device_detach_iommufd_pt, pasid),
	};

	must(ioctl(device->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &argument),
	     "DETACH");
	pthread_mutex_unlock(&turn);
	must(close(device->fd), "close");
	pthread_mutex_lock(&turn);
	if (--space->devices == 0)
		must(close(space->fd), "close");
}

static void map(struct space *space, void *memory, uint64_t size, uint64_t iova)
{
	struct iommu_ioas_map argument = {
		.size = sizeof(argument),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = space->ioas,
		.user_va = (uintptr_t)memory,
		.length = size,
		.iova = iova,
	};

	must(ioctl(space->fd, IOMMU_IOAS_MAP, &argument), "IOAS_MAP");
}

static void unmap(struct space *space, uint64_t size, uint64_t iova)
{
	struct iommu_ioas_unmap argument = {
		.size = sizeof(argument),
		.ioas_id = space->ioas,
		.iova = iova,
		.length = size,
	};

	must(ioctl(space->fd, IOMMU_IOAS_UNMAP, &argument), "IOAS_UNMAP");
}

const struct backend iommufd = { "iommufd", attach, detach, map, unmap };
