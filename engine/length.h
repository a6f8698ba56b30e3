/*
 * How long an input really is, where its container doesn't tell: what browsers record, streams that
 * were cut off.
 */
#ifndef LUMA_ENGINE_LENGTH_H
#define LUMA_ENGINE_LENGTH_H

#include "engine/plan.h"

/* Seconds from an input's beginning to its end: the container's word if it has one, else found by
 * reading the file to its end (packets only, nothing is decoded), so this may take as long as that
 * does. NAN if there is no timestamp in it. For the whole file, also of a range. 0 or an error
 * code. On the thread that builds the plan. */
int length_of_input(const struct plan *plan, int input, double *seconds, struct error *e);

#endif
