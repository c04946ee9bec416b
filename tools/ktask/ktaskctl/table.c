// SPDX-License-Identifier: GPL-2.0-only
/* Tables that fit the terminal; elsewhere, as in a pipe, they are as wide as it takes */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ktaskctl.h"

#define GAP	2	/* blanks between columns */
#define CUT	"..."
#define NARROW	24	/* as much of the first column is worth more than others */

static bool is_terminal(void)
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

static unsigned int terminal_width(void)
{
	return is_terminal() ? size_of_terminal().ws_col : 0;
}

unsigned int terminal_height(void)
{
	return is_terminal() ? size_of_terminal().ws_row : 0;
}

bool can_move_cursor(void)
{
	const char *term = getenv("TERM");

	return is_terminal() && term && strcmp(term, "dumb");
}

static bool has_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return can_move_cursor() && !(no && *no);
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

/* Does a character of UTF-8 begin there? */
static bool begins(char byte)
{
	return (byte & 0xc0) != 0x80;
}

static size_t length_of(const char *text)
{
	size_t length = 0;

	for (; *text; text++)
		length += begins(*text);
	return length;
}

static size_t width_of(const struct table *table, size_t column)
{
	size_t width = length_of(table->columns[column].title), i;

	for (i = column; i < table->nr_cells; i += table->nr_columns) {
		size_t length = length_of(table->cells[i]);

		width = length > width ? length : width;
	}
	return width;
}

/* The column to leave out next, 0 if only the first is left; and the width of all */
static size_t least_worth(const struct table *table, const size_t *widths, size_t *sum)
{
	size_t i, least = 0;

	*sum = widths[0];
	for (i = 1; i < table->nr_columns; i++) {
		if (!widths[i])
			continue;
		*sum += GAP + widths[i];
		if (!least || table->columns[i].keep < table->columns[least].keep)
			least = i;
	}
	return least;
}

/* Leave out columns, and shorten the first one, until a row has room. */
static void fit(const struct table *table, size_t *widths, size_t room)
{
	size_t least, sum;

	while (least = least_worth(table, widths, &sum), sum > room) {
		/* First what it takes to have all columns, if that is enough. */
		if (!least || (widths[0] > NARROW && sum - room <= widths[0] - NARROW)) {
			widths[0] -= sum - room;
			return;
		}
		widths[least] = 0;
	}
}

static void print_padded(const char *text, size_t width, bool right)
{
	size_t length = length_of(text), pad = length < width ? width - length : 0;

	printf("%*s%s%*s", right ? (int)pad : 0, "", text, right ? 0 : (int)pad, "");
}

/* The end of a path tells more than its beginning. */
static void print_first(const char *cell, size_t width)
{
	size_t skip = length_of(cell);

	if (skip <= width || width <= strlen(CUT)) {
		print_padded(cell, width, false);
		return;
	}
	for (skip -= width - strlen(CUT); skip || !begins(*cell); cell++)
		skip -= begins(*cell);
	printf("%s%s", CUT, cell);
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
		bool right = table->columns[i].right;

		if (!widths[i])
			continue;
		printf("%*s", GAP, "");
		/* No blanks at the end of a line */
		print_padded(cell, right || i + 1 < last ? widths[i] : 0, right);
	}
}

/* Prints a table and forgets its cells. */
void table_print(struct table *table)
{
	size_t widths[table->nr_columns];
	size_t i;

	for (i = 0; i < table->nr_columns; i++)
		widths[i] = width_of(table, i);
	if (terminal_width())
		fit(table, widths, terminal_width());

	printf("%s", bold());
	print_row(table, widths, NULL);
	printf("%s\n", plain());
	for (i = 0; i < table->nr_cells; i += table->nr_columns) {
		print_row(table, widths, table->cells + i);
		putchar('\n');
	}

	for (i = 0; i < table->nr_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->nr_cells = 0;
}
