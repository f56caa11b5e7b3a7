/* What it takes from a write to an eventfd until a program has read it. */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_FDS 256

/* The time between two writes, in microseconds. */
#define SHORTEST 500
#define SPREAD 1000

static int fds[MAX_FDS];
static long count, writes;

/* Writes the time to one eventfd after the other, in random order. */
static void *wake(void *unused)
{
	unsigned int seed = 1;

	for (long i = 0; i < writes; i++) {
		usleep(SHORTEST + rand_r(&seed) % SPREAD);
		eventfd_write(fds[rand_r(&seed) % count], now());
	}
	return unused;
}

static pthread_t start(void)
{
	pthread_t thread;

	must(-pthread_create(&thread, NULL, wake, NULL), "pthread_create");
	return thread;
}

/* wake TIMES FD...: signals eventfds that this process has inherited. */
uint64_t wake_others(void)
{
	const char *fd;

	writes = atol(word());
	for (count = 0; count < MAX_FDS && (fd = strtok(NULL, " \n")); count++)
		fds[count] = atoi(fd);
	pthread_detach(start());
	return 0;
}

static int compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t percentile(uint64_t *times, long count, long percent)
{
	qsort(times, count, sizeof(*times), compare_times);
	return times[count * percent / 100];
}

/*
 * latency TIMES COUNT PERCENT: the time of a wake that so many of them do not
 * exceed, times TIMES.
 */
uint64_t latency(void)
{
	int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	uint64_t *times, then, result;
	struct epoll_event event;
	pthread_t thread;
	long percent, samples = 0;

	writes = atol(word());
	count = atol(word());
	percent = atol(word());
	times = calloc(writes, sizeof(*times));
	for (int i = 0; i < count; i++) {
		fds[i] = must(eventfd(0, EFD_CLOEXEC), "eventfd");
		event.events = EPOLLIN;
		event.data.fd = fds[i];
		must(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event), "epoll_ctl");
	}
	thread = start();
	for (long seen = 0; seen < writes;) {
		must(epoll_wait(epoll, &event, 1, -1), "epoll_wait");
		must(read(event.data.fd, &then, sizeof(then)), "read");
		/* Two writes that were read at once are no sample. */
		long together = (then + now() / 2) / now();
		if (together == 1)
			times[samples++] = now() - then;
		seen += together;
	}
	pthread_join(thread, NULL);
	result = percentile(times, samples, percent) * writes;
	free(times);
	for (int i = 0; i < count; i++)
		close(fds[i]);
	close(epoll);
	return result;
}
