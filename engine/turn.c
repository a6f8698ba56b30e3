/*
 * Turning pictures upright by a small graph, which keeps no frame back and so may be replaced at
 * any time.
 */
#include "engine/turn.h"

#include <string.h>

#include "engine/compat.h"

void turn_init(struct turn *turn, const AVStream *stream, int threads)
{
    size_t size = 0;
    const uint8_t *matrix = compat_stream_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    turn->threads = threads;
    turn->has_matrix = matrix && size >= sizeof turn->matrix;
    if (turn->has_matrix)
        memcpy(turn->matrix, matrix, sizeof turn->matrix);
}

void turn_finish(struct turn *turn)
{
    chain_finish(&turn->chain);
}

static const struct orientation *find_orientation(const struct turn *turn, const AVFrame *frame)
{
    const AVFrameSideData *side = av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX);
    if (side && side->size >= sizeof turn->matrix) {
        int32_t own[9];
        memcpy(own, side->data, sizeof own);
        return orientation_of_matrix(own);
    }
    return orientation_of_matrix(turn->has_matrix ? turn->matrix : NULL);
}

int turn_frame(struct turn *turn, AVFrame *frame, AVRational frame_rate, struct error *e)
{
    const struct orientation *orientation = find_orientation(turn, frame);
    struct chain *chain = &turn->chain;
    av_frame_remove_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX);
    if (orientation_is_upright(orientation))
        return 0;
    int code = 0;
    if (!chain->graph || turn->orientation != orientation ||
        !frame_shape_fits(&chain->shape, frame)) {
        code = chain_begin(chain, frame, frame_rate, turn->threads, e);
        if (code == 0)
            code = chain_orient(chain, orientation, e);
        if (code == 0)
            code = chain_configure(chain, e);
        turn->orientation = orientation;
    }
    int64_t duration = compat_frame_duration(frame);
    if (code == 0)
        code = chain_push(chain, frame, e);
    if (code == 0)
        code = chain_pull(chain, frame, e);
    if (code == 0)
        return error_set(e, ERROR_INTERNAL, "a picture was lost while it was turned");
    if (code == 1)
        compat_frame_set_duration(frame, duration);
    return FFMIN(code, 0);
}
