#include "peer.h"

#include <fcntl.h>
#include <libgen.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int open_group(const char *address)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[128], target[256];
	int length, group;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 address);
	length = must(readlink(path, target, sizeof(target) - 1), path);
	target[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(target));
	group = must(open(path, O_RDWR | O_CLOEXEC), path);
	must(ioctl(group, VFIO_GROUP_GET_STATUS, &status), "GET_STATUS");
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		must(-1, "VIABLE");
	return group;
}

/* Called twice: the first answer has the size of the capabilities. */
static void container_info(int container)
{
	struct vfio_iommu_type1_info first = { .argsz = sizeof(first) };
	struct vfio_iommu_type1_info *info;

	must(ioctl(container, VFIO_IOMMU_GET_INFO, &first), "GET_INFO");
	info = calloc(1, first.argsz);
	info->argsz = first.argsz;
	must(ioctl(container, VFIO_IOMMU_GET_INFO, info), "GET_INFO");
	free(info);
}

static struct device attach(struct space *space, const char *address)
{
	struct device device = { .group = open_group(address) };

	if (space->devices++ == 0) {
		space->fd = must(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC),
				 "/dev/vfio/vfio");
		must(ioctl(space->fd, VFIO_GET_API_VERSION, 0), "API_VERSION");
		must(ioctl(space->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU),
		     "CHECK_EXTENSION");
		must(ioctl(device.group, VFIO_GROUP_SET_CONTAINER, &space->fd),
		     "SET_CONTAINER");
		must(ioctl(space->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
		     "SET_IOMMU");
	} else {
		must(ioctl(device.group, VFIO_GROUP_SET_CONTAINER, &space->fd),
		     "SET_CONTAINER");
	}
	pthread_mutex_unlock(&turn);
	device.fd = must(ioctl(device.group, VFIO_GROUP_GET_DEVICE_FD, address),
			 "GET_DEVICE_FD");
	pthread_mutex_lock(&turn);
	container_info(space->fd);
	device_info(device.fd);
	return device;
}

static void detach(struct space *space, struct device *device)
{
	struct vfio_iommu_type1_dma_unmap all = {
		.argsz = sizeof(all),
		.flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};

	pthread_mutex_unlock(&turn);
	must(close(device->fd), "close");
	pthread_mutex_lock(&turn);
	if (--space->devices == 0)
		must(ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &all), "UNMAP_ALL");
	must(ioctl(device->group, VFIO_GROUP_UNSET_CONTAINER), "UNSET");
	if (space->devices == 0)
		must(close(space->fd), "close");
	must(close(device->group), "close");
}

static void map(struct space *space, void *memory, uint64_t size, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map argument = {
		.argsz = sizeof(argument),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	must(ioctl(space->fd, VFIO_IOMMU_MAP_DMA, &argument), "MAP_DMA");
}

static void unmap(struct space *space, uint64_t size, uint64_t iova)
{
	struct vfio_iommu_type1_dma_unmap argument = {
		.argsz = sizeof(argument),
		.iova = iova,
		.size = size,
	};

	must(ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &argument), "UNMAP_DMA");
}

const struct backend legacy = { "legacy", attach, detach, map, unmap };
