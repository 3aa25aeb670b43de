/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heat.c - the steady state of a heated plate: a program worth freezing.
 *
 *	mpirun heat [ITERATIONS [SIZE [REPORT]]]
 *
 * Jacobi iteration for Laplace's equation on a square plate of SIZE×SIZE inner
 * points, the top edge at 100 degrees, the left edge a ramp, the others at 0.
 * Rows are divided among the ranks; each iteration exchanges one row with
 * either neighbour.  Every REPORT iterations rank 0 prints the residual (the
 * 2-norm of the change).  At the end it prints
 *
 *	result residual=<17 digits> checksum=<64 bits>
 *
 * The checksum covers every bit of the field and does not depend on the order
 * of summation, so two runs that print the same line computed the same thing.
 * The residual's sum is made in rank order, for the same reason.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plate {
	int size;        /* inner points in a row */
	int first, rows; /* our rows of the whole plate */
	size_t width;    /* size + the two edges */
	double *now, *next;
	int up, down;    /* neighbours' ranks */
};

static void die(const char *text)
{
	fprintf(stderr, "heat: %s\n", text);
	MPI_Abort(MPI_COMM_WORLD, 2);
	exit(2);
}

static int number(const char *text, int min, int max, const char *what)
{
	char *end, message[128];
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < min || n > max) {
		snprintf(message, sizeof message, "%s \"%.32s\": a number from %d to %d, please", what, text, min, max);
		die(message);
	}
	return (int)n;
}

static void plate_init(struct plate *p, int size, int rank, int ranks)
{
	p->size = size;
	p->first = (int)((long)size * rank / ranks);
	p->rows = (int)((long)size * (rank + 1) / ranks) - p->first;
	p->width = (size_t)size + 2;
	p->now = calloc((size_t)(p->rows + 2) * p->width, sizeof *p->now);
	p->next = calloc((size_t)(p->rows + 2) * p->width, sizeof *p->next);
	if (!p->now || !p->next)
		die("out of memory");
	p->up = rank ? rank - 1 : MPI_PROC_NULL;
	p->down = rank + 1 < ranks ? rank + 1 : MPI_PROC_NULL;
	if (!rank)
		for (size_t j = 0; j < p->width; j++)
			p->now[j] = p->next[j] = 100.0;
	for (int i = 0; i < p->rows + 2; i++) {
		double edge = 100.0 * (1.0 - (double)(p->first + i) / (size + 1));

		p->now[(size_t)i * p->width] = p->next[(size_t)i * p->width] = edge;
	}
}

static void exchange(struct plate *p)
{
	double *top = p->now + p->width, *bottom = p->now + (size_t)p->rows * p->width;
	int n = (int)p->width;

	MPI_Sendrecv(top, n, MPI_DOUBLE, p->up, 1, bottom + p->width, n, MPI_DOUBLE, p->down, 1, MPI_COMM_WORLD,
		     MPI_STATUS_IGNORE);
	MPI_Sendrecv(bottom, n, MPI_DOUBLE, p->down, 2, p->now, n, MPI_DOUBLE, p->up, 2, MPI_COMM_WORLD,
		     MPI_STATUS_IGNORE);
}

/* One Jacobi step; the sum of the squares of our changes. */
static double step(struct plate *p)
{
	double sum = 0, *swap;

	exchange(p);
	for (int i = 1; i <= p->rows; i++) {
		const double *row = p->now + (size_t)i * p->width;
		double *out = p->next + (size_t)i * p->width;

		for (int j = 1; j <= p->size; j++) {
			double change;

			out[j] = 0.25 * (row[j - (int)p->width] + row[j + (int)p->width] + row[j - 1] + row[j + 1]);
			change = out[j] - row[j];
			sum += change * change;
		}
	}
	swap = p->now;
	p->now = p->next;
	p->next = swap;
	return sum;
}

/* The residual, summed in rank order on rank 0; others get 0. */
static double residual(double ours, int rank, int ranks)
{
	double *all = rank ? NULL : malloc((size_t)ranks * sizeof *all), sum = 0;

	MPI_Gather(&ours, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
	for (int i = 0; !rank && i < ranks; i++)
		sum += all[i];
	free(all);
	return sqrt(sum);
}

/* Each value's bits, weighted by its place: any exchange or change of values shows. */
static uint64_t checksum(const struct plate *p)
{
	uint64_t sum = 0, whole = 0;

	for (int i = 1; i <= p->rows; i++)
		for (int j = 1; j <= p->size; j++) {
			uint64_t bits, place = (uint64_t)(p->first + i) * p->width + (uint64_t)j;

			memcpy(&bits, &p->now[(size_t)i * p->width + (size_t)j], sizeof bits);
			sum += bits * (2 * place + 1);
		}
	MPI_Reduce(&sum, &whole, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
	return whole;
}

int main(int argc, char **argv)
{
	int rank, ranks, iterations, size, report;
	struct plate plate;
	double start, ours = 0, r = 0;
	uint64_t sum;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	iterations = argc > 1 ? number(argv[1], 1, INT_MAX, "ITERATIONS") : 1000;
	size = argc > 2 ? number(argv[2], 2, 1 << 14, "SIZE") : 64;
	report = argc > 3 ? number(argv[3], 1, INT_MAX, "REPORT") : 20;
	if (ranks > size)
		die("more ranks than rows");
	plate_init(&plate, size, rank, ranks);
	if (!rank) {
		printf("heat: %dx%d points, %d iterations, %d ranks\n", size, size, iterations, ranks);
		fflush(stdout);
	}
	start = MPI_Wtime();
	for (int k = 1; k <= iterations; k++) {
		ours = step(&plate);
		if (k % report && k != iterations)
			continue;
		r = residual(ours, rank, ranks);
		if (!rank) {
			printf("iter %6d  residual %.6e  elapsed %.1f s\n", k, r, MPI_Wtime() - start);
			fflush(stdout);
		}
	}
	sum = checksum(&plate);
	if (!rank) {
		printf("result residual=%.16e checksum=%016llx\n", r, (unsigned long long)sum);
		fflush(stdout);
	}
	free(plate.now);
	free(plate.next);
	MPI_Finalize();
	return 0;
}
