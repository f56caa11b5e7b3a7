/* The interrupts of the device that `open` has attached. */
#include "peer.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_VECTORS 256
#define CONFIG_OFFSET ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)
/* After so long the program sleeps in epoll_wait(). */
#define PAUSE_US 200
#define EDU_BYTES 4096
#define EDU_RAISE (0x60 / 4)
#define EDU_ACKNOWLEDGE (0x64 / 4)

void set_irqs(int device, int index, int count, const int *fds)
{
	char bytes[sizeof(struct vfio_irq_set) + MAX_VECTORS * sizeof(int)];
	struct vfio_irq_set *set = (void *)bytes;

	set->argsz = sizeof(*set) + count * sizeof(int);
	set->flags = VFIO_IRQ_SET_ACTION_TRIGGER |
		(count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->start = 0;
	set->count = count;
	if (count)
		memcpy(set->data, fds, count * sizeof(int));
	must(ioctl(device, VFIO_DEVICE_SET_IRQS, set), "SET_IRQS");
}

/* vectors TIMES COUNT: enables MSI-X vectors, and disables them. */
uint64_t vectors(void)
{
	long times = atol(word()), count = atol(word());
	int fds[MAX_VECTORS];
	uint64_t start = now();

	while (times-- > 0) {
		for (int i = 0; i < count; i++)
			fds[i] = must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				      "eventfd");
		set_irqs(device.fd, VFIO_PCI_MSIX_IRQ_INDEX, count, fds);
		set_irqs(device.fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, NULL);
		for (int i = 0; i < count; i++)
			close(fds[i]);
	}
	return now() - start;
}

/* Has the kernel fire a vector, as if the device had. */
static void fire(int vector)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = vector,
		.count = 1,
	};

	must(ioctl(device.fd, VFIO_DEVICE_SET_IRQS, &set), "SET_IRQS");
}

static struct {
	sem_t wanted;
	int vector;
	uint64_t time;
} next;

/* Fires each vector that is wanted while the program waits for it. */
static void *fire_each(void *unused)
{
	(void)unused;
	for (;;) {
		must(sem_wait(&next.wanted), "sem_wait");
		if (next.vector < 0)
			return NULL;
		usleep(PAUSE_US);
		next.time = now();
		fire(next.vector);
	}
}

/* Has the other thread fire a vector; end by -1. */
static void want(int vector)
{
	next.vector = vector;
	must(sem_post(&next.wanted), "sem_post");
}

/*
 * delivered TIMES COUNT PERCENT: from firing one of COUNT vectors until the
 * program that waits has read it, the time that so many of them do not exceed,
 * times TIMES.
 */
uint64_t delivered(void)
{
	long times = atol(word()), count = atol(word()), percent = atol(word());
	int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	uint64_t *each = calloc(times, sizeof(*each)), value, result;
	int fds[MAX_VECTORS];
	pthread_t thread;

	for (int i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN };

		fds[i] = must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
		event.data.fd = fds[i];
		must(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event), "epoll_ctl");
	}
	set_irqs(device.fd, VFIO_PCI_MSIX_IRQ_INDEX, count, fds);
	must(sem_init(&next.wanted, 0, 0), "sem_init");
	must(-pthread_create(&thread, NULL, fire_each, NULL), "pthread_create");
	for (long i = 0; i < times; i++) {
		struct epoll_event event;

		want(i * 7 % count);
		must(epoll_wait(epoll, &event, 1, -1), "epoll_wait");
		must(read(event.data.fd, &value, sizeof(value)), "read");
		each[i] = now() - next.time;
	}
	want(-1);
	pthread_join(thread, NULL);
	set_irqs(device.fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, NULL);
	for (int i = 0; i < count; i++)
		close(fds[i]);
	close(epoll);
	result = percentile(each, times, percent) * times;
	free(each);
	return result;
}

/* interrupt TIMES: has an edu fire its MSI, and waits for it. */
uint64_t interrupt(void)
{
	long times = atol(word());
	int fd = must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
	int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	struct epoll_event event = { .events = EPOLLIN };
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	volatile uint32_t *edu = mmap(NULL, EDU_BYTES, PROT_READ | PROT_WRITE,
				      MAP_SHARED, device.fd, 0);
	uint64_t start, count;

	must(edu == MAP_FAILED ? -1 : 0, "mmap");
	must(pwrite(device.fd, &command, sizeof(command),
		    CONFIG_OFFSET + PCI_COMMAND), "pwrite");
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
	set_irqs(device.fd, VFIO_PCI_MSI_IRQ_INDEX, 1, &fd);
	start = now();
	while (times-- > 0) {
		edu[EDU_RAISE] = 1;
		must(epoll_wait(epoll, &event, 1, -1), "epoll_wait");
		must(read(fd, &count, sizeof(count)), "read");
		edu[EDU_ACKNOWLEDGE] = 1;
	}
	start = now() - start;
	set_irqs(device.fd, VFIO_PCI_MSI_IRQ_INDEX, 0, NULL);
	munmap((void *)edu, EDU_BYTES);
	close(epoll);
	close(fd);
	return start;
}
