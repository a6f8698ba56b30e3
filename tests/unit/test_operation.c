/*
 * Operations before they run: what scripts see and may, how they are described, and how each
 * failure is told. Scripts are made here.
 */
#include "tests/unit/operation_fixture.h"

#include <dirent.h>
#include <sys/wait.h>

/* ---- failures ---- */

static void test_failures_of_a_run(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int code;
        const char *message; /* NULL: not compared; else a part of it */
        int line;            /* behind the body's first; -1: none */
    } cases[] = {
        {"", ERROR_SCRIPT, "run() declared no output and returned no result", -1},
        {"\nerror('broken')", ERROR_SCRIPT, "broken", 1},
        {"local x = nil\n\nreturn x.y", ERROR_SCRIPT, "attempt to index a nil value", 2},
        {"answer = 1", ERROR_SCRIPT, "globals are read-only: put 'local' in front of 'answer'", 0},
        {"return source.vidoe", ERROR_SCRIPT, "an input has no 'vidoe'; did you mean 'video'?", 0},
        {"return job.ouput", ERROR_SCRIPT, "a job has no 'ouput'; did you mean 'output'?", 0},
        {"return job.options.factr", ERROR_SCRIPT, "did you mean 'factor'?", 0},
        {"job.options.factor = 3", ERROR_SCRIPT, "job.options is read-only", 0},
        {"return source.video.widht", ERROR_SCRIPT, "did you mean 'width'?", 0},
        {"\nreturn source.video:scal(1, 2)", ERROR_SCRIPT, "did you mean 'scale'?", 1},
        {"return source.video:scale { widht = 2 }", ERROR_SCRIPT, "did you mean 'width'?", 0},
        {"return source.video:scale { w = {} }", ERROR_SCRIPT, "not a table", 0},
        {"return source.video:scale { w = 0/0 }", ERROR_SCRIPT, "not a finite number", 0},
        {"return source.video:scale(1, 2, 3, 4, 5)", ERROR_SCRIPT, "without names", 0},
        {"return source.video.scale(1)", ERROR_SCRIPT, "with a colon", 0},
        {"return source.video:volume(2)", ERROR_SCRIPT, NULL, 0},
        {"return source.video:encode { crf = 3 }", ERROR_SCRIPT, "encode needs a codec", 0},
        {"return source.video:encode { codec = 'h265x' }", ERROR_SCRIPT, NULL, 0},
        {"return source.video:encode { codec = 'h264', crff = 3 }", ERROR_SCRIPT,
         "did you mean 'crf'?", 0},
        {"return source.video:scale(2, 2):copy()", ERROR_SCRIPT, NULL, 0},
        {"return source.video:copy():scale(2, 2)", ERROR_SCRIPT, "has no 'scale'", 0},
        {"job:output { format = 'mp4', source.video }", ERROR_SCRIPT,
         "track 1 is a stream: end it with :encode{...} or :copy()", 0},
        {"job:output { format = 'mp4', 12 }", ERROR_SCRIPT, "track 1 is a number", 0},
        {"job:output { fromat = 'mp4', source.video:copy() }", ERROR_SCRIPT,
         "an output has no 'fromat'; did you mean 'format'?", 0},
        {"job:output { format = 'mp44', source.video:copy() }", ERROR_SCRIPT, NULL, 0},
        {"job:output { format = 'mp3', source.video:copy() }", ERROR_SCRIPT, NULL, 0},
        {"job:output { format = 'mp4' }", ERROR_SCRIPT, "at least one track", 0},
        {"job:output { not_larger_than = 5, source.video:copy() }", ERROR_SCRIPT, "go together", 0},
        {"return source:between(2, 1)", ERROR_SCRIPT, "end after it begins", 0},
        {"return source:at({})", ERROR_SCRIPT, "1 to 10000 times", 0},
        {"return source:at(-1)", ERROR_SCRIPT, "from 0", 0},
        {"return source:at('x')", ERROR_SCRIPT, NULL, 0},
        {"return { f = print }", ERROR_SCRIPT, "result.f: a function can't be JSON", -1},
        {"return source.video", ERROR_SCRIPT, "a userdata can't be JSON", -1},
        {"require 'os'", ERROR_SCRIPT, "require finds scripts under lib only", 0},
        {"require 'lib.nothing'", ERROR_SCRIPT, "there is no script 'lib/nothing.lua'", 0},
        {"require 'lib...etc.passwd'", ERROR_SCRIPT, NULL, 0},
        {"while true do end", ERROR_LIMIT_EXCEEDED, "processor time", -1},
        {"local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", ERROR_OUT_OF_MEMORY,
         NULL, -1},
        {"job:fail('no_such_stream', 'there is no sound')", ERROR_NO_SUCH_STREAM,
         "there is no sound", -1},
        {"pcall(job.fail, job, 'invalid_input', 'no') return 1", ERROR_INVALID_INPUT, "no", -1},
        {"job:fail('nonsense', 'x')", ERROR_SCRIPT, "there is no error code 'nonsense'", 0},
        {"return source:at(1, { keyfame = true })", ERROR_SCRIPT, NULL, 0},
        {"av.formats = 1", ERROR_SCRIPT, "av is read-only", 0},
        {"return av.format", ERROR_SCRIPT, "av has no 'format'; did you mean 'formats'?", 0},
        {"return av.can_copy(source.video, 'mp5')", ERROR_SCRIPT, "unknown format 'mp5'", 0},
        {"source.video.width = 2", ERROR_SCRIPT, "a stream can't be changed", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct operation_request request;
        struct operation_input input;
        struct operation_outcome outcome;
        request_init(&request, &input);
        request.lua_time = cases[i].code == ERROR_LIMIT_EXCEEDED ? 0.3 : 20;
        request.lua_memory = (size_t)8 * 1024 * 1024;
        write_run(cases[i].body);
        int code = operation_run(&request, &outcome);
        if (code != cases[i].code || outcome.error.code != code)
            fail_msg("%s: %s: %s", cases[i].body, error_name(code), outcome.error.message);
        if (cases[i].message && !strstr(outcome.error.message, cases[i].message))
            fail_msg("%s: %s", cases[i].body, outcome.error.message);
        if (strstr(outcome.error.message, ".lua:") || strstr(outcome.error.message, clips.folder))
            fail_msg("%s: a place in the message: %s", cases[i].body, outcome.error.message);
        if (cases[i].line >= 0) {
            assert_string_equal(outcome.script, "test.lua");
            if (outcome.line != BODY_LINE + cases[i].line)
                fail_msg("%s: line %d", cases[i].body, outcome.line);
            assert_non_null(strstr(outcome.traceback, "stack traceback"));
        }
        assert_int_equal(paths_given, 0);
        operation_outcome_finish(&outcome);
    }
}

/* What reaches for more than a script has. */
static void test_escapes_are_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "return getmetatable(source)",
        "return getmetatable(source.video).__gc",
        "return source.__gc(source)",
        "return source.video.encode({})",
        "return source.from({}, 1)",
        "return source.video.scale(source, 1)",
        "return job.note('x')",
        "return job.output({ source.video:copy() })",
        "return job.fail({}, 'internal', 'x')",
        "return source.video:geq { lum = 'while(1,1)' }",
        "return source.video:movie { filename = '/etc/passwd' }",
        "return av.source('movie', { filename = '/etc/passwd' })",
        "return source.video:drawtext { textfile = '/etc/passwd' }",
        "return source.video:subtitles('/etc/passwd')",
        "return source.video:metadata { file = '/tmp/x' }",
        "return source.video:sendcmd { filename = '/etc/passwd' }",
        "return source.video:encode { codec = 'libx264', ['x264-params'] = 'dump-yuv=/tmp/x' }",
        "return source.video:encode { codec = 'libx264', stats = '/tmp/x' }",
        "return source.video:copy { bsf = 'noise,x=/etc/passwd' }",
        "job:output { format = 'tee', source.video:copy() }",
        "job:output { format = 'segment', source.video:copy() }",
        "return source.video:scale { w = 'x\\0y' }",
        "return source.video:split(1 << 40)",
        "return av.concat(setmetatable({}, { __len = function() return 1 << 40 end }))",
        "return av.sequence(setmetatable({}, { __len = function() return 1 << 40 end }))",
        "return av.sequence(3)",
        "return av.sequence { 3 }",
        "return av.sequence { { duration = 2 } }",
        "return av.sequence { { source.video, duration = 'x' } }",
        "return av.sequence { { source.video, duration = 0 / 0 }, source.audio }",
        "return source:at(setmetatable({}, { __len = function() return 1 << 40 end }))",
        "for i = 1, 1 << 30 do source:from(i) end",
        "for i = 1, 1 << 30 do job:output { source.video:copy() } end",
        "return require '../../etc/passwd'",
        "return require '/etc/passwd'",
        "for _, s in ipairs(source.streams) do error('boom') end",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct operation_outcome outcome;
        write_run(bodies[i]);
        int code = run_script(&outcome);
        if (code != ERROR_SCRIPT && code != ERROR_LIMIT_EXCEEDED)
            fail_msg("%s: %s: %s", bodies[i], error_name(code), outcome.error.message);
        assert_int_equal(paths_given, 0);
        operation_outcome_finish(&outcome);
    }
}

static void test_a_value_adds_no_filter(void **state)
{
    (void)state;
    char *text = run_for_value(
        "local v = source.video:drawtext { text = \"x',movie=/etc/passwd,nullsink;[0:v]null\" }\n"
        "local o = job:output { format = 'mp4', v:encode { codec = 'h264' } }\n"
        "local _, filters = av.explain(o):gsub('] filter ', '')\n"
        "return { av.explain(o):find('nullsink', 1, true) ~= nil, filters }");
    assert_string_equal(text, "[true,1]");
    free(text);
}

/* What Lua has once may be copied a hundred times: that is bounded by itself. */
static void test_large_tags(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *words;
    } cases[] = {
        {"metadata = { a = part, b = part }", "'metadata' of an output has more than 1024 KB"},
        {"chapters = { { start = 0, stop = 1, title = part },\n"
         "  { start = 1, stop = 2, metadata = { a = part } } }",
         "the chapters of an output have more than 1024 KB"},
        {"metadata = { a = part }, chapters = { { start = 0, stop = 1, title = part } }", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct operation_outcome outcome;
        char body[512];
        snprintf(body, sizeof body,
                 "local part = ('x'):rep(600000)\n"
                 "job:output { format = 'mkv', source.video:copy(), %s }",
                 cases[i].fields);
        write_run(body);
        assert_int_equal(run_script(&outcome), cases[i].words ? ERROR_SCRIPT : 0);
        if (cases[i].words && !strstr(outcome.error.message, cases[i].words))
            fail_msg("%s", outcome.error.message);
        operation_outcome_finish(&outcome);
    }
}

/* Scripts that fail when the pipeline has run already. */
static void test_late_failures(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "job:output { name = 'a.txt', text = function() error('late') end }",
        "job:output { name = 'a.txt', text = function() return {} end }",
        "job:output { format = 'mp4', source.video:copy(), not_larger_than = 10,\n"
        "  otherwise = function() error('late') end }",
        "job:output { format = 'mp4', source.video:copy(), not_larger_than = 10,\n"
        "  otherwise = function() return { name = 'x.txt', text = 'x' } end }",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct operation_outcome outcome;
        write_run(bodies[i]);
        assert_int_equal(run_script(&outcome), ERROR_SCRIPT);
        assert_null(outcome.outputs);
        operation_outcome_finish(&outcome);
    }
}

/* ---- attack scripts as operations, with the handles that they ask for ---- */

static const char *const prelude =
    "return { summary = 's', inputs = 1, options = {}, run = function(job)\n"
    "local host_handle = function() return job.input.video end\n"
    "local host_open = function(path) return require(path) end\n"
    "local host_filter = function(name, o) return job.input.video[name](job.input.video, o) end\n"
    "local host_each = function(f) for _, s in ipairs(job.input.streams) do f(s) end end\n";

static void say_killed(void *opaque, const char *limit)
{
    (void)limit;
    dprintf(*(int *)opaque, "killed");
}

/* In a child: writes how the operation ended, and exits. */
static void run_attack(int fd)
{
    struct operation_request request;
    struct operation_input input;
    struct operation_outcome outcome;
    alarm(60);
    request_init(&request, &input);
    request.lua_time = 0.25;
    request.lua_memory = (size_t)16 * 1024 * 1024;
    request.output_path = NULL;
    request.killed = say_killed;
    request.opaque = &fd;
    int code = operation_run(&request, &outcome);
    const char *value = json_string_value(outcome.result);
    dprintf(fd, "%s %s", code ? error_name(code) : "value", value ? value : outcome.error.message);
    operation_outcome_finish(&outcome);
}

static int attack(char *verdict, size_t size)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_attack(ends[1]);
        _exit(0);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], verdict, size - 1);
    verdict[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int is_script(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".lua") == 0;
}

static void test_shared_attacks(void **state)
{
    (void)state;
    const char *root = getenv("LUMA_TEST_SECURITY");
    char folder[1024];
    snprintf(folder, sizeof folder, "%s/lua_attacks",
             root ? root : SOURCE_DIR "/../shared/security");
    struct dirent **entries;
    int count = scandir(folder, &entries, is_script, alphasort);
    if (count <= 0) {
        print_message("skipped: no attack scripts (set LUMA_TEST_SECURITY)\n");
        skip();
    }
    for (int i = 0; i < count; i++) {
        char path[1400], verdict[1000];
        static char text[32768];
        size_t length = strlen(prelude);
        memcpy(text, prelude, length);
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        length += fread(text + length, 1, sizeof text - length - 16, file);
        fclose(file);
        snprintf(text + length, sizeof text - length, "\nend }\n");
        write_script("test", text);
        int status = attack(verdict, sizeof verdict);
        if ((status != 0 && status != 70) || !*verdict || strstr(verdict, "ESCAPED") ||
            strstr(verdict, "LEAKS") || strstr(verdict, "RUN_MUST") || strstr(verdict, "HANG")) {
            fail_msg("%s: status %d, \"%s\"", entries[i]->d_name, status, verdict);
        }
        if (getenv("LUMA_TEST_VERBOSE")) {
            print_message("%s: %.120s\n", entries[i]->d_name, verdict);
        }
        free(entries[i]);
    }
    free(entries);
}

static void test_broken_scripts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        int line;
    } cases[] = {
        {"return {", "expected", 1},
        {"local a\nreturn { summary = }", "unexpected symbol", 2},
        {"return 12", "broken.lua: it must return a table, not a number", -1},
        {"return { summary = 's', inputs = 1, options = {} }", "its table has no 'run'", -1},
        {"return { sumary = 's' }", "its table has no 'summary'", -1},
        {"return { summary = 's', inputs = 1, options = {}, run = print, chek = print }",
         "unknown field 'chek'; did you mean 'check'?", -1},
        {"return { summary = 's', inputs = 0, options = {}, run = print }", "'inputs' must be", -1},
        {"return { summary = 's', inputs = 101, options = {}, run = print }", "'inputs' must be",
         -1},
        {"return { summary = 's', inputs = 1, options = { 'a' }, run = print }",
         "an option must be a table", -1},
        {"return { summary = 's', inputs = 1, options = { { 'a', type = 'x' } }, run = print }",
         "option 'a': unknown type 'x'", -1},
        {"return { summary = 's', inputs = 1, options = { { 'a', type = 'list', of = 'tim' } }, "
         "run = print }",
         "option 'a', its items: unknown type 'tim'; did you mean 'time'?", -1},
        {"while true do end", "processor time", -1},
        {"return job.input", "attempt to index a nil value (global 'job')", 1},
        {"\27LuaS", NULL, -1},
        {"local x = require 'lib.broken' return x", "there is no script", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct operation_outcome outcome;
        write_script("broken", cases[i].text);
        json_t *description = operation_describe(scripts, "broken", &outcome);
        assert_null(description);
        if (cases[i].message && !strstr(outcome.error.message, cases[i].message))
            fail_msg("%s: %s", cases[i].text, outcome.error.message);
        if (cases[i].line > 0)
            assert_int_equal(outcome.line, cases[i].line);
        operation_outcome_finish(&outcome);
    }
}

static void test_requests_that_do_not_fit(void **state)
{
    (void)state;
    struct operation_request request;
    struct operation_input input, many[3];
    struct operation_outcome outcome;
    write_run("return 1");

    request_init(&request, &input);
    for (int i = 0; i < 3; i++)
        many[i] = input;
    request.inputs = many;
    request.input_count = 3;
    assert_int_equal(operation_run(&request, &outcome), ERROR_INVALID_INPUT);
    assert_string_equal(outcome.error.message, "the operation 'test' takes 1 to 2 inputs, not 3");
    operation_outcome_finish(&outcome);

    request_init(&request, &input);
    request.options = json_pack("{s:s}", "factr", "x");
    assert_int_equal(operation_run(&request, &outcome), ERROR_INVALID_OPTION);
    assert_string_equal(outcome.error.path, "options.factr");
    operation_outcome_finish(&outcome);
    json_decref(request.options);

    write_script("text", "not media at all, whatever the name says\n");
    char path[200];
    snprintf(path, sizeof path, "%s/text.lua", scripts);
    request_init(&request, &input);
    input = (struct operation_input){path, "text.lua"};
    assert_int_equal(operation_run(&request, &outcome), ERROR_UNSUPPORTED_MEDIA);
    assert_string_equal(outcome.error.path, "inputs[0]");
    assert_null(strstr(outcome.error.message, clips.folder));
    operation_outcome_finish(&outcome);
}

static void test_check_refuses(void **state)
{
    (void)state;
    struct operation_request request;
    struct operation_input input;
    struct operation_outcome outcome;
    write_script("test",
                 "return { summary = 's', inputs = 1, options = { { 'a', type = 'integer' } },"
                 "check = function(options, inputs)"
                 "  if options.a == 3 and inputs[1].video then return 'not three', 'a' end"
                 " end,"
                 "run = function(job) return job.options.a end }");
    request_init(&request, &input);
    request.options = json_pack("{s:i}", "a", 3);
    assert_int_equal(operation_run(&request, &outcome), ERROR_INVALID_OPTION);
    json_t *shown = operation_error_json(&outcome);
    char *text = json_dumps(shown, JSON_SORT_KEYS);
    assert_string_equal(text, "{\"code\": \"invalid_option\", \"details\": {\"got\": 3, \"path\": "
                              "\"options.a\"}, \"message\": \"not three\"}");
    free(text);
    json_decref(shown);
    operation_outcome_finish(&outcome);
    json_object_set_new(request.options, "a", json_integer(4));
    assert_int_equal(operation_run(&request, &outcome), 0);
    assert_int_equal(json_integer_value(outcome.result), 4);
    operation_outcome_finish(&outcome);
    json_decref(request.options);
}

static void test_errors_as_json(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    write_run("job:fail('no_such_stream', 'none', { path = 'options.track', got = 3, expected = "
              "'1 or 2' })");
    run_script(&outcome);
    json_t *shown = operation_error_json(&outcome);
    char *text = json_dumps(shown, JSON_SORT_KEYS);
    assert_string_equal(text,
                        "{\"code\": \"no_such_stream\", \"details\": {\"expected\": \"1 or "
                        "2\", \"got\": 3, \"path\": \"options.track\"}, \"message\": \"none\"}");
    free(text);
    json_decref(shown);
    operation_outcome_finish(&outcome);

    write_run("\nerror('x')");
    run_script(&outcome);
    shown = operation_error_json(&outcome);
    json_t *details = json_object_get(shown, "details");
    assert_string_equal(json_string_value(json_object_get(details, "script")), "test.lua");
    assert_int_equal(json_integer_value(json_object_get(details, "line")), BODY_LINE + 1);
    assert_non_null(json_object_get(details, "traceback"));
    json_decref(shown);
    operation_outcome_finish(&outcome);
}

/* ---- what scripts see ---- */

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *body, *value;
    } cases[] = {
        {"return job.options.factor", "2"},
        {"return { job.options.name }", "{}"},
        {"return job.name", "\"test\""},
        {"return { source.format, source.family, source.name, #source.streams, #source.videos, "
         "#source.audios, #source.subtitles, #source.pictures }",
         "[\"mov,mp4,m4a,3gp,3g2,mj2\",\"mp4\",\"holiday.mp4\",2,1,1,0,0]"},
        {"return source.size > 1000 and source.bit_rate > 1000 and source.duration > 1.9", "true"},
        {"return source.subtitle == nil", "true"},
        {"local v = source.video return { v.kind, v.index, v.codec, v.width, v.height, "
         "v.display_width, v.rotation, v.frame_rate, v.pixel_format, v.attached_picture, "
         "v.sample_rate == nil, v.color.hdr }",
         "[\"video\",0,\"h264\",320,240,320,0,25.0,\"yuv420p\",false,true,false]"},
        {"local a = source.audio return { a.kind, a.codec, a.sample_rate, a.channels, a.layout, "
         "a.width == nil }",
         "[\"audio\",\"aac\",48000,2,\"stereo\",true]"},
        {"return source.video == source.videos[1] and source.video ~= source.audio", "true"},
        {"local v = source.video:scale(2, 2) return { v.kind, v.width == nil, v.default }",
         "[\"video\",true,true]"},
        {"return { tostring(source), tostring(source.video), tostring(source.audio:volume(1)), "
         "tostring(source.video:copy()) }",
         "[\"input 'holiday.mp4'\",\"video stream 0 (h264)\",\"audio stream\",\"track\"]"},
        {"local r = source:between('0:00.5', 1.5) return { r.duration, r.video.duration }",
         "[1.0,1.0]"},
        {"return { source:from(1.5).duration <= 0.6, source:to(1).duration }", "[true,1.0]"},
        {"local a, b, c = source.audio:split(3) return { a.kind, c.kind, b ~= c }",
         "[\"audio\",\"audio\",true]"},
        {"local v, a = av.concat { { source.video, source.audio }, { source.video, source.audio } "
         "} "
         "return { v.kind, a.kind }",
         "[\"video\",\"audio\"]"},
        {"local v = av.sequence { source.video, { source:to(1).video, duration = 0.5 } } "
         "return { v.kind, tostring(v:scale(8, 8)) }",
         "[\"video\",\"video stream\"]"},
        {"return tostring(av.sequence { source.video:copy(), source.video:copy() })", "\"track\""},
        {"return av.source('color', { c = 'red', size = '16x16', d = 1 }).kind", "\"video\""},
        {"return { source.audio:amix(source.audio, source.audio).kind }", "[\"audio\"]"},
        {"return { (av.can_copy(source.video, 'mp4')), (av.can_copy(source.video, 'webm')), "
         "av.holds('mp4', 'h264'), av.holds('webm', 'h264') }",
         "[true,false,true,false]"},
        {"return { av.formats.mp4.video, av.formats.mp3.room.audio, #av.filters > 100, "
         "#av.encoders "
         "> 20, av.null == nil }",
         "[\"h264\",1,true,true,false]"},
        {"local n = 0 for name in pairs(job.options) do n = n + 1 end return { n, #job.inputs }",
         "[1,1]"},
        {"return require('lib.shared').twice(job.options.factor)", "4"},
        {"local d = source:describe() return { d.streams[1].codec, d.brand, d.streams[1].title == "
         "av.null, #d.chapters }",
         "[\"h264\",\"isom\",true,0]"},
        {"job:output { name = 'a/b\\1.txt', text = 'x' } return job:output { source.video:copy() "
         "}.name",
         "\"holiday.mp4\""},
    };
    write_script("lib/shared", "return { twice = function(x) return x * 2 end }");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = run_for_value(cases[i].body);
        if (strcmp(text, cases[i].value) != 0)
            fail_msg("%s: %s", cases[i].body, text);
        free(text);
    }
}

static void test_no_field_hides_a_filter(void **state)
{
    (void)state;
    /* those that mean the same, and a source filter, which is no method */
    char *text =
        run_for_value("local same = { split = true, copy = true, color = true }\n"
                      "local hidden = {}\n"
                      "for _, name in ipairs(av.filters) do\n"
                      "  if not same[name] and type(source.video[name]) ~= 'function' then\n"
                      "    hidden[#hidden + 1] = name\n"
                      "  end\n"
                      "end\n"
                      "return table.concat(hidden, ' ')");
    assert_string_equal(text, "\"\"");
    free(text);
}

static void test_notes_are_bounded(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    write_run("for i = 1, 1000 do job:note(('\\u{e9}'):rep(1000)) end return 1");
    assert_int_equal(run_script(&outcome), 0);
    assert_int_equal(json_array_size(outcome.notes), 101);
    assert_true(json_string_length(json_array_get(outcome.notes, 0)) <= 503);
    operation_outcome_finish(&outcome);
}

/* ---- descriptions ---- */

static void test_describe(void **state)
{
    (void)state;
    static const struct {
        const char *inputs, *shown;
    } cases[] = {
        {"1", "{\"max\": 1, \"min\": 1}"},
        {"2", "{\"max\": 2, \"min\": 2}"},
        {"{ min = 2, max = 100 }", "{\"max\": 100, \"min\": 2}"},
        {"{ min = 1, roles = { 'media', 'subtitles' } }",
         "{\"max\": 2, \"min\": 1, \"roles\": [\"media\", \"subtitles\"]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct operation_outcome outcome;
        char script[1024];
        snprintf(script, sizeof script,
                 "return { summary = 'Do it', inputs = %s, options = { { 'a', type = 'list', of = "
                 "'time', default = {} } }, examples = { {}, { a = { 1 } } }, run = print }",
                 cases[i].inputs);
        write_script("described", script);
        json_t *description = operation_describe(scripts, "described", &outcome);
        if (!description)
            fail_msg("%s: %s", cases[i].inputs, outcome.error.message);
        char *inputs = json_dumps(json_object_get(description, "inputs"), JSON_SORT_KEYS);
        char *options = json_dumps(json_object_get(description, "options"), JSON_SORT_KEYS);
        char *examples = json_dumps(json_object_get(description, "examples"), JSON_SORT_KEYS);
        assert_string_equal(inputs, cases[i].shown);
        assert_string_equal(options, "[{\"default\": [], \"name\": \"a\", \"of\": {\"type\": "
                                     "\"time\"}, \"type\": \"list\"}]");
        assert_string_equal(examples, "[{}, {\"a\": [1]}]");
        free(inputs);
        free(options);
        free(examples);
        json_decref(description);
        operation_outcome_finish(&outcome);
    }
    json_t *list = operation_list(scripts);
    assert_true(json_array_size(list) >= 2);
    json_decref(list);
    list = operation_list("/nonexistent");
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_of_a_run),
        cmocka_unit_test(test_escapes_are_refused),
        cmocka_unit_test(test_a_value_adds_no_filter),
        cmocka_unit_test(test_large_tags),
        cmocka_unit_test(test_late_failures),
        cmocka_unit_test(test_shared_attacks),
        cmocka_unit_test(test_broken_scripts),
        cmocka_unit_test(test_requests_that_do_not_fit),
        cmocka_unit_test(test_check_refuses),
        cmocka_unit_test(test_errors_as_json),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_no_field_hides_a_filter),
        cmocka_unit_test(test_notes_are_bounded),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
