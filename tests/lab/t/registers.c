/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * registers - do vector registers survive being switched away from?
 *
 * Puts values nobody else has into registers, spins for a while, looks whether they are still there.  Copies of it
 * in Dom0 and in guests at once find an emulator that mixes up the FPU state of virtual processors, as QEMU 7.2
 * does unless Xen runs with eager-fpu; everything else that goes wrong is then only a symptom.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct value {
	uint64_t half[2];
};

/* Keeps v in four registers for a while; gives back what is in them then. */
static void hold(const struct value *v, struct value held[4])
{
	__asm__ volatile("movdqu (%0), %%xmm12\n\t"
			 "movdqu (%0), %%xmm13\n\t"
			 "movdqu (%0), %%xmm14\n\t"
			 "movdqu (%0), %%xmm15\n\t"
			 "mov $20000, %%ecx\n"
			 "1:\tdec %%ecx\n\t"
			 "jnz 1b\n\t"
			 "movdqu %%xmm12, (%1)\n\t"
			 "movdqu %%xmm13, 16(%1)\n\t"
			 "movdqu %%xmm14, 32(%1)\n\t"
			 "movdqu %%xmm15, 48(%1)\n\t"
			 :
			 : "r"(v), "r"(held)
			 : "ecx", "memory", "xmm12", "xmm13", "xmm14", "xmm15");
}

int main(int argc, char **argv)
{
	struct value v = { { 0, 0 } }, held[4];
	unsigned long rounds = 0, wrong = 0;
	struct timespec t;
	time_t end;

	if (argc != 2) {
		fprintf(stderr, "usage: registers SECONDS\n");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	end = t.tv_sec + atol(argv[1]);
	v.half[1] = (uint64_t)getpid() << 32 ^ (uint64_t)t.tv_nsec;
	while (t.tv_sec < end) {
		v.half[0] = ++rounds;
		hold(&v, held);
		for (int i = 0; i < 4; i++)
			wrong += memcmp(&v, &held[i], sizeof(v)) != 0;
		clock_gettime(CLOCK_MONOTONIC, &t);
	}
	printf("registers: %lu rounds, %lu wrong\n", rounds, wrong);
	return wrong || !rounds;
}
