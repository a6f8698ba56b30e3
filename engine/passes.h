/*
 * Two passes: an encoder first reads everything once, to know where bits are worth most.
 *
 * The first pass is a run of its own, over the same inputs and filters, whose encoders write down
 * what they learned and whose packets go nowhere; the second is the run that makes the files. Only
 * what leads to an encoder with passes=2 runs twice. The graph is the same both times, so an
 * encoder meets the same frames on the same time base, which it relies on.
 *
 * What was learned is kept as text in memory where the encoder hands it over, else in files of the
 * run's scratch folder (x264 and x265 only know names), which passes_destroy() removes. Scripts
 * never name them.
 */
#ifndef LUMA_ENGINE_PASSES_H
#define LUMA_ENGINE_PASSES_H

#include "engine/encode_internal.h"

/* True if the encoder can be run in two passes here. */
bool passes_possible(const char *encoder);

struct passes; /* what the encoders of a plan learned */

/* NULL with e untouched if none of the outputs needs a first pass. */
int passes_create(struct passes **out, const struct plan *plan, const int *outputs,
                  int output_count, struct error *e);
void passes_destroy(struct passes **passes);

/* The encode nodes of the first pass, to be made by a run in place of its outputs. */
const int *passes_nodes(const struct passes *passes, int *count);

/* Of an encoder that is about to open, in either pass: its flags, and the options that lead it to
 * what it writes or reads. */
int passes_open(struct encode *encode, AVDictionary **options);
/* After an encoder didn't open: true if that may be because its rate is lower than what the first
 * pass has seen lets it reach, which x264 refuses; it is then opened again, for one pass. */
bool passes_give_up(struct encode *encode);
/* In the first pass after each packet, and at the end: keeps what the encoder says. */
int passes_learn(struct encode *encode, bool ended);

#endif
