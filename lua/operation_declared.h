/*
 * Outputs that a state has declared and wants made while it is running: what the REPL does, where
 * an operation's outputs wait until its script has ended.
 */
#ifndef LUMA_LUA_OPERATION_DECLARED_H
#define LUMA_LUA_OPERATION_DECLARED_H

#include "lua/bind.h"
#include "lua/operation.h"
#include "lua/sandbox.h"

/* Makes one output of the sandbox's struct bind. L is the state that runs in the sandbox; of the
 * request only threads, control, the callbacks and the inputs are read; these are those of the
 * struct bind, in its order. Returns outcome->error.code and never
 * raises; the outcome is to be finished either way. */
int operation_make_declared(struct sandbox *sandbox, lua_State *L, int output,
                            const struct operation_request *request,
                            struct operation_outcome *outcome);

#endif
