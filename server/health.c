/*
 * What the health port tells.
 */
#include "server/health.h"

#include "server/journal.h"
#include "server/protocol.h"
#include "server/scheduler.h"
#include "server/server.h"
#include "server/worker.h"

json_t *health_document(const struct server *server)
{
    struct journal_counts counts;
    journal_counts(server->journal, &counts);
    int running = scheduler_running(server->scheduler);
    return json_pack(
        "{s:s, s:s, s:f, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:{s:i, s:i, s:i, s:i}, s:i}", "status",
        server->draining ? "draining" : "ok", "version", LUMA_VERSION, "uptime_s",
        protocol_now() - server->started, "jobs", "total", (json_int_t)server->jobs_counted.total,
        "active", (json_int_t)counts.unfinished, "queued", (json_int_t)counts.queued, "completed",
        (json_int_t)server->jobs_counted.completed, "failed",
        (json_int_t)server->jobs_counted.failed, "cancelled",
        (json_int_t)server->jobs_counted.cancelled, "workers", "running", running, "heavy_slots",
        scheduler_slots(server->scheduler, LANE_HEAVY), "light_slots",
        scheduler_slots(server->scheduler, LANE_LIGHT), "template",
        (int)worker_pool_template(server->pool), "connections", server->session_count);
}
