/*
 * Two short readings: one from before the first cut to the first point behind it, one from before
 * the second cut to where no later packet can be shown before it any more.
 */
#include "engine/cut.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/cut_internal.h"

enum {
    /* Pictures by which decoding may run ahead of display: 16 frames (H.264, A.3.1; H.265, A.4.2),
     * of two fields each. So once more than these are shown later, all earlier ones have come. */
    REORDER = 32,
    WINDOW = 512,   /* packets near the second cut whose times are kept */
    PAST = 100,     /* packets to read beyond the second cut */
    STEPS_BACK = 8, /* keyframes before the second cut to begin at, before all is read */
};

/* Seconds by which the next picture may be later than a cut without a gap being meant by it. */
static const double NEAR = 0.1;

static void set_reason(struct cut *cut, const char *reason)
{
    snprintf(cut->reason, sizeof cut->reason, "%s", reason);
}

static bool is_key(const struct cut_reader *reader)
{
    return (reader->packet->flags & AV_PKT_FLAG_KEY) != 0;
}

/* ---- the first cut ---- */

struct head {
    bool found;
    int64_t point;   /* the first at which copying may begin */
    int64_t picture; /* the first one in the range that can be decoded; INT64_MAX: none */
    int64_t next;    /* the first one behind the range; INT64_MAX: none was seen */
    bool first;      /* no picture at all is shown before the point */
    bool fresh;      /* the point is (access_is_fresh()) */
    bool keyframes;
    bool stale; /* there were points, but none was fresh */
};

/* Pictures that are decoded after the point, but shown before it. */
static int read_leading(struct cut_reader *reader, int64_t start, struct head *head,
                        struct error *e)
{
    int code = 1;
    for (int later = 0; later <= REORDER;) {
        code = cut_reader_next(reader, e);
        if (code <= 0)
            break;
        later += reader->pts > head->point;
        if (reader->pts >= start)
            head->picture = FFMIN(head->picture, reader->pts);
    }
    return FFMIN(code, 0);
}

/* With only_fresh, points that aren't are passed over. */
static int find_head(struct cut_reader *reader, int64_t start, int64_t stop, bool only_fresh,
                     struct head *head, struct error *e)
{
    int64_t latest = INT64_MIN;
    bool decodable = false;
    *head = (struct head){.picture = INT64_MAX, .next = INT64_MAX};
    int code = cut_reader_seek(reader, start, e);
    for (int later = 0; code > 0 && !reader->trouble && later <= REORDER;) {
        int64_t pts = reader->pts;
        if (pts >= start && pts < stop) {
            head->keyframes |= is_key(reader);
            bool fresh = access_is_fresh(&reader->access, reader->packet);
            bool point = access_is_point(&reader->access, reader->packet);
            head->stale |= point && !fresh;
            if (reader->judged && pts > latest && (fresh || (point && !only_fresh))) {
                head->found = true;
                head->fresh = fresh;
                head->point = pts;
                head->picture = FFMIN(head->picture, pts);
                bool closed = access_is_closed(&reader->access, reader->packet);
                code = decodable || closed ? read_leading(reader, start, head, e) : 0;
                head->first = reader->from_begin && !decodable && head->picture == head->point;
                return code;
            }
        }
        decodable |= is_key(reader);
        if (decodable && pts >= start && pts < stop)
            head->picture = FFMIN(head->picture, pts);
        if (pts >= stop) {
            head->next = FFMIN(head->next, pts);
            later++;
        }
        latest = FFMAX(latest, pts);
        code = cut_reader_next(reader, e);
    }
    return FFMIN(code, 0);
}

/* The last point shown at or before `start`, or else the first one after it. */
static int find_point_before(struct cut_reader *reader, int64_t start, struct head *head,
                             struct error *e)
{
    *head = (struct head){0};
    int64_t known = INT64_MAX; /* keyframes from this time on have been looked at */
    for (int64_t from = start;;) {
        int code = cut_reader_seek(reader, from, e);
        int64_t landed = reader->pts;
        for (int later = 0; code > 0 && !reader->trouble && later <= REORDER;) {
            bool late = reader->pts > start;
            if ((!late || !head->found) && is_key(reader) &&
                (!reader->judged || access_is_point(&reader->access, reader->packet))) {
                head->found = true;
                head->point = reader->pts;
            }
            later += reader->pts >= known || (late && head->found);
            code = cut_reader_next(reader, e);
        }
        if (code < 0)
            return code;
        bool early = head->found && head->point <= start;
        if (early || reader->from_begin || reader->trouble)
            break;
        known = landed;
        from = landed - 1;
    }
    return 0;
}

/* ---- the second cut ---- */

struct tail {
    int64_t before; /* the last time up to which packets can be kept without those behind it */
    int64_t after;  /* the first such time at or behind the cut */
    int64_t next;   /* the first picture at or behind the cut; INT64_MAX: none */
};

/* When the pictures of some packets in a row are shown. */
struct order {
    int64_t times[WINDOW];
    int count;
    int64_t latest; /* of those that were let go */
};

static void order_add(struct order *order, int64_t time)
{
    if (order->count == WINDOW) {
        int gone = WINDOW / 2;
        for (int i = 0; i < gone; i++) {
            order->latest = FFMAX(order->latest, order->times[i]);
            order->times[i] = order->times[i + gone];
        }
        order->count -= gone;
    }
    order->times[order->count++] = time;
}

/* Looks for the places where all packets before are shown before all behind. `first` is the least
 * number of packets to keep; false if none goes up to the cut. */
static bool order_find(const struct order *order, int first, int64_t stop, struct tail *tail)
{
    int64_t earliest[WINDOW + 1]; /* from here on */
    earliest[order->count] = INT64_MAX;
    for (int i = order->count - 1; i >= 0; i--)
        earliest[i] = FFMIN(order->times[i], earliest[i + 1]);
    int64_t latest = order->latest;
    bool found = false;
    *tail = (struct tail){stop, stop, INT64_MAX};
    for (int i = 0; i < order->count; i++) {
        if (order->times[i] >= stop)
            tail->next = FFMIN(tail->next, order->times[i]);
    }
    for (int kept = 0; kept <= order->count; kept++) {
        if (kept > 0)
            latest = FFMAX(latest, order->times[kept - 1]);
        if (kept < first || latest >= earliest[kept])
            continue;
        if (latest < stop) {
            found = true;
            tail->before = FFMIN(earliest[kept], stop);
        }
        if (earliest[kept] >= stop) { /* all that is shown before the cut is among them */
            tail->after = latest < stop ? stop : earliest[kept];
            break;
        }
    }
    return found;
}

/* Reads on past the cut, from a keyframe or from the point itself. */
static int read_order(struct cut_reader *reader, int64_t point, int64_t stop, struct order *order,
                      struct error *e)
{
    int code = 1;
    *order = (struct order){.latest = INT64_MIN};
    for (int later = 0; code > 0 && later < PAST && !reader->trouble;) {
        if (reader->pts >= point) { /* leading pictures aren't kept */
            order_add(order, reader->pts);
            later += reader->pts >= stop;
        }
        code = cut_reader_next(reader, e);
    }
    return FFMIN(code, 0);
}

static int find_tail(struct cut_reader *reader, int64_t point, int64_t stop, struct tail *tail,
                     struct error *e)
{
    *tail = (struct tail){stop, stop, INT64_MAX};
    if (stop == INT64_MAX)
        return 0;
    struct order *order = malloc(sizeof *order);
    if (!order)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to look for a cut");
    int code = 0;
    int64_t from = FFMAX(stop - 1, point), last = INT64_MAX;
    for (int tries = 1; code == 0; tries++) {
        code = cut_reader_seek(reader, from, e);
        while (code > 0 && reader->pts < point) /* the one before it, where seeking is coarse */
            code = cut_reader_next(reader, e);
        if (code <= 0)
            break;
        int64_t landed = reader->pts;
        code = read_order(reader, point, stop, order, e);
        /* Where seeking gets no further, this is all that can be known. */
        bool anchored = landed <= point || landed >= last;
        if (code < 0 || reader->trouble || order_find(order, anchored ? 0 : 1, stop, tail) ||
            anchored)
            break;
        last = landed;
        from = tries < STEPS_BACK ? landed - 1 : point;
    }
    free(order);
    return FFMIN(code, 0);
}

/* ---- parts ---- */

static void add_part(struct cut *cut, const struct cut_reader *reader, int64_t start, int64_t stop,
                     bool copied)
{
    cut->parts[cut->count++] = (struct cut_part){
        .start = cut_reader_seconds(reader, start),
        .stop = cut_reader_seconds(reader, stop),
        .copied = copied,
    };
}

static void encode_all(struct cut *cut, const struct cut_reader *reader, int64_t start,
                       int64_t stop, const char *reason)
{
    cut->count = 0;
    add_part(cut, reader, start, stop, false);
    set_reason(cut, reason);
}

static const char *no_head(const struct cut_reader *reader, const struct head *head)
{
    if (reader->trouble)
        return reader->trouble;
    if (!head->keyframes)
        return "no keyframe lies between the cuts";
    if (!reader->judged)
        return "what its keyframes mean can't be told without decoding";
    return head->stale ? "no keyframe is an IDR picture, and H.264 can be joined at no other"
                       : "what follows its keyframes may need earlier pictures";
}

/* A cut moved to the picture behind it, if that is near. */
static int64_t to_picture(const struct cut_reader *reader, int64_t time, int64_t picture)
{
    if (time == INT64_MAX || picture == INT64_MAX)
        return time;
    AVRational time_base = reader->stream->time_base;
    return av_q2d(time_base) * (double)(picture - time) <= NEAR ? picture : time;
}

struct range {
    double start, stop;
    bool behind;
};

/* A point that goes on from the pictures before it will do only where nothing stands before it. */
static int find_good_head(struct cut_reader *reader, int64_t start, int64_t stop, bool behind,
                          struct head *head, struct error *e)
{
    int code = find_head(reader, start, stop, behind, head, e);
    if (code == 0 && head->found && !head->fresh && head->picture < head->point)
        code = find_head(reader, start, stop, true, head, e);
    return code;
}

static int make_exact(struct cut_reader *reader, const struct range *range, struct cut *cut,
                      struct error *e)
{
    int64_t from = cut_reader_ticks(reader, range->start, AV_ROUND_UP);
    int64_t to = cut_reader_ticks(reader, range->stop, AV_ROUND_UP);
    struct head head;
    struct tail tail = {to, to, INT64_MAX};
    int code = find_good_head(reader, from, to, range->behind, &head, e);
    if (code == 0 && head.found && !reader->trouble)
        code = find_tail(reader, head.point, to, &tail, e);
    if (code < 0)
        return code;
    if (!reader->trouble) {
        int64_t end = to_picture(reader, to, FFMIN(head.next, tail.next));
        from = to_picture(reader, from, head.picture);
        if (tail.before == to)
            tail.before = end;
        to = end;
    }
    if (!head.found || reader->trouble) {
        encode_all(cut, reader, from, to, no_head(reader, &head));
    } else if (tail.before <= head.point) {
        encode_all(cut, reader, from, to, "too few pictures lie between its keyframe and the end");
    } else if (head.first && from < head.point && range->start > 0) {
        encode_all(cut, reader, from, to, "its first picture is shown long after the cut");
    } else {
        if (head.picture < head.point)
            add_part(cut, reader, from, head.point, false);
        add_part(cut, reader, head.first ? from : head.point, tail.before, true);
        if (tail.before < to)
            add_part(cut, reader, tail.before, to, false);
    }
    return 0;
}

static int make_at_keyframes(struct cut_reader *reader, const struct range *range, struct cut *cut,
                             struct error *e)
{
    int64_t from = cut_reader_ticks(reader, range->start, AV_ROUND_DOWN);
    int64_t to = cut_reader_ticks(reader, range->stop, AV_ROUND_UP);
    struct head head;
    struct tail tail = {to, to, INT64_MAX};
    int code = find_point_before(reader, from, &head, e);
    if (code == 0 && head.found && !reader->trouble)
        code = find_tail(reader, head.point, to, &tail, e);
    if (code < 0)
        return code;
    if (head.found && !reader->trouble && head.point < to) {
        add_part(cut, reader, head.point, tail.after, true);
    } else {
        head.keyframes = head.found && head.point < to;
        encode_all(cut, reader, from, to, no_head(reader, &head));
    }
    return 0;
}

/* ---- for others ---- */

static int make(const struct plan *plan, struct plan_edge video, const struct range *range,
                struct cut *cut,
                int (*parts)(struct cut_reader *reader, const struct range *range, struct cut *cut,
                             struct error *e),
                struct error *e)
{
    struct cut_reader reader;
    *cut = (struct cut){0};
    if (!(range->start >= 0) || !(range->stop > range->start)) {
        return error_set(e, ERROR_INVALID_OPTION,
                         "a range begins at 0 or later and ends after it begins");
    }
    int code = cut_reader_open(&reader, plan, video, e);
    if (code < 0)
        return code;
    code = parts(&reader, range, cut, e);
    cut_reader_close(&reader);
    return code;
}

int cut_exactly(const struct plan *plan, struct plan_edge video, double start, double stop,
                bool behind, struct cut *cut, struct error *e)
{
    const struct range range = {start, stop, behind};
    return make(plan, video, &range, cut, make_exact, e);
}

int cut_at_keyframes(const struct plan *plan, struct plan_edge video, double start, double stop,
                     struct cut *cut, struct error *e)
{
    const struct range range = {start, stop, false};
    return make(plan, video, &range, cut, make_at_keyframes, e);
}

/* ---- keyframes ---- */

struct times {
    double *list;
    int count, room;
};

static int add_time(struct times *times, double time, int most, struct error *e)
{
    if (times->count == most) {
        return error_set(e, ERROR_LIMIT_EXCEEDED,
                         "there are more than %d keyframes: ask for a shorter range", most);
    }
    if (times->count == times->room) {
        int room = FFMAX(64, 2 * times->room);
        double *list = realloc(times->list, (size_t)room * sizeof *list);
        if (!list)
            return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for keyframes");
        times->list = list;
        times->room = room;
    }
    times->list[times->count++] = time;
    return 0;
}

static int by_time(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

static int read_keyframes(struct cut_reader *reader, double from, double to, int most,
                          struct times *times, struct error *e)
{
    int64_t start = cut_reader_ticks(reader, from, AV_ROUND_UP);
    int64_t stop = cut_reader_ticks(reader, to, AV_ROUND_UP);
    if (start == INT64_MAX)
        return 0;
    int code = cut_reader_seek(reader, start, e);
    while (code > 0) {
        if (is_key(reader) && reader->pts != AV_NOPTS_VALUE) {
            if (reader->pts >= stop)
                break;
            if (reader->pts >= start) {
                int added = add_time(times, cut_reader_seconds(reader, reader->pts), most, e);
                if (added < 0)
                    return added;
            }
        }
        code = cut_reader_next(reader, e);
    }
    return FFMIN(code, 0);
}

int cut_list_keyframes(const struct plan *plan, struct plan_edge video, double from, double to,
                       int most, double **times, int *count, struct error *e)
{
    struct cut_reader reader;
    struct times found = {0};
    *times = NULL;
    *count = 0;
    int code = cut_reader_open(&reader, plan, video, e);
    if (code < 0)
        return code;
    code = read_keyframes(&reader, from, to, most, &found, e);
    cut_reader_close(&reader);
    if (code < 0) {
        free(found.list);
        return code;
    }
    if (found.count > 0)
        qsort(found.list, (size_t)found.count, sizeof *found.list, by_time);
    *times = found.list;
    *count = found.count;
    return 0;
}
