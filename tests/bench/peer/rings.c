/*
 * NVMe's rings in plain memory: what `examples/nvme/queue_pair.ts` does for a
 * command, and a stand-in for the controller.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ENTRIES 512
#define COMPLETIONS 1024
#define PAGE 4096

static struct queue {
	uint32_t *commands;
	volatile uint32_t *completions;
	volatile uint32_t *doorbells;
	uint32_t pointers[4 * ENTRIES];
	uint8_t busy[ENTRIES];
	uint16_t status[ENTRIES];
	uint16_t slots[ENTRIES];
	uint16_t completed[COMPLETIONS];
	uint32_t tail, head, phase, unread;
} queue = { .phase = 1 };

/* The stand-in's place in both rings. */
static struct {
	uint32_t head, tail, phase;
} controller = { .phase = 1 };

static void *pages(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		must(-1, "mmap");
	return memory;
}

static void submit(uint32_t id, uint32_t opcode, uint32_t namespace,
		   uint64_t block, uint32_t dword12)
{
	uint32_t *command = queue.commands + 16 * queue.tail;
	const uint32_t *pointers = queue.pointers + 4 * id;

	queue.busy[id] = 1;
	command[0] = opcode | id << 16;
	command[1] = namespace;
	command[6] = pointers[0];
	command[7] = pointers[1];
	command[8] = pointers[2];
	command[9] = pointers[3];
	command[10] = block;
	command[11] = block >> 32;
	command[12] = dword12;
	if (++queue.tail == ENTRIES)
		queue.tail = 0;
}

static void ring(int which, uint32_t value)
{
	__asm__ volatile("" ::: "memory");
	queue.doorbells[which] = value;
}

static uint32_t reap(void)
{
	uint32_t count = 0;

	while (count < COMPLETIONS) {
		uint32_t last = queue.completions[4 * queue.head + 3];
		uint32_t id = last & 0xffff;

		if ((last >> 16 & 1) != queue.phase)
			break;
		if (id >= ENTRIES || !queue.busy[id]) {
			fprintf(stderr, "peer: command %u completed\n", id);
			exit(1);
		}
		queue.busy[id] = 0;
		queue.status[id] = last >> 17;
		queue.slots[id] = queue.head;
		queue.completed[count++] = id;
		if (++queue.head == COMPLETIONS) {
			queue.head = 0;
			queue.phase ^= 1;
		}
	}
	if (count == 0)
		return 0;
	queue.unread += count;
	if (queue.unread > COMPLETIONS - ENTRIES) {
		queue.unread = 0;
		ring(1, queue.head);
	}
	return count;
}

/* Completes what was submitted. */
static void answer(void)
{
	uint32_t tail = queue.doorbells[0];

	while (controller.head != tail) {
		uint32_t first = ((volatile uint32_t *)queue.commands)
			[16 * controller.head];

		queue.completions[4 * controller.tail + 3] =
			first >> 16 | controller.phase << 16;
		if (++controller.head == ENTRIES)
			controller.head = 0;
		if (++controller.tail == COMPLETIONS) {
			controller.tail = 0;
			controller.phase ^= 1;
		}
	}
}

uint64_t rings(void)
{
	long times = atol(word());
	uint32_t depth = atol(word());
	uint64_t block = 1, start;
	long done = 0;

	if (!queue.commands) {
		queue.commands = pages(64 * ENTRIES);
		queue.completions = pages(16 * COMPLETIONS);
		queue.doorbells = pages(PAGE);
	}
	for (uint32_t id = 0; id < depth; id++) {
		queue.pointers[4 * id] = id * PAGE;
		queue.completed[id] = id;
	}
	start = now();
	for (uint32_t count = depth; done < times; done += count) {
		for (uint32_t i = 0; i < count; i++) {
			block = (block * 5 + 1) & 0xffff;
			submit(queue.completed[i], 2, 1, block, 0);
		}
		ring(0, queue.tail);
		answer();
		count = reap();
	}
	return now() - start;
}
