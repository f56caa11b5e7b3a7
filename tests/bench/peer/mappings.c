/*
 * Many mappings, large ones, and which of their pages devices have written.
 */
#include "peer.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ull
/* Behind the window that the processor's interrupts have. */
#define FIRST_IOVA (1ull << 32)

/* What `grow` has mapped: `count` times the same memory. */
static struct {
	char *memory;
	size_t size;
	uint64_t first, count;
} mapped;

static uint64_t iova_of(uint64_t index)
{
	return FIRST_IOVA + index * mapped.size;
}

uint64_t grow(void)
{
	uint64_t count = atol(word()), start;
	int file = must(open(word(), O_RDWR | O_CLOEXEC), "open");
	size_t size = atol(word());

	if (mapped.count == 0) {
		mapped.size = size;
		mapped.first = 0;
		mapped.memory = memory_of(size, 0, file, 0);
	}
	close(file);
	start = now();
	while (count-- > 0)
		backend->map(&space, mapped.memory, mapped.size,
			     iova_of(mapped.first + mapped.count++));
	return now() - start;
}

uint64_t shrink(void)
{
	uint64_t count = atol(word()), start = now();

	while (count-- > 0) {
		backend->unmap(&space, mapped.size, iova_of(mapped.first++));
		mapped.count--;
	}
	start = now() - start;
	if (mapped.count == 0)
		munmap(mapped.memory, mapped.size);
	return start;
}

/* Visits the runs of bits that are set; gives how many bits these have. */
static uint64_t walk(const uint64_t *words, uint64_t count)
{
	uint64_t at = 0, sum = 0;

	for (;;) {
		uint64_t first, end, word;

		if (at >= count * 64)
			return sum;
		word = words[at / 64] & (~0ull << at % 64);
		for (at /= 64; word == 0; word = words[at])
			if (++at == count)
				return sum;
		first = at * 64 + __builtin_ctzll(word);
		word = ~words[at] & (~0ull << first % 64);
		while (word == 0 && ++at < count)
			word = ~words[at];
		end = at * 64 + (at < count ? __builtin_ctzll(word) : 0);
		sum += end - first;
		at = end;
	}
}

static void control(uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap argument = {
		.argsz = sizeof(argument),
		.flags = flags,
	};

	must(ioctl(space.fd, VFIO_IOMMU_DIRTY_PAGES, &argument), "DIRTY_PAGES");
}

static void read_log(uint64_t iova, uint64_t *bitmap)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} argument = {
		.head.argsz = sizeof(argument),
		.head.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = iova,
		.get.size = mapped.size,
		.get.bitmap.pgsize = PAGE,
		.get.bitmap.size = mapped.size / PAGE / 8,
		.get.bitmap.data = (void *)bitmap,
	};

	must(ioctl(space.fd, VFIO_IOMMU_DIRTY_PAGES, &argument), "DIRTY_PAGES");
}

uint64_t dirty(void)
{
	long times = atol(word());
	uint64_t each = mapped.size / PAGE / 64, start, *bitmap;

	control(VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	start = now();
	while (times-- > 0) {
		bitmap = calloc(mapped.count * each, sizeof(*bitmap));
		for (uint64_t i = 0; i < mapped.count; i++)
			read_log(iova_of(mapped.first + i), bitmap + i * each);
		must(walk(bitmap, mapped.count * each) ? 0 : -1, "walk");
		free(bitmap);
	}
	start = now() - start;
	control(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
	return start;
}

uint64_t walk_copy(void)
{
	long times = atol(word());
	uint64_t bits = atol(word()), every = atol(word()), start;
	uint64_t *log = calloc(bits / 64, sizeof(*log)), *bitmap;

	for (uint64_t bit = 0; bit < bits; bit += every)
		log[bit / 64] |= 1ull << bit % 64;
	start = now();
	while (times-- > 0) {
		bitmap = calloc(bits / 64, sizeof(*bitmap));
		memcpy(bitmap, log, bits / 8);
		must(walk(bitmap, bits / 64) ? 0 : -1, "walk");
		free(bitmap);
	}
	start = now() - start;
	free(log);
	return start;
}
