/*
 * A session: one WebSocket connection.
 *
 * It assembles text messages (bounded), hands the payloads of binary ones on as they come (never
 * holding a message), queues what goes out, and lets a delivery write when nothing else waits.
 * Input stops being read while something behind it is slower: the disk, the scripts being read
 * anew, or the client itself that doesn't read its answers.
 *
 * Fields are for this folder's code to read; who writes them is said where it isn't session.c.
 */
#ifndef LUMA_SERVER_SESSION_H
#define LUMA_SERVER_SESSION_H

#include <jansson.h>
#include <libwebsockets.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "server/account.h"
#include "server/frame.h"
#include "server/protocol.h"
#include "server/server.h"

struct delivery;
struct job;
struct upload;

/* The largest piece in which libwebsockets hands input over. */
#define SESSION_RECEIVE_MAX (64 * 1024)

enum session_pause {
    PAUSE_UPLOAD = 1,     /* its disk is slower */
    PAUSE_OPERATIONS = 2, /* a message waits for the scripts */
    PAUSE_OUTPUT = 4,     /* the client doesn't read */
};

enum session_receiving { RECEIVE_TEXT, RECEIVE_HEADER, RECEIVE_PAYLOAD, RECEIVE_DISCARD };

struct outgoing {
    TAILQ_ENTRY(outgoing) link;
    uint64_t ticket; /* of the journal: it is sent when that is safe */
    size_t size;
    unsigned char *data; /* with LWS_PRE bytes of room before it */
};

struct session {
    struct server *server;
    struct lws *wsi;
    LIST_ENTRY(session) link;
    uint64_t number; /* for the log */
    char *caller;    /* NULL until it is known who this is */
    char address[64];
    bool authorized;

    /* input */
    enum session_receiving receiving;
    unsigned char *text; /* of a text message, or of a binary one's header */
    size_t text_size, text_capacity;
    size_t message_size;
    struct frame_upload frame;
    int64_t position;      /* in the upload, of the next byte of payload */
    struct upload *upload; /* that takes the payload (upload.c) */
    LIST_ENTRY(session) sending;
    unsigned char *late; /* payload for which the upload had no room; NULL: none */
    size_t late_size;
    bool late_final;  /* it ends its message */
    unsigned paused;  /* enum session_pause */
    json_t *deferred; /* the message that waits for the scripts */
    int malformed;
    struct rate messages;

    /* output */
    TAILQ_HEAD(outgoing_list, outgoing) queue;
    size_t queued;
    bool held;                         /* something waits for the journal */
    TAILQ_HEAD(, delivery) deliveries; /* delivery.c */
    struct delivery *delivering;       /* whose chunk is being read or ready (delivery.c) */
    int close_code;                    /* 0: open */
    const char *close_reason;
    bool close_now; /* everything is sent, the timer closes */

    LIST_HEAD(, job) jobs; /* those attached (job_output.c) */
    json_t *seen;          /* ids of those started or attached here: {id: true}, NULL: none yet */
};

/* libwebsockets' events of a WebSocket connection; *slot is the connection's user data. The result
 * is the callback's. */
int session_established(struct server *server, struct lws *wsi, struct session **slot,
                        const char *caller, const char *address);
int session_receive(struct session *session, void *data, size_t size);
int session_writable(struct session *session);
int session_timer(struct session *session);
void session_closed(struct session *session);

/* Queues a message (consumed; NULL is out of memory and ends the connection). */
void session_send(struct session *session, json_t *message);
/* The same for a message that tells of changes in the journal: it leaves, and what is queued after
 * it, when all that had been changed by the ticket is safe. */
void session_send_safe(struct session *session, json_t *message, uint64_t ticket);
/* What was queued after that message (NULL: all) waits for the ticket as well. */
struct outgoing *session_newest(struct session *session);
void session_hold_after(struct session *session, struct outgoing *message, uint64_t ticket);
/* Tickets have become safe. */
void session_release(struct session *session);
/* Sends the error of a problem, and finishes it. */
void session_send_error(struct session *session, struct problem *problem, const char *request_id,
                        const char *job_id);
/* The same for a message that could not be understood: the third ends the connection. */
void session_malformed(struct session *session, struct problem *problem, const char *request_id);
/* No token, or a wrong one: the error, then the end. */
void session_refuse_unauthorized(struct session *session, const char *request_id);
/* The session has started or attached to the job: it may list it. */
void session_remember(struct session *session, const char *job);
/* Whether so little waits to be sent that a message which will soon be out of date is welcome. */
bool session_idle(const struct session *session);
/* Something of a delivery can be written. */
void session_wake(struct session *session);
/* Sends what is queued, then closes. Input is no longer looked at. The reason is static text. */
void session_close(struct session *session, int code, const char *reason);
void session_pause(struct session *session, enum session_pause why);
void session_resume(struct session *session, enum session_pause why);
/* The upload has room again, or takes nothing of this session any more. */
void session_upload_room(struct session *session);

#endif
