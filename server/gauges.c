/*
 * One look at everything (struct readings), printed by one table. What a look costs grows with the
 * jobs that have not ended.
 */
#include "server/gauges.h"

#include <dirent.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/admission.h"
#include "server/blob.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/metrics.h"
#include "server/operations.h"
#include "server/scheduler.h"
#include "server/server.h"
#include "server/worker.h"

struct readings {
    double jobs[JOB_RUNNING + 1]; /* by state, of those that have not ended */
    double queue[LANE_COUNT], oldest;
    double workers[WORKER_STAGE_COUNT];
    double slots[LANE_COUNT], template;
    double connections, transfers;
    double disk_free, disk_size;
    double ready, draining, build, started;
    double resident, virtual, cpu, descriptors, descriptors_max, threads;
};

#define AT(field) offsetof(struct readings, field)

static const struct gauge {
    const char *name; /* NULL: another series of the one above */
    const char *help;
    const char *label, *value; /* NULL: none */
    size_t offset;
    bool counter;
} gauges[] = {
    {"luma_jobs", "Jobs that have not ended, by state.", "state", "uploading",
     AT(jobs[JOB_UPLOADING]), false},
    {NULL, NULL, "state", "queued", AT(jobs[JOB_QUEUED]), false},
    {NULL, NULL, "state", "running", AT(jobs[JOB_RUNNING]), false},
    {"luma_queue_length", "Jobs that wait for a worker, by lane.", "lane", "light",
     AT(queue[LANE_LIGHT]), false},
    {NULL, NULL, "lane", "heavy", AT(queue[LANE_HEAVY]), false},
    {"luma_queue_oldest_seconds", "How long the job has waited that waits longest.", NULL, NULL,
     AT(oldest), false},
    {"luma_workers", "Worker processes, by state.", "state", "waiting",
     AT(workers[WORKER_STAGE_WAITING]), false},
    {NULL, NULL, "state", "running", AT(workers[WORKER_STAGE_RUNNING]), false},
    {NULL, NULL, "state", "ending", AT(workers[WORKER_STAGE_ENDING]), false},
    {"luma_worker_slots", "Workers that may run at a time, by lane.", "lane", "light",
     AT(slots[LANE_LIGHT]), false},
    {NULL, NULL, "lane", "heavy", AT(slots[LANE_HEAVY]), false},
    {"luma_template_up", "Whether the process that workers are forked from is there.", NULL, NULL,
     AT(template), false},
    {"luma_connections", "WebSockets that are open.", NULL, NULL, AT(connections), false},
    {"luma_http_transfers", "Results on their way by HTTP.", NULL, NULL, AT(transfers), false},
    {"luma_disk_free_bytes", "Room that is left for jobs and results.", NULL, NULL, AT(disk_free),
     false},
    {"luma_disk_size_bytes", "Size of the file system with jobs and results.", NULL, NULL,
     AT(disk_size), false},
    {"luma_ready", "Whether new jobs are welcome, as /ready says it.", NULL, NULL, AT(ready),
     false},
    {"luma_draining", "Whether the server was asked to stop.", NULL, NULL, AT(draining), false},
    {"luma_build_info", "Always 1; which version this is.", "version", LUMA_VERSION, AT(build),
     false},
    {"luma_start_time_seconds", "When the server was started, since the epoch.", NULL, NULL,
     AT(started), false},
    {"luma_process_resident_memory_bytes", "Memory of the server process.", NULL, NULL,
     AT(resident), false},
    {"luma_process_virtual_memory_bytes", "Address space of the server process.", NULL, NULL,
     AT(virtual), false},
    {"luma_process_cpu_seconds_total", "Processor time of the server process.", NULL, NULL, AT(cpu),
     true},
    {"luma_process_open_fds", "Descriptors that the server process has open.", NULL, NULL,
     AT(descriptors), false},
    {"luma_process_max_fds", "Descriptors that it may have open.", NULL, NULL, AT(descriptors_max),
     false},
    {"luma_process_threads", "Threads of the server process.", NULL, NULL, AT(threads), false},
};

static void read_jobs(const struct server *server, struct readings *readings)
{
    double now = protocol_now();
    for (size_t i = 0; i < server->jobs.bucket_count; i++) {
        for (const struct table_entry *entry = server->jobs.buckets[i]; entry;
             entry = entry->next) {
            const struct job *job = entry->value;
            if (job_ended(job))
                continue;
            readings->jobs[job->state]++;
            if (job->state != JOB_QUEUED)
                continue;
            readings->queue[job->lane]++;
            if (now - job->queued > readings->oldest)
                readings->oldest = now - job->queued;
        }
    }
}

static void read_workers(const struct server *server, struct readings *readings)
{
    int counts[WORKER_STAGE_COUNT];
    worker_pool_count(server->pool, counts);
    for (int i = 0; i < WORKER_STAGE_COUNT; i++)
        readings->workers[i] = counts[i];
    for (int lane = 0; lane < LANE_COUNT; lane++)
        readings->slots[lane] = scheduler_slots(server->scheduler, (enum journal_lane)lane);
    readings->template = worker_pool_template(server->pool) > 0;
}

static void read_disk(struct readings *readings)
{
    int64_t all, available;
    if (blob_space(&all, &available) < 0)
        return;
    readings->disk_free = (double)available;
    readings->disk_size = (double)all;
}

static int count_entries(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        count += *entry->d_name != '.';
    if (folder)
        closedir(folder);
    return count;
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void read_process(struct readings *readings)
{
    long page = sysconf(_SC_PAGESIZE);
    unsigned long pages = 0, resident = 0;
    FILE *stream = fopen("/proc/self/statm", "re");
    if (stream && fscanf(stream, "%lu %lu", &pages, &resident) == 2) {
        readings->virtual = (double)pages * (double)page;
        readings->resident = (double)resident * (double)page;
    }
    if (stream)
        (void)fclose(stream);
    struct rusage usage;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        readings->cpu = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        readings->descriptors_max = (double)limit.rlim_cur;
    readings->descriptors = count_entries("/proc/self/fd") - 1; /* without the folder's own */
    readings->threads = count_entries("/proc/self/task");
}

static void print_gauge(FILE *stream, const struct gauge *gauge, const char *name,
                        const struct readings *readings)
{
    if (gauge->name)
        metrics_print_head(stream, name, gauge->counter ? "counter" : "gauge", gauge->help);
    (void)fputs(name, stream);
    if (gauge->label) {
        (void)fputc('{', stream);
        metrics_print_label(stream, gauge->label, gauge->value);
        (void)fputc('}', stream);
    }
    (void)fputc(' ', stream);
    metrics_print_number(stream, *(const double *)((const char *)readings + gauge->offset));
}

void gauges_print(struct server *server, FILE *stream)
{
    struct readings readings = {
        .connections = server->session_count,
        .transfers = server->transfer_count,
        .ready = !gauges_unready(server),
        .draining = server->draining,
        .build = 1,
        .started = server->started,
    };
    read_jobs(server, &readings);
    read_workers(server, &readings);
    read_disk(&readings);
    read_process(&readings);
    const char *name = NULL;
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        name = gauges[i].name ? gauges[i].name : name;
        print_gauge(stream, &gauges[i], name, &readings);
    }
}

const char *gauges_unready(const struct server *server)
{
    if (server->draining)
        return "draining";
    if (!operations_known(server->operations))
        return "starting";
    if (admission_room(server) <= 0)
        return "out of disk";
    return NULL;
}
