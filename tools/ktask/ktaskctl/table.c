// SPDX-License-Identifier: GPL-2.0-only
/* Tables that fit the terminal; elsewhere, as in a pipe, they are as wide as it takes */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ktaskctl.h"

#define GAP	2	/* blanks between columns */
#define CUT	"..."
#define NARROW	24	/* the first column has at least as much */

bool is_terminal(void)
{
	return isatty(STDOUT_FILENO);
}

static struct winsize size_of_terminal(void)
{
	struct winsize size = { };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		size = (struct winsize) { .ws_col = 80, .ws_row = 24 };
	return size;
}

unsigned int terminal_width(void)
{
	return is_terminal() ? size_of_terminal().ws_col : 0;
}

unsigned int terminal_height(void)
{
	return is_terminal() ? size_of_terminal().ws_row : 0;
}

static bool has_colour(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return is_terminal() && !(no && *no) && term && strcmp(term, "dumb");
}

const char *bold(void)
{
	return has_colour() ? "\033[1m" : "";
}

const char *plain(void)
{
	return has_colour() ? "\033[0m" : "";
}

/* Takes an allocated cell. */
void table_add(struct table *table, char *cell)
{
	table->cells = xrealloc(table->cells, (table->nr_cells + 1) * sizeof(cell));
	table->cells[table->nr_cells++] = cell;
}

static size_t width_of(const struct table *table, size_t column)
{
	size_t width = strlen(table->columns[column].title), i;

	for (i = column; i < table->nr_cells; i += table->nr_columns)
		if (strlen(table->cells[i]) > width)
			width = strlen(table->cells[i]);
	return width;
}

/* Leave out columns, and shorten the first one, until a row has room. */
static void fit(const struct table *table, size_t *widths, size_t room)
{
	for (;;) {
		size_t i, least = 0, sum = widths[0];

		for (i = 1; i < table->nr_columns; i++) {
			if (!widths[i])
				continue;
			sum += GAP + widths[i];
			if (!least || table->columns[i].keep < table->columns[least].keep)
				least = i;
		}
		if (sum <= room)
			return;
		if (widths[0] > NARROW) {
			size_t spare = widths[0] - NARROW;

			/* First what it takes to have all columns, if that is enough. */
			if (sum - room <= spare) {
				widths[0] -= sum - room;
				return;
			}
		}
		if (!least) {
			widths[0] = room;
			return;
		}
		widths[least] = 0;
	}
}

/* The end of a path tells more than its beginning. */
static void print_first(const char *cell, size_t width)
{
	size_t length = strlen(cell);

	if (length <= width || width <= strlen(CUT))
		printf("%-*.*s", (int)width, (int)width, cell);
	else
		printf("%s%s", CUT, cell + length - (width - strlen(CUT)));
}

static void print_row(const struct table *table, const size_t *widths,
		      char *const *cells)
{
	size_t i, last = table->nr_columns;

	while (last > 1 && !widths[last - 1])
		last--;
	print_first(cells ? cells[0] : table->columns[0].title, widths[0]);
	for (i = 1; i < last; i++) {
		const char *cell = cells ? cells[i] : table->columns[i].title;
		int width = widths[i];

		if (!width)
			continue;
		if (!table->columns[i].right)
			width = i + 1 < last ? -width : 0;
		printf("%*s%*s", GAP, "", width, cell);
	}
}

/* Prints a table, or the first rows of it, and forgets its cells. */
void table_print(struct table *table, size_t max_rows)
{
	size_t widths[table->nr_columns];
	size_t i, rows = table->nr_cells / table->nr_columns;

	for (i = 0; i < table->nr_columns; i++)
		widths[i] = width_of(table, i);
	if (terminal_width())
		fit(table, widths, terminal_width());

	printf("%s", bold());
	print_row(table, widths, NULL);
	printf("%s\n", plain());
	for (i = 0; i < rows && i < max_rows; i++) {
		print_row(table, widths, table->cells + i * table->nr_columns);
		putchar('\n');
	}

	for (i = 0; i < table->nr_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->nr_cells = 0;
}
