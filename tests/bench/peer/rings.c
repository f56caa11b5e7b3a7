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
	/* Dwords 6 to 9, and the last completion: 0 while one is awaited. */
	uint32_t state[8 * ENTRIES];
	uint32_t completed[COMPLETIONS];
	uint32_t tail, head, phase, unread;
} queue = { .phase = 1 };

/* How many commands the stand-in has completed. */
static uint32_t answered;

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
	uint32_t *state = queue.state + 8 * id;

	state[4] = 0;
	command[0] = opcode | id << 16;
	command[1] = namespace;
	command[6] = state[0];
	command[7] = state[1];
	command[8] = state[2];
	command[9] = state[3];
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

	for (;;) {
		uint32_t last = queue.completions[4 * queue.head + 3];
		uint32_t id = last & 0xffff;

		if ((last >> 16 & 1) != queue.phase)
			break;
		if (id >= ENTRIES || queue.state[8 * id + 4]) {
			fprintf(stderr, "peer: command %u completed\n", id);
			exit(1);
		}
		queue.state[8 * id + 4] = queue.head << 16 | last >> 16 | 1;
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
	uint32_t done = answered;

	while (done % ENTRIES != tail) {
		uint32_t id = ((volatile uint32_t *)queue.commands)
			[16 * (done % ENTRIES)] >> 16;
		uint32_t phase = ~done / COMPLETIONS & 1;

		queue.completions[4 * (done % COMPLETIONS) + 3] =
			id | phase << 16;
		done++;
	}
	answered = done;
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
		queue.state[8 * id] = id * PAGE;
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
