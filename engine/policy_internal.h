/*
 * What the files of policy share.
 */
#ifndef LUMA_ENGINE_POLICY_INTERNAL_H
#define LUMA_ENGINE_POLICY_INTERNAL_H

#include "engine/policy.h"

/* True if the name is one of the words of a list separated by single spaces. */
bool policy_listed(const char *name, const char *list);

/* Refuses values that could keep libav's expression evaluator busy for ever, and values that are
 * absurdly long. */
bool policy_expression(const char *option, const char *value, struct error *e);

#endif
