/*
 * Random reads of a block device by the kernel's driver: Linux's native
 * asynchronous I/O (libaio's calls), past the page cache.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 1024

static uint32_t state = 0x2545f491;

static uint32_t random_number(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state >> 1;
}

uint64_t aio(void)
{
	long times = atol(word()), submitted = 0, done = 0;
	int file = must(open(word(), O_RDONLY | O_DIRECT | O_CLOEXEC), "open");
	long depth = atol(word()), bytes = atol(word()), count;
	uint64_t blocks = lseek(file, 0, SEEK_END) / bytes, start;
	static struct io_event events[MOST];
	static struct iocb requests[MOST], *next[MOST];
	aio_context_t context = 0;
	char *memory = aligned_alloc(4096, MOST * 4096);

	must(syscall(SYS_io_setup, MOST, &context), "io_setup");
	for (long i = 0; i < depth; i++) {
		requests[i].aio_data = i;
		next[i] = &requests[i];
	}
	start = now();
	for (count = depth; done < times; done += count) {
		for (long i = 0; i < count; i++) {
			struct iocb *request = next[i];

			request->aio_fildes = file;
			request->aio_lio_opcode = IOCB_CMD_PREAD;
			request->aio_buf = (uint64_t)memory +
				request->aio_data * 4096;
			request->aio_nbytes = bytes;
			request->aio_offset =
				random_number() % blocks * bytes;
		}
		must(syscall(SYS_io_submit, context, count, next),
		     "io_submit");
		submitted += count;
		count = must(syscall(SYS_io_getevents, context, 1, MOST,
				     events, NULL), "io_getevents");
		for (long i = 0; i < count; i++) {
			must(events[i].res == bytes ? 0 : -1, "a read");
			next[i] = (struct iocb *)events[i].obj;
		}
	}
	start = now() - start;
	while (done < submitted)
		done += must(syscall(SYS_io_getevents, context, 1, MOST,
				     events, NULL), "io_getevents");
	syscall(SYS_io_destroy, context);
	free(memory);
	close(file);
	return start;
}
