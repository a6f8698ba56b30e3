/*
 * What a server does for the jobs of the one before it, which was stopped or killed.
 *
 * What had not ended is made again from the journal: uploads wait for the rest of their bytes,
 * queued jobs for their turn, those that ran are queued where they were and run anew, as the next
 * attempt; after three the job's last word is `interrupted`. Jobs whose client isn't there wait for
 * it as long as if the connection had just been lost. What ended stays in the journal, and its
 * results in their folder, until their time is over; it runs on while no server does.
 *
 * Whatever lies in the folder of jobs and belongs to none of these is removed: folders without a
 * record, inputs of what is done, outputs of an attempt that was broken off.
 *
 * A worker of the dead server ends when its control socket does, which the kernel closes with the
 * server. Until that has happened its job isn't touched.
 */
#ifndef LUMA_SERVER_RECOVERY_H
#define LUMA_SERVER_RECOVERY_H

#include "server/config.h"

struct server;

/* Jobs into memory and into their queues, folders into order; nothing runs yet. To be called when
 * the journal is open, before there is a scheduler. 0, or -1 with the error. */
int recovery_begin(struct server *server, struct config_error *error);
/* Lets them go on, as soon as the server can work. */
void recovery_end(struct server *server);

#endif
