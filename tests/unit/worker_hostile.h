/*
 * A template whose workers misbehave as their task says: {"act": one of worker_hostile.c's table,
 * "number"}. A pool gets it by one of these names in place of a folder of scripts.
 */
#ifndef LUMA_TESTS_UNIT_WORKER_HOSTILE_H
#define LUMA_TESTS_UNIT_WORKER_HOSTILE_H

#include <stdbool.h>

#define HOSTILE   "hostile"
#define RELUCTANT "reluctant" /* can't fork the first few times */
#define SICKLY    "sickly"    /* its first workers die before they answer */
#define HOPELESS  "hopeless"  /* all of them do */

/* For main(): if the program was started as a template with one of the names, is that template, and
 * does not return. */
void hostile_main(int argc, char **argv);

#endif
