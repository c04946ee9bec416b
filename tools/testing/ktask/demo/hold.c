// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a container of the demo does: take memory, write to every page of it,
 * say so on stdout, and wait to be killed.
 *
 * usage: hold MIB
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	size_t size = argc == 2 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	long page = sysconf(_SC_PAGESIZE);
	char *mem;
	size_t i;

	if (!size) {
		fputs("usage: hold MIB\n", stderr);
		return 2;
	}

	mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		die("hold: mmap");
	/* Small pages: they are what takes long to free. */
	madvise(mem, size, MADV_NOHUGEPAGE);
	for (i = 0; i < size; i += page)
		mem[i] = 1;

	if (puts("ready") == EOF || fflush(stdout))
		die("hold: stdout");
	for (;;)
		pause();
}
