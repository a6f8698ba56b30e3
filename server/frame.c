/*
 * All arithmetic is on unsigned 32-bit lengths that are compared before anything is added to them.
 */
#include "server/frame.h"

#include <string.h>

int frame_prefix_size(const uint8_t *bytes, size_t have, bool whole, struct problem *problem)
{
    if (have < FRAME_LENGTH_SIZE) {
        return whole ? problem_set(problem, "invalid_header",
                                   "a binary message begins with 4 bytes of length")
                     : 0;
    }
    uint32_t length = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                      (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3];
    if (length == 0 || length > FRAME_HEADER_MAX) {
        return problem_set(problem, "invalid_header",
                           "the header's length is %lu, expected 1 to %d", (unsigned long)length,
                           FRAME_HEADER_MAX);
    }
    if (length > have - FRAME_LENGTH_SIZE) {
        return whole ? problem_set(problem, "invalid_header",
                                   "the header's length is %lu, past the message's end",
                                   (unsigned long)length)
                     : 0;
    }
    return (int)(FRAME_LENGTH_SIZE + length);
}

int frame_parse_upload(const char *text, size_t size, struct frame_upload *upload,
                       struct problem *problem)
{
    json_t *header = protocol_parse(text, size, problem);
    if (!header) {
        problem->code = "invalid_header";
        return -1;
    }
    int status = protocol_check_upload(header, problem);
    if (status == 0) {
        const char *job = json_string_value(json_object_get(header, "job_id"));
        *upload = (struct frame_upload){
            .input = (int)json_integer_value(json_object_get(header, "input")),
            .offset = json_integer_value(json_object_get(header, "offset")),
            .last = json_is_true(json_object_get(header, "last")),
        };
        if (identifier_valid(job))
            memcpy(upload->job, job, IDENTIFIER_SIZE);
    }
    json_decref(header);
    return status;
}

size_t frame_put_output(uint8_t *payload, const struct frame_output *output)
{
    json_t *header =
        json_pack("{s:s, s:s, s:i, s:i, s:s, s:I, s:b}", "type", "output", "job_id", output->job,
                  "output", output->output, "attempt", output->attempt, "name", output->name,
                  "offset", (json_int_t)output->offset, "last", output->last);
    if (!header)
        return 0;
    if (output->size >= 0)
        (void)json_object_set_new(header, "size", json_integer(output->size));
    if (output->request_id)
        (void)json_object_set_new(header, "request_id", json_string(output->request_id));
    size_t length = json_dumpb(header, NULL, 0, JSON_COMPACT);
    size_t total = 0;
    if (length > 0 && length <= FRAME_HEADER_MAX) {
        uint8_t *start = payload - length - FRAME_LENGTH_SIZE;
        start[0] = (uint8_t)(length >> 24);
        start[1] = (uint8_t)(length >> 16);
        start[2] = (uint8_t)(length >> 8);
        start[3] = (uint8_t)length;
        (void)json_dumpb(header, (char *)start + FRAME_LENGTH_SIZE, length, JSON_COMPACT);
        total = FRAME_LENGTH_SIZE + length;
    }
    json_decref(header);
    return total;
}
