/*
 * The commands of `luma`: one file each, one table in main.c.
 *
 * A command gets its own arguments (argv[0] is its name) and returns the exit status of the
 * program. It may reorder argv. Results go to stdout, everything said to a person about them to
 * stderr.
 */
#ifndef LUMA_LUA_COMMAND_H
#define LUMA_LUA_COMMAND_H

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments; /* for help */
    const char *summary;
};

int cmd_check(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_ops(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_repl(int argc, char **argv);
int cmd_run(int argc, char **argv);

#endif
