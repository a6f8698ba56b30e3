/*
 * An operation's outputs: which file gets which number, the pipeline's run, text files, and what
 * is said of each when it is there.
 *
 * Files are numbered in the order in which they were declared. The pictures of an each_picture
 * output, whose number nobody knows beforehand, come behind all others.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/formats.h"
#include "engine/io.h"
#include "lua/json_build.h"
#include "lua/json_lua.h"
#include "lua/operation_internal.h"

#define PROGRESS_PERIOD_MS 250
#define MAX_ALTERNATIVES   10 /* to a file of an unwanted size */
/* Of what is left, the part of a run that others may follow, if what it makes is unfit. */
#define SHARE_OF_A_TRY 0.6
#define MAX_PROBED     20 /* files of one job that are opened again to be described */

/* ---- numbers and paths ---- */

static int find_output(const struct job *job, int node)
{
    for (int i = 0; i < job->bind.output_count; i++) {
        if (job->bind.outputs[i].node == node && node >= 0) {
            return i;
        }
    }
    return node == job->alternative ? job->alternative_of : -1;
}

/* The number of a file of an output. */
static int choose_index(struct job *job, int output, int number)
{
    const struct bind *bind = &job->bind;
    int before = 0, single = 0, many = 0;

    for (int i = 0; i < bind->output_count; i++) {
        if (bind->outputs[i].each_picture) {
            many++;
        } else {
            single++;
        }
        if (i < output && !bind->outputs[i].each_picture) {
            before++;
        }
    }
    if (!bind->outputs[output].each_picture) {
        return before;
    }
    return many == 1 ? single + number : single + job->next_index++;
}

static struct job_file *find_file(struct job *job, int output, int number)
{
    for (int i = 0; i < job->file_count; i++) {
        if (job->files[i].output == output && job->files[i].number == number) {
            return &job->files[i];
        }
    }
    return NULL;
}

static struct job_file *add_file(struct job *job, int output, int number)
{
    if (job->file_count == job->file_room) {
        int room = job->file_room ? job->file_room * 2 : 8;
        struct job_file *files = realloc(job->files, (size_t)room * sizeof *files);
        if (!files) {
            return NULL;
        }
        job->files = files;
        job->file_room = room;
    }
    struct job_file *file = &job->files[job->file_count];
    *file = (struct job_file){.output = output, .number = number, .time = NAN};
    file->index = choose_index(job, output, number);
    job->file_count++;
    return file;
}

/* Asks the caller where a file is to be; on pipeline threads, one call at a time. */
static int give_path(struct job *job, int output, int number, const char *name, char *path,
                     size_t size)
{
    const struct operation_request *request = job->request;
    struct job_file *file = find_file(job, output, number);

    if (!file) {
        file = add_file(job, output, number);
    }
    if (!file) {
        return ERROR_OUT_OF_MEMORY;
    }
    snprintf(file->name, sizeof file->name, "%s", name);
    int code = request->output_path
                   ? request->output_path(request->opaque, file->index, file->name, path, size)
                   : ERROR_INTERNAL;
    if (code != 0) {
        return code;
    }
    free(file->path);
    file->path = strdup(path);
    return file->path ? 0 : ERROR_OUT_OF_MEMORY;
}

static int on_output_path(void *opaque, int node, int number, const char *name, char *path,
                          size_t size)
{
    struct job *job = opaque;
    int output = find_output(job, node);
    char own[256];

    if (output < 0) {
        return ERROR_INTERNAL;
    }
    if (node == job->alternative) {
        /* the file that it replaces has the better name; the container may be another */
        const char *dot = strrchr(name, '.');
        plan_output_name(job->plan, job->bind.outputs[output].node, 0, own, sizeof own);
        char *old_dot = strrchr(own, '.');
        if (old_dot) {
            *old_dot = '\0';
        }
        size_t length = strlen(own);
        snprintf(own + length, sizeof own - length, "%s", dot ? dot : "");
        name = own;
    }
    return give_path(job, output, number, name, path, size);
}

/* ---- the run ---- */

static void take_results(struct job *job, const struct pipeline_result *result)
{
    for (int i = 0; i < result->file_count; i++) {
        const struct pipeline_file *made = &result->files[i];
        struct job_file *file = find_file(job, find_output(job, made->output), made->number);
        if (!file) {
            continue;
        }
        file->size = made->size;
        file->time = made->time;
        file->width = made->width;
        file->height = made->height;
        file->done = true;
    }
}

static int run_pipeline(struct job *job, const int *nodes, int count, bool last)
{
    const struct operation_request *request = job->request;
    const struct pipeline_options options = {
        .outputs = nodes,
        .output_count = count,
        .threads = request->threads,
        .synced = request->synced,
        .control = request->control,
        .output_path = on_output_path,
        .progress = request->progress ? operation_tell_progress : NULL,
        .period_ms = PROGRESS_PERIOD_MS,
        .opaque = job,
    };
    struct pipeline_result result = {0};
    job->percent_share = (100 - job->percent_from) * (last ? 1 : SHARE_OF_A_TRY);
    int code = pipeline_run(job->plan, &options, &result, &job->outcome->error);
    job->percent_from += job->percent_share;
    job->elapsed = job->told.elapsed;

    if (code < 0) {
        return job->outcome->error.code ? job->outcome->error.code : code;
    }
    take_results(job, &result);
    pipeline_result_finish(&result);
    return 0;
}

/* ---- a result of another size than was wanted ---- */

struct alternative {
    struct job *job;
    int output;
    int otherwise;             /* the function to call, then that of what it declared */
    int64_t largest, smallest; /* what its result may be; 0: anything */
    int64_t size;              /* of the file that isn't */
    int input;                 /* the input that is kept as it is, or -1 */
    bool accepted;             /* the file is kept all the same */
};

static bool is_unfit(const struct alternative *alternative, int64_t size)
{
    return (alternative->largest > 0 && size > alternative->largest) ||
           size < alternative->smallest;
}

/* The number of an input among the job's, from the input on top of the stack; -1 if it is none. */
static int kept_input(lua_State *L, const struct bind *bind)
{
    const struct bind_input *input = bind_test_input(L, -1);
    for (int i = 0; input && i < bind->input_count; i++) {
        if (bind->inputs[i] == input->node) {
            return i;
        }
    }
    return -1;
}

/* Calls `otherwise`, which gets the size that came out, and returns the table of an output, or an
 * input that is kept as it is, or nothing if a file that is small will do. */
static int alternative_body(lua_State *L)
{
    struct alternative *alternative = lua_touserdata(L, 1);
    struct job *job = alternative->job;
    struct bind *bind = &job->bind;
    int count = bind->output_count;

    if (count == BIND_MAX_OUTPUTS) {
        return luaL_error(L, "a job has at most %d outputs", BIND_MAX_OUTPUTS);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, alternative->otherwise);
    lua_pushinteger(L, alternative->size);
    lua_call(L, 1, 1);
    alternative->input = kept_input(L, bind);
    if (alternative->input >= 0) {
        return 0;
    }
    bool small = alternative->largest <= 0 || alternative->size <= alternative->largest;
    if (lua_isnil(L, -1) && small) {
        alternative->accepted = true;
        return 0;
    }
    if (!lua_istable(L, -1)) {
        return luaL_error(L,
                          "'otherwise' must return the table of an output or a whole input, "
                          "not a %s",
                          luaL_typename(L, -1));
    }
    int added = bind_add_output(L, lua_gettop(L));
    struct bind_output made = bind->outputs[added];
    bind->output_count = count;
    if (added != count || made.node < 0 || made.each_picture) {
        return luaL_error(L, "'otherwise' must return the table of one plain output");
    }
    alternative->largest = made.largest;
    alternative->smallest = made.smallest;
    alternative->otherwise = made.otherwise;
    job->alternative = made.node;
    job->alternative_of = alternative->output;
    return 0;
}

/* What a label ends with, if that looks like a file's extension and nothing worse. */
static const char *find_extension(const char *label)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const char *dot = strrchr(label, '.');
    size_t length = dot ? strspn(dot + 1, letters) : 0;
    return length > 0 && length <= 7 && !dot[length + 1] ? dot : NULL;
}

/* Gives the input's own bytes in place of an output that came out larger. */
static int keep_input(struct job *job, int output, int input)
{
    const char *label = plan_input_media(job->plan, job->bind.inputs[input])->label;
    const char *dot = find_extension(label);
    char name[256], path[PATH_MAX];

    plan_output_name(job->plan, job->bind.outputs[output].node, 0, name, sizeof name);
    char *own_dot = strrchr(name, '.');
    if (dot && own_dot) {
        snprintf(own_dot, sizeof name - (size_t)(own_dot - name), "%s", dot);
    }
    int code = give_path(job, output, 0, name, path, sizeof path);
    if (code != 0) {
        return error_set(&job->outcome->error, code, "there is no place for '%s'", name);
    }
    struct job_file *file = find_file(job, output, 0);
    code = operation_keep_input(job, input, path, &file->size);
    file->done = code == 0;
    return code;
}

static int replace_unfit(struct job *job, int output)
{
    struct alternative alternative = {
        .job = job,
        .output = output,
        .otherwise = job->bind.outputs[output].otherwise,
        .largest = job->bind.outputs[output].largest,
        .smallest = job->bind.outputs[output].smallest,
        .input = -1,
    };
    int code = 0;

    for (int tries = 0; code == 0; tries++) {
        /* looked up each time: the list may have moved */
        struct job_file *file = find_file(job, output, 0);
        if (!file || !is_unfit(&alternative, file->size)) {
            break;
        }
        if (tries == MAX_ALTERNATIVES) {
            bool small = file->size < alternative.smallest;
            return error_set(&job->outcome->error, ERROR_LIMIT_EXCEEDED,
                             "'%s' is still %s than %lld bytes after %d tries", file->name,
                             small ? "smaller" : "larger",
                             (long long)(small ? alternative.smallest : alternative.largest),
                             tries);
        }
        alternative.size = file->size;
        code = operation_run_lua(job, alternative_body, &alternative);
        if (alternative.accepted) {
            break;
        }
        if (code == 0) {
            unlink(file->path); /* the other may have another name */
            file->done = false;
            if (alternative.input >= 0) {
                return keep_input(job, output, alternative.input);
            }
            code = run_pipeline(job, &job->alternative, 1, false);
        }
    }
    return code;
}

/* ---- text files ---- */

struct text {
    struct job *job;
    const struct bind_output *output;
    struct job_file *file;
    char path[PATH_MAX];
};

static void push_made(lua_State *L, const struct job *job)
{
    int count = 0;

    lua_newtable(L);
    for (int i = 0; i < job->file_count; i++) {
        const struct job_file *file = &job->files[i];
        if (!file->done) {
            continue;
        }
        lua_createtable(L, 0, 6);
        lua_pushstring(L, file->name);
        lua_setfield(L, -2, "name");
        lua_pushinteger(L, file->size);
        lua_setfield(L, -2, "size");
        if (isfinite(file->time)) {
            lua_pushnumber(L, file->time);
            lua_setfield(L, -2, "time");
        }
        if (file->width > 0) {
            lua_pushinteger(L, file->width);
            lua_setfield(L, -2, "width");
            lua_pushinteger(L, file->height);
            lua_setfield(L, -2, "height");
        }
        lua_rawseti(L, -2, ++count);
    }
}

/* Plain C: the descriptor lives only here. */
static int write_text(const char *path, const char *text, size_t length, struct error *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int status = fd < 0 ? errno : 0;

    while (status == 0 && length > 0) {
        ssize_t count = write(fd, text, length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            status = errno;
        } else {
            text += count;
            length -= (size_t)count;
        }
    }
    if (fd >= 0 && close(fd) != 0 && status == 0) {
        status = errno;
    }
    if (status == 0) {
        return 0;
    }
    return error_set_av(e, ERROR_INTERNAL, AVERROR(status), "a text file can't be written");
}

static int text_body(lua_State *L)
{
    struct text *text = lua_touserdata(L, 1);
    size_t length;
    struct error e;

    if (lua_rawgeti(L, LUA_REGISTRYINDEX, text->output->text) == LUA_TFUNCTION) {
        push_made(L, text->job);
        lua_call(L, 1, 1);
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        return luaL_error(L, "the text of '%s' must be text, not a %s", text->file->name,
                          luaL_typename(L, -1));
    }
    const char *bytes = lua_tolstring(L, -1, &length);
    if (write_text(text->path, bytes, length, &e) != 0) {
        return sandbox_raise(L, &e);
    }
    text->file->size = (int64_t)length;
    return 0;
}

static int make_text(struct job *job, int output)
{
    struct text text = {.job = job, .output = &job->bind.outputs[output]};
    int code = give_path(job, output, 0, text.output->name, text.path, sizeof text.path);

    if (code != 0) {
        return error_set(&job->outcome->error, code, "there is no place for '%s'",
                         text.output->name);
    }
    text.file = find_file(job, output, 0);
    code = operation_run_lua(job, text_body, &text);
    text.file->done = code == 0;
    return code;
}

/* ---- all of it ---- */

static int compare_files(const void *a, const void *b)
{
    return ((const struct job_file *)a)->index - ((const struct job_file *)b)->index;
}

static void tell_made(struct job *job)
{
    const struct operation_request *request = job->request;

    if (job->file_count > 0) {
        qsort(job->files, (size_t)job->file_count, sizeof *job->files, compare_files);
    }
    for (int i = 0; i < job->file_count && request->made; i++) {
        const struct job_file *file = &job->files[i];
        if (file->done) {
            request->made(request->opaque, file->index, file->name, file->size);
        }
    }
}

int operation_make_files(struct job *job)
{
    const struct bind *bind = &job->bind;
    int nodes[BIND_MAX_OUTPUTS], count = 0, code = 0;
    bool last = true;

    for (int i = 0; i < bind->output_count; i++) {
        if (bind->outputs[i].node >= 0) {
            nodes[count++] = bind->outputs[i].node;
            last = last && bind->outputs[i].otherwise == LUA_NOREF;
        }
    }
    if (count > 0) {
        code = run_pipeline(job, nodes, count, last);
    }
    for (int i = 0; i < bind->output_count && code == 0; i++) {
        if (bind->outputs[i].node >= 0 && bind->outputs[i].otherwise != LUA_NOREF) {
            code = replace_unfit(job, i);
        }
    }
    if (code == 0 && !last && job->request->progress) {
        job->told.percent = 100;
        job->request->progress(job->request->opaque, &job->told);
    }
    for (int i = 0; i < bind->output_count && code == 0; i++) {
        if (bind->outputs[i].node < 0) {
            code = make_text(job, i);
        }
    }
    if (code == 0) {
        tell_made(job);
    }
    return code;
}

void operation_free_files(struct job *job)
{
    for (int i = 0; i < job->file_count; i++) {
        free(job->files[i].path);
    }
    free(job->files);
}

/* ---- what is said of them ---- */

/* Opens a file that was made and describes it; NULL if this build can't read it. */
static json_t *probe_file(const struct job_file *file)
{
    struct io_reader *reader = NULL;
    AVFormatContext *context = NULL;
    struct media *media = NULL;
    json_t *json = NULL;

    if (io_reader_open_file(&reader, file->path, file->name, NULL) == 0 &&
        media_open_context(&context, reader, file->name, NULL, NULL, NULL) == 0 &&
        media_describe(&media, context, file->name, NULL) == 0) {
        json = operation_media_json(media);
    }
    media_destroy(&media);
    media_close_context(&context);
    io_reader_close(&reader);
    return json;
}

static json_t *file_media(const struct job_file *file, bool text, bool probed)
{
    json_t *media = text || !probed ? NULL : probe_file(file);

    if (!text && !media && file->width > 0) {
        media = json_put(json_object(), "width", json_integer(file->width));
        media = json_put(media, "height", json_integer(file->height));
    }
    if (media && isfinite(file->time)) {
        media = json_put(media, "time", json_real(file->time));
    }
    return media ? media : json_null();
}

/* True if the media has a moving picture, or is one. */
static bool has_video(const json_t *media)
{
    const json_t *streams = json_object_get(media, "streams");

    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *stream = json_array_get(streams, i);
        const char *kind = json_string_value(json_object_get(stream, "kind"));
        if (kind && strcmp(kind, "video") == 0 &&
            !json_is_true(json_object_get(stream, "attached_picture"))) {
            return true;
        }
    }
    return json_array_size(streams) == 0;
}

static const char *mime_of(const struct job_file *file, const json_t *media, bool text)
{
    static const struct {
        const char *extension, *mime;
    } texts[] = {
        {"vtt", "text/vtt"}, {"srt", "application/x-subrip"}, {"json", "application/json"},
        {"csv", "text/csv"}, {"ass", "text/x-ssa"},
    };
    const char *dot = strrchr(file->name, '.');
    const struct format *format = dot && !text ? format_find(dot + 1) : NULL;

    for (size_t i = 0; dot && text && i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(dot + 1, texts[i].extension) == 0) {
            return texts[i].mime;
        }
    }
    if (text) {
        return "text/plain";
    }
    if (!format) {
        return "application/octet-stream";
    }
    return *format->mime_audio && !has_video(media) ? format->mime_audio : format->mime_video;
}

json_t *operation_files_json(struct job *job, struct error *e)
{
    json_t *list = json_array();
    bool probed = job->file_count <= MAX_PROBED;

    for (int i = 0; i < job->file_count; i++) {
        const struct job_file *file = &job->files[i];
        bool text = job->bind.outputs[file->output].node < 0;
        if (!file->done) {
            continue;
        }
        json_t *media = file_media(file, text, probed || file->width == 0);
        const char *mime = mime_of(file, media, text);
        json_t *entry = json_put(json_object(), "index", json_integer(file->index));
        entry = json_put(entry, "name", json_text(file->name, strlen(file->name)));
        entry = json_put(entry, "size", json_integer(file->size));
        entry = json_put(entry, "mime", json_string(mime));
        list = json_add(list, json_put(entry, "media", media));
    }
    if (!list) {
        error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while describing the outputs");
    }
    return list;
}
