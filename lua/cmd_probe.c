/*
 * luma probe FILE...: what is known of a media file without decoding it, as a summary or, with
 * --json, whole. Needs no scripts.
 */
#include <string.h>

#include "engine/io.h"
#include "engine/media.h"
#include "lua/cli_job.h"
#include "lua/command.h"
#include "lua/summary.h"

static json_t *probe(const char *path, struct error *e)
{
    const char *slash = strrchr(path, '/');
    const char *label = slash ? slash + 1 : path;
    struct io_reader *reader = NULL;
    AVFormatContext *context = NULL;
    struct media *media = NULL;
    json_t *document = NULL;
    if (io_reader_open_file(&reader, path, label, e) ||
        media_open_context(&context, reader, label, NULL, NULL, e) ||
        media_describe(&media, context, label, e)) {
        goto done;
    }
    document = operation_media_json(media);
    if (!document) {
        error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
    }
done:
    media_destroy(&media);
    media_close_context(&context);
    io_reader_close(&reader);
    return document;
}

int cmd_probe(int argc, char **argv)
{
    bool json = false, help = false;
    const struct cli_flag flags[] = {
        {"json", 0, CLI_FLAG, &json, NULL, "everything, as one JSON document a file"},
        {"help", 'h', CLI_FLAG, &help, NULL, "this text"},
    };
    enum { FLAGS = sizeof flags / sizeof *flags };
    struct error e = {0};
    int count = cli_parse(argc, argv, flags, FLAGS, NULL, NULL, &e);
    if (count >= 0 && help) {
        printf("luma probe FILE...: tell what is known of a media file\n\n");
        cli_print_flags(stdout, flags, FLAGS);
        return STATUS_OK;
    }
    if (count == 0) {
        error_set(&e, ERROR_INVALID_INPUT, "which file? luma probe FILE...");
    }
    if (count <= 0) {
        cli_report(&e, json);
        return STATUS_USAGE;
    }
    struct terminal terminal;
    terminal_init(&terminal, stdout);
    int status = STATUS_OK;
    for (int i = 0; i < count; i++) {
        json_t *media = probe(argv[i], &e);
        if (!media) {
            cli_report(&e, json);
            status = STATUS_FAILED;
        } else if (json) {
            json_dumpf(media, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
            fputc('\n', stdout);
        } else {
            printf("%s\n", argv[i]);
            summary_print(media, &terminal);
        }
        json_decref(media);
    }
    return status;
}
