/*
 * The stage behind an output of still pictures: each packet of its only track becomes a file.
 *
 * For the picture formats here a packet is the file (a JPEG, a PNG, a WebP in its RIFF), so there
 * is no container to write.
 */
#include <libavutil/avutil.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io.h"
#include "engine/pipeline_internal.h"

enum { QUEUE_PACKETS = 8, QUEUE_BYTES = 16 << 20 };

struct pictures {
    struct stage stage;
    const struct plan_node *node;
    int number; /* the node's */
    struct port *from;
    int scheduled;
    struct pipeline_file *files;
    int file_count;
    _Atomic int64_t time; /* AV_TIME_BASE units; AV_NOPTS_VALUE before the first */
};

static void pictures_finish(struct stage *stage)
{
    struct pictures *pictures = (struct pictures *)stage;
    for (int i = 0; i < pictures->file_count; i++)
        free(pictures->files[i].tracks);
    free(pictures->files);
}

static int add_file(struct pictures *pictures, struct pipeline_file **out)
{
    struct error *e = &pictures->stage.task.error;
    struct pipeline_file *files =
        realloc(pictures->files, (size_t)(pictures->file_count + 1) * sizeof *files);
    if (!files)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a picture");
    pictures->files = files;
    struct pipeline_file *file = &files[pictures->file_count];
    *file = (struct pipeline_file){
        .output = pictures->number, .number = pictures->file_count, .time = NAN};
    file->tracks = calloc(1, sizeof *file->tracks);
    if (!file->tracks)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a picture");
    pictures->file_count++;
    file->track_count = 1;
    plan_output_name(pictures->stage.run->plan, pictures->number, file->number, file->name,
                     sizeof file->name);
    *out = file;
    return 0;
}

static void describe(struct pictures *pictures, struct pipeline_file *file, const AVPacket *packet)
{
    const struct track_format *format = pictures->from->format;
    const AVCodecParameters *par = format->stream->codecpar;
    const AVCodecDescriptor *codec = avcodec_descriptor_get(par->codec_id);
    double base = av_q2d(packet->time_base);
    if (packet->pts != AV_NOPTS_VALUE) {
        file->time = (double)packet->pts * base;
        atomic_store(&pictures->time, llrint(file->time * AV_TIME_BASE));
    }
    file->size = packet->size;
    file->width = par->width;
    file->height = par->height;
    file->tracks[0] = (struct pipeline_track){
        .kind = AVMEDIA_TYPE_VIDEO,
        .codec = codec ? codec->name : "",
        .packets = 1,
        .bytes = packet->size,
        .start = file->time,
        .end = file->time + (double)packet->duration * base,
    };
}

static int check_size(struct pictures *pictures, const struct pipeline_file *file)
{
    struct run *run = pictures->stage.run;
    struct error *e = &pictures->stage.task.error;
    int64_t total = atomic_fetch_add(&run->output_bytes, file->size) + file->size;
    int64_t limit = pictures->node->max_size;
    if (limit <= 0 || file->size <= limit) {
        limit = run->plan->limits.max_output_bytes;
        if (limit <= 0 || total <= limit)
            return 0;
    }
    error_set(e, ERROR_LIMIT_EXCEEDED, "'%s' would be larger than %lld bytes", file->name,
              (long long)limit);
    return error_place(e, "output_bytes", NULL, NULL), ERROR_LIMIT_EXCEEDED;
}

static int write_picture(struct pictures *pictures, const AVPacket *packet)
{
    struct run *run = pictures->stage.run;
    struct error *e = &pictures->stage.task.error;
    struct pipeline_file *file = NULL;
    struct io_writer *writer = NULL;
    char path[4096];
    int code = add_file(pictures, &file);
    if (code < 0)
        return code;
    describe(pictures, file, packet);
    if ((code = check_size(pictures, file)) < 0)
        return code;
    code = run_output_path(run, pictures->number, file->number, file->name, path, sizeof path, e);
    if (code == 0)
        code = io_writer_create_file(&writer, path, file->name, e);
    if (code != 0)
        return code;
    int result = writer->write_at(writer, packet->data, packet->size, 0);
    io_writer_close(&writer);
    atomic_fetch_add(&run->frames, 1);
    return result < 0 ? error_set_av(e, ERROR_INTERNAL, result, "writing '%s' failed", file->name)
                      : 0;
}

static int pictures_run(struct task *task)
{
    struct pictures *pictures = (struct pictures *)task;
    struct queue_item item = {0};
    int code = 0;
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_PACKET) {
            task_group_report(
                task->group, pictures->scheduled,
                av_rescale_q(item.packet->dts, item.packet->time_base, AV_TIME_BASE_Q));
            code = write_picture(pictures, item.packet);
        } else if (item.kind == QUEUE_END) {
            task_group_end_track(task->group, pictures->scheduled);
        }
        queue_item_clear(&item);
    }
    if (code >= 0 && !atomic_load(&task->group->aborted) && pictures->file_count == 0)
        code = error_set(&task->error, ERROR_ENCODE_FAILED, "there was no picture to write");
    return code;
}

int pictures_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct pictures *pictures = run_new_stage(run, sizeof *pictures, pictures_finish, e);
    if (!pictures)
        return e->code;
    *out = &pictures->stage;
    pictures->node = run->plan->nodes[node];
    pictures->number = node;
    atomic_store(&pictures->time, AV_NOPTS_VALUE);
    struct plan_edge edge = pictures->node->inputs[0];
    if (run->plan->nodes[edge.node]->kind == PLAN_COPY)
        edge = run->plan->nodes[edge.node]->inputs[0];
    pictures->from = run->nodes[edge.node].packets[edge.pad];
    int code = task_init(&pictures->stage.task, &run->group, "pictures", pictures_run, 1,
                         QUEUE_PACKETS, QUEUE_BYTES, 0, e);
    if (code == 0)
        code = task_connect(pictures->from, &pictures->stage.task, 0, e);
    if (code == 0) {
        pictures->scheduled = task_group_add_track(&run->group, pictures->from->owner, false, e);
        code = FFMIN(pictures->scheduled, 0);
    }
    return code;
}

double pictures_time(const struct stage *stage)
{
    int64_t time = atomic_load(&((const struct pictures *)stage)->time);
    return time == AV_NOPTS_VALUE ? NAN : (double)time / AV_TIME_BASE;
}

int pictures_collect(struct stage *stage, struct pipeline_result *result, struct error *e)
{
    struct pictures *pictures = (struct pictures *)stage;
    size_t count = (size_t)result->file_count + (size_t)pictures->file_count;
    struct pipeline_file *files = realloc(result->files, count * sizeof *files);
    if (!files)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for the result");
    result->files = files;
    memcpy(&files[result->file_count], pictures->files,
           (size_t)pictures->file_count * sizeof *files);
    result->file_count += pictures->file_count;
    pictures->file_count = 0; /* the result owns their tracks now */
    return 0;
}
