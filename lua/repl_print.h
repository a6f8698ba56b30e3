/*
 * Values of the REPL as a person reads them.
 */
#ifndef LUMA_LUA_REPL_PRINT_H
#define LUMA_LUA_REPL_PRINT_H

#include "lua/bind.h"
#include "lua/terminal.h"

/* Prints the value at the index and ends the line: inputs and streams as `luma probe` has them,
 * outputs as their plan, tables as far as they go. May raise. */
void repl_print_value(lua_State *L, int index, const struct terminal *terminal);

/* Prints text without what a terminal would obey: control characters but for tabs and line ends,
 * and bytes that aren't UTF-8, become '?'. */
void repl_print_text(const struct terminal *terminal, const char *text);

#endif
