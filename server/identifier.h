/*
 * Identifiers of jobs: 128 random bits as 32 lower-case hex digits, so that nobody guesses one.
 */
#ifndef LUMA_SERVER_IDENTIFIER_H
#define LUMA_SERVER_IDENTIFIER_H

#include <stdbool.h>

#define IDENTIFIER_SIZE 33 /* with the terminating zero */

/* A fresh one from the kernel's random source. */
void identifier_make(char identifier[IDENTIFIER_SIZE]);
/* Whether the text has an identifier's form. */
bool identifier_valid(const char *text);

#endif
