/*
 * The C side of the measurements. It reads a command from each line, does it a
 * number of times, and prints how many nanoseconds that took.
 *
 *   attach TIMES BACKEND ADDRESS...    attaches devices one after the other,
 *                                      then detaches them
 *   attach-threads TIMES BACKEND ADDRESS...        the same, a thread for each
 *   attach-irqs TIMES BACKEND ADDRESS...           the same, with an MSI of each
 *   open BACKEND ADDRESS               attaches, for what follows
 *   map TIMES FILE BYTES               maps and unmaps the file's memory
 *   grow TIMES FILE BYTES              maps the file's memory, and leaves it
 *   shrink TIMES                       unmaps what that has mapped first
 *   dirty TIMES                        which pages of it were written
 *   walk TIMES BITS EVERY              copies a bitmap, and visits its bits
 *   read TIMES                         32 bits of a mapped BAR 0
 *   pread TIMES                        32 bits of BAR 0, by a system call
 *   close                              detaches
 *   ioctl TIMES PIPE                   FIONREAD of a named pipe
 *   memory TIMES                       32 bits of memory, as a mapped BAR
 *   thread                             starts one, which does nothing
 *   latency TIMES COUNT PERCENT        until one of COUNT eventfds is read, at
 *                                      a percentile
 *   vectors TIMES COUNT                enables MSI-X vectors, disables them
 *   delivered TIMES COUNT PERCENT      until one of COUNT vectors is read, at a
 *                                      percentile
 *   interrupt TIMES                    an edu's, until it is read
 *   rings TIMES DEPTH                  NVMe commands over rings in memory
 *   wake TIMES FD...                   signals eventfds that it was given
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEVICES 64
#define LOWEST_IOVA 0x10000
#define PAGE 4096

pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

int must(int result, const char *call)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "peer: %s: %s\n", call, strerror(errno));
	exit(1);
}

void device_info(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	must(ioctl(fd, VFIO_DEVICE_GET_INFO, &info), "DEVICE_GET_INFO");
}

uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

const char *word(void)
{
	const char *found = strtok(NULL, " \n");

	if (!found) {
		fprintf(stderr, "peer: a word is missing\n");
		exit(1);
	}
	return found;
}

static const struct backend *backend_word(void)
{
	return strcmp(word(), "legacy") == 0 ? &legacy : &iommufd;
}

void *memory_of(size_t size, int flags, int fd, off_t offset)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | flags, fd, offset);

	if (memory == MAP_FAILED)
		must(-1, "mmap");
	return memory;
}

const struct backend *backend;
struct space space;
struct device device;

/* Devices that are attached and detached together. */
static struct together {
	const struct backend *backend;
	struct space space;
	int count;
	struct one {
		const char *address;
		struct device device;
		pthread_t thread;
		int event;
	} each[MAX_DEVICES];
} together;

static void *attach_one(void *argument)
{
	struct one *one = argument;

	pthread_mutex_lock(&turn);
	one->device = together.backend->attach(&together.space, one->address);
	pthread_mutex_unlock(&turn);
	return NULL;
}

static void *detach_one(void *argument)
{
	struct one *one = argument;

	pthread_mutex_lock(&turn);
	together.backend->detach(&together.space, &one->device);
	pthread_mutex_unlock(&turn);
	return NULL;
}

static void in_turn(void *(*step)(void *))
{
	for (int i = 0; i < together.count; i++)
		step(&together.each[i]);
}

static void at_once(void *(*step)(void *))
{
	for (int i = 0; i < together.count; i++)
		must(-pthread_create(&together.each[i].thread, NULL, step,
				     &together.each[i]), "pthread_create");
	for (int i = 0; i < together.count; i++)
		pthread_join(together.each[i].thread, NULL);
}

static uint64_t attach_and_detach(void (*all)(void *(*step)(void *)),
				  void *(*attach)(void *), void *(*detach)(void *))
{
	long times = atol(word());
	const char *address;
	uint64_t start;

	together.backend = backend_word();
	together.count = 0;
	while (together.count < MAX_DEVICES && (address = strtok(NULL, " \n")))
		together.each[together.count++].address = address;
	start = now();
	while (times-- > 0) {
		all(attach);
		all(detach);
	}
	return now() - start;
}

static uint64_t attach(void)
{
	return attach_and_detach(in_turn, attach_one, detach_one);
}

static uint64_t attach_threads(void)
{
	return attach_and_detach(at_once, attach_one, detach_one);
}

static void *attach_with_irq(void *argument)
{
	struct one *one = argument;

	attach_one(one);
	one->event = must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
	set_irqs(one->device.fd, VFIO_PCI_MSI_IRQ_INDEX, 1, &one->event);
	return NULL;
}

static void *detach_with_irq(void *argument)
{
	struct one *one = argument;

	set_irqs(one->device.fd, VFIO_PCI_MSI_IRQ_INDEX, 0, NULL);
	close(one->event);
	return detach_one(one);
}

static uint64_t attach_irqs(void)
{
	return attach_and_detach(in_turn, attach_with_irq, detach_with_irq);
}

static uint64_t map(void)
{
	long times = atol(word());
	int file = must(open(word(), O_RDWR | O_CLOEXEC), "open");
	size_t size = atol(word());
	void *memory = memory_of(size, 0, file, 0);
	/* Aligned to the size, like the library's choice. */
	uint64_t iova = size > LOWEST_IOVA ? size : LOWEST_IOVA;
	uint64_t start = now();

	while (times-- > 0) {
		backend->map(&space, memory, size, iova);
		backend->unmap(&space, size, iova);
	}
	start = now() - start;
	munmap(memory, size);
	close(file);
	return start;
}

static struct vfio_region_info bar(void)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};

	must(ioctl(device.fd, VFIO_DEVICE_GET_REGION_INFO, &info), "REGION");
	return info;
}

static uint64_t load(long times, volatile uint32_t *word)
{
	uint64_t start = now();

	while (times-- > 0)
		(void)*word;
	return now() - start;
}

static uint64_t read_mapped(void)
{
	struct vfio_region_info info = bar();
	void *registers = memory_of(info.size, 0, device.fd, info.offset);
	uint64_t time = load(atol(word()), registers);

	munmap(registers, info.size);
	return time;
}

static uint64_t read_memory(void)
{
	void *memory = memory_of(PAGE, MAP_ANONYMOUS, -1, 0);
	uint64_t time;

	memset(memory, 1, PAGE);
	time = load(atol(word()), memory);
	munmap(memory, PAGE);
	return time;
}

static uint64_t read_by_call(void)
{
	long times = atol(word());
	off_t offset = bar().offset;
	uint64_t start = now();
	uint32_t value;

	while (times-- > 0)
		must(pread(device.fd, &value, sizeof(value), offset), "pread");
	return now() - start;
}

static uint64_t one_ioctl(void)
{
	long times = atol(word());
	int fifo = must(open(word(), O_RDWR | O_CLOEXEC), "open");
	uint64_t start = now();
	int unread;

	while (times-- > 0)
		must(ioctl(fifo, FIONREAD, &unread), "FIONREAD");
	start = now() - start;
	close(fifo);
	return start;
}

static void *idle(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static uint64_t start_thread(void)
{
	pthread_t thread;

	must(-pthread_create(&thread, NULL, idle, NULL), "pthread_create");
	return 0;
}

static uint64_t open_device(void)
{
	backend = backend_word();
	pthread_mutex_lock(&turn);
	device = backend->attach(&space, word());
	pthread_mutex_unlock(&turn);
	return 0;
}

static uint64_t close_device(void)
{
	pthread_mutex_lock(&turn);
	backend->detach(&space, &device);
	pthread_mutex_unlock(&turn);
	return 0;
}

static const struct {
	const char *name;
	uint64_t (*run)(void);
} commands[] = {
	{ "attach", attach },
	{ "attach-threads", attach_threads },
	{ "attach-irqs", attach_irqs },
	{ "open", open_device },
	{ "map", map },
	{ "grow", grow },
	{ "shrink", shrink },
	{ "dirty", dirty },
	{ "walk", walk_copy },
	{ "read", read_mapped },
	{ "pread", read_by_call },
	{ "close", close_device },
	{ "ioctl", one_ioctl },
	{ "memory", read_memory },
	{ "thread", start_thread },
	{ "latency", latency },
	{ "wake", wake_others },
	{ "vectors", vectors },
	{ "delivered", delivered },
	{ "interrupt", interrupt },
	{ "rings", rings },
};

static uint64_t run(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run();
	}
	fprintf(stderr, "peer: unknown command %s\n", name);
	exit(1);
}

int main(void)
{
	char line[2048];

	while (fgets(line, sizeof(line), stdin)) {
		char *name = strtok(line, " \n");

		if (!name)
			continue;
		printf("%llu\n", (unsigned long long)run(name));
		fflush(stdout);
	}
	return 0;
}
