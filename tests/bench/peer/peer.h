/*
 * The C program makes the same system calls as the library, in the same order.
 *
 * It leaves out those calls of the library that serve its choice of a backend
 * and its errors, and not the attaching: finding the device in sysfs, and
 * finding the nodes. Their time counts against the library. Every failure ends
 * the program.
 */
#ifndef PEER_H
#define PEER_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The counterpart of the library's event loop. It is held except during calls
 * that can block, as opening and closing a device can reset it.
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

/* The device that `open` has attached, and where. */
extern struct device device;
extern struct space space;
extern const struct backend *backend;

/* Nanoseconds of the monotonic clock. */
uint64_t now(void);

/* Sorts times, and returns one that so many of them do not exceed. */
uint64_t percentile(uint64_t *times, long count, long percent);

/* Connects eventfds to interrupts of a device; disconnects all if there are 0. */
void set_irqs(int device, int index, int count, const int *fds);

/* Returns the next word of the command line. */
const char *word(void);

/* Commands that have a file of their own. */
uint64_t latency(void), wake_others(void), vectors(void), interrupt(void);
uint64_t delivered(void);
uint64_t rings(void);
uint64_t grow(void), shrink(void), dirty(void), walk_copy(void);

/* Maps memory of a file, or of no file, for reading and writing. */
void *memory_of(size_t size, int flags, int fd, off_t offset);

/* Returns `result` if it means success, else ends the program. */
int must(int result, const char *call);

/* Reads the info of an attached device, as the last step of attaching. */
void device_info(int fd);

#endif
