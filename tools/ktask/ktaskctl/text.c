// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names as they can be printed
 *
 * Whoever may make a cgroup chooses its name: of any bytes but a newline and a slash.
 * A terminal obeys some of these, and JSON and Prometheus want UTF-8.
 */
#include <stdlib.h>
#include <string.h>

#include "ktaskctl.h"

void *xrealloc(void *old, size_t size)
{
	void *new = realloc(old, size);

	if (!new)
		errx(STATUS_FAILED, "out of memory");
	return new;
}

/* Bytes of the UTF-8 character that @text begins with; 0 if it is none, or a control. */
static size_t character(const unsigned char *text)
{
	unsigned long code;
	size_t length, i;

	if (*text < 0x80)
		return *text >= ' ' && *text != 0x7f;
	if (*text < 0xc2 || *text > 0xf4)
		return 0;
	length = *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;
	code = *text & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	/* Controls, what is too long, and surrogates */
	if (code < 0xa0 || (length == 3 && code < 0x800) || (length == 4 && code < 0x10000) ||
	    (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
		return 0;
	return length;
}

/* A copy in which each byte that is no printable text reads \xNN. */
char *printable(const char *name)
{
	char *copy = xrealloc(NULL, 4 * strlen(name) + 1), *end = copy;

	while (*name) {
		size_t length = character((const unsigned char *)name);

		if (length) {
			memcpy(end, name, length);
			end += length;
			name += length;
		} else {
			end += sprintf(end, "\\x%02x", (unsigned char)*name++);
		}
	}
	*end = '\0';
	return copy;
}

/* A copy that a shell takes for one word */
char *shell_word(const char *name)
{
	static const char harmless[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._@:+,=-";
	char *word, *end;

	if (!name[strspn(name, harmless)])
		return xasprintf("%s", name);
	word = xrealloc(NULL, 4 * strlen(name) + 3);
	end = word;
	*end++ = '\'';
	for (; *name; name++) {
		if (*name == '\'')
			end = stpcpy(end, "'\\''");
		else
			*end++ = *name;
	}
	stpcpy(end, "'");
	return word;
}
