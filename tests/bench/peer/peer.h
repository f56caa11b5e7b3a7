/*
 * What the C program asks of VFIO: the system calls that the library makes for
 * the same thing, in the same order.
 *
 * Left out is what the library asks beyond that, which serves its choice of a
 * backend and its errors and not the attaching: where in sysfs the device is,
 * and which nodes there are. The time for it counts against the library. Every
 * failure ends the program.
 */
#ifndef PEER_H
#define PEER_H

#include <pthread.h>
#include <stdint.h>

/*
 * What the event loop is to the library: held but for the calls that can block,
 * since opening and closing a device can reset it.
 */
extern pthread_mutex_t turn;

/* One IOVA space: a container, or an iommufd with an IOAS. */
struct space {
	int fd;
	uint32_t ioas;
	int devices;
};

/* An attached device; `group` is -1 with iommufd. */
struct device {
	int fd;
	int group;
};

struct backend {
	const char *name;
	struct device (*attach)(struct space *space, const char *address);
	void (*detach)(struct space *space, struct device *device);
	void (*map)(struct space *space, void *memory, uint64_t size,
		    uint64_t iova);
	void (*unmap)(struct space *space, uint64_t size, uint64_t iova);
};

extern const struct backend legacy, iommufd;

/* Ends the program, unless `result` tells of success; gives it back. */
int must(int result, const char *call);

/* Asks an attached device what it is, as the last step of attaching. */
void device_info(int fd);

#endif
